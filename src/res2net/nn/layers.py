"""Small parts that every block is made of."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torchvision.ops import FrozenBatchNorm2d, SqueezeExcitation

NormLayer = Callable[[int], nn.Module]  # channels -> normalisation
ActLayer = Callable[[], nn.Module]

SE_REDUCTION = 16  # Hu et al., "Squeeze-and-Excitation Networks"
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, FrozenBatchNorm2d)


def relu() -> nn.Module:
    """The activation of every network of the paper."""
    return nn.ReLU(inplace=True)


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation of 32 groups, or of the most up to 32 that divide ``channels``."""
    return nn.GroupNorm(
        next(g for g in range(min(32, channels), 0, -1) if channels % g == 0), channels
    )


def frozen_batch_norm(channels: int) -> FrozenBatchNorm2d:
    """Batch normalisation whose statistics and weights never change (eps 1e-5, as in training)."""
    return FrozenBatchNorm2d(channels, eps=1e-5)


def conv(
    channels_in: int,
    channels_out: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """A convolution without bias, padded so that stride 1 keeps the size."""
    return nn.Conv2d(
        channels_in,
        channels_out,
        kernel,
        stride=stride,
        padding=dilation * (kernel - 1) // 2,
        dilation=dilation,
        groups=groups,
        bias=False,
    )


def squeeze_excitation(channels: int) -> SqueezeExcitation:
    """SE with reduction 16 and biases (paper 3.2.2); it stands right before the addition."""
    return SqueezeExcitation(channels, max(1, channels // SE_REDUCTION))


def strided_shortcut(
    channels_in: int, channels_out: int, stride: int, norm_layer: NormLayer
) -> nn.Sequential:
    """1×1 at the block's stride, and norm: the shortcut of ResNet."""
    return nn.Sequential(
        conv(channels_in, channels_out, 1, stride=stride), norm_layer(channels_out)
    )


def pooled_shortcut(
    channels_in: int, channels_out: int, stride: int, norm_layer: NormLayer
) -> nn.Sequential:
    """Average-pool, 1×1 at stride 1, and norm: the shortcut of the "d" rows (official v1b).

    At odd sizes the last window is cut, not padded, so the map is as large as the convolutions'.
    At stride 1 the pool is the identity and keeps its place, so the keys stay 1 and 2.
    """
    pool: nn.Module = nn.Identity()
    if stride > 1:
        pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, conv(channels_in, channels_out, 1), norm_layer(channels_out))
