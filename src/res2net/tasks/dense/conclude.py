"""The end of a run: the best weights measured once more on whole images, drawn and reported."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from res2net.errors import printable_lines
from res2net.files import write_text
from res2net.models.weights import (
    CARD_NAME,
    WEIGHTS_NAME,
    apply_weights,
    read_weights,
    save_weights,
)
from res2net.tasks.dense.pictures import draw_curves
from res2net.tasks.dense.task import Job, Scores
from res2net.tasks.selection import CHOSEN, described, part_of, weights_of


def conclude(
    run: Path,
    job: Job,
    history: Sequence[Mapping[str, float]],
    *,
    batches: int | None,
    say: Callable[[str], None],
) -> Scores:
    """Evaluate the weights that a run keeps and fill its folder.

    Args:
        history: a row an epoch, as in ``metrics.csv``.
        batches: measure so many images only (a smoke run); None takes all.
    """
    task, model = job.task, job.module.model
    kept = weights_of(run, job.select)
    apply_weights(model, read_weights(kept)[0], str(kept))
    scores = task.measure(
        model,
        job.card,
        job.images,
        job.images.val,
        precision=job.precision,
        skip_bad=job.skip_bad,
        limit=batches,
    )
    card = replace(job.card, metrics=scores.summary())
    save_weights(model, run / WEIGHTS_NAME)
    write_text(run / CARD_NAME, json.dumps(card.as_dict(), indent=2) + "\n")
    pictures = (*write_scores(run, scores), "curves.png")
    draw_curves(history, task.curves, run / "curves.png")
    parameters = sum(p.numel() for p in model.parameters())
    lines = [f"| {what} | {figure} |" for what, figure in scores.table()]
    facts = (
        f"{card.network} under {task.head}, {parameters:,} parameters; {card.data}: "
        f"{len(job.images.train)} training and {len(job.images.val)} validation images, "
        f"{scores.images} of them measured; "
        f"recipe {card.recipe}, {card.preprocess.size} pixels.\n\n"
        f"Validated on {part_of(job.images.validation)}. Weights: "
        f"{described(job.select, history, job.monitor, job.images.validation)}."
    )
    shown = "\n\n".join(f"![{Path(name).stem}]({name})" for name in pictures)
    commands = f"```sh\nres2net evaluate {run} --data {card.data}\nres2net predict {run} IMAGE\n```"
    body = "\n".join(["| | |", "| --- | ---: |", *lines])
    sizes = f"Small is below 32² = 1,024 pixels, large from 96² = 9,216 on: {task.sizes}."
    title = f"# {card.network} on {job.images.name}: {task.title}"
    text = "\n\n".join([title, facts, body, sizes, shown, commands])
    write_text(run / "report.md", printable_lines(text) + "\n")
    say(f"{CHOSEN[job.select]}: {scores.headline}; see {run / 'report.md'}")
    return scores


def write_scores(folder: Path, scores: Scores) -> tuple[str, ...]:
    """``metrics.json``, and the task's own tables and pictures; returns the pictures' names."""
    write_text(folder / "metrics.json", json.dumps(scores.summary(), indent=2) + "\n")
    return scores.write(folder)
