"""A trained segmenter measured on marked images."""

from __future__ import annotations

from pathlib import Path

from res2net.config import run_of
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.scenes.transforms import as_it_is
from res2net.data.source import parse_source
from res2net.errors import UserError
from res2net.metrics.segmentation import SegmentationScores
from res2net.tasks.segment.conclude import draw_all
from res2net.tasks.segment.evaluation import Track, measure
from res2net.tasks.segment.job import dataset_of
from res2net.tasks.segment.predictor import load


def evaluate(
    target: str,
    data: str,
    *,
    split: str = "val",
    out: Path | None = None,
    precision: str = "auto",
    turned: bool = False,
    val_fraction: float | None = None,
    seed: int | None = None,
    skip_bad: bool = False,
    track: Track | None = None,
) -> tuple[SegmentationScores, tuple[str, ...], Path]:
    """Evaluate a run or checkpoint on whole images and write its tables and pictures.

    Args:
        turned: also see each image in a mirror (the flip test).
        val_fraction, seed: of the split of data that have none; None takes the run's, so that no
            training image is among those measured.

    Returns:
        The scores, the names of the classes, and the folder with tables and pictures.

    Raises:
        UserError: target or data that cannot be read, or whose classes differ.
    """
    predictor = load(target)
    card = predictor.card
    run = run_of(Path(target))
    usual = SceneOptions(marks="classes")
    if val_fraction is None:
        val_fraction = run.input.val_fraction if run else usual.val_fraction
    if seed is None:
        seed = run.seed if run else usual.seed
    images = read_scenes(
        parse_source(data), SceneOptions(marks="classes", val_fraction=val_fraction, seed=seed)
    )
    if images.classes != card.classes:
        strange = sorted(set(images.classes) ^ set(card.classes)) or ["another order"]
        raise UserError(f"{data}: classes differ from those of {target}: {', '.join(strange[:5])}")
    part = images.val if split == "val" else images.train
    shown = dataset_of(images, part, as_it_is, skip_bad=skip_bad)
    scores, seen = measure(
        predictor.model, shown, card.preprocess, precision=precision, turned=turned, track=track
    )
    home = Path(target)
    folder = out or (home if home.is_dir() else home.parent) / "evaluation"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); change --out") from None
    draw_all(folder, scores, seen, card.classes, images.palette)
    return scores, card.classes, folder
