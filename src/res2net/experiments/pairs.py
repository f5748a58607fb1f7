"""Figs. 4, 6 and 7: two trained networks on the same images, side by side. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from res2net.card import ModelCard
from res2net.config import RunConfig, run_of
from res2net.data.dataset import ImageDataset
from res2net.data.decode import decode
from res2net.data.labelled import ReadOptions
from res2net.data.readers import read
from res2net.data.source import parse_source
from res2net.data.transforms import eval_transform, normalise
from res2net.drawing.canvas import Picture
from res2net.errors import UserError, counted
from res2net.experiments.items import Item
from res2net.explain.cam import class_activation_map
from res2net.explain.overlay import heat_overlay
from res2net.models.weights import check_task
from res2net.tasks.open import open_target
from res2net.tasks.pictures import draw_sheet
from res2net.tasks.predictor import Predictor
from res2net.tasks.scores import Measuring
from res2net.tasks.segment.task import labelled
from res2net.tasks.table import find_task

SHOWN = 6  # images by default


def draw_pair(item: Item, runs: Sequence[Path], images: Sequence[Path], path: Path) -> None:
    """The figure of two runs, on the given images or on some of their validation images.

    Raises:
        UserError: not two runs of the figure's task, or an image that cannot be read.
    """
    if len(runs) != 2:
        raise UserError(f"--runs: {item.name} needs two runs, not {len(runs)}: RUN,RUN")
    what = "activation" if item.figure == "activation" else "found"
    rows, names = (_activations if what == "activation" else _found)(item, runs, images)
    seen = "image" if images or what == "activation" else "image, annotation"
    subtitle = f"{counted(len(rows), 'image')}, one per row: {seen}, {names[0]}, {names[1]}"
    draw_sheet(rows, f"{item.word}: {item.title}", subtitle, path)


Rows = list[tuple[tuple[Picture, ...], str]]


def _found(item: Item, runs: Sequence[Path], images: Sequence[Path]) -> tuple[Rows, list[str]]:
    """Predictions of two networks of a task."""
    task = find_task(item.task)
    pair: list[Any] = [open_target(run).predictor() for run in runs]
    for run, each in zip(runs, pair, strict=True):
        check_task(each.card, item.task, run)
    names = _names(runs, [each.card for each in pair])
    if images:
        rows = []
        for file in images:
            shown = [each.predict(file)[0].pictures() for each in pair]
            maps = tuple(_as_picture(each.get("-map", each[""])) for each in shown)
            rows.append(((_pixels(decode(file)), *maps), file.name))
        return rows, names
    config = _config(runs[0])
    scenes: Any = task.data.read(config.data, config.holdout)
    part = [scenes.val[i] for i in _spread(len(scenes.val))]
    measure: Any = task.measure()
    both = [measure(each.network, each.card, scenes, part, Measuring()).seen for each in pair]
    rows = []
    for (image, truth, first, name), (_, _, second, _) in zip(*both, strict=True):
        maps = tuple(_painted(item, pair[0], image, each) for each in (truth, first, second))
        rows.append(((_pixels(image), *maps), name))
    return rows, names


def _painted(item: Item, predictor: Predictor, image: Tensor, found: Tensor) -> Picture:
    if item.figure == "saliency":
        return _as_picture(found.numpy())
    marks: Any = predictor.card.marks
    palette = [tuple(colour) for colour in marks["palette"]]
    return labelled(image, found.numpy(), predictor.classes, palette)


def _activations(
    item: Item, runs: Sequence[Path], images: Sequence[Path]
) -> tuple[Rows, list[str]]:
    """Class activation maps for the true class of validation images, else the predicted class."""
    del item
    opened = [open_target(run) for run in runs]
    for each in opened:
        check_task(each.card, "classify", each.given)
    pair: list[tuple[Any, ModelCard]] = [(each.network, each.card) for each in opened]
    preprocess = pair[0][1].preprocess
    transform = eval_transform(preprocess)
    if images:
        pixels = [transform(decode(file, min_side=preprocess.decode_side)) for file in images]
        truth, names = None, [file.name for file in images]
    else:
        config = _config(runs[0])
        data = read(parse_source(config.data), ReadOptions(**vars(config.holdout)))
        shown = ImageDataset(data.val, transform, min_side=preprocess.decode_side)
        chosen = _spread(len(data.val))
        pixels = [shown[i][0] for i in chosen]
        truth = [int(data.val.labels[i]) for i in chosen]
        names = [data.val.names(i) for i in chosen]
    batch = torch.stack(pixels)
    found = [
        class_activation_map(model, normalise(batch, preprocess), classes=truth)
        for model, _ in pair
    ]
    rows = []
    for i, image in enumerate(pixels):
        picture = _pixels(image)
        overlays = (heat_overlay(picture, each.maps[i].numpy()) for each in found)
        said = [
            f"{card.classes[each.classes[i]]} {100 * each.probabilities[i]:.0f} %"
            + _mistaken(card, each.classes[i], each.predicted[i])
            for each, (_, card) in zip(found, pair, strict=True)
        ]
        rows.append(((picture, *overlays), f"{names[i]}: {', '.join(said)}"))
    return rows, _names(runs, [card for _, card in pair])


def _mistaken(card: ModelCard, explained: int, predicted: int) -> str:
    return "" if predicted == explained else f" (wrong: predicted {card.classes[predicted]})"


def _spread(count: int) -> list[int]:
    """Indices spread over a part, since neighbours are often similar."""
    shown = min(SHOWN, count)
    return [i * count // shown for i in range(shown)]


def _config(run: Path) -> RunConfig:
    config = run_of(run)
    if config is None:
        raise UserError(f"--runs {run}: is not a run folder (no config.yaml), so give images")
    return config


def _names(runs: Sequence[Path], cards: Sequence[ModelCard]) -> list[str]:
    """Names of the two runs: their networks, or their folders if the networks are equal."""
    networks = [card.network for card in cards]
    return networks if len(set(networks)) == len(networks) else [run.name for run in runs]


def _pixels(image: Tensor) -> Picture:
    """uint8 (3, H, W) → (H, W, 3)."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def _as_picture(found: Any) -> Picture:
    """(H, W) or (H, W, 3) → (H, W, 3)."""
    pixels: Picture = np.asarray(found, np.uint8)
    return np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels
