"""Mean intersection over union of class maps, and the share of each region found, by its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from res2net.data.scene import IGNORED
from res2net.metrics.boundary import boundary_f
from res2net.metrics.sizes import SIZES, size_index

Counts = npt.NDArray[np.int64]
SMALLEST_REGION = 16  # pixels; specks below are left out of the report by size


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentationScores:
    """Scores in percent; None for a class (or size) that is neither present nor predicted."""

    mean_iou: float
    pixel_accuracy: float
    per_class: tuple[float | None, ...]
    confusion: Counts  # (C, C) pixels, rows true
    region_recall: dict[str, float | None]  # size → mean share of a region's pixels found
    regions: dict[str, int]  # size → number
    boundary_f: float | None = None  # mean over the classes
    boundary_per_class: tuple[float | None, ...] = ()  # mean over the images


class _Image(NamedTuple):
    """Contribution of one image."""

    cells: Counts  # (n,) of the confusion matrix, flat, that have pixels
    pixels: Counts  # (n,) in each of them
    shares: npt.NDArray[np.float64]  # (sizes,) sum of the regions' shares found
    regions: Counts  # (sizes,)
    boundary: dict[int, float]  # class → F of its outline, 0..1


class SegmentationMetric:
    """Accumulate images one by one: (H, W) predicted and true classes.

    Args:
        classes: number of classes.
        by_size: also evaluate connected regions of the truth by area, and outlines.
    """

    def __init__(self, classes: int, *, by_size: bool = True) -> None:
        self.classes, self.by_size = classes, by_size
        self._images: list[_Image] = []

    def update(self, predicted: npt.NDArray[np.integer], true: npt.NDArray[np.integer]) -> None:
        """Add an image; pixels of class 255 in the truth are ignored.

        Raises:
            ValueError: different shapes, or a class out of range.
        """
        if predicted.shape != true.shape:
            raise ValueError(f"predicted is {predicted.shape}, true {true.shape}")
        known = true != IGNORED
        truth, guess = true[known].astype(np.int64), predicted[known].astype(np.int64)
        for values in (truth, guess):
            if values.size and not 0 <= values.min() <= values.max() < self.classes:
                raise ValueError(f"classes lie in 0..{self.classes - 1}, not {values.max()}")
        pairs = np.bincount(truth * self.classes + guess)
        cells = np.flatnonzero(pairs)
        shares, regions = np.zeros(len(SIZES)), np.zeros(len(SIZES), np.int64)
        if self.by_size:
            _follow_regions(predicted, true, shares, regions)
        outlines = boundary_f(predicted, true, known) if self.by_size else {}
        self._images.append(_Image(cells, pairs[cells], shares, regions, outlines))

    def compute(self, chosen: Sequence[int] | Counts | None = None) -> SegmentationScores:
        """The scores over everything added.

        Args:
            chosen: indices of images, which may be repeated; None takes each once.

        Raises:
            ValueError: all pixels are ignored.
        """
        images = self._images if chosen is None else [self._images[i] for i in chosen]
        confusion = self._confusion(images)
        total = confusion.sum()
        if not total:
            raise ValueError("no pixel to measure")
        hits = confusion.diagonal()
        union = confusion.sum(0) + confusion.sum(1) - hits
        per_class = [100 * float(h / u) if u else None for h, u in zip(hits, union, strict=True)]
        known = [each for each in per_class if each is not None]
        shares = np.sum([each.shares for each in images], axis=0)
        regions = np.sum([each.regions for each in images], axis=0)
        outlines = _mean_by_class([each.boundary for each in images], self.classes)
        there = [each for each in outlines if each is not None]
        return SegmentationScores(
            boundary_f=float(np.mean(there)) if there else None,
            boundary_per_class=outlines,
            mean_iou=float(np.mean(known)),
            pixel_accuracy=100 * float(hits.sum() / total),
            per_class=tuple(per_class),
            confusion=confusion,
            region_recall={
                name: 100 * float(share / count) if count else None
                for name, share, count in zip(SIZES, shares, regions, strict=True)
            },
            regions=dict(zip(SIZES, regions.tolist(), strict=True)),
        )

    def _confusion(self, images: Sequence[_Image]) -> Counts:
        total = np.zeros(self.classes**2, np.int64)
        for each in images:
            total[each.cells] += each.pixels
        return total.reshape(self.classes, self.classes)


def _mean_by_class(images: Sequence[dict[int, float]], classes: int) -> tuple[float | None, ...]:
    """In percent; None for a class without images."""
    total, count = np.zeros(classes), np.zeros(classes)
    for each in images:
        keys = list(each)
        total[keys] += list(each.values())
        count[keys] += 1
    pairs = zip(total.tolist(), count.tolist(), strict=True)
    return tuple(100 * t / n if n else None for t, n in pairs)


def _follow_regions(
    predicted: npt.NDArray[np.integer],
    true: npt.NDArray[np.integer],
    shares: npt.NDArray[np.float64],
    regions: Counts,
) -> None:
    """Add the share of each connected region of the truth that was found, by its area."""
    from scipy.ndimage import label

    for each in np.unique(true[true != IGNORED]):
        numbers, count = label(true == each)
        areas = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
        hits = np.bincount(numbers[predicted == each], minlength=count + 1)[1:]
        large = areas >= SMALLEST_REGION
        sizes = size_index(areas[large].astype(np.float64))
        np.add.at(shares, sizes, hits[large] / areas[large])
        np.add.at(regions, sizes, 1)
