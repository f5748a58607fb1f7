"""``res2net evaluate`` and ``res2net.evaluate``: a trained network measured on annotated images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from res2net.errors import UserError, check_meaning
from res2net.tasks.classify.evaluate import evaluate as evaluate_classes
from res2net.tasks.dense.evaluate import evaluate as evaluate_marks
from res2net.tasks.open import open_target
from res2net.tasks.table import NETWORK

Track = Callable[[Iterable[Any], int, str], Iterable[Any]]  # (things, count, label)
BATCH = 64
READS = {  # option → tasks whose networks read it
    "batch": ("classify",),
    "size": ("classify",),
    "workers": ("classify",),
    "scales": ("segment",),
    "flip": ("segment",),
    "boxes": ("pose",),
}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of a network on a part of a data set.

    Attributes:
        task: of the network.
        images: how many were measured.
        metrics: the figures of ``metrics.json`` by name.
        scores: everything that was measured: the task's own object.
        folder: tables and pictures.
    """

    task: str
    images: int
    metrics: dict[str, float]
    scores: Any
    folder: Path


def evaluate(
    target: str | Path,
    data: str,
    *,
    split: str | None = None,
    out: Path | None = None,
    precision: str = "auto",
    val_fraction: float | None = None,
    seed: int | None = None,
    skip_bad: bool = False,
    batch: int | None = None,
    size: int | None = None,
    workers: int | None = None,
    scales: Sequence[float] | None = None,
    flip: bool | None = None,
    boxes: Path | None = None,
    track: Track | None = None,
    say: Callable[[str], None] = print,
) -> Evaluation:
    """Measure a trained network and write tables and pictures.

    Args:
        target: run folder, checkpoint, ``.safetensors`` file, artifact folder, or the name of a
            network, whose published ImageNet weights are measured.
        data: FORMAT:PATH.
        split: "val", "train", "test" or "all"; None takes the validation part or, of data without
            parts that the network was not trained on, all images.
        out: folder to write; by default ``evaluation`` beside the weights, ``runs/NAME-published``
            for a network's name.
        val_fraction, seed: of the split of data that have none; None takes the run's, so that no
            training image is among those measured.
        skip_bad: leave out images that cannot be read.
        batch, size, workers: classify: images at a time (64), pixels that the network sees (as in
            training), processes that read images.
        scales, flip: segment: sizes at which each image is seen (1 is its own), and its mirror too.
        boxes: pose: a detector's predictions, instead of annotated boxes.
        track: wraps the images in a progress bar.
        say: takes the line that names the part that is measured.

    Raises:
        UserError: target or data that cannot be read, whose classes differ, or an option that means
            nothing for the network's task.
    """
    opened = open_target(target)
    task = opened.task
    own: dict[str, Any] = {
        "batch": batch,
        "size": size,
        "workers": workers,
        "scales": scales,
        "flip": flip or None,
        "boxes": boxes,
    }
    given = [name for name, value in own.items() if value is not None]
    check_meaning(given, READS, task, NETWORK)
    common: dict[str, Any] = {
        "split": split,
        "out": out,
        "precision": precision,
        "val_fraction": val_fraction,
        "seed": seed,
        "skip_bad": skip_bad,
        "track": track,
        "say": say,
    }
    scores: Any
    if task == "classify":
        batch = BATCH if batch is None else batch
        scores, folder = evaluate_classes(
            opened, data, batch=batch, size=size, workers=workers, **common
        )
        return Evaluation(
            task=task,
            images=scores.count,
            metrics=scores.summary(),
            scores=scores,
            folder=folder,
        )
    how = _of_task(scales, flip, boxes)
    scores, folder = evaluate_marks(opened, data, **common, **how)
    return Evaluation(
        task=task, images=scores.images, metrics=scores.summary(), scores=scores, folder=folder
    )


def _of_task(
    scales: Sequence[float] | None, flip: bool | None, boxes: Path | None
) -> dict[str, Any]:
    """What the task's own measurement takes besides."""
    wrong = [scale for scale in scales or () if not 0 < scale < inf]
    if wrong:
        raise UserError(f"--scales holds {wrong[0]:g}; a size must be above 0")
    how: dict[str, Any] = {}
    if scales or flip:
        how = {"scales": tuple(scales or (1.0,)), "turned": bool(flip)}
    if boxes is not None:
        from res2net.tasks.pose.boxes import read_boxes

        how["boxes"] = read_boxes(Path(boxes))
    return how
