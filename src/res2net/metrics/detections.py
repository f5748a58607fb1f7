"""Predictions of a detector for one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from res2net.data.scene import RLE


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DetectionArrays:
    """N detections in pixels of the image, in any order."""

    boxes: npt.NDArray[np.float64]  # (N, 4) left, top, right, bottom
    scores: npt.NDArray[np.float64]  # (N,) 0..1
    labels: npt.NDArray[np.int64]  # (N,) from 0
    masks: tuple[RLE, ...] | None = None  # N
    keypoints: npt.NDArray[np.float64] | None = None  # (N, K, 3) x, y, score

    def __len__(self) -> int:
        return len(self.scores)

    def of(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> DetectionArrays:
        """The detections selected by a mask or indices."""
        indices = np.arange(len(self))[chosen]
        return DetectionArrays(
            boxes=self.boxes[indices],
            scores=self.scores[indices],
            labels=self.labels[indices],
            masks=None if self.masks is None else tuple(self.masks[i] for i in indices),
            keypoints=None if self.keypoints is None else self.keypoints[indices],
        )


def box_iou(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) and (M, 4): (N, M); 0 for empty boxes."""
    upper = np.maximum(a[:, None, :2], b[None, :, :2])
    lower = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(lower - upper, 0, None).prod(axis=2)
    union = _area(a)[:, None] + _area(b)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _area(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(sides.prod(axis=1))
