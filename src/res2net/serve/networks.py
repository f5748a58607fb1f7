"""Targets as served networks.

Legend: H, W pixels of the photo · S side of the network's square input
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.photo import RGB, Pixels, shown
from res2net.data.preprocess import Preprocess, Reading
from res2net.data.transforms import normalise
from res2net.errors import UserError, check_meaning
from res2net.explain.cam import class_activation_map
from res2net.explain.overlay import heat_overlay
from res2net.paper.tasks import TASKS, readers
from res2net.prediction import Prediction
from res2net.serve.answer import Answer, Query, Served
from res2net.tasks.classify.task import TOP, Classifier
from res2net.tasks.detect.task import SURE
from res2net.tasks.embed import pooled_in
from res2net.tasks.finding import Finding
from res2net.tasks.open import open_target
from res2net.tasks.pose.task import SURE as KEYPOINT
from res2net.tasks.pose.task import skeleton_of
from res2net.tasks.predictor import NETWORK, Predictor

LARGEST = 640  # pixels of a side that a page shows
# Of a request, where `predict` reads them; not `tiles`: one photo would take minutes.
PARAMETERS = ("top", "score", "iou", "max_detections", "class_agnostic")
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
            "parameters": self.parameters(),
            **({"thresholds": card.thresholds} if card.multi_label else {}),
            **({"drawn": drawn} if (drawn := self._drawn()) else {}),
        }

    def parameters(self) -> list[str]:
        """The parameters that it takes; an exported detector suppresses boxes in its graph."""
        read = TASKS[self.predictor.row.name].predict
        taken = [name for name in PARAMETERS if name in read]
        if self.predictor.runtime is None:
            return [*taken, "embedding"]
        return [name for name in taken if name != "iou"]

    def _drawn(self) -> dict[str, Any]:
        """From which scores `predict` draws what it found, and the lines between key-points."""
        marks = self.predictor.card.marks
        if "skeleton" in marks:
            skeleton = skeleton_of(marks)
            points = {"names": skeleton.names, "bones": skeleton.bones, "keypoint": KEYPOINT}
            return {"score": 0.0, **points}
        return {"score": SURE} if "score" in self.parameters() else {}

    def check(self, query: Query) -> None:
        given = [*query.finding, *(["top"] if query.top is not None else [])]
        check_meaning(given, readers("predict"), self.task, NETWORK)
        exported = None if self.predictor.runtime is None else "an exported network"
        Finding.of(query.finding, exported=exported)  # without the folder: visitors read it
        if query.embedding and exported:
            raise UserError(f"--embedding does not apply to {exported}; serve the run instead")

    def predict(self, pixels: Pixels, query: Query) -> Answer:
        watched: AbstractContextManager[list[Tensor]] = nullcontext([])
        if query.embedding:
            watched = pooled_in(self.predictor)
        start = time.perf_counter()
        with watched as pooled:
            found, shaped = self._found(self.predictor, pixels, query)
            milliseconds = 1000 * (time.perf_counter() - start)
            if query.embedding and not pooled:  # the network is captured
                plain = copy(self.predictor)
                plain.network = plain.model
                self._found(plain, pixels, query)
        embedding = {"embedding": torch.stack(pooled).mean(0).tolist()} if pooled else {}
        picture, shows = self._picture(pixels, query, found, shaped)
        return Answer(
            found=found.as_dict() | embedding,
            line=found.line(),
            size=(pixels.shape[1], pixels.shape[0]),
            picture=picture,
            shows=shows,
            milliseconds=milliseconds,
        )

    def _found(self, predictor: Predictor, pixels: Pixels, query: Query) -> tuple[Prediction, Any]:
        """The result, and for a classifier the image as its network takes it."""
        if not isinstance(predictor, Classifier):
            (found,) = predictor.predict(pixels, precision=self.precision, **query.finding)
            return found, None
        shaped = predictor.shaped(pixels)
        (classes,) = predictor.classify([shaped], top=query.top or TOP, precision=self.precision)
        return classes, shaped

    def _picture(
        self, pixels: Pixels, query: Query, found: Prediction, shaped: Any
    ) -> tuple[RGB | None, str]:
        """The requested picture, and what it shows."""
        predictor = self.predictor
        if query.picture == "photo":
            return shown(pixels), "the photo"
        if not query.picture:
            return None, ""
        if not isinstance(predictor, Classifier):
            return np.asarray(found.pictures()[""]), f"predictions ({predictor.row.title})"
        if predictor.runtime is not None:
            return None, NO_GRADIENTS
        if predictor.card.multi_label:
            return None, "multi-label networks have no activation map"
        return draw_activation(predictor, shaped, pixels)


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
        served.predict(grey, Query())
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
