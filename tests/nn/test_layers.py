"""Norms by name; dilated pools are the ordinary ones on interleaved grids."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from res2net.nn.layers import (
    DilatedAvgPool2d,
    DilatedMaxPool2d,
    average_pool,
    frozen_batch_norm,
    group_norm,
)

SIZES = st.integers(1, 11)


@given(d=st.integers(1, 4), height=SIZES, width=SIZES, counted=st.booleans())
def test_every_grid_is_averaged_by_itself(d: int, height: int, width: int, counted: bool) -> None:
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    y = DilatedAvgPool2d(d, count_include_pad=counted)(x)
    plain = nn.AvgPool2d(3, 1, padding=1, count_include_pad=counted)
    for i in range(min(d, height)):
        for j in range(min(d, width)):
            torch.testing.assert_close(y[..., i::d, j::d], plain(x[..., i::d, j::d]))


@given(d=st.integers(1, 4), height=SIZES, width=SIZES, kernel=st.integers(2, 3))
def test_every_second_maximum_is_the_strided_pools(
    d: int, height: int, width: int, kernel: int
) -> None:
    x = torch.randn(2, 3, height, width)
    y = DilatedMaxPool2d(kernel, d)(x)
    assert y.shape == x.shape
    strided = nn.MaxPool2d(kernel, ceil_mode=True)(x[..., ::d, ::d])
    torch.testing.assert_close(y[..., :: d * kernel, :: d * kernel], strided, rtol=0, atol=0)


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_average_pool_keeps_what_a_convolution_keeps(stride: int, dilation: int) -> None:
    x = torch.ones(1, 2, 7, 8)
    y = average_pool(stride, dilation, count_include_pad=False)(x)
    torch.testing.assert_close(y, torch.ones(1, 2, -(-7 // stride), -(-8 // stride)))


def test_a_pool_with_stride_and_dilation_is_refused() -> None:
    with pytest.raises(ValueError, match="a pool cannot have stride 2 and dilation 2"):
        average_pool(2, 2, count_include_pad=True)


def test_norms_by_name() -> None:
    assert group_norm(64).num_groups == 32
    assert group_norm(26).num_groups == 26
    assert group_norm(104).num_groups == 26
    frozen = frozen_batch_norm(3)
    assert list(frozen.parameters()) == []
    x = torch.randn(2, 3, 2, 2)
    torch.testing.assert_close(frozen(x), nn.BatchNorm2d(3).eval()(x))
