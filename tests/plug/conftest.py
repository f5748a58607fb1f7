"""Small networks of bottlenecks, as users write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """A bottleneck whose parts can be swapped; ``acts`` makes three activations."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        *,
        stride: int = 1,
        kernel: int = 3,
        groups: int = 1,
        padding: int | None = None,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        acts: Callable[[], Sequence[Any]] = lambda: (F.relu, F.relu, F.relu),
    ) -> None:
        super().__init__()
        out = 4 * channels
        padding = kernel // 2 if padding is None else padding
        self.reduce = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.norm_a = norm(channels)
        self.middle = nn.Conv2d(
            channels, channels, kernel, stride, padding, groups=groups, bias=False
        )
        self.norm_b = norm(channels)
        self.expand = nn.Conv2d(channels, out, 1, bias=False)
        self.norm_c = norm(out)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels_in == out
            else nn.Sequential(nn.Conv2d(channels_in, out, 1, stride, bias=False), norm(out))
        )
        self.act_a, self.act_b, self.act_c = acts()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act_a(self.norm_a(self.reduce(x)))
        y = self.act_b(self.norm_b(self.middle(y)))
        return self.act_c(self.norm_c(self.expand(y)) + self.shortcut(x))


class Net(nn.Module):
    """A stem, a strided block, a plain block, a classifier; the arguments are the blocks'."""

    def __init__(self, channels: int = 16, **block: Any) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.blocks = nn.Sequential(
            Block(16, channels, stride=2, **block), Block(4 * channels, channels, **block)
        )
        self.head = nn.Linear(4 * channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


@pytest.fixture
def make_net() -> type[Net]:
    torch.manual_seed(0)
    return Net
