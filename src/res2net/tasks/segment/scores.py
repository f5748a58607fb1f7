"""The scores of a segmenter over a part of the data, their tables and pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.scene import IGNORED, Scene, Scenes
from res2net.data.scenes.transforms import as_it_is
from res2net.drawing.canvas import headed_figure
from res2net.drawing.marks import VOID, Colour
from res2net.errors import UserError, counted
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.metrics.segmentation import SegmentationMetric, SegmentationScores
from res2net.tasks import pictures
from res2net.tasks.network import Deployed, in_colours, ready
from res2net.tasks.scores import (
    Comparable,
    Figures,
    Measuring,
    Resampled,
    each_sample,
    known,
    write_table,
)
from res2net.tasks.segment.task import classes_of, dataset_of, overlay

Palette = Sequence[tuple[int, int, int]]
Seen = list[tuple[Tensor, Tensor, Tensor, str]]  # image, truth, prediction, name
SHOWN = 6  # images kept for the sheet


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentScores(Comparable):
    """The results of a measurement, with the first few images."""

    by_image = "pixel_accuracy"

    metric: SegmentationMetric
    scores: SegmentationScores  # of all images
    classes: tuple[str, ...]
    palette: Palette
    seen: Seen

    @property
    def mean_iou(self) -> float | None:
        """None if all pixels are of one class: predicting it everywhere would score 100 %."""
        return _mean_iou(self.scores)

    @property
    def headline(self) -> str:
        return f"mean IoU {_percent(self.mean_iou)}"

    def summary(self) -> dict[str, float]:
        """In percent."""
        return _summary(self.scores)

    def resampled(self) -> Resampled:
        """As in ``Comparable``."""

        def over(chosen: npt.NDArray[np.int64]) -> Figures:
            scores = self.metric.compute(chosen)
            return Figures(_summary(scores), known(self.classes, scores.per_class))

        return over

    def table(self) -> list[tuple[str, str]]:
        """(label, figure) rows for display."""
        scores = self.scores
        rows = [
            ("images measured", f"{self.images:,}"),
            ("mean IoU", _percent(self.mean_iou)),
            ("pixel accuracy", f"{scores.pixel_accuracy:.2f} %"),
        ]
        if scores.boundary_f is not None:
            rows.append(("boundary F-measure", f"{scores.boundary_f:.2f} %"))
        for size, share in scores.region_recall.items():
            if share is not None:
                rows.append((f"{size} regions found ({scores.regions[size]:,})", f"{share:.2f} %"))
        for name, iou in zip(self.classes, scores.per_class, strict=True):
            rows.append((f"IoU of {name}", "not present" if iou is None else f"{iou:.2f} %"))
        return rows

    def write(self, folder: Path) -> tuple[str, ...]:
        """``per_class.csv``, ``confusion.csv`` (pixels), ``by_size.csv`` and pictures."""
        scores = self.scores
        write_table(
            folder / "per_class.csv",
            ("class", "pixels", "iou_percent", "boundary_f_percent"),
            zip(
                self.classes,
                scores.confusion.sum(1).tolist(),
                scores.per_class,
                scores.boundary_per_class,
                strict=True,
            ),
        )
        write_table(
            folder / "confusion.csv",
            ("true \\ predicted", *self.classes),
            [
                (name, *row)
                for name, row in zip(self.classes, scores.confusion.tolist(), strict=True)
            ],
        )
        draw_confusion(scores.confusion, self.classes, folder / "confusion.png")
        write_table(
            folder / "by_size.csv",
            ("size", "regions", "found_percent"),
            [(k, scores.regions[k], v) for k, v in scores.region_recall.items()],
        )
        draw_scores(scores, self.classes, folder / "scores.png")
        draw_sheet(self.seen, self.classes, self.palette, folder / "sheet.png")
        return "scores.png", "confusion.png", "sheet.png"


def measure(
    model: DeepLabV3Plus | Deployed,
    card: ModelCard,
    images: Scenes,
    part: Sequence[Scene],
    how: Measuring,
) -> SegmentScores:
    """Scores over whole images.

    Args:
        scales, turned: scales and mirror image to average over (``classes_of``).

    Raises:
        UserError: a file that cannot be read (unless left out), or nothing to measure.
    """
    ready(model)
    metric = SegmentationMetric(len(images.classes))
    seen: Seen = []
    rows: list[int] = []
    shown = dataset_of(
        *(images, part, as_it_is), skip_bad=how.skip_bad, reading=card.preprocess.reading
    )
    for image, target, index in each_sample(shown, how):
        found = classes_of(
            model,
            image,
            card.preprocess,
            precision=how.precision,
            scales=how.scales,
            turned=bool(how.flip),
        )
        metric.update(found.numpy(), target["map"].numpy())
        rows.append(index)
        if len(seen) < SHOWN:
            seen.append((in_colours(image), target["map"], found, part[index].name))
    try:
        scores = metric.compute()
    except ValueError as error:
        raise UserError(f"nothing was measured: {error}") from None
    colours: Any = card.marks.get("palette", images.palette)
    result = SegmentScores(
        metric=metric,
        scores=scores,
        classes=card.classes,
        palette=[(red, green, blue) for red, green, blue in colours],
        images=len(rows),
        rows=rows,
        seen=seen,
    )
    if result.mean_iou is None:
        warnings.warn("all measured pixels are of one class: no mean IoU", stacklevel=2)
    return result


def _mean_iou(scores: SegmentationScores) -> float | None:
    there = (scores.confusion.sum(1) > 0).sum()
    return scores.mean_iou if there > 1 else None


def _summary(scores: SegmentationScores) -> dict[str, float]:
    sizes = {f"region_recall_{size}": share for size, share in scores.region_recall.items()}
    figures = {"mean_iou": _mean_iou(scores), "pixel_accuracy": scores.pixel_accuracy}
    figures |= {"boundary_f": scores.boundary_f, **sizes}
    return {name: value for name, value in figures.items() if value is not None}


def _percent(value: float | None) -> str:
    return "undefined: one class only" if value is None else f"{value:.2f} %"


def draw_sheet(
    seen: Sequence[tuple[Tensor, Tensor, Tensor, str]],
    names: Sequence[str],
    palette: Sequence[Colour],
    path: Path,
) -> None:
    """Image, truth and prediction side by side, one row per image."""
    rows = [
        (
            (
                np.ascontiguousarray(image.permute(1, 2, 0).numpy()),
                overlay(image, truth.numpy(), palette),
                overlay(image, found.numpy(), palette),
            ),
            name,
        )
        for image, truth, found, name in seen
    ]
    shown = np.unique(np.concatenate([each.ravel() for _, *two, _ in seen for each in two]))
    legend = [(names[k], palette[k]) for k in shown if k < len(names)]
    legend = [
        (name, c) if any(c) else (f"{name} (unchanged)", (255, 255, 255)) for name, c in legend
    ]
    if IGNORED in shown:
        legend.append(("ignored", VOID))
    subtitle = f"{counted(len(seen), 'image')}: input, annotation, prediction"
    pictures.draw_sheet(rows, "Segmentation", subtitle, path, legend)


def draw_confusion(confusion: npt.NDArray[np.int64], classes: Sequence[str], path: Path) -> None:
    """The share of each true class's pixels that is predicted as each class."""
    right = confusion.diagonal().sum() / confusion.sum()
    subtitle = f"{confusion.sum():,} pixels, {100 * right:.1f} % of them on the diagonal"
    with headed_figure(path, 1100, "Confusion matrix", subtitle) as figure:
        few = len(classes) <= pictures.FEW
        shares = 100 * confusion / confusion.sum(1, keepdims=True).clip(min=1)
        texts = [[f"{s:.0f}" if s >= 0.5 else "" for s in row] for row in shares] if few else []
        pictures.draw_named_matrix(figure, confusion, classes, "pixels", texts)


def draw_scores(scores: SegmentationScores, classes: Sequence[str], path: Path) -> None:
    """IoU of each class, and recall of regions by size."""
    known = [(n, v) for n, v in zip(classes, scores.per_class, strict=True) if v is not None]
    pictures.draw_bars(
        path,
        "Scores by class and by size",
        f"mean IoU {scores.mean_iou:.1f} % of {counted(len(known), 'kind')}"
        if (scores.confusion.sum(1) > 0).sum() > 1
        else "one class only: no mean IoU",
        pictures.Bars(title="By class", label="IoU, %", values=known),
        pictures.BySize(
            title="By size of the region",
            things="region",
            label="pixels found, %",
            series={"found": scores.region_recall},
            counts=scores.regions,
        ),
    )
