"""Concentration of class activation maps, on objects and overall (paper 4.5).

Legend: H, W pixels of an image
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.explain.subject import Box


@dataclass(frozen=True, kw_only=True, slots=True)
class Concentration:
    """A map compared with a mask; shares refer to the network's input region."""

    energy: float  # share of the map's sum inside the mask
    area: float  # share of the pixels inside the mask: the value for a uniform map
    hit: bool  # the maximum is inside (the pointing game, Zhang et al. 2016)


def half_area(heat: npt.NDArray[Any], seen: Box) -> float:
    """The smallest share of input pixels with half of the map's sum: smaller is more concentrated.

    1 for a map of zeros.
    """
    values = np.sort(_cut(heat, seen).ravel().astype(np.float64))[::-1]
    total = values.sum()
    if not total:
        return 1.0
    return float((np.searchsorted(np.cumsum(values), total / 2) + 1) / values.size)


def concentration(
    heat: npt.NDArray[Any], inside: npt.NDArray[np.bool_], seen: Box
) -> Concentration | None:
    """Compare a map with a mask.

    Args:
        heat: (H, W), at least 0.
        inside: (H, W).

    Returns:
        None if there is nothing to measure: no input pixel or all are inside, or the map is zero.
    """
    heat, inside = _cut(heat, seen), _cut(inside, seen)
    total = float(heat.sum(dtype=np.float64))
    if not total or not inside.any() or inside.all():
        return None
    peak = np.unravel_index(int(heat.argmax()), heat.shape)
    return Concentration(
        energy=float(heat[inside].sum(dtype=np.float64)) / total,
        area=float(inside.mean()),
        hit=bool(inside[peak]),
    )


def box_mask(box: Box, height: int, width: int) -> npt.NDArray[np.bool_]:
    """The pixels of a box: (H, W)."""
    left, top, right, bottom = box
    inside = np.zeros((height, width), bool)
    inside[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    return inside


def _cut(values: npt.NDArray[Any], seen: Box) -> npt.NDArray[Any]:
    left, top, right, bottom = seen
    return values[top:bottom, left:right]
