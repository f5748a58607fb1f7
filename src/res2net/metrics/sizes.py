"""Small, medium and large objects as in COCO, with the same limits for all tasks."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import numpy.typing as npt

SMALL, LARGE = 32.0**2, 96.0**2  # pixels
SIZES = MappingProxyType(
    {"small": (0.0, SMALL), "medium": (SMALL, LARGE), "large": (LARGE, float("inf"))}
)


def size_index(areas: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """0 small (below 32²), 1 medium, 2 large (from 96² on) for areas in pixels."""
    return np.digitize(areas, [SMALL, LARGE])
