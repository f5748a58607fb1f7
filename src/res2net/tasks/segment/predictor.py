"""A trained segmenter in use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from res2net.data.decode import decode
from res2net.data.scenes.voc import palette
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.machine import best_device
from res2net.models.card import ModelCard
from res2net.models.weights import apply_weights, check_task, read_target
from res2net.tasks.segment.inference import classes_of
from res2net.tasks.segment.job import build


class Predictor:
    """A network with its classes and its preprocessing.

    Attributes:
        model: the network, in evaluation mode.
        card: everything else that is known of it.
    """

    def __init__(self, model: DeepLabV3Plus, card: ModelCard) -> None:
        self.model = model.to(best_device()).eval()
        self.card = card

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """A colour for each class; the first is black where it is the background."""
        colours = palette(len(self.classes) + 1)
        plain = self.classes[0] in ("background", "ground")
        return colours[:-1] if plain else colours[1:]

    def predict(
        self, image: str | Path, *, precision: str = "auto"
    ) -> tuple[Tensor, npt.NDArray[np.uint8]]:
        """The image uint8 (3, H, W) and the class of each pixel (H, W).

        Raises:
            UserError: an image that cannot be read; names it.
        """
        pixels = decode(image)
        found = classes_of(self.model, pixels, self.card.preprocess, precision=precision)
        return pixels, found.to(torch.uint8).numpy()

    def shares(self, found: npt.NDArray[np.uint8]) -> dict[str, float]:
        """The share of the image that each class covers, largest first; those that are there."""
        counts = np.bincount(found.ravel(), minlength=len(self.classes)) / found.size
        order = np.argsort(-counts, kind="stable")
        return {self.classes[k]: float(counts[k]) for k in order if counts[k]}


def load(target: str | Path) -> Predictor:
    """Load a run folder, a checkpoint or a ``.safetensors`` file with its ``model.json``.

    Raises:
        UserError: nothing there, nothing that can be loaded, or a network of another task.
    """
    state, card, file, _ = read_target(target)
    check_task(card, "segment", target)
    model = build(card)
    apply_weights(model, state, str(file))
    return Predictor(model, card)
