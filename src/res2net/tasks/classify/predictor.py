"""A trained classifier in use: ``res2net.load(run).predict(images)``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from res2net.data.decode import as_rgb, decode
from res2net.data.preprocess import Preprocess
from res2net.data.transforms import eval_transform
from res2net.errors import UserError
from res2net.machine import best_device
from res2net.models.card import ModelCard
from res2net.models.network import Network
from res2net.models.prediction import Prediction
from res2net.models.weights import load_target
from res2net.tasks.classify.inference import logits_of

Picture = str | Path | Image.Image | np.ndarray[Any, Any] | Tensor


class Predictor:
    """A network with its classes and its preprocessing.

    Attributes:
        model: the network, in evaluation mode.
        classes: names, in the order of the logits.
        preprocess: what an image goes through before the network.
        card: everything else that is known of it.
    """

    def __init__(self, model: Network, card: ModelCard) -> None:
        self.model = model.to(best_device()).to(memory_format=torch.channels_last).eval()
        self.card = card
        self._shape = eval_transform(card.preprocess)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    @property
    def preprocess(self) -> Preprocess:
        return self.card.preprocess

    def predict(
        self,
        images: Picture | Sequence[Picture],
        *,
        top: int = 5,
        batch: int = 32,
        precision: str = "auto",
    ) -> list[Prediction]:
        """The most likely classes of each image, in order.

        Args:
            images: one or many of: a path, a PIL image, an array (H, W), (H, W, 3) or (H, W, 4) of
                uint8, a tensor (3, H, W) of uint8. (Other numbers: see ``decode.as_rgb``.)
            top: how many classes to name.

        Raises:
            UserError: an image that cannot be read; names it.
            TypeError, ValueError: something that is no image.
        """
        if top < 1 or batch < 1:
            raise UserError(f"top is {top} and batch is {batch}; both must be at least 1")
        shaped = (self.shaped(picture) for picture in _listed(images))
        chunks = iter(lambda: list(islice(shaped, batch)), [])
        return [p for chunk in chunks for p in self.classify(chunk, top=top, precision=precision)]

    def classify(
        self, shaped: Sequence[Tensor], *, top: int = 5, precision: str = "auto"
    ) -> list[Prediction]:
        """The most likely classes of one batch of images that ``shaped`` made."""
        logits = logits_of(self.model, torch.stack(list(shaped)), self.preprocess, precision)
        values, indices = logits.softmax(1).topk(min(top, len(self.classes)), dim=1)
        return [
            Prediction(tuple((self.classes[k], v) for k, v in zip(row, p, strict=True)))
            for row, p in zip(indices.tolist(), values.tolist(), strict=True)
        ]

    def shaped(self, image: Picture) -> Tensor:
        """One image as the network sees it before normalisation: uint8 (3, S, S)."""
        if isinstance(image, str | Path):
            pixels = decode(image, min_side=self.preprocess.decode_side)
        else:
            pixels = as_rgb(image)
        shaped: Tensor = self._shape(pixels)
        return shaped


def _listed(images: Picture | Sequence[Picture]) -> Iterable[Picture]:
    """The images one by one; an array or tensor of four axes is several."""
    if isinstance(images, np.ndarray | Tensor):
        return images if images.ndim == 4 else [images]
    return [images] if isinstance(images, str | Path | Image.Image) else images


def load(target: str | Path) -> Predictor:
    """Load a run folder, a checkpoint or a ``.safetensors`` file with its ``model.json``.

    Raises:
        UserError: nothing there, or nothing that can be loaded; says what to do.
    """
    return Predictor(*load_target(target))
