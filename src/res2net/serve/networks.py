"""Targets as served networks.

Legend: H, W pixels of the photo · S side of the network's square input
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.photo import RGB, Pixels, shown
from res2net.data.preprocess import Preprocess, Reading
from res2net.data.transforms import normalise
from res2net.explain.cam import class_activation_map
from res2net.explain.overlay import heat_overlay
from res2net.serve.answer import Answer, Served
from res2net.tasks.classify.task import Classifier
from res2net.tasks.open import open_target
from res2net.tasks.predictor import Predictor

LARGEST = 640  # pixels of a side that a page shows
NO_GRADIENTS = "no activation map: an exported network has no gradients; serve the run instead"


class Network:
    """A network of any task, in PyTorch or exported."""

    def __init__(self, name: str, predictor: Predictor, precision: str = "auto") -> None:
        self.name = name
        self.predictor = predictor
        self.precision = precision
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
            and self.predictor.runtime is None
            and not card.multi_label,
        }

    def predict(self, pixels: Pixels, *, top: int, picture: bool) -> Answer:
        start = time.perf_counter()
        predictor: Any = self.predictor
        if isinstance(predictor, Classifier):
            return self._classes(predictor, pixels, start, top=top, picture=picture)
        (found,) = predictor.predict(pixels, precision=self.precision)
        milliseconds = 1000 * (time.perf_counter() - start)
        return Answer(
            found=found.as_dict(),
            line=found.line(),
            probabilities=(),
            picture=np.asarray(found.pictures()[""]) if picture else None,
            shows=f"predictions ({predictor.row.title})" if picture else "",
            milliseconds=milliseconds,
        )

    def _classes(
        self, predictor: Classifier, pixels: Pixels, start: float, *, top: int, picture: bool
    ) -> Answer:
        shaped: Any = predictor.shaped(pixels)
        (found,) = predictor.classify([shaped], top=top, precision=self.precision)
        milliseconds = 1000 * (time.perf_counter() - start)
        drawn, shows = None, ""
        if picture and predictor.runtime is not None:
            shows = NO_GRADIENTS
        elif picture and predictor.card.multi_label:
            shows = "multi-label networks have no activation map"
        elif picture:
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
    targets: Sequence[str],
    *,
    precision: str = "auto",
    capture: str = "auto",
    compiled: str | None = None,
) -> list[Served]:
    """Load every target and test it on a grey image.

    Args:
        precision: "auto", "fp32", "bf16" or "fp16", for networks in PyTorch.
        capture, compiled: for those in PyTorch (see ``res2net.capture.capture``).

    Raises:
        UserError: a target that cannot be loaded, that cannot predict, or that does not
            compute in this precision here.
    """
    opened: list[Served] = []
    for target, name in zip(targets, _names(targets), strict=True):
        predictor = open_target(target).predictor(capture=capture, compiled=compiled)
        predictor.check_precision(precision)
        opened.append(Network(name, predictor, precision))
    for served in opened:
        grey = np.full((64, 64, served.reading.channels), 127, np.uint8)
        served.predict(grey, top=1, picture=False)
    return opened


def _names(targets: Sequence[str]) -> list[str]:
    """A short, unique, URL-safe name for each target."""
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


def draw_activation(predictor: Classifier, shaped: Tensor, pixels: Pixels) -> tuple[RGB, str]:
    """The photo, cropped to the network's input, under its Grad-CAM, and a caption.

    Args:
        shaped: ``pixels`` after ``predictor.shaped``: uint8 (C, S, S).
        pixels: uint8 (H, W, C).
    """
    batch = normalise(shaped[None], predictor.preprocess)  # (1, C, S, S)
    found = class_activation_map(predictor.model, batch)
    seen = seen_square(shown(pixels), predictor.preprocess)
    heat = Image.fromarray(found.maps[0].numpy(), "F")  # (S, S)
    large = np.asarray(heat.resize((seen.shape[1], seen.shape[0]), Image.Resampling.BILINEAR))
    name = predictor.classes[found.classes[0]]
    return heat_overlay(seen, large.clip(0, 1)), f"evidence for {name} (Grad-CAM, {found.level})"


def seen_square(pixels: RGB, preprocess: Preprocess) -> RGB:
    """The central square of a photo (H, W, 3) that resizing and cropping keep.

    In the photo's own resolution, reduced where a side would exceed 640 pixels.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    side = min(max(round(short * preprocess.size / preprocess.resize), 1), short)
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    if side > LARGEST:
        square = square.resize((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return np.asarray(square)
