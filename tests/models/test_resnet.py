"""The shortcuts of the ResNet family."""

from __future__ import annotations

import torch
from torch import nn

from res2net.models.network import Sampling
from res2net.models.resnet import pooled_shortcut


def test_pooled_shortcut_matches_the_convolution_at_odd_sizes() -> None:
    for size in (7, 8):
        x = torch.rand(1, 4, size, size)
        shortcut = pooled_shortcut(4, 8, Sampling(2), nn.Identity)
        assert shortcut(x).shape[-1] == (size + 1) // 2
    whole = pooled_shortcut(1, 1, Sampling(2), nn.Identity)
    nn.init.ones_(whole[1].weight)
    torch.testing.assert_close(whole(torch.ones(1, 1, 3, 3)), torch.ones(1, 1, 2, 2))


def test_a_pooled_shortcut_without_its_stride_counts_zeros_beyond_the_border() -> None:
    pool = pooled_shortcut(1, 1, Sampling(1, removed=2), nn.Identity)[0]
    y = pool(torch.ones(1, 1, 2, 3))
    assert y.tolist() == [[[[1.0, 1.0, 0.5], [0.5, 0.5, 0.25]]]]
