"""Quality of outlines: the boundary F-measure of Csurka et al. 2013 (BMVC), by class.

A pixel lies on the outline of its class where one of its four neighbours is of another class. With
a tolerance of 0.75 % of the image's diagonal, and of 1 pixel at least, precision is the share of
the predicted outline near the true one, recall the share of the true outline near the predicted
one, and F = 2 P R / (P + R). A class without an outline in both maps has no F in that image.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

TOLERANCE = 0.0075  # share of the diagonal

Classes = npt.NDArray[np.integer] | npt.NDArray[np.bool_]
Flags = npt.NDArray[np.bool_]


def boundary_f(predicted: Classes, true: Classes, counting: Flags) -> dict[int, float]:
    """Class → F, 0..1, of the classes with an outline in either map.

    Args:
        predicted, true: classes (H, W).
        counting: pixels that count (H, W); there is no outline towards one that does not.
    """
    from scipy.spatial import KDTree

    tolerance = max(1.0, TOLERANCE * math.hypot(*true.shape))
    outlines = [(values, _outline(values, counting)) for values in (predicted, true)]
    found: dict[int, float] = {}
    for each in np.unique(np.concatenate([values[edge] for values, edge in outlines])):
        ours, theirs = (np.argwhere(edge & (values == each)) for values, edge in outlines)
        if not len(ours) or not len(theirs):
            found[int(each)] = 0.0
            continue
        near = [
            (KDTree(there).query(here, distance_upper_bound=tolerance + 1e-6)[0] < np.inf).mean()
            for here, there in ((ours, theirs), (theirs, ours))
        ]
        found[int(each)] = float(2 * near[0] * near[1] / sum(near)) if all(near) else 0.0
    return found


def _outline(values: Classes, counting: Flags) -> Flags:
    """Pixels with a neighbour of another class: (H, W)."""
    found = np.zeros(values.shape, np.bool_)
    for axis in (0, 1):
        one, other = (slice(None), slice(1, None)), (slice(None), slice(None, -1))
        a, b = (one, other) if axis else (one[::-1], other[::-1])
        differs = (values[a] != values[b]) & counting[a] & counting[b]
        found[a] |= differs
        found[b] |= differs
    return found
