"""Targets as served networks."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from res2net.card import ModelCard
from res2net.data.photo import Pixels
from res2net.data.preprocess import Reading
from res2net.serve.answer import Answer, Served
from res2net.tasks.classify.task import Classifier
from res2net.tasks.open import open_target
from res2net.tasks.predictor import Predictor

NO_GRADIENTS = "no activation map: an exported network has no gradients; serve the run for one"


class Network:
    """A network of any task, in PyTorch or exported."""

    def __init__(self, name: str, predictor: Predictor) -> None:
        self.name = name
        self.predictor = predictor
        self.task = predictor.task
        card = predictor.card
        how = "PyTorch" if predictor.runtime is None else predictor.engine
        if not isinstance(predictor, Classifier):
            how = f"{predictor.row.title}, {how}"
        data = f" on {_data(card)}" if card.data else ""
        self.reading: Reading = card.preprocess.reading
        self.title = f"{card.network}{data}, {how}"

    def describe(self) -> dict[str, Any]:
        card = self.predictor.card
        return {
            "network": card.network,
            "task": card.task,
            "data": _data(card),
            "pixels": card.preprocess.size,
            "classes": list(card.classes),
            "metrics": card.metrics,
            "notes": card.notes,
            "engine": self.predictor.engine,
            "activation_map": isinstance(self.predictor, Classifier)
            and self.predictor.runtime is None,
        }

    def predict(self, pixels: Pixels, *, top: int, picture: bool) -> Answer:
        start = time.perf_counter()
        predictor: Any = self.predictor
        if isinstance(predictor, Classifier):
            return self._classes(predictor, pixels, start, top=top, picture=picture)
        (found,) = predictor.predict(pixels)
        milliseconds = 1000 * (time.perf_counter() - start)
        return Answer(
            found=found.as_dict(),
            line=found.line(),
            probabilities=(),
            picture=np.asarray(found.pictures()[""]) if picture else None,
            shows=f"what was found ({predictor.row.title})" if picture else "",
            milliseconds=milliseconds,
        )

    def _classes(
        self, predictor: Classifier, pixels: Pixels, start: float, *, top: int, picture: bool
    ) -> Answer:
        shaped: Any = predictor.shaped(pixels)
        (found,) = predictor.classify([shaped], top=top)
        milliseconds = 1000 * (time.perf_counter() - start)
        drawn, shows = None, ""
        if picture and predictor.runtime is not None:
            shows = NO_GRADIENTS
        elif picture:
            from res2net.serve.activation import draw_activation

            drawn, shows = draw_activation(predictor, shaped, pixels)
        return Answer(
            found=found.as_dict(),
            line=found.line(),
            probabilities=found.top,
            picture=drawn,
            shows=shows,
            milliseconds=milliseconds,
        )


def open_networks(
    targets: Sequence[str], *, capture: str = "auto", compiled: str | None = None
) -> list[Served]:
    """Every target, loaded and tried on a grey image.

    Args:
        capture, compiled: of those in PyTorch (see ``res2net.capture.capture``).

    Raises:
        UserError: one that cannot be loaded, or that cannot say what is in an image.
    """
    opened: list[Served] = [
        Network(name, open_target(target).predictor(capture=capture, compiled=compiled))
        for target, name in zip(targets, _names(targets), strict=True)
    ]
    for served in opened:
        grey = np.full((64, 64, served.reading.channels), 127, np.uint8)
        served.predict(grey, top=1, picture=False)
    return opened


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


def _data(card: ModelCard) -> str:
    """The name of the data, without the folders of the machine that trained."""
    kind, _, path = card.data.rpartition(":")
    return Path(path).name or kind
