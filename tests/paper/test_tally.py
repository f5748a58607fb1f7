"""The shape interpreter against hand-made cases and a brute-force window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from res2net.errors import UserError
from res2net.paper.tally import Map, Tally, add, concatenate, levels, upsample, window


def test_conv_counts_by_hand():
    tally = Tally("stem")
    y = tally.conv(Map(3, 224, 224), 64, 7, stride=2, name="conv1")
    assert y == Map(64, 112, 112, stride=2, receptive_field=(7, 7))
    (layer,) = tally.layers
    assert (layer.stage, layer.name, layer.kind) == ("stem", "conv1", "conv")
    assert layer.params == 3 * 64 * 49
    assert layer.macs == 3 * 64 * 49 * 112 * 112
    assert layer.activations == 64 * 112 * 112
    assert layer.tensors == 1


def test_groups_and_bias():
    tally = Tally()
    tally.conv(Map(32, 10, 10), 64, 3, groups=8, bias=True, name="conv")
    (layer,) = tally.layers
    assert layer.params == 64 * (32 // 8) * 9 + 64
    assert layer.macs == 64 * (32 // 8) * 9 * 100  # the bias is no multiply-add
    assert layer.tensors == 2


def test_batch_norm_and_linear():
    tally = Tally()
    x = tally.batch_norm(Map(32, 4, 4, 8, (9, 9)), name="bn")
    x = tally.global_pool(x, name="pool")
    assert x.receptive_field == (9 + 3 * 8, 9 + 3 * 8)
    tally.linear(x, 10, name="fc")
    norm, _, linear = tally.layers
    assert (norm.params, norm.tensors, norm.macs) == (64, 5, 0)
    assert (linear.params, linear.tensors, linear.macs) == (330, 2, 320)


def test_se_is_two_biased_convs_that_leave_the_map():
    tally = Tally()
    x = Map(256, 56, 56, 4, (35, 35))
    assert tally.se(x, name="se") == x
    assert [layer.params for layer in tally.layers] == [256 * 16 + 16, 16 * 256 + 256]
    assert [layer.macs for layer in tally.layers] == [256 * 16, 16 * 256]


def test_conv_bn_names_the_norm_after_the_conv():
    tally = Tally()
    tally.conv_bn(Map(8, 4, 4), 8, 1, name="layer1.0.convs.2")
    tally.conv_bn(Map(8, 4, 4), 8, 1, name="downsample.0", norm="downsample.1")
    names = [layer.name for layer in tally.layers]
    assert names == ["layer1.0.convs.2", "layer1.0.bns.2", "downsample.0", "downsample.1"]


def test_receptive_field_grows_by_kernel_times_stride_and_dilation():
    tally = Tally()
    x = Map(1, 64, 64)
    x = tally.conv(x, 1, 3, stride=2, name="a")  # 3
    x = tally.conv(x, 1, 3, dilation=4, name="b")  # 3 + 2·4·2
    assert x.receptive_field == (19, 19)
    assert (x.height, x.width) == (32, 32)
    x = tally.conv(x, 1, (1, 7), name="c")  # only the width grows: 19 + 6·2
    assert x.receptive_field == (19, 31)
    assert tally.layers[-1].receptive_field == 31


def test_add_and_concatenate_keep_the_widest_field():
    a, b = Map(8, 5, 5, 2, (3, 9)), Map(8, 5, 5, 2, (7, 5))
    assert add(a, b) == Map(8, 5, 5, 2, (7, 9))
    assert concatenate(a, b, b) == Map(24, 5, 5, 2, (7, 9))


def test_upsample_takes_pixels_and_stride_of_the_other():
    small, large = Map(256, 28, 28, 8, (39, 39)), Map(64, 56, 56, 4, (19, 19))
    assert upsample(small, large) == Map(256, 56, 56, 4, (39, 39))


def test_levels_are_numbered_from_one():
    first, second = levels([Map(64, 112, 100, 2, (7, 9)), Map(256, 56, 50, 4, (35, 35))])
    assert (first.name, first.receptive_field, first.width) == ("c1", 9, 100)
    assert (second.name, second.channels, second.stride) == ("c2", 256, 4)


@pytest.mark.parametrize("other", [Map(8, 5, 4), Map(9, 5, 5)])
def test_add_refuses_other_shapes(other):
    with pytest.raises(AssertionError, match="cannot add"):
        add(Map(8, 5, 5), other)


def test_concatenate_refuses_other_sizes():
    with pytest.raises(AssertionError, match="cannot concatenate"):
        concatenate(Map(8, 5, 5), Map(8, 4, 5))


def test_linear_needs_a_pooled_map():
    with pytest.raises(AssertionError, match="pooled"):
        Tally().linear(Map(8, 2, 1), 10, name="fc")


def test_empty_map_is_the_users_mistake():
    with pytest.raises(UserError, match="too small: pool2 gets 2x2 pixels"):
        Tally().max_pool(Map(8, 2, 2), 3, stride=2, name="pool2")


@pytest.mark.parametrize(("channels", "out"), [(30, 32), (32, 30)])
def test_groups_must_divide(channels, out):
    with pytest.raises(UserError, match="into 4 groups"):
        Tally().conv(Map(channels, 8, 8), out, 3, groups=4, name="conv2")


def _starts(size: int, side: int, stride: int, pad: int, dilation: int, ceil: bool) -> int:
    """Windows counted one by one: those that fit, and with ceil one that starts before the end."""
    reach = dilation * (side - 1)
    fits = [s for s in range(-pad, size + pad, stride) if s + reach < size + pad]
    following = -pad + len(fits) * stride
    covered = fits and fits[-1] + reach == size + pad - 1
    return len(fits) + (1 if ceil and fits and not covered and following < size else 0)


@given(
    size=st.integers(1, 40),
    side=st.integers(1, 7),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    ceil=st.booleans(),
    data=st.data(),
)
def test_window_counts_every_start(size, side, stride, dilation, ceil, data):
    pad = data.draw(st.integers(0, side // 2))
    expected = _starts(size, side, stride, pad, dilation, ceil)
    arguments = (Map(4, size, size), (side, side), stride, pad, dilation)
    if expected == 0:
        with pytest.raises(UserError):
            window(*arguments, name="w")
    else:
        y = window(*arguments, ceil_mode=ceil, name="w")
        assert (y.height, y.width, y.stride) == (expected, expected, stride)
