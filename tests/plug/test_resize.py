"""Layers with other channels: shapes, starts, and what stays."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from res2net.errors import UserError
from res2net.plug.resize import another_conv, another_layer, resize_conv, resize_layer


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(
        [
            nn.BatchNorm2d,
            FrozenBatchNorm2d,
            nn.PReLU,
            timm.layers.LayerNorm2d,
            timm.layers.BatchNormAct2d,
            lambda c: timm.layers.EvoNorm2dS0(c, groups=4),
            timm.layers.FilterResponseNormTlu2d,
            lambda c: nn.GroupNorm(c // 2, c),
            lambda c: nn.Conv2d(c, c, 3, padding=1, groups=c),
            lambda c: timm.layers.BlurPool2d(c, stride=1),
            timm.layers.EcaModule,
        ]
    ),
    old=st.sampled_from([4, 8, 16]),
    new=st.integers(1, 20),
)
def test_resized_layer_runs_on_the_new_channels(kind: Any, old: int, new: int) -> None:
    layer = kind(old)
    for part in layer.modules():
        resize_layer(part, old, new)
    x = torch.randn(2, new, 6, 6)
    assert layer(x).shape == x.shape
    assert layer(x).isfinite().all()


def test_new_norms_start_as_the_identity() -> None:
    norm = nn.BatchNorm2d(8)
    for tensor in norm.state_dict().values():
        tensor.fill_(7)
    other = another_layer(norm, 8, 6)
    start = nn.BatchNorm2d(6).state_dict()
    assert all(torch.equal(start[name], tensor) for name, tensor in other.state_dict().items())
    assert norm.running_mean is not None
    assert norm.running_mean.tolist() == [7] * 8


def test_a_blur_keeps_its_filter() -> None:
    blur = timm.layers.BlurPool2d(8)
    filters = blur.filt[0]
    resize_layer(blur, 8, 5)
    torch.testing.assert_close(blur.filt, filters.expand(5, 1, 3, 3))


def test_another_conv_is_of_the_same_kind_and_shares_nothing() -> None:
    conv = timm.layers.ScaledStdConv2d(16, 16, 3, padding=1, groups=4, bias=True)
    other = another_conv(conv, 12, 3)
    assert type(other) is type(conv)
    assert other.weight.shape == (12, 4, 3, 3)
    assert other.gain.shape == (12, 1, 1, 1)
    assert (other.gain == 1).all()
    assert other.scale == conv.scale  # 4 channels a group in both
    wide = another_conv(conv, 16, 1)
    assert wide.scale == pytest.approx(conv.scale / 2)  # four times the fan-in
    same = another_conv(conv, 16, 4)
    assert not torch.equal(same.weight, conv.weight)
    assert {p.data_ptr() for p in same.parameters()}.isdisjoint(
        p.data_ptr() for p in conv.parameters()
    )


def test_convolutions_are_drawn_by_hes_rule() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, 3, bias=False)
    resize_conv(conv, channels_out=400)
    assert conv.weight.std().item() == pytest.approx((2 / (400 * 9)) ** 0.5, rel=0.05)


def test_what_stays_is_not_touched() -> None:
    conv = nn.Conv2d(8, 8, 1)
    weight = conv.weight
    resize_conv(conv, channels_out=8)
    resize_layer(conv, 8, 8)
    resize_layer(conv, 5, 9)
    assert conv.weight is weight


def test_squeeze_and_excitation_keeps_its_inner_width() -> None:
    se = timm.layers.SEModule(16, rd_channels=3)
    for part in se.modules():
        resize_layer(part, 16, 20)
    assert [(c.in_channels, c.out_channels) for c in (se.fc1, se.fc2)] == [(20, 3), (3, 20)]
    assert se(torch.randn(2, 20, 4, 4)).shape == (2, 20, 4, 4)


def test_groups_that_do_not_divide() -> None:
    with pytest.raises(UserError, match="10 channels in, 8 out do not divide into 4 groups"):
        resize_conv(nn.Conv2d(8, 8, 3, groups=4), channels_in=10)
