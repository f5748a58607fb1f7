"""The end of a run: the best weights measured once more, packed, drawn and reported."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.dataset import ImageDataset
from res2net.data.labelled import Split
from res2net.data.preprocess import Preprocess
from res2net.data.transforms import eval_transform
from res2net.files import write_text
from res2net.models.network import Network
from res2net.models.weights import (
    CARD_NAME,
    WEIGHTS_NAME,
    apply_weights,
    read_weights,
    save_weights,
)
from res2net.tasks.classify.evaluation import Evaluation, score
from res2net.tasks.classify.inference import run_over
from res2net.tasks.classify.job import Job
from res2net.tasks.classify.pictures import draw_calibration, draw_confusion, draw_curves
from res2net.tasks.classify.report import save_evaluation, write_report
from res2net.tasks.classify.sheets import draw_mistakes
from res2net.tasks.selection import CHOSEN, described, part_of, weights_of

History = Sequence[Mapping[str, float]]


def conclude(
    run: Path, job: Job, history: History, *, batches: int | None, say: Callable[[str], None]
) -> Evaluation:
    """Evaluate the weights that a run keeps and fill its folder.

    Args:
        history: a row an epoch, as in ``metrics.csv``.
        batches: validate on so many batches only (a smoke run); None takes all.
    """
    model = job.module.model
    kept = weights_of(run, job.select)
    apply_weights(model, read_weights(kept)[0], str(kept))
    logits, targets, seen = run_over(
        model,
        job.images.val,
        job.card.preprocess,
        batch=job.val_loader.batch_size or 64,
        workers=job.val_loader.num_workers,
        limit=batches,
        precision=job.precision,
        skip_bad=job.skip_bad,
    )
    evaluation = score(logits, targets, job.images.classes)
    card = replace(job.card, metrics=evaluation.summary())
    save_weights(model, run / WEIGHTS_NAME)
    write_text(run / CARD_NAME, json.dumps(card.as_dict(), indent=2) + "\n")
    pictures = draw_all(run, evaluation, job.images.val, seen, card.preprocess, history)
    write_report(
        run,
        title=f"{card.network} on {job.images.name}",
        facts=facts(run, job, card, model, history, evaluation.count),
        evaluation=evaluation,
        history=history,
        pictures=pictures,
    )
    say(
        f"{CHOSEN[job.select]}: top-1 error {evaluation.top1_error:.2f} %, accuracy "
        f"{evaluation.top1_accuracy:.2f} %; see {run / 'report.md'}"
    )
    return evaluation


def draw_all(
    folder: Path,
    evaluation: Evaluation,
    split: Split,
    seen: Tensor,
    preprocess: Preprocess,
    history: History = (),
) -> list[str]:
    """Tables and pictures of an evaluation of the images ``seen``; the names of the pictures."""
    names = [split.names(i) for i in seen.tolist()]
    save_evaluation(folder, evaluation, names)
    shown = ImageDataset(split, eval_transform(preprocess), min_side=preprocess.decode_side)

    def pixels(index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        image: Tensor = shown[int(seen[index])][0]
        return image.permute(1, 2, 0).numpy()

    pictures = []
    if history:
        draw_curves(history, folder / "curves.png")
        pictures.append("curves.png")
    draw_confusion(evaluation, folder / "confusion.png")
    draw_calibration(evaluation, folder / "calibration.png")
    draw_mistakes(evaluation, pixels, folder / "mistakes.png", names=names)
    return [*pictures, "confusion.png", "calibration.png", "mistakes.png"]


def facts(
    run: Path, job: Job, card: ModelCard, model: Network, history: History, measured: int
) -> dict[str, str]:
    """What the report says about the run, besides its scores.

    Args:
        measured: validation images.
    """
    images = job.images
    return {
        "network": f"{card.network} {card.options or ''}".strip(),
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        "data": f"{card.data}: {len(images.train)} training, {len(images.val)} validation images "
        f"({measured} measured), {len(images.classes)} classes",
        "validated on": part_of(images.validation),
        "weights": described(job.select, history, job.monitor, images.validation),
        "input": f"{card.preprocess.size}x{card.preprocess.size} pixels",
        "recipe": card.recipe,
        "versions": ", ".join(f"{name} {value}" for name, value in card.versions.items()),
        "commit": card.commit or "(installed package)",
        "evaluate": f"res2net evaluate {run} --data {card.data}",
        "predict": f"res2net predict {run} IMAGE_OR_FOLDER",
        "resume": f"res2net train --config {run}/config.yaml --out {run} --resume",
    }
