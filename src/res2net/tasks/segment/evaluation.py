"""The scores of a segmenter over a part of the data, and their tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from res2net.data.preprocess import Preprocess
from res2net.data.scenes.dataset import SceneDataset
from res2net.errors import UserError
from res2net.files import write_text
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.machine import best_device
from res2net.metrics.segmentation import SegmentationMetric, SegmentationScores
from res2net.tasks.segment.inference import classes_of

Track = Callable[[Iterable[Any], int, str], Iterable[Any]]
Seen = list[tuple[Tensor, Tensor, Tensor, str]]  # image, truth, prediction, name
SHOWN = 6  # images kept for the sheet


def measure(
    model: DeepLabV3Plus,
    shown: SceneDataset,
    preprocess: Preprocess,
    *,
    precision: str = "auto",
    turned: bool = False,
    limit: int | None = None,
    track: Track | None = None,
) -> tuple[SegmentationScores, Seen]:
    """Scores over whole images, and the first few for a sheet.

    Raises:
        UserError: a file that cannot be read (unless left out), or nothing to measure.
    """
    import torch

    model.to(best_device()).to(memory_format=torch.channels_last).eval()
    metric = SegmentationMetric(shown.classes)
    kept: Seen = []
    count = len(shown) if limit is None else min(limit, len(shown))
    for index in track(range(count), count, "evaluating") if track else range(count):
        batch = shown.__getitems__([index])
        if isinstance(batch, UserError):
            if shown.skip_bad:
                continue
            raise UserError(str(batch))
        image, target, _ = batch[0]
        found = classes_of(model, image, preprocess, precision=precision, turned=turned)
        metric.update(found.numpy(), target["map"].numpy())
        if len(kept) < SHOWN:
            kept.append((image, target["map"], found, shown.scenes[index].name))
    try:
        return metric.compute(), kept
    except ValueError as error:
        raise UserError(f"nothing was measured: {error}") from None


def summary(scores: SegmentationScores) -> dict[str, float]:
    """The figures of ``model.json``, in percent."""
    sizes = {f"region_recall_{k}": v for k, v in scores.region_recall.items() if v is not None}
    return {"mean_iou": scores.mean_iou, "pixel_accuracy": scores.pixel_accuracy, **sizes}


def save(folder: Path, scores: SegmentationScores, classes: Sequence[str]) -> None:
    """``metrics.json``, ``per_class.csv`` and ``by_size.csv``."""
    write_text(folder / "metrics.json", json.dumps(summary(scores), indent=2) + "\n")
    pixels = scores.confusion.sum(1)
    rows: list[Sequence[object]] = [
        (name, int(count), _shown(iou))
        for name, count, iou in zip(classes, pixels, scores.per_class, strict=True)
    ]
    write_text(folder / "per_class.csv", _csv(("class", "pixels", "iou_percent"), rows))
    rows = [(k, scores.regions[k], _shown(v)) for k, v in scores.region_recall.items()]
    write_text(folder / "by_size.csv", _csv(("size", "regions", "found_percent"), rows))


def table(scores: SegmentationScores, classes: Sequence[str]) -> list[tuple[str, str]]:
    """(what, figure) for people."""
    rows = [
        ("mean IoU", f"{scores.mean_iou:.2f} %"),
        ("pixels right", f"{scores.pixel_accuracy:.2f} %"),
    ]
    for size, share in scores.region_recall.items():
        if share is not None:
            rows.append((f"{size} regions found ({scores.regions[size]:,})", f"{share:.2f} %"))
    for name, iou in zip(classes, scores.per_class, strict=True):
        rows.append((f"IoU of {name}", "not there" if iou is None else f"{iou:.2f} %"))
    return rows


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _csv(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
