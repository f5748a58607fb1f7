"""The unit as one kernel equals the eager unit, in Triton's interpreter; it compiles for a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

from res2net import create_model
from res2net.nn import fused
from res2net.nn.block import Res2NetBottleneck, Res2NetUnit
from res2net.paper.networks import NETWORKS
from res2net.paper.variant import FirstBlock, ResNetVariant
from res2net.rewrite import fold_batchnorm

SCRIPT = Path(__file__).with_name("interpreted_units.py")
TOLERANCE = {"float64": 1e-12, "float32": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}
with_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")


def _interpreted(cases):
    """What ``interpreted_units.py`` finds of each case."""
    ran = subprocess.run(
        [sys.executable, str(SCRIPT)],
        input=json.dumps(cases),
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def _check(cases):
    pytest.importorskip("triton", minversion="3.4")  # whose interpreter multiplies in float64
    for (options, shape, kind), (error, finite) in zip(cases, _interpreted(cases), strict=True):
        assert finite, (options, shape, kind)
        assert error < TOLERANCE[kind], (options, shape, kind)


def test_the_kernel_equals_the_unit():
    """Tiles that meet, a width that is no power of two, every type, a first block, groups."""
    _check(
        [
            ({"width": 5, "scale": 3}, (1, 5, 9), "float64"),
            ({"width": 18, "scale": 2}, (1, 3, 4), "float16"),
            ({"width": 6, "scale": 3}, (1, 4, 3), "bfloat16"),
            ({"width": 3, "scale": 2, "stride": 2}, (1, 7, 5), "float32"),
            ({"width": 4, "scale": 2, "cardinality": 2}, (1, 3, 3), "float64"),
        ]
    )


@pytest.mark.slow
def test_every_scale_and_odd_sizes():
    shapes = ((1, 1, 1), (2, 3, 9), (1, 9, 5), (1, 7, 7))
    scales = zip(range(1, 9), shapes * 2, strict=True)
    _check([({"width": 3, "scale": scale}, shape, "float64") for scale, shape in scales])


@pytest.mark.slow
def test_every_rule_of_the_first_block():
    rules = [(rule, stride) for rule, stride in product(FirstBlock, (1, 2))]
    forms = [
        {"width": 4, "scale": 3, "first": rule, "stride": stride}
        for rule, stride in rules
        if stride == 1 or not rule.stride_at_entry
    ]
    forms.append({"width": 4, "scale": 3, "first": "pool", "pool_dilation": 2, "dilation": 2})
    forms.append({"width": 4, "scale": 3, "dilation": 4})
    _check([(form, (1, 7, 10), "float64") for form in forms])


@pytest.mark.slow
def test_every_width_of_the_paper():
    """Of all rows, those of the splits in the four stages; 26w4s goes up to 208."""
    rows = [row for row in NETWORKS.values() if isinstance(row, ResNetVariant) and row.scale > 1]
    widths = {
        (row.width * row.cardinality * 2**stage, row.cardinality)
        for row in rows
        for stage in range(4)
    }
    cases = [
        ({"width": width, "scale": 2, "cardinality": groups}, (1, 3, 3), kind)
        for (width, groups), kind in zip(
            sorted(widths), ("float32", "bfloat16", "float16") * len(widths), strict=False
        )
    ]
    _check(cases)


def _folded_unit(**options):
    unit = Res2NetUnit(norm_layer=lambda _: nn.Identity(), **options)
    for conv in unit.convs:
        conv.bias = nn.Parameter(torch.zeros(conv.out_channels))
    return unit


@with_triton
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bfloat16", "float32"])
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"cardinality": 2}], ids=str)
def test_the_kernel_compiles_for_an_h200(options, kind):
    """Triton brings NVIDIA's assembler: it makes code for a GPU without one."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from res2net.nn.unit_kernel import res2net_unit

    unit = fused.FusedUnit(_folded_unit(width=26, scale=4, **options))
    held = unit.how | fused.blocks(unit.how["GROUP"], getattr(torch, kind))
    names = list(res2net_unit.arg_names)
    pointer = {"bfloat16": "*bf16", "float32": "*fp32"}[kind]
    types = {name: pointer if name in "xwby" else "i32" for name in names}
    made = triton.compile(
        ASTSource(
            fn=res2net_unit,
            signature=types | dict.fromkeys(held, "constexpr"),
            constexprs={(names.index(name),): value for name, value in held.items()},
        ),
        target=GPUTarget("cuda", 90, 32),
    )
    assert made.asm["cubin"]
    assert made.metadata.shared < 227 * 1024  # bytes that a program may have


def test_bottlenecks_are_fused_where_the_kernel_has_their_parts():
    net = fold_batchnorm(create_model("res2net26_26w_4s", num_classes=3))
    net.layer1[0].act = nn.SiLU()
    with pytest.warns(UserWarning, match="1 of 8 Res2Net units stay unchanged"):
        fused.fuse_units(net)
    blocks = [each for each in net.modules() if isinstance(each, Res2NetBottleneck)]
    units = [each for each in net.modules() if isinstance(each, fused.FusedUnit)]
    assert (len(blocks), len(units)) == (8, 7)
    with pytest.warns(UserWarning, match="8 of 8 Res2Net units stay unchanged"):
        fused.fuse_units(create_model("res2net26_26w_4s", num_classes=3))
    with pytest.warns(UserWarning, match="the network has no Res2Net unit"):
        fused.fuse_units(fold_batchnorm(create_model("resnet18", num_classes=3)))


def test_norms_that_stay_are_refused():
    with pytest.raises(ValueError, match="folded norms and ReLUs"):
        fused.FusedUnit(Res2NetUnit(4, 2))


def test_where_the_kernel_runs(monkeypatch):
    gpu, processor = torch.device("cuda"), torch.device("cpu")
    if find_spec("triton") is not None:
        assert fused.missing(gpu) is None
        assert fused.missing(processor) == "no GPU is available"
    monkeypatch.setattr(fused, "find_spec", lambda _: None)
    assert fused.missing(gpu) == "Triton is not installed"


def test_triton_is_imported_by_none_but_the_kernel():
    for file in Path(fused.__file__).parent.parent.rglob("*.py"):
        lines = file.read_text(encoding="utf-8").splitlines()
        at_once = [line for line in lines if line.startswith(("import triton", "from triton"))]
        assert not at_once or file.name == "unit_kernel.py", file
