"""Targets as served networks: a classifier in PyTorch, an artifact, a network of another task."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from res2net.data.photo import RGB
from res2net.errors import UserError
from res2net.models.card import ModelCard
from res2net.models.prediction import Prediction
from res2net.runtime.artifact import is_artifact
from res2net.runtime.session import Runtime
from res2net.runtime.session import load as load_artifact
from res2net.serve.answer import Answer, Served
from res2net.tasks.classify.predictor import Predictor
from res2net.tasks.classify.predictor import load as load_classifier
from res2net.tasks.dense.network import Deployed
from res2net.tasks.dense.predictor import Predictor as DensePredictor
from res2net.tasks.dense.predictor import load as load_dense
from res2net.tasks.table import find_dense_task, task_of

NO_GRADIENTS = "no activation map: an exported network has no gradients; serve the run for one"


class Classifier:
    """A run or checkpoint in PyTorch."""

    task = "classify"

    def __init__(self, name: str, predictor: Predictor) -> None:
        self.name = name
        self.predictor = predictor
        self.title = _title(predictor.card, "PyTorch")

    def describe(self) -> dict[str, Any]:
        return {**_described(self.predictor.card), "engine": "pytorch", "activation_map": True}

    def look(self, pixels: RGB, *, top: int, picture: bool) -> Answer:
        start = time.perf_counter()
        shaped = self.predictor.shaped(pixels)
        (prediction,) = self.predictor.classify([shaped], top=top)
        milliseconds = 1000 * (time.perf_counter() - start)
        drawn, shows = None, ""
        if picture:
            from res2net.serve.activation import draw_activation

            drawn, shows = draw_activation(self.predictor, shaped, pixels)
        return _of_classes(prediction, drawn, shows, milliseconds)


class Exported:
    """An artifact in its engine."""

    task = "classify"

    def __init__(self, name: str, runtime: Runtime) -> None:
        self.name = name
        self.runtime = runtime
        made = runtime.artifact
        self.title = _title(made.card, f"{made.engine} {made.precision}")

    def describe(self) -> dict[str, Any]:
        made = self.runtime.artifact
        engine = f"{made.engine} {made.precision}"
        return {**_described(made.card), "engine": engine, "activation_map": False}

    def look(self, pixels: RGB, *, top: int, picture: bool) -> Answer:
        start = time.perf_counter()
        (prediction,) = self.runtime.classify([self.runtime.shaped(pixels)], top=top)
        milliseconds = 1000 * (time.perf_counter() - start)
        return _of_classes(prediction, None, NO_GRADIENTS if picture else "", milliseconds)


class Dense:
    """A network that marks what is in an image."""

    def __init__(self, name: str, predictor: DensePredictor) -> None:
        self.name = name
        self.predictor = predictor
        self.task = predictor.task.name
        made = predictor.model.runtime.artifact if isinstance(predictor.model, Deployed) else None
        self.engine = f"{made.engine} {made.precision}" if made else "pytorch"
        how = self.engine if made else "PyTorch"
        self.title = _title(predictor.card, f"{predictor.task.title}, {how}")

    def describe(self) -> dict[str, Any]:
        return {**_described(self.predictor.card), "engine": self.engine, "activation_map": False}

    def look(self, pixels: RGB, *, top: int, picture: bool) -> Answer:  # noqa: ARG002  no top here
        predictor = self.predictor
        image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)
        start = time.perf_counter()
        found = predictor.task.look(predictor.model, predictor.card, image, "auto")
        milliseconds = 1000 * (time.perf_counter() - start)
        return Answer(
            found=found.as_dict(),
            line=found.line(),
            probabilities=(),
            picture=np.asarray(found.pictures()[""]) if picture else None,
            shows=f"what was found ({predictor.task.title})" if picture else "",
            milliseconds=milliseconds,
        )


def open_networks(targets: Sequence[str]) -> list[Served]:
    """Every target, loaded and tried on a grey image.

    Raises:
        UserError: one that cannot be loaded, or that cannot say what is in an image.
    """
    opened = [_open(target, name) for target, name in zip(targets, _names(targets), strict=True)]
    for served in opened:
        served.look(np.full((64, 64, 3), 127, np.uint8), top=1, picture=False)
    return opened


def _open(target: str, name: str) -> Served:
    task = task_of(target)
    if task != "classify":
        return Dense(name, load_dense(find_dense_task(task), target))
    if not is_artifact(target):
        return Classifier(name, load_classifier(target))
    runtime = load_artifact(target)
    if runtime.artifact.card.task != "classify":
        raise UserError(f"{target}: gives maps of features, which no page can show")
    return Exported(name, runtime)


def _names(targets: Sequence[str]) -> list[str]:
    """A short name of each target that fits in an address, none twice."""
    names: list[str] = []
    for target in targets:
        path = Path(target).resolve()
        word = path.parent.parent.name if path.parent.name == "checkpoints" else path.name
        if path.is_file() and path.suffix == ".safetensors":
            word = path.parent.name
        base = re.sub(r"[^\w.-]+", "-", word).strip("-.") or "model"
        name, number = base, 2
        while name in names:
            name, number = f"{base}-{number}", number + 1
        names.append(name)
    return names


def _title(card: ModelCard, how: str) -> str:
    data = f" on {_data(card)}" if card.data else ""
    return f"{card.network}{data}, {how}"


def _data(card: ModelCard) -> str:
    """The name of the data, without the folders of the machine that trained."""
    kind, _, path = card.data.rpartition(":")
    return Path(path).name or kind


def _described(card: ModelCard) -> dict[str, Any]:
    return {
        "network": card.network,
        "task": card.task,
        "data": _data(card),
        "pixels": card.preprocess.size,
        "classes": list(card.classes),
        "metrics": card.metrics,
        "notes": card.notes,
    }


def _of_classes(
    prediction: Prediction, picture: RGB | None, shows: str, milliseconds: float
) -> Answer:
    return Answer(
        found={"classes": [{"class": name, "probability": p} for name, p in prediction.top]},
        line=f"{prediction.label} {100 * prediction.probability:.1f} %",
        probabilities=prediction.top,
        picture=picture,
        shows=shows,
        milliseconds=milliseconds,
    )
