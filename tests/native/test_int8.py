"""int8: the engine equals its plain version in torch, and that stays near eager."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from res2net.deploy.native_int8 import in_int8
from res2net.deploy.native_plain import PlainNetwork
from res2net.deploy.native_walk import walk
from res2net.models.backbone import create_backbone
from res2net.models.factory import create_model
from res2net.native.network import NativeNetwork
from res2net.native.program import NativeProgram
from res2net.paper.networks import NETWORKS
from res2net.paper.variant import ResNetVariant

from .conftest import eager, random_images, relative
from .test_shapes import CONVOLUTIONS, FIXTURES_ARE_FINE, convolution

pytestmark = pytest.mark.usefixtures("int8_engine")
# Relative L2. The engine scales in float32: here and there a value is the next step, and what
# follows moves with it, in a hundred layers of random weights nearly as far as eager is.
# That single operations are right is shown step by step.
PLAIN, EAGER = 2e-2, 1e-1
# not the 200 layers: with random weights their logits reach 10¹⁰, and a step's difference 17 %
ROWS = [
    name for name, row in NETWORKS.items() if isinstance(row, ResNetVariant) and "200" not in name
]
QUICK: dict[str, dict[str, int]] = {
    "resnext50_32x4d": {},
    "res2net50d": {},
    "res2next29_6c24w_4s_se": {"depth": 11},
}


def _calibrated(program: NativeProgram, *shapes: tuple[int, int, int]) -> NativeProgram:
    return in_int8(program, [random_images(*shape) for shape in shapes])


def _check(program, *shapes, threads=2, near=PLAIN):
    """Ranges are of the very images that are compared: nothing is cut off."""
    whole = _calibrated(walk(program), *shapes)
    network = NativeNetwork(whole, "int8", threads)
    for shape in shapes:
        images = random_images(*shape)
        plain = PlainNetwork(whole)(images)
        for found, same, wanted in zip(network(images), plain, eager(program, images), strict=True):
            assert relative(found, same) < near
            assert relative(found, wanted) < EAGER


@FIXTURES_ARE_FINE
@given(**CONVOLUTIONS)
def test_a_convolution(kernel, stride, groups, in_group, out_group, shape, threads):
    program, *_ = convolution(kernel, stride, groups, in_group, out_group, relu=1)
    images = random_images(*shape)
    real = PlainNetwork(program)(images)[0]
    assume(real.any())  # steps of a map that is zero everywhere are no measure
    whole = in_int8(program, [images])
    found = NativeNetwork(whole, "int8", threads)(images)[0]
    wanted = PlainNetwork(whole)(images)[0]
    steps = whole.tensors["steps.2"][:, None, None]
    apart = np.abs(np.rint(found / steps) - np.rint(wanted / steps))
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.02
    if min(shape[1:]) < 3 * kernel:  # the bias makes up for rounding where no tap is on the border
        return
    # what is summed may be large and its sum small, so rounding is held against what is summed
    program.tensors |= {name: np.abs(program.tensors[name]) for name in ("w", "b")}
    summed = PlainNetwork(program)(images)[0]
    assert np.linalg.norm(wanted - real) <= 2e-2 * np.linalg.norm(summed)


@settings(FIXTURES_ARE_FINE, max_examples=5)
@given(
    width=st.integers(2, 33),
    scale=st.integers(1, 8),
    cardinality=st.integers(1, 4),
    se=st.booleans(),
    shape=st.tuples(st.integers(1, 2), st.integers(32, 70), st.integers(32, 70)),
)
def test_units_of_any_width_and_scale(folded, width, scale, cardinality, se, shape):
    torch.manual_seed(0)
    options = {"width": width, "scale": scale, "cardinality": cardinality, "se": se}
    program = folded(create_model("res2net26_small", num_classes=5, **options))
    _check(program, shape, near=EAGER)  # most agree in 1e-6; one step moves a map of 2x2 by 4 %


@pytest.mark.parametrize("name", QUICK)
def test_a_row(folded, name):
    torch.manual_seed(0)
    _check(folded(create_model(name, **QUICK[name])), (2, 65, 43))


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_every_row(folded, name):
    torch.manual_seed(0)
    program = folded(create_model(name))
    for threads in (1, 2):
        _check(program, (1, 224, 224), (3, 97, 75), (1, 33, 250), threads=threads, near=EAGER)


def test_maps_of_a_backbone(folded):
    torch.manual_seed(0)
    _check(folded(create_backbone("res2net26_small", out_levels=("c3", "c1"))), (2, 65, 49))


@pytest.mark.parametrize("options", [{}, {"se": True}, {"first_block": "paper"}])
def test_a_stage_step_by_step(folded, options):
    """Stem, pools, splits and their additions, both shortcuts, gates: hardly a value is another."""
    torch.manual_seed(0)
    net = create_backbone("res2net26_small", out_levels=("c2",), **options)
    images = random_images(2, 65, 49)
    whole = in_int8(walk(folded(net)), [images])
    found = NativeNetwork(whole, "int8", 2)(images)[0]
    wanted = PlainNetwork(whole)(images)[0]
    steps = whole.tensors[whole.outputs[0]["steps"]][:, None, None]
    apart = np.abs(np.rint(found / steps) - np.rint(wanted / steps))
    assert apart.max() <= 2
    assert (apart > 0).mean() < 0.02


def test_black_and_white_images(folded):
    """Around the images stands the byte next to their mean, not 0."""
    torch.manual_seed(0)
    program = folded(create_backbone("resnet26_small", out_levels=("c1",)))
    images = np.zeros((2, 33, 33, 3), np.uint8)
    images[1] = 255
    found = NativeNetwork(in_int8(walk(program), [images]), "int8", 1)(images)[0]
    assert relative(found, eager(program, images)[0]) < EAGER


def test_channels_that_are_never_alight(folded):
    """No weights, or no value above zero: neither has a range to take a step from."""
    torch.manual_seed(0)
    program = folded(create_model("res2net26_small", num_classes=5))
    block = program.net.layer1[0]
    block.conv1.weight[:3] = 0
    block.conv1.bias[3:6] = -1e3
    block.conv1.weight[6:9] = 0
    block.conv1.bias[6:9] = 0
    _check(program, (1, 40, 40))


@pytest.fixture
def whole(folded) -> NativeProgram:
    torch.manual_seed(0)
    program = folded(create_model("res2net26_small", num_classes=3))
    return _calibrated(walk(program), (1, 40, 40))


def test_a_file_and_back(whole, tmp_path):
    path = tmp_path / "model.r2n"
    path.write_bytes(whole.to_bytes())
    found = NativeProgram.read(path)
    assert {found.tensors[op["weights"]].dtype.name for op in found.ops if op["op"] == "conv"} == {
        "int8"
    }
    images = random_images(2, 40, 44)
    np.testing.assert_array_equal(
        NativeNetwork(found, "int8", 1)(images)[0], NativeNetwork(whole, "int8", 2)(images)[0]
    )


def test_it_runs_in_nothing_else(whole, folded):
    with pytest.raises(ValueError, match="is int8 .*, not float32"):
        NativeNetwork(whole, "fp32", 1)
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="damaged|not uint8"):
        NativeNetwork(walk(folded(create_model("res2net26_small"))), "int8", 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"relu": 0}, "no sign"),
        ({"scale_sum": "nothing"}, "damaged"),
        ({"scale_sum": "images.pad"}, "is uint8"),
        ({"scale_residual": None}, "damaged"),
    ],
)
def test_operations_that_do_not_fit(whole, change, said):
    wrong = copy.copy(whole)
    wrong.ops = copy.deepcopy(whole.ops)
    next(op for op in reversed(wrong.ops) if op.get("residual", -1) >= 0).update(change)
    with pytest.raises(ValueError, match=said):
        NativeNetwork(wrong, "int8", 1)


def test_a_scale_that_is_missing(whole):
    wrong = copy.copy(whole)
    wrong.ops = copy.deepcopy(whole.ops)
    del next(op for op in reversed(wrong.ops) if op.get("residual", -1) >= 0)["scale_residual"]
    with pytest.raises(ValueError, match="lacks a scale"):
        NativeNetwork(wrong, "int8", 1)
