"""How a task's network is exported: its graph, the graph's input, when two networks agree.

Legend: B batch · H, W size of the graph's input
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from res2net.card import ModelCard
from res2net.data.preprocess import Preprocess
from res2net.data.scene import Objects
from res2net.errors import UserError
from res2net.tasks.network import Size

Pixels = npt.NDArray[np.uint8]  # (B, H, W, 3)
Outputs = Sequence[npt.NDArray[np.float32]]  # for a batch, in the graph's order
LEAST = 32  # pixels of an input's side


class Compared(NamedTuple):
    """Two sets of outputs to compare."""

    wanted: Outputs
    found: Outputs  # of the same shapes
    shares: npt.NDArray[np.float64]  # (B,) 0..1, share of eager's results that are reproduced
    things: npt.NDArray[np.int64]  # (B,) results of either; if 0, the share is undefined


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """When an exported network agrees with eager PyTorch."""

    what: str  # the name of the things of which a share agrees
    least: float | None  # share that must agree; None is the precision's own
    of: Callable[[Outputs, Outputs], Compared]
    tolerance: float | None = None  # relative L2; None is the precision's own


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A task's part of ``res2net export``."""

    graph: Callable[[Any], nn.Module]  # network → normalised (B, 3, H, W) to the outputs, in order
    outputs: Callable[[ModelCard], tuple[dict[str, Any], ...]]  # name and, of maps, what they are
    resized: Callable[[ModelCard, Size | int | None], tuple[ModelCard, Size]]  # what --size means
    comparison: Comparison
    # of an image (3, h, w); None: the images of a loader, resized and cropped
    inputs: Callable[[Tensor, Objects | None, ModelCard, Size], Pixels] | None = None
    targets: tuple[tuple[str, str], ...] | None = None  # engine, precision; None: all
    folded: str = ""  # submodule whose norms are folded; "" is the whole graph
    levels: bool = False  # it can give the maps of its levels instead
    rows_vary: bool = False  # its number of output rows varies; it takes one image at a time


def square_of(card: ModelCard, size: Size | int | None) -> tuple[ModelCard, Size]:
    """A square of the card's side, or of another.

    Raises:
        UserError: two different sides, or too few pixels.
    """
    side = card.preprocess.size if size is None else size
    if isinstance(side, tuple):
        if side[0] != side[1]:
            raise UserError(
                f"--size {shown(side)}: {card.task} networks take square images; give one number"
            )
        side = side[0]
    check_side(side)
    return replace(card, preprocess=of_size(card.preprocess, side)), (side, side)


def check_side(*sides: int) -> None:
    """Refuse an input that is too small.

    Raises:
        UserError: names the side.
    """
    for side in sides:
        if side < LEAST:
            raise UserError(f"--size is {side}; it must be at least {LEAST} pixels")


def of_size(preprocess: Preprocess, size: int) -> Preprocess:
    """The same preprocessing for another size, without a margin."""
    return replace(preprocess, size=size, resize=size)


def shown(size: Size) -> str:
    """Height and width, as spelled for ``--size``."""
    return f"{size[0]}x{size[1]}"


def channels_last(images: Tensor) -> Pixels:
    """uint8 (B, C, H, W) → (B, H, W, C)."""
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())


def filled(image: Tensor, size: Size, preprocess: Preprocess) -> Tensor:
    """uint8 (C, h, w) at the upper left of (C, H, W); beyond is the colour that normalises to 0."""
    mean = torch.tensor([round(255 * value) for value in preprocess.mean], dtype=torch.uint8)
    full = mean.to(image.device).view(-1, 1, 1).repeat(1, *size)
    full[:, : image.shape[1], : image.shape[2]] = image
    return full
