"""Object key-point similarity (OKS), and the suppression of duplicate poses."""

# N poses · K key-points

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def oks(
    poses: Floats,
    truth: Floats,
    area: float | Floats,
    sigmas: Sequence[float],
    *,
    visible: Floats | None,
) -> Floats:
    """Similarity of poses (N, K, 2 or 3) to a pose (K, 2 or 3): (N,); 1 for equal positions.

    Mean over key-points of exp(-d² / (2 area (2σ)²)).

    Args:
        area: pixels of the object; or (N,), one for each pose.
        visible: (K,) above 0 where a key-point counts; None counts all.
    """
    distance = ((poses[:, :, :2] - truth[None, :, :2]) ** 2).sum(axis=2)  # (N, K)
    areas = np.reshape(area, (-1, 1)) + np.spacing(1)  # (1, 1) or (N, 1)
    spread = 2 * areas * (2 * np.asarray(sigmas)) ** 2  # (1 or N, K)
    near = np.exp(-distance / spread)
    if visible is None:
        return np.asarray(near.mean(axis=1))
    counted = visible > 0
    if not counted.any():
        return np.zeros(len(poses))
    return np.asarray(near[:, counted].mean(axis=1))


def oks_nms(
    poses: Floats,
    scores: Floats,
    areas: Floats,
    sigmas: Sequence[float],
    *,
    threshold: float = 0.9,
) -> npt.NDArray[np.int64]:
    """Non-maximum suppression at OKS 0.9: indices of the remaining poses, by descending score.

    Args:
        poses: (N, K, 2 or 3).
        scores, areas: (N,); two poses are compared at the mean of their areas.
    """
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while left.size:
        best, rest = int(left[0]), left[1:]
        kept.append(best)
        means = (areas[best] + areas[rest]) / 2
        alike = oks(poses[rest], poses[best], means, sigmas, visible=None)
        left = rest[alike <= threshold]
    return np.array(kept, np.int64)


NEAR = 0.2  # of the longer side of an object's box (Yang and Ramanan 2013)


def pck(distances: Floats) -> tuple[int, float | None, float | None]:
    """Number of annotated key-points, PCK at 0.2, and the area under the PCK curve up to 0.2.

    PCK is the share of the annotated key-points within the distance, in percent; the area is its
    mean over all distances from 0 to 0.2. None if no key-point is annotated.

    Args:
        distances: of found from annotated key-points in longer sides of the box, of any shape; inf
            where no pose was found, nan where nothing is annotated.
    """
    known = distances[~np.isnan(distances)]
    if not known.size:
        return 0, None, None
    area = 100 * float((1 - known / NEAR).clip(min=0).mean())
    return known.size, 100 * float((known <= NEAR).mean()), area
