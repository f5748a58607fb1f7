"""How concentrated a map is: on objects, and on itself (paper 4.5).

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
    """A map measured against what it should lie on; shares are of what the network sees."""

    energy: float  # share of the heat that lies inside
    area: float  # share of the pixels that lie inside: what an even map would have
    hit: bool  # the hottest pixel lies inside (the pointing game, Zhang et al. 2016)


def half_area(heat: npt.NDArray[Any], seen: Box) -> float:
    """The share of the seen pixels that holds half of the heat, hottest first: small is tight.

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
    """A map against a mask.

    Args:
        heat: (H, W), at least 0.
        inside: (H, W).

    Returns:
        None where no pixel inside is seen, or all are, or the map is all zeros: nothing to measure.
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
