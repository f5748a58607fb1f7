"""The scores of a segmenter over a part of the data, their tables and pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from res2net.card import ModelCard
from res2net.data.scene import Scene, Scenes
from res2net.data.scenes.dataset import SceneDataset, Transform
from res2net.data.scenes.transforms import as_it_is
from res2net.errors import UserError
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.metrics.segmentation import SegmentationMetric, SegmentationScores
from res2net.tasks.dense.network import Deployed, ready
from res2net.tasks.dense.samples import each_sample
from res2net.tasks.dense.tables import write_table
from res2net.tasks.dense.task import Track
from res2net.tasks.segment.inference import classes_of

Palette = Sequence[tuple[int, int, int]]
Seen = list[tuple[Tensor, Tensor, Tensor, str]]  # image, truth, prediction, name
SHOWN = 6  # images kept for the sheet


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentScores:
    """What a measurement found, with the first few images."""

    scores: SegmentationScores
    classes: tuple[str, ...]
    palette: Palette
    images: int  # measured
    seen: Seen

    @property
    def mean_iou(self) -> float | None:
        """None where all pixels are of one class: predicting it everywhere would have 100 %."""
        there = (self.scores.confusion.sum(1) > 0).sum()
        return self.scores.mean_iou if there > 1 else None

    @property
    def headline(self) -> str:
        return f"mean IoU {_percent(self.mean_iou)}"

    def summary(self) -> dict[str, float]:
        """In percent."""
        found = self.scores.region_recall.items()
        sizes = {f"region_recall_{k}": v for k, v in found if v is not None}
        known = {"mean_iou": self.mean_iou, "pixel_accuracy": self.scores.pixel_accuracy}
        return {**{name: value for name, value in known.items() if value is not None}, **sizes}

    def table(self) -> list[tuple[str, str]]:
        """(what, figure) for people."""
        scores = self.scores
        rows = [
            ("images measured", f"{self.images:,}"),
            ("mean IoU", _percent(self.mean_iou)),
            ("pixels right", f"{scores.pixel_accuracy:.2f} %"),
        ]
        for size, share in scores.region_recall.items():
            if share is not None:
                rows.append((f"{size} regions found ({scores.regions[size]:,})", f"{share:.2f} %"))
        for name, iou in zip(self.classes, scores.per_class, strict=True):
            rows.append((f"IoU of {name}", "not there" if iou is None else f"{iou:.2f} %"))
        return rows

    def write(self, folder: Path) -> tuple[str, ...]:
        """``per_class.csv``, ``by_size.csv`` and pictures."""
        from res2net.tasks.segment.pictures import draw_scores, draw_sheet

        scores = self.scores
        write_table(
            folder / "per_class.csv",
            ("class", "pixels", "iou_percent"),
            [
                (name, int(count), iou)
                for name, count, iou in zip(
                    self.classes, scores.confusion.sum(1), scores.per_class, strict=True
                )
            ],
        )
        write_table(
            folder / "by_size.csv",
            ("size", "regions", "found_percent"),
            [(k, scores.regions[k], v) for k, v in scores.region_recall.items()],
        )
        draw_scores(scores, self.classes, folder / "scores.png")
        draw_sheet(self.seen, self.classes, self.palette, folder / "sheet.png")
        return "scores.png", "sheet.png"


def measure(
    model: DeepLabV3Plus | Deployed,
    card: ModelCard,
    images: Scenes,
    part: Sequence[Scene],
    *,
    precision: str = "auto",
    skip_bad: bool = False,
    scales: tuple[float, ...] = (1.0,),
    turned: bool = False,
    limit: int | None = None,
    track: Track | None = None,
) -> SegmentScores:
    """Scores over whole images.

    Args:
        scales, turned: sizes at which each image is seen, and also in a mirror (``classes_of``).

    Raises:
        UserError: a file that cannot be read (unless left out), or nothing to measure.
    """
    ready(model)
    metric = SegmentationMetric(len(images.classes))
    seen: Seen = []
    measured = 0
    shown = dataset_of(images, part, as_it_is, skip_bad=skip_bad)
    for image, target, index in each_sample(shown, limit, track):
        found = classes_of(
            model, image, card.preprocess, precision=precision, scales=scales, turned=turned
        )
        metric.update(found.numpy(), target["map"].numpy())
        measured += 1
        if len(seen) < SHOWN:
            seen.append((image, target["map"], found, part[index].name))
    try:
        scores = metric.compute()
    except ValueError as error:
        raise UserError(f"nothing was measured: {error}") from None
    result = SegmentScores(
        scores=scores, classes=card.classes, palette=images.palette, images=measured, seen=seen
    )
    if result.mean_iou is None:
        warnings.warn("all pixels that were measured are of one class: no mean IoU", stacklevel=2)
    return result


def _percent(value: float | None) -> str:
    return "open: one class only" if value is None else f"{value:.2f} %"


def dataset_of(
    images: Scenes, part: Sequence[Scene], transform: Transform, *, skip_bad: bool
) -> SceneDataset:
    """A part of the data with its class maps."""
    count = len(images.classes)
    return SceneDataset(part, "classes", count, transform, legend=images.legend, skip_bad=skip_bad)
