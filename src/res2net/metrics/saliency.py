"""Saliency maps: max F-measure and MAE as in Table 9; also S- and E-measure.

F: at each of 256 thresholds t the pixels with ``saliency > t`` are taken; precision and recall are
averaged over the images, then F = (1 + β²) P R / (β² P + R) with β² = 0.3, maximised over t
(the protocol of the paper's baseline: strict thresholds, ε = 1e-4 on both sides; an empty map has
precision 1). pysodmetrics averages F itself, stretches each map to 0..1 and takes ``>=``.
MAE: the mean of |saliency - truth| with the truth's grey values, which only F cuts at 128.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from res2net.errors import UserError
from res2net.metrics.boundary import boundary_f

BETA2 = 0.3
EPSILON = 1e-4
FOREGROUND = 128  # truth above this is salient

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class SaliencyScores:
    """Averages over the images."""

    max_f: float  # 0..1
    threshold: int  # threshold of the maximum F, 0..255
    mae: float  # 0..1
    precision: Floats  # (256,)
    recall: Floats  # (256,)
    s_measure: float | None = None
    e_measure: float | None = None  # at its best threshold
    boundary_f: float | None = None  # 0..1 of the outline at 128, mean over the images with one


@dataclass(frozen=True, slots=True)
class Measured:
    """Contribution of one image."""

    precision: Floats  # (256,)
    recall: Floats  # (256,)
    mae: float


@dataclass(kw_only=True, eq=False)
class SaliencyMetric:
    """Accumulate images one by one; stores two curves and a value per image, no pixels.

    Args:
        structure: also S- and E-measure, which pysodmetrics computes (much the slower part).
    """

    structure: bool = False
    _precision: list[Floats] = field(default_factory=list)
    _recall: list[Floats] = field(default_factory=list)
    _mae: list[float] = field(default_factory=list)
    _boundary: dict[int, float] = field(default_factory=dict)  # image → F of its outline

    def __post_init__(self) -> None:
        if self.structure:
            try:
                from py_sod_metrics import Emeasure, Smeasure
            except ModuleNotFoundError:
                raise UserError(
                    "S- and E-measure need pysodmetrics: pip install 'res2net[tasks]'"
                ) from None
            self._s, self._e = Smeasure(), Emeasure()

    def update(self, saliency: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]) -> None:
        """Add an image.

        Args:
            saliency: (H, W), 0..255.
            truth: uint8 (H, W), 0..255, salient above 128.

        Raises:
            ValueError: shapes that differ, or another type than uint8.
        """
        if saliency.shape != truth.shape or saliency.ndim != 2:
            raise ValueError(f"saliency is {saliency.shape}, truth {truth.shape}")
        if saliency.dtype != np.uint8:
            raise ValueError(f"saliency is {saliency.dtype}; it must be uint8, 0..255")
        wanted = truth > FOREGROUND
        outline = boundary_f(saliency >= FOREGROUND, wanted, np.ones(wanted.shape, np.bool_))
        if outline:
            self._boundary[len(self._mae)] = outline[1]
        self.add(measured(saliency, truth))
        if self.structure:
            self._s.step(saliency / 255.0, wanted, normalize=False)
            self._e.step(saliency / 255.0, wanted, normalize=False)

    def add(self, image: Measured) -> None:
        """Add an image by its curves (no S- and E-measure)."""
        self._precision.append(image.precision)
        self._recall.append(image.recall)
        self._mae.append(image.mae)

    def compute(self, chosen: npt.NDArray[np.int64] | None = None) -> SaliencyScores:
        """The averages.

        Args:
            chosen: indices of images, which may be repeated, for F and MAE alone; None takes each
                image once and has S- and E-measure.

        Raises:
            ValueError: no image was added.
        """
        taken = range(len(self._mae)) if chosen is None else chosen
        if not len(taken):
            raise ValueError("no image to measure")
        precision = np.mean([self._precision[i] for i in taken], axis=0)
        recall = np.mean([self._recall[i] for i in taken], axis=0)
        structure = self.structure and chosen is None
        scores = f_measure(precision, recall)
        best = int(scores.argmax())
        outlines = [self._boundary[i] for i in taken if i in self._boundary]
        return SaliencyScores(
            max_f=float(scores[best]),
            threshold=best,
            mae=float(np.mean([self._mae[i] for i in taken])),
            precision=precision,
            recall=recall,
            s_measure=float(self._s.get_results()["sm"]) if structure else None,
            boundary_f=float(np.mean(outlines)) if outlines else None,
            e_measure=float(self._e.get_results()["em"]["curve"].max()) if structure else None,
        )


def measured(saliency: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]) -> Measured:
    """Curves and mean absolute error of one map (H, W) against its truth, salient above 128."""
    error = np.abs(saliency / 255.0 - truth / 255.0).mean()
    return Measured(*curves(saliency, truth > FOREGROUND), float(error))


def curves(saliency: npt.NDArray[np.uint8], wanted: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Precision and recall of ``saliency > t`` for t = 0..255: two of (256,)."""
    all_pixels = np.bincount(saliency.ravel(), minlength=256)
    right_pixels = np.bincount(saliency[wanted], minlength=256)
    taken = all_pixels.sum() - np.cumsum(all_pixels)  # with a value above t
    right = right_pixels.sum() - np.cumsum(right_pixels)
    precision = (right + EPSILON) / (taken + EPSILON)
    recall = (right + EPSILON) / (right_pixels.sum() + EPSILON)
    return precision, recall


def f_measure(precision: Floats, recall: Floats) -> Floats:
    """F with β² = 0.3."""
    return (1 + BETA2) * precision * recall / (BETA2 * precision + recall)
