"""A trained network measured on labelled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from res2net.card import ModelCard
from res2net.data.labelled import LabelledImages
from res2net.data.preprocess import Preprocess
from res2net.data.readers import read
from res2net.data.source import parse_source
from res2net.errors import UserError
from res2net.files import alone_in
from res2net.models.factory import create_model
from res2net.models.network import Network
from res2net.tasks.classify.conclude import draw_all
from res2net.tasks.classify.evaluation import Evaluation, score
from res2net.tasks.classify.inference import Track, run_deployed, run_over
from res2net.tasks.classify.job import check_size
from res2net.tasks.open import Opened
from res2net.tasks.selection import held_out, measured_part
from res2net.weights.catalogue import published_for
from res2net.weights.pretrained import IN1K

IMAGENET_CLASSES = 1000


def evaluate(
    opened: Opened,
    data: str,
    *,
    split: str | None,
    out: Path | None,
    batch: int,
    size: int | None,
    workers: int | None,
    precision: str,
    val_fraction: float | None,
    seed: int | None,
    skip_bad: bool,
    track: Track | None,
    say: Callable[[str], None],
) -> tuple[Evaluation, Path]:
    """Measure a classifier and write its tables and pictures (see ``tasks.evaluate``).

    Returns:
        The evaluation and the folder.
    """
    target = opened.given
    for value, least, option in ((batch, 1, "--batch"), (workers, 0, "--workers")):
        if value is not None and value < least:
            raise UserError(f"{option} is {value}; it must be at least {least}")
    runtime = opened.runtime
    if runtime is not None and (size is not None or precision != "auto"):
        raise UserError(f"{target}: an artifact has its size and precision; export another")
    trained_on = opened.card.data
    val_fraction, seed = held_out(
        opened.run, trained_on, data, split=split, val_fraction=val_fraction, seed=seed
    )
    model, card = None, opened.card
    images = read(parse_source(data), val_fraction=val_fraction, seed=seed, skip_bad=skip_bad)
    if not opened.trained:
        model, card = published_network(target, images)
    elif runtime is None:
        model = opened.network
    preprocess = card.preprocess
    if size is not None:
        check_size(size, card.network, "--size")
        preprocess = resized(preprocess, size)
    part, words = measured_part(images, split, data)
    say(f"measuring {words}: {len(part)} images")
    part = replace(part, labels=_in_order_of(card.classes, images, part.labels))
    if runtime is not None:
        logits, targets, seen = run_deployed(
            runtime, part, batch=batch, workers=workers, skip_bad=skip_bad, track=track
        )
    else:
        assert model is not None
        logits, targets, seen = run_over(
            model,
            part,
            preprocess,
            batch=batch,
            workers=workers,
            precision=precision,
            skip_bad=skip_bad,
            track=track,
        )
    evaluation = score(logits, targets, card.classes)
    usual = opened.home / "evaluation" if opened.trained else Path("runs") / f"{target}-published"
    folder = out or usual
    with alone_in(folder, "--out"):
        draw_all(folder, evaluation, part, seen, preprocess)
    return evaluation, folder


def published_network(name: str, images: LabelledImages) -> tuple[Network, ModelCard]:
    """A network with its published ImageNet weights, to be measured on ImageNet.

    Raises:
        UserError: nobody published any, they cannot be had, or the data are not ImageNet.
    """
    row = published_for(name)
    if len(images.classes) != IMAGENET_CLASSES:
        raise UserError(
            f"{name}: its published weights tell ImageNet's {IMAGENET_CLASSES:,} classes apart, "
            f"{images.name} has {len(images.classes)}; give the run folder of a network of yours"
        )
    model = create_model(name, pretrained=IN1K)
    card = ModelCard(network=name, classes=images.classes, preprocess=row.preprocess)
    return model.eval(), card


def resized(preprocess: Preprocess, size: int) -> Preprocess:
    """The same preprocessing for another size, with the same share of margin around the crop."""
    return replace(preprocess, size=size, resize=round(size * preprocess.resize / preprocess.size))


def _in_order_of(
    classes: tuple[str, ...], images: LabelledImages, labels: np.ndarray[Any, np.dtype[np.int64]]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Labels as the network numbers its classes; the data may have fewer of them."""
    unknown = [name for name in images.classes if name not in classes]
    if unknown:
        raise UserError(
            f"{images.name} has classes that the network does not know: {', '.join(unknown[:5])}"
            f"{f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''}; it knows "
            f"{', '.join(classes[:5])}{', ...' if len(classes) > 5 else ''}"
        )
    return np.array([classes.index(name) for name in images.classes], dtype=np.int64)[labels]
