"""Overlay a heat map on an image at the image's resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps

from res2net.drawing.marks import inner_edge

COLOURS = "inferno"  # dark to bright: readable in grey and by the colour-blind
STRONGEST = 0.75  # opacity of the map's colour at its maximum
LINE = (0, 229, 255)  # colour of an outline, absent from the colour map
FINE = 110  # longer side divided by the width of an outline
DIM = 0.45  # brightness of the image where the map is 0


def heat_overlay(image: npt.NDArray[np.uint8], heat: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The image, darkened where the map is 0 and coloured where it is high.

    Args:
        image: uint8 (H, W, 3).
        heat: (H, W), 0..1.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: the shapes differ, or heat is outside 0..1.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.shape[:2] != heat.shape:
        raise ValueError(f"an image of {image.shape} and heat of {heat.shape} differ in size")
    if heat.size and not (heat.min() >= 0 and heat.max() <= 1):
        raise ValueError(f"heat is {heat.min()} to {heat.max()}; it must be 0 to 1")
    colours = colormaps[COLOURS](heat)[..., :3] * 255  # (H, W, 3)
    share = heat[..., None]
    dimmed = image * (DIM + (1 - DIM) * share)
    cover = STRONGEST * share
    mixed = (1 - cover) * dimmed + cover * colours
    return mixed.round().astype(np.uint8)


def outlined(image: npt.NDArray[np.uint8], inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The image with a line along the inner edge of the mask.

    Args:
        image: uint8 (H, W, 3).
        inside: (H, W).

    Returns:
        uint8 (H, W, 3).
    """
    edge = inner_edge(inside, max(1, round(max(inside.shape) / FINE)))
    return np.where(edge[..., None], np.array(LINE, np.uint8), image)
