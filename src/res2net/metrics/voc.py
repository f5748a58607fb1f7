"""PASCAL VOC's average precision: 11 points (VOC07, the paper's Table 5) and area under the curve.

The devkit counts pixels (a box from 3 to 5 is three wide); our continuous boxes (2, 5) are as wide,
so overlaps agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from res2net.data.scene import Scene
from res2net.metrics.detections import DetectionArrays, box_iou

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class VocScores:
    """Average precision of each class in percent; None for classes without annotated objects."""

    eleven_points: tuple[float | None, ...]  # VOC07: mean of the precision at recall 0, 0.1, ..., 1
    area: tuple[float | None, ...]  # from VOC10 on: area under the monotone curve

    @property
    def map_eleven_points(self) -> float | None:
        """Mean over the classes that have objects."""
        return _mean(self.eleven_points)

    @property
    def map_area(self) -> float | None:
        """Mean over the classes that have objects."""
        return _mean(self.area)


def voc_scores(
    scenes: Sequence[Scene],
    found: Sequence[DetectionArrays],
    classes: Sequence[str],
    *,
    overlap: float = 0.5,
) -> VocScores:
    """Average precision by class.

    A detection is correct if its best overlap with an object of its class is at least ``overlap``
    and the object is not matched yet; a match with an ignored (difficult) object is not counted.

    Raises:
        ValueError: not one list of detections for each scene.
    """
    if len(scenes) != len(found):
        raise ValueError(f"{len(found)} lists of detections for {len(scenes)} images")
    eleven: list[float | None] = []
    area: list[float | None] = []
    for label in range(len(classes)):
        curve = precision_recall(scenes, found, label, overlap=overlap)
        eleven.append(None if curve is None else 100 * eleven_point(*curve))
        area.append(None if curve is None else 100 * area_under(*curve))
    return VocScores(eleven_points=tuple(eleven), area=tuple(area))


def precision_recall(
    scenes: Sequence[Scene], found: Sequence[DetectionArrays], label: int, *, overlap: float
) -> tuple[Floats, Floats] | None:
    """Precision and recall after each detection, by descending score; None without objects."""
    scores: list[float] = []
    right: list[int] = []  # 1 correct, 0 wrong, -1 not counted
    wanted = 0
    for scene, each in zip(scenes, found, strict=True):
        assert scene.objects is not None
        truth = scene.objects.of(scene.objects.labels == label)
        own = each.of(each.labels == label)
        wanted += int((~truth.ignored).sum())
        order = np.argsort(-own.scores, kind="stable")
        ious = box_iou(own.boxes[order], truth.boxes)
        taken = np.zeros(len(truth), bool)
        for row, score in zip(ious, own.scores[order], strict=True):
            best = int(row.argmax()) if row.size else -1
            verdict = 0
            if best >= 0 and row[best] >= overlap:
                if truth.ignored[best]:
                    verdict = -1
                elif not taken[best]:
                    taken[best], verdict = True, 1
            scores.append(float(score))
            right.append(verdict)
    if not wanted:
        return None
    verdicts = np.array(right, np.int64)[np.argsort(-np.array(scores), kind="stable")]
    hits, misses = np.cumsum(verdicts == 1), np.cumsum(verdicts == 0)
    return hits / np.maximum(hits + misses, 1), hits / wanted


def eleven_point(precision: Floats, recall: Floats) -> float:
    """Mean over recall 0, 0.1, ..., 1 of the best precision at that recall or beyond."""
    points = np.linspace(0, 1, 11)
    best = [precision[recall >= point].max(initial=0.0) for point in points]
    return float(np.mean(best))


def area_under(precision: Floats, recall: Floats) -> float:
    """Area below the curve, made falling from the right."""
    edges = np.concatenate([[0.0], recall, [1.0]])
    falling = np.maximum.accumulate(np.concatenate([[0.0], precision, [0.0]])[::-1])[::-1]
    return float(((edges[1:] - edges[:-1]) * falling[1:]).sum())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
