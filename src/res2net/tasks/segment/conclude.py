"""The end of a run: the best weights measured once more on whole images, drawn and reported."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from res2net.data.scenes.transforms import as_it_is
from res2net.files import write_text
from res2net.metrics.segmentation import SegmentationScores
from res2net.models.weights import (
    CARD_NAME,
    CHECKPOINTS,
    WEIGHTS_NAME,
    apply_weights,
    read_weights,
    save_weights,
)
from res2net.tasks.segment.evaluation import Seen, measure, save, summary, table
from res2net.tasks.segment.job import Job, dataset_of
from res2net.tasks.segment.pictures import Palette, draw_curves, draw_scores, draw_sheet


def conclude(
    run: Path,
    job: Job,
    history: Sequence[Mapping[str, float]],
    *,
    batches: int | None,
    say: Callable[[str], None],
) -> SegmentationScores:
    """Evaluate the best checkpoint of a run and fill its folder.

    Args:
        history: a row an epoch, as in ``metrics.csv``.
        batches: measure so many images only (a smoke run); None takes all.
    """
    model = job.module.model
    best = next(run / name for name in CHECKPOINTS if (run / name).is_file())
    apply_weights(model, read_weights(best)[0], str(best))
    shown = dataset_of(job.images, job.images.val, as_it_is, skip_bad=job.skip_bad)
    scores, seen = measure(
        model, shown, job.card.preprocess, precision=job.precision, limit=batches
    )
    card = replace(job.card, metrics=summary(scores))
    save_weights(model, run / WEIGHTS_NAME)
    write_text(run / CARD_NAME, json.dumps(card.as_dict(), indent=2) + "\n")
    draw_curves(history, run / "curves.png")
    draw_all(run, scores, seen, card.classes, job.images.palette)
    parameters = sum(p.numel() for p in model.parameters())
    lines = [f"| {what} | {figure} |" for what, figure in table(scores, card.classes)]
    facts = (
        f"{card.network} under DeepLab v3+, {parameters:,} parameters; {card.data}: "
        f"{len(job.images.train)} training and {len(job.images.val)} validation images; "
        f"recipe {card.recipe}, crops of {card.preprocess.size} pixels."
    )
    pictures = "\n\n".join(f"![{n}]({n}.png)" for n in ("scores", "sheet", "curves"))
    commands = f"```sh\nres2net evaluate {run} --data {card.data}\nres2net predict {run} IMAGE\n```"
    body = "\n".join(["| | |", "| --- | ---: |", *lines])
    title = f"# {card.network} on {job.images.name}: segmentation"
    write_text(run / "report.md", "\n\n".join([title, facts, body, pictures, commands]) + "\n")
    say(f"best checkpoint: mean IoU {scores.mean_iou:.2f} %; see {run / 'report.md'}")
    return scores


def draw_all(
    folder: Path, scores: SegmentationScores, seen: Seen, classes: Sequence[str], palette: Palette
) -> None:
    """Tables and pictures of an evaluation."""
    save(folder, scores, classes)
    draw_scores(scores, classes, folder / "scores.png")
    draw_sheet(seen, palette, folder / "sheet.png")
