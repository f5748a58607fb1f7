"""The effective receptive field: the influence of each pixel on a value (Luo et al. 2016).

Legend: B images · C channels of a level · S side of the image in pixels
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from res2net.explain.cam import check_level, evaluating
from res2net.models.factory import create_model
from res2net.models.network import Network

BATCH = 4  # images per pass


@dataclass(frozen=True, kw_only=True, eq=False)
class EffectiveField:
    """The energy of the gradient of a level's central value over the image."""

    level: str
    centre: tuple[int, int]  # row and column of the pixel at the value's position
    energy: npt.NDArray[np.float64]  # (S, S), adds up to 1

    def within(self, radius: int) -> float:
        """Share of the energy in the square of side 2·radius + 1 around the centre."""
        row, column = self.centre
        rows = slice(max(row - radius, 0), row + radius + 1)
        columns = slice(max(column - radius, 0), column + radius + 1)
        return float(self.energy[rows, columns].sum())

    def side(self, share: float) -> int:
        """Side in pixels of the smallest square around the centre with this share of energy."""
        for radius in range(max(self.energy.shape)):
            if self.within(radius) >= share:
                return 2 * radius + 1
        return 2 * max(self.energy.shape) - 1


def effective_field(
    network: Network, *, size: int, level: str | None = None, images: int = 16, seed: int = 0
) -> EffectiveField:
    """The mean energy over images of white noise and all channels.

    The squared gradients of all C channels at the central position are summed; each image estimates
    the sum by one gradient of the channels with random signs.

    Args:
        size: S.
        level: None: the last.
        images: number of images.

    Raises:
        ValueError: an unknown level, or no images.
    """
    if images < 1:
        raise ValueError(f"images is {images}; it must be at least 1")
    name = check_level([each.name for each in network.levels], level)
    stride = next(each.stride for each in network.levels if each.name == name)
    chance = torch.Generator().manual_seed(seed)
    energy = torch.zeros(size, size, dtype=torch.float64)
    row = column = 0
    with evaluating(network), torch.enable_grad():
        for first in range(0, images, BATCH):
            noise = white_noise(min(BATCH, images - first), size, chance).requires_grad_()
            features = network.forward_levels(noise, [name])[name]  # (B, C, h, w)
            row, column = features.shape[2] // 2, features.shape[3] // 2
            middle = features[:, :, row, column]
            signs = torch.randint(0, 2, middle.shape, generator=chance) * 2.0 - 1
            (gradient,) = torch.autograd.grad((middle * signs).sum(), noise)
            energy += gradient.double().square().sum((0, 1))
    share = energy / energy.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return EffectiveField(level=name, centre=(row * stride, column * stride), energy=share.numpy())


def untrained(name: str, *, size: int, seed: int = 0, **variant: Any) -> Network:
    """A network of the table with random weights, as at the start of training.

    No residual branch is zero-initialised, and norms have the statistics of noise.

    Raises:
        UserError, TypeError, ValueError: as ``create_model``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = create_model(name, num_classes=0, **variant)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        if norm.weight is not None and not norm.weight.any():
            nn.init.ones_(norm.weight)  # zero-init would leave only the shortcuts
        norm.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(white_noise(BATCH, size, torch.Generator().manual_seed(seed)))
    return network.eval()


def white_noise(images: int, size: int, chance: torch.Generator) -> Tensor:
    """(images, 3, size, size) of mean 0 and variance 1, like a preprocessed image."""
    return torch.randn((images, 3, size, size), generator=chance)
