"""A trained network of a dense task measured on marked images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from res2net.config import run_of
from res2net.data.scene import Scenes
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.source import parse_source
from res2net.errors import UserError
from res2net.files import alone_in
from res2net.tasks.dense.conclude import write_scores
from res2net.tasks.dense.predictor import load
from res2net.tasks.dense.task import DenseTask, Scores, Track
from res2net.tasks.selection import held_out, measured_part


def evaluate(
    task: DenseTask,
    target: str,
    data: str,
    *,
    split: str | None = None,
    out: Path | None = None,
    precision: str = "auto",
    val_fraction: float | None = None,
    seed: int | None = None,
    skip_bad: bool = False,
    track: Track | None = None,
    say: Callable[[str], None] = print,
    **how: object,
) -> tuple[Scores, Path]:
    """Evaluate a run or checkpoint on whole images and write its tables and pictures.

    Args:
        split: "val", "train", "test" or "all"; None takes the validation part or, of data without
            parts that the network was not trained on, all images.
        val_fraction, seed: of the split of data that have none; None takes the run's, so that no
            training image is among those measured.
        say: takes the line that names the part that is measured.
        how: what the task's own ``measure`` takes besides.

    Returns:
        The scores, and the folder with tables and pictures.

    Raises:
        UserError: target or data that cannot be read, or whose classes differ.
    """
    predictor = load(task, target)
    card = predictor.card
    val_fraction, seed = held_out(
        run_of(Path(target)), card.data, data, split=split, val_fraction=val_fraction, seed=seed
    )
    images = read_scenes(
        parse_source(data), SceneOptions(marks=task.marks, val_fraction=val_fraction, seed=seed)
    )
    if images.classes != card.classes:
        images = in_order(task, images, card.classes, f"{data}: classes differ from {target}'s")
    part, words = measured_part(images, split, data)
    say(f"measuring {words}: {len(part)} images")
    scores = task.measure(
        predictor.model,
        card,
        images,
        part,
        precision=precision,
        skip_bad=skip_bad,
        track=track,
        **how,
    )
    home = Path(target)
    folder = out or (home if home.is_dir() else home.parent) / "evaluation"
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
