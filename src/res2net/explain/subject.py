"""What is explained: a network of any task that has a score to ask about.

Legend: H, W pixels of an image · S side of the square that a classifier sees
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.transforms import LONGEST, eval_transform, normalise
from res2net.errors import UserError, did_you_mean
from res2net.explain.cam import check_level, class_activation_map, enlarged
from res2net.machine import best_device
from res2net.models.network import Network

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


class UnexplainedError(UserError):
    """A network has nothing to say of an image that could be explained."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """Why a network says what it says of one image."""

    heat: npt.NDArray[np.float32]  # (H, W), 0..1; 0 where the network does not look at all
    seen: Box  # the part of the image that reaches the network
    label: str  # of the explained class
    score: float  # 0..1, what the network says of it
    level: str  # whose map was weighed
    meaning: str = "probability"  # of the score


class Subject(ABC):
    """A network with its classes, ready to be asked about."""

    def __init__(self, name: str, card: ModelCard, levels: Sequence[str]) -> None:
        self.name = name  # for people
        self.card = card
        self.levels = tuple(levels)
        self.structure_only = False  # random weights

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    def number_of(self, wanted: str) -> int:
        """The index of a class, given by its name or number.

        Raises:
            UserError: no such class; names the nearest.
        """
        if wanted in self.classes:
            return self.classes.index(wanted)
        if wanted.isdecimal() and int(wanted) < len(self.classes):
            return int(wanted)
        raise UserError(
            f"--class: {self.name} has no class {wanted!r}.{did_you_mean(wanted, self.classes)} "
            f"It has {len(self.classes)}: names, or 0 to {len(self.classes) - 1}"
        )

    def level_named(self, level: str | None) -> str:
        """The level, the last by default.

        Raises:
            UserError: the network does not have it; lists those it has.
        """
        try:
            return check_level(self.levels, level)
        except ValueError as error:
            raise UserError(f"--level: {error} ({self.name})") from None

    def evidence(self, heat: Tensor, label: str, level: str) -> Tensor:
        """The same map.

        Raises:
            UnexplainedError: it is zero throughout.
        """
        if not heat.any():
            raise UnexplainedError(
                f"no evidence: the map of {self.name} at level {level} for class {label} is zero "
                "throughout; another --level may have some"
            )
        return heat

    @abstractmethod
    def explain(
        self, image: Tensor, *, wanted: int | None = None, level: str | None = None
    ) -> Explained:
        """The map of a class over an image.

        Args:
            image: uint8 (3, H, W).
            wanted: index of the class; None takes what the network is surest of.

        Raises:
            UserError: a level that the network does not have.
            UnexplainedError: nothing to explain.
        """


class Classifier(Subject):
    """A classifier; it sees the middle of the image."""

    def __init__(self, name: str, model: Network, card: ModelCard) -> None:
        super().__init__(name, card, [level.name for level in model.levels])
        self.model = model.to(best_device()).eval()
        self._shape = eval_transform(card.preprocess)

    def explain(
        self, image: Tensor, *, wanted: int | None = None, level: str | None = None
    ) -> Explained:
        found = class_activation_map(
            self.model,
            normalise(self._shape(image)[None], self.card.preprocess),
            classes=None if wanted is None else [wanted],
            level=self.level_named(level),
        )
        height, width = image.shape[-2:]
        seen = seen_part(height, width, self.card.preprocess.resize, self.card.preprocess.size)
        label = self.classes[found.classes[0]]
        return Explained(
            heat=placed(self.evidence(found.maps, label, found.level), seen, height, width),
            seen=seen,
            label=label,
            score=found.probabilities[0],
            level=found.level,
        )


def seen_part(height: int, width: int, resize: int, size: int) -> Box:
    """What of an image lies in the central square behind resizing the short side.

    Args:
        resize, size: of the preprocessing, in pixels.
    """
    kept = (min(height, LONGEST * width), min(width, LONGEST * height))
    edges: list[tuple[int, int]] = []
    for length, part in zip((height, width), kept, strict=True):
        covered = min(part, part * size / (resize * part / min(kept)))
        start = (length - covered) / 2
        edges.append((round(start), max(round(start + covered), round(start) + 1)))
    (top, bottom), (left, right) = edges
    return left, top, right, bottom


def placed(heat: Tensor, seen: Box, height: int, width: int) -> npt.NDArray[np.float32]:
    """A map (1, h, w) laid over the part of the image that it is of: (H, W), 0 elsewhere."""
    left, top, right, bottom = seen
    whole = torch.zeros(height, width)
    whole[top:bottom, left:right] = enlarged(heat, (bottom - top, right - left))[0]
    highest = float(whole.max())
    return (whole / highest if highest > 0 else whole).numpy()
