"""``output_stride``: as timm where timm has it, by one rule elsewhere.

The rule: a removed stride becomes a dilation, and the dense map at every second (fourth) pixel is
the strided network's map, border included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import timm
import torch
from torch import nn

from res2net.models.biglittle import BigLittleNet
from res2net.models.dla import DLA
from res2net.models.network import Network, Sampling, plan_strides
from res2net.models.resnet import ResNet
from res2net.paper.networks import NETWORKS
from res2net.paper.variant import FirstBlock, Variant

Build = Callable[..., Network]


def _randomised(build: Build, row: Variant, **options: object) -> Network:
    """A network in which every path matters: fresh norms and zero-init would hide one."""
    torch.manual_seed(3)
    network = build(row, num_classes=5, zero_init=False, **options).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
    return network


def _assert_rule(
    build: Build,
    row: Variant,
    output_stride: int,
    *,
    size: tuple[int, int] = (67, 98),
    **options: object,
) -> None:
    strided = _randomised(build, row, **options)
    dense = _randomised(build, row, output_stride=output_stride, **options)
    dense.load_state_dict(strided.state_dict())
    height, width = size if row.size > 32 else (19, 14)
    image = torch.randn(1, 3, height, width, dtype=torch.float64)
    with torch.no_grad():
        expected, maps = strided.forward_levels(image), dense.forward_levels(image)
    assert dense.levels[-1].stride == output_stride
    for level, other in zip(dense.levels, strided.levels, strict=True):
        step = other.stride // level.stride
        assert level.stride == min(other.stride, output_stride)
        assert maps[level.name].shape[-2:] == (
            -(-height // level.stride),
            -(-width // level.stride),
        )
        torch.testing.assert_close(
            maps[level.name][..., ::step, ::step],
            expected[other.name],
            rtol=1e-9,
            atol=1e-9,
            msg=f"{level}",
        )
    assert expected["c3"].abs().mean() > 1e-3


# Narrow forms of the rows: the same structure with a fraction of the work.
THIN_DLA = (4, 8, 16, 32, 64, 128)
DLA_ROWS = {
    "dla60": {},
    "dla60_res2net": {},
    "dla60_res2next": {"width": 16, "cardinality": 2},
}


@pytest.mark.parametrize("output_stride", [16, 8])
@pytest.mark.parametrize("name", DLA_ROWS)
def test_dla_keeps_the_rule(name: str, output_stride: int) -> None:
    row = replace(NETWORKS[name], channels=THIN_DLA, **DLA_ROWS[name])  # type: ignore[type-var]
    _assert_rule(DLA, row, output_stride)


@pytest.mark.parametrize("output_stride", [16, 8])
@pytest.mark.parametrize("name", ["blresnet50", "blres2net50"])
def test_big_little_keeps_the_rule(name: str, output_stride: int) -> None:
    _assert_rule(BigLittleNet, replace(NETWORKS[name], width=4), output_stride)  # type: ignore[type-var]


@pytest.mark.parametrize("rule", list(FirstBlock))
def test_every_first_block_keeps_the_rule(rule: FirstBlock) -> None:
    dla = replace(NETWORKS["dla60_res2net"], channels=THIN_DLA)  # type: ignore[type-var]
    _assert_rule(DLA, dla, 8, first_block=rule)
    big_little = replace(NETWORKS["blres2net50"], width=4)  # type: ignore[type-var]
    _assert_rule(BigLittleNet, big_little, 8, size=(35, 50), first_block=rule)


@pytest.mark.parametrize(
    ("name", "rule", "output_stride"),
    [
        ("res2net18", None, 16),
        ("res2net18", None, 8),
        ("res2net26_26w_4s", None, 16),
        ("res2net26_26w_4s", FirstBlock.STRIDED_ONLY, 16),
        ("res2net26_26w_4s", FirstBlock.PAPER, 8),
        ("res2net29_small", None, 2),
        ("res2net29_small", None, 1),
        ("res2net29_small", FirstBlock.POOL, 2),
        ("resnet29_small", None, 1),
    ],
)
def test_resnet_rows_keep_the_rule_where_no_pool_is_dilated(
    name: str, rule: FirstBlock | None, output_stride: int
) -> None:
    thin = replace(NETWORKS[name], width=4)  # type: ignore[type-var]
    _assert_rule(ResNet, thin, output_stride, first_block=rule)


def test_the_pools_that_timm_does_not_dilate_leave_the_rule() -> None:
    """As docs/backbones.md says; a network that kept the rule here would not equal timm's."""
    small = replace(NETWORKS["res2net50d"], depth=26)  # type: ignore[type-var]
    _assert_rule(ResNet, small, 16, size=(64, 96))
    for row, stride in ((small, 16), (NETWORKS["res2net26_26w_4s"], 8)):
        with pytest.raises(AssertionError, match="c5"):
            _assert_rule(ResNet, row, stride)


@pytest.mark.parametrize(
    ("name", "output_stride"),
    [
        pytest.param("res2net50d", 16, marks=pytest.mark.slow),
        ("res2net50d", 8),
        ("resnet34", 8),
        *(
            pytest.param(name, stride, marks=pytest.mark.slow)
            for name in ("res2next50", "seresnet50", "res2net50_14w_8s", "resnext50_32x4d")
            for stride in (16, 8)
        ),
    ],
)
def test_resnet_rows_equal_timms(name: str, output_stride: int) -> None:
    theirs = timm.create_model(name, output_stride=output_stride, num_classes=10).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
    ours = ResNet(NETWORKS[name], num_classes=10, output_stride=output_stride).eval()  # type: ignore[arg-type]
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 3, 65, 98)
    with torch.no_grad():
        expected = theirs(image)
        assert (ours(image) - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize(
    ("build", "name", "given", "choices"),
    [
        (ResNet, "res2net18", 64, "32, 16 or 8"),
        (ResNet, "res2net29_small", 8, "4, 2 or 1"),
        (DLA, "dla60", 4, "32, 16 or 8"),
        (BigLittleNet, "blresnet50", 0, "32, 16 or 8"),
    ],
)
def test_other_strides_are_refused(build: Build, name: str, given: int, choices: str) -> None:
    message = f"output_stride is {given}; this network can have {choices}"
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        build(NETWORKS[name], num_classes=2, output_stride=given)


def test_the_plan_of_an_imagenet_network() -> None:
    assert plan_strides((1, 2, 2, 2), 4, 8) == (
        (Sampling(1, 1, 1), 4),
        (Sampling(2, 1, 1), 8),
        (Sampling(1, 2, 1), 8),
        (Sampling(1, 2, 2), 8),
    )
    assert Sampling(1, 2, 2).behind == Sampling(1, 1, 4)
    assert Sampling(1, 2, 2).original_stride == 2
