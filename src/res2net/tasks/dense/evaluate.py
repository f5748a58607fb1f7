"""A trained network of a dense task measured on annotated images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from res2net.data.scene import Scenes
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.source import parse_source
from res2net.errors import UserError
from res2net.files import alone_in
from res2net.tasks.dense.conclude import write_scores
from res2net.tasks.dense.task import DenseTask, Scores, Track
from res2net.tasks.open import Opened
from res2net.tasks.selection import held_out, measured_part


def evaluate(
    opened: Opened,
    data: str,
    *,
    split: str | None,
    out: Path | None,
    precision: str,
    val_fraction: float | None,
    seed: int | None,
    skip_bad: bool,
    track: Track | None,
    say: Callable[[str], None],
    **how: object,
) -> tuple[Scores, Path]:
    """Measure a network on whole images and write its tables and pictures.

    Args:
        how: what the task's own ``measure`` takes besides (see ``tasks.evaluate``).

    Returns:
        The scores and the folder.
    """
    target = opened.given
    predictor: Any = opened.predictor()
    predictor.check_precision(precision)
    task: DenseTask = predictor.row
    card = opened.card
    val_fraction, seed = held_out(
        opened.run, card.data, data, split=split, val_fraction=val_fraction, seed=seed
    )
    images = read_scenes(
        parse_source(data), SceneOptions(marks=task.marks, val_fraction=val_fraction, seed=seed)
    )
    if images.classes != card.classes:
        images = in_order(task, images, card.classes, f"{data}: classes differ from {target}'s")
    part, words = measured_part(images, split, data)
    say(f"measuring {words}: {len(part)} images")
    scores = task.measure(
        predictor.network,
        card,
        images,
        part,
        precision=precision,
        skip_bad=skip_bad,
        track=track,
        **how,
    )
    folder = out or opened.home / "evaluation"
    with alone_in(folder, "--out"):
        write_scores(folder, scores)
    return scores, folder


def in_order(task: DenseTask, images: Scenes, classes: tuple[str, ...], fault: str) -> Scenes:
    """Objects numbered by the names of a network's classes; maps have their own numbers.

    Raises:
        UserError: classes that the network does not have; the message begins with ``fault``.
    """
    if task.marks in ("classes", "salient"):
        strange = sorted(set(images.classes) ^ set(classes)) or ["another order"]
        raise UserError(f"{fault}: {', '.join(strange[:5])}")
    try:
        return images.in_order_of(classes)
    except ValueError as error:
        raise UserError(f"{fault}: it has no {error}") from None
