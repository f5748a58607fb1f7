"""Heat over a picture, in the picture's own pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image, ImageFilter

COLOURS = "inferno"  # dark to bright: readable without colour, and by the colour-blind
STRONGEST = 0.75  # share of the heat's colour where it is highest
LINE = (0, 229, 255)  # of an outline: a colour that heat never has
FINE = 110  # an outline is this part of the longer side wide
DIM = 0.45  # brightness that is left of the picture where there is none


def heat_overlay(image: npt.NDArray[np.uint8], heat: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The picture, dim where nothing is and glowing where the heat is high.

    Args:
        image: uint8 (H, W, 3).
        heat: (H, W), 0..1.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: another shape of one than of the other, or heat outside 0..1.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.shape[:2] != heat.shape:
        raise ValueError(f"a picture of {image.shape} and heat of {heat.shape} do not fit")
    if heat.size and not (heat.min() >= 0 and heat.max() <= 1):
        raise ValueError(f"heat is {heat.min()} to {heat.max()}; it must be 0 to 1")
    colours = colormaps[COLOURS](heat)[..., :3] * 255  # (H, W, 3)
    share = heat[..., None]
    dimmed = image * (DIM + (1 - DIM) * share)
    cover = STRONGEST * share
    mixed = (1 - cover) * dimmed + cover * colours
    return mixed.round().astype(np.uint8)


def outlined(image: npt.NDArray[np.uint8], inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The picture with a line along the inner edge of what is annotated.

    Args:
        image: uint8 (H, W, 3).
        inside: (H, W).

    Returns:
        uint8 (H, W, 3).
    """
    width = max(1, round(max(inside.shape) / FINE))
    padded = Image.fromarray(np.pad(inside, width))  # the image's border is an edge too
    kept = np.asarray(padded.convert("L").filter(ImageFilter.MinFilter(2 * width + 1))) > 0
    edge = inside & ~kept[width:-width, width:-width]
    return np.where(edge[..., None], np.array(LINE, np.uint8), image)
