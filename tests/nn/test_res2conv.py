"""Res2Conv1d, 2d, 3d: the unit where a convolution stood."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from res2net.nn.block import Res2NetUnit
from res2net.nn.res2conv import Res2Conv1d, Res2Conv2d, Res2Conv3d

RES2CONV: dict[int, Any] = {1: Res2Conv1d, 2: Res2Conv2d, 3: Res2Conv3d}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2},
        {"stride": 2, "first": "pool_exclude_pad"},
        {"first": "pool"},
        {"first": "group", "stride": 2},
        {"dilation": 2},
    ],
    ids=str,
)
def test_kernel_3_in_two_dimensions_is_the_unit(options: dict[str, Any]) -> None:
    unit = Res2NetUnit(6, 4, cardinality=2, **options)
    conv = Res2Conv2d(24, 24, groups=2, **options)
    assert list(conv.state_dict()) == list(unit.state_dict())
    conv.load_state_dict(unit.state_dict())
    x = torch.randn(2, 24, 9, 10)
    assert torch.equal(conv(x), unit(x))


@settings(max_examples=40, deadline=None)
@given(
    axes=st.integers(1, 3),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    groups=st.integers(1, 2),
    scale=st.integers(1, 5),
    channels_in=st.integers(1, 12),
    first=st.sampled_from([None, "pool", "pool_exclude_pad", "strided_only", "group"]),
    size=st.integers(1, 9),
)
def test_shapes(
    axes: int,
    kernel: int,
    stride: int,
    dilation: int,
    groups: int,
    scale: int,
    channels_in: int,
    first: str | None,
    size: int,
) -> None:
    if axes == 3:
        size += 7  # AvgPool3d refuses maps smaller than its kernel
    channels = 2 * groups * scale
    with torch.device("meta"):
        conv = RES2CONV[axes](
            channels_in,
            channels,
            kernel,
            stride=stride,
            dilation=dilation,
            groups=groups,
            scale=scale,
            first=first,
        )
        y = conv(torch.empty(2, channels_in, *(size + i for i in range(axes))))
    assert y.shape == (2, channels, *(-(-(size + i) // stride) for i in range(axes)))


def test_hierarchy_in_one_dimension_with_an_even_kernel() -> None:
    conv = Res2Conv1d(6, 6, 4, scale=3).eval()
    x = torch.randn(2, 6, 10)
    x1, x2, x3 = x.chunk(3, dim=1)

    def k(i: int, split: torch.Tensor) -> torch.Tensor:
        inner = conv.convs[i][1]
        assert isinstance(inner, nn.Conv1d)
        same = F.conv1d(F.pad(split, (1, 2)), inner.weight)  # 3 zeros, the odd one at the end
        return F.relu(conv.bns[i](same))

    y1 = k(0, x1)
    torch.testing.assert_close(conv(x), torch.cat([y1, k(1, x2 + y1), x3], dim=1))


def test_a_kernel_may_differ_by_axis() -> None:
    conv = Res2Conv3d(8, 8, (1, 3, 3), stride=(1, 2, 2))
    assert conv.convs[0].weight.shape == (2, 2, 1, 3, 3)
    x = torch.randn(2, 8, 4, 7, 8)
    assert conv(x).shape == (2, 8, 4, 4, 4)
    frame_by_frame = torch.stack([conv.eval()(x[:, :, t : t + 1]) for t in range(4)], dim=2)
    torch.testing.assert_close(conv(x), frame_by_frame.squeeze(3))


def test_unequal_channels_get_a_1x1_in_front() -> None:
    conv = Res2Conv2d(5, 12, stride=2).eval()
    x = torch.randn(2, 5, 8, 8)
    assert conv.project is not None
    inside = F.relu(conv.project[1](conv.project[0](x)))
    torch.testing.assert_close(conv(x), conv.forward_unit(inside))
    assert Res2Conv2d(12, 12).project is None


def test_norm_and_activation_are_the_callers_choice() -> None:
    conv = Res2Conv1d(6, 8, norm_layer=lambda c: nn.GroupNorm(1, c), act_layer=nn.SiLU)
    assert not any(isinstance(m, nn.BatchNorm1d | nn.ReLU) for m in conv.modules())


def test_backward_reaches_every_parameter() -> None:
    conv = Res2Conv2d(6, 8, 5, dilation=2)
    conv(torch.randn(2, 6, 8, 8)).square().mean().backward()
    for name, parameter in conv.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"out_channels": 10}, "out_channels 10 does not divide into 4 splits"),
        ({"scale": 0}, "divide into 0 splits"),
        ({"in_channels": 0}, "in_channels is 0"),
        ({"groups": 2}, "width 3 does not divide into 2 groups"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size is"),
        ({"stride": 0}, "stride is 0"),
        ({"first": "paper", "stride": 2}, "moves the stride"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Res2Conv2d(**{"in_channels": 12, "out_channels": 12, **arguments})
