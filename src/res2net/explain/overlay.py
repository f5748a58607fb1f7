"""Heat over a picture, in the picture's own pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps

COLOURS = "inferno"  # dark to bright: readable without colour, and by the colour-blind
STRONGEST = 0.75  # share of the heat's colour where it is highest
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
