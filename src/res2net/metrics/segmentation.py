"""Mean intersection over union of class maps, and the share of each region found, by its size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from res2net.data.scene import IGNORED
from res2net.metrics.sizes import SIZES, size_index

Counts = npt.NDArray[np.int64]
SMALLEST_REGION = 16  # pixels; specks below are left out of the report by size


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentationScores:
    """In percent; None for a class (or size) that is neither there nor predicted."""

    mean_iou: float
    pixel_accuracy: float
    per_class: tuple[float | None, ...]
    confusion: Counts  # (C, C) pixels, rows true
    region_recall: dict[str, float | None]  # size → mean share of a region's pixels found
    regions: dict[str, int]  # size → number


class SegmentationMetric:
    """Takes images one by one: (H, W) predicted and true classes.

    Args:
        classes: how many.
        by_size: also follow connected regions of the truth, by their area.
    """

    def __init__(self, classes: int, *, by_size: bool = True) -> None:
        self.classes, self.by_size = classes, by_size
        self.confusion = np.zeros((classes, classes), np.int64)
        self._shares = np.zeros(len(SIZES))
        self._regions = np.zeros(len(SIZES), np.int64)

    def update(self, predicted: npt.NDArray[np.integer], true: npt.NDArray[np.integer]) -> None:
        """Add an image; pixels of class 255 in the truth do not count.

        Raises:
            ValueError: shapes that differ, or a class that there is not.
        """
        if predicted.shape != true.shape:
            raise ValueError(f"predicted is {predicted.shape}, true {true.shape}")
        known = true != IGNORED
        truth, guess = true[known].astype(np.int64), predicted[known].astype(np.int64)
        for values in (truth, guess):
            if values.size and not 0 <= values.min() <= values.max() < self.classes:
                raise ValueError(f"classes lie in 0..{self.classes - 1}, not {values.max()}")
        pairs = np.bincount(truth * self.classes + guess, minlength=self.classes**2)
        self.confusion += pairs.reshape(self.classes, self.classes)
        if self.by_size:
            self._follow_regions(predicted, true)

    def _follow_regions(
        self, predicted: npt.NDArray[np.integer], true: npt.NDArray[np.integer]
    ) -> None:
        from scipy.ndimage import label

        for each in np.unique(true[true != IGNORED]):
            numbers, count = label(true == each)
            areas = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
            hits = np.bincount(numbers[predicted == each], minlength=count + 1)[1:]
            large = areas >= SMALLEST_REGION
            sizes = size_index(areas[large].astype(np.float64))
            np.add.at(self._shares, sizes, hits[large] / areas[large])
            np.add.at(self._regions, sizes, 1)

    def compute(self) -> SegmentationScores:
        """The scores over everything added.

        Raises:
            ValueError: no pixel counted.
        """
        total = self.confusion.sum()
        if not total:
            raise ValueError("no pixel to measure")
        hits = self.confusion.diagonal()
        union = self.confusion.sum(0) + self.confusion.sum(1) - hits
        per_class = [100 * float(h / u) if u else None for h, u in zip(hits, union, strict=True)]
        known = [each for each in per_class if each is not None]
        return SegmentationScores(
            mean_iou=float(np.mean(known)),
            pixel_accuracy=100 * float(hits.sum() / total),
            per_class=tuple(per_class),
            confusion=self.confusion.copy(),
            region_recall={
                name: 100 * float(share / count) if count else None
                for name, share, count in zip(SIZES, self._shares, self._regions, strict=True)
            },
            regions=dict(zip(SIZES, self._regions.tolist(), strict=True)),
        )
