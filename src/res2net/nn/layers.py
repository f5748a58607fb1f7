"""Basic layers of blocks and networks: convolution, norms, activation, SE, pools.

Legend: B batch · C channels · H, W space · d dilation
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d, SqueezeExcitation

NormLayer = Callable[[int], nn.Module]  # channels -> normalisation
ActLayer = Callable[[], nn.Module]

SE_REDUCTION = 16  # Hu et al., "Squeeze-and-Excitation Networks"
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, FrozenBatchNorm2d)


def relu() -> nn.Module:
    """The activation of every network of the paper."""
    return nn.ReLU(inplace=True)


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with 32 groups, or the largest number below that divides ``channels``."""
    return nn.GroupNorm(
        next(g for g in range(min(32, channels), 0, -1) if channels % g == 0), channels
    )


def frozen_batch_norm(channels: int) -> FrozenBatchNorm2d:
    """Batch normalisation whose statistics and weights never change (eps 1e-5, as in training)."""
    return FrozenBatchNorm2d(channels, eps=1e-5)


def count_on_host(net: nn.Module) -> None:
    """Keep every batch norm's count of batches in the host's memory, in place.

    On a GPU each count costs a kernel launch a step, as much time as a small convolution. Keys and
    values of the state are the same; moving the network moves the counts along.
    """
    for module in net.modules():
        counts = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if counts and module.num_batches_tracked is not None:
            module.num_batches_tracked = module.num_batches_tracked.cpu()


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
    """SE with reduction 16 and biases (paper 3.2.2), directly before the addition."""
    return SqueezeExcitation(channels, max(1, channels // SE_REDUCTION))


# ---------------------------------------------------------------- pools
# If ``output_stride`` removes the stride of a pool, it becomes a dilated pool: stride 1, taps d
# pixels apart. A map then consists of d×d interleaved grids, the first of which is the map of the
# strided network. PyTorch has no dilated average pool, and its dilated maximum pool pads both
# sides, while these windows need padding on one side only.


class DilatedAvgPool2d(nn.Module):
    """3×3 mean over pixels d apart, at stride 1: (B, C, H, W) → (B, C, H, W).

    On each of the d×d grids it is ``AvgPool2d(3, 1, padding=1)``.

    Args:
        dilation: pixels between the taps (d).
        count_include_pad: divide by 9 at the border too, as ``AvgPool2d`` does by default.
    """

    def __init__(self, dilation: int, *, count_include_pad: bool = True) -> None:
        super().__init__()
        self.dilation = dilation
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        if self.count_include_pad:
            return self._sums(x) / 9
        return self._sums(x) / self._sums(torch.ones_like(x[:1, :1]))

    def _sums(self, x: Tensor) -> Tensor:
        d = self.dilation
        x = F.pad(x, (d, d, d, d))  # (B, C, H + 2d, W + 2d)
        x = x[..., : -2 * d, :] + x[..., d:-d, :] + x[..., 2 * d :, :]
        return x[..., : -2 * d] + x[..., d:-d] + x[..., 2 * d :]

    def extra_repr(self) -> str:
        return f"dilation={self.dilation}, count_include_pad={self.count_include_pad}"


class DilatedMaxPool2d(nn.Module):
    """k×k maximum over pixels d apart, at stride 1: (B, C, H, W) → (B, C, H, W).

    The window begins at its own pixel and is cut at the right and lower border. On each of the d×d
    grids, every k-th value is that of ``MaxPool2d(k, ceil_mode=True)``.

    Args:
        kernel: k.
        dilation: pixels between the taps (d).
    """

    def __init__(self, kernel: int, dilation: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        reach = self.dilation * (self.kernel - 1)
        x = F.pad(x, (0, reach, 0, reach), value=-torch.inf)
        return F.max_pool2d(x, self.kernel, stride=1, dilation=self.dilation)

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, dilation={self.dilation}"


def average_pool(stride: int, dilation: int, count_include_pad: bool) -> nn.Module:
    """3×3 mean, padded by the dilation: (B, C, H, W) → (B, C, H/stride, W/stride).

    Raises:
        ValueError: a stride and a dilation.
    """
    if dilation == 1:
        return nn.AvgPool2d(3, stride, padding=1, count_include_pad=count_include_pad)
    if stride > 1:
        raise ValueError(f"a pool cannot have stride {stride} and dilation {dilation}")
    return DilatedAvgPool2d(dilation, count_include_pad=count_include_pad)
