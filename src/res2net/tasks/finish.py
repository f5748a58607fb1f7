"""The end of a run: the kept weights are measured again, drawn and reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from res2net.errors import printable_lines
from res2net.files import json_text, write_text
from res2net.models.weights import (
    CARD_NAME,
    WEIGHTS_NAME,
    apply_weights,
    read_weights,
    save_weights,
)
from res2net.tasks.data import data_section
from res2net.tasks.pictures import draw_curves
from res2net.tasks.scores import Ended, Measuring, Scores
from res2net.tasks.selection import CHOSEN, History, weights_of
from res2net.tasks.task import Job


def finish(
    run: Path, job: Job, history: History, *, batches: int | None, say: Callable[[str], None]
) -> Scores:
    """Measure the weights that a run keeps, and write their results to its folder.

    Args:
        history: one row per epoch, as in ``metrics.csv``.
        batches: measure only this many batches (a smoke run); None: all.
    """
    model = job.module.model
    kept = weights_of(run, job.select)
    apply_weights(model, read_weights(kept)[0], str(kept))
    how = Measuring(
        precision=job.precision,
        skip_bad=job.skip_bad,
        limit=batches,
        batch=job.val_loader.batch_size or 1,
        workers=job.val_loader.num_workers,
        thresholds=True,
    )
    scores = job.task.measure()(model, job.card, job.images, job.images.val, how)
    card = replace(job.card, metrics=scores.summary(), marks={**job.card.marks, **scores.marks})
    save_weights(model, run / WEIGHTS_NAME)
    write_text(run / CARD_NAME, json_text(card.as_dict(), indent=2) + "\n")
    pictures = write_scores(run, scores)
    draw_curves(history, job.task.curves, run / "curves.png")
    end = Ended(folder=run, job=job, card=card, history=history, pictures=pictures)
    report = f"{scores.report(end)}\n\n{data_section(job.images)}"
    write_text(run / "report.md", printable_lines(report) + "\n")
    say(f"{CHOSEN[job.select]}: {scores.headline}; see {run / 'report.md'}")
    return scores


def write_scores(folder: Path, scores: Scores) -> tuple[str, ...]:
    """Write ``metrics.json`` and the task's tables and pictures; returns the pictures' names."""
    write_text(folder / "metrics.json", json_text(scores.as_dict(), indent=2) + "\n")
    return scores.write(folder)
