"""Networks of all tasks that can be explained, with the score to differentiate.

Legend: H, W pixels of an image · S side of a classifier's square input · C channels, h, w
pixels of a level · N classes
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from res2net.card import ModelCard
from res2net.data.preprocess import Reading
from res2net.data.transforms import LONGEST, eval_transform, normalise
from res2net.drawing.marks import BACKGROUND
from res2net.errors import UserError, did_you_mean
from res2net.explain.cam import check_level, class_activation_map, enlarged, evaluating, weighed
from res2net.machine import best_device
from res2net.models.backbone import Backbone
from res2net.models.network import Network
from res2net.paper.networks import check_levels
from res2net.tasks.open import open_target
from res2net.tasks.saliency.task import squared
from res2net.tasks.segment.task import LARGEST
from res2net.tasks.table import find_task

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


class UnexplainedError(UserError):
    """A network predicts nothing in an image that could be explained."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """The explanation of a prediction for one image."""

    heat: npt.NDArray[np.float32]  # (H, W), 0..1; 0 outside the network's input
    seen: Box  # the part of the image that the network receives
    label: str  # of the explained class
    score: float  # 0..1, predicted for it
    level: str  # level of the feature map
    meaning: str = "probability"  # of the score
    predicted: str | None = None  # of a classifier: its likeliest class
    box: Box | None = None  # of a detector: the explained one


def reading_of(subjects: Sequence[Subject]) -> Reading:
    """The reading of images that are shown to all networks.

    Raises:
        UserError: they take different channels or ranges of values.
    """
    readings = {subject.card.preprocess.reading for subject in subjects}
    if len(readings) > 1:
        raise UserError(
            f"{' and '.join(subject.name for subject in subjects)} take images of different "
            "channels or ranges of values; explain them one by one"
        )
    return readings.pop()


class Subject(ABC):
    """A network with its classes, ready to explain."""

    chooses = True  # whether the class can be chosen

    def __init__(self, name: str, card: ModelCard, levels: Sequence[str]) -> None:
        self.name = name  # for messages
        self.card = card
        self.levels = tuple(levels)
        self.structure_only = False  # random weights

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    def number_of(self, wanted: str) -> int:
        """The index of a class, given its name or number.

        Raises:
            UserError: no such class; suggests the nearest.
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
            UserError: the network does not have it; the message lists those it has.
        """
        try:
            return check_level(self.levels, level)
        except ValueError as error:
            raise UserError(f"--level: {error} ({self.name})") from None

    def evidence(self, heat: Tensor, label: str, level: str) -> Tensor:
        """Return the map after a check.

        Raises:
            UnexplainedError: the map is zero everywhere.
        """
        if not heat.any():
            raise UnexplainedError(
                f"no evidence: the map of {self.name} at level {level} for class {label} is zero "
                "everywhere; try another --level"
            )
        return heat

    @abstractmethod
    def explain(
        self, image: Tensor, *, wanted: int | None = None, level: str | None = None
    ) -> Explained:
        """The map of a class over an image.

        Args:
            image: uint8 (3, H, W).
            wanted: index of the class; None: the network's top prediction.

        Raises:
            UserError: an unknown level.
            UnexplainedError: nothing to explain.
        """


class Classifier(Subject):
    """A classifier, whose input is the centre of the image."""

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
            predicted=self.classes[found.predicted[0]],
        )


def seen_part(height: int, width: int, resize: int, size: int) -> Box:
    """The part of an image in the central crop after the short side is resized.

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
    """A map (1, h, w) placed at its part of the image: (H, W), 0 elsewhere."""
    left, top, right, bottom = seen
    whole = torch.zeros(height, width)
    whole[top:bottom, left:right] = enlarged(heat, (bottom - top, right - left))[0]
    highest = float(whole.max())
    return (whole / highest if highest > 0 else whole).numpy()


class _OnBackbone(Subject):
    def __init__(self, name: str, network: Any, card: ModelCard) -> None:
        self.model = network.to(best_device())
        self.body: Backbone = find_task(card.task).body(network)
        super().__init__(name, card, [level.name for level in self.body.levels])
        self.weight = next(self.model.parameters())


class Segmenter(_OnBackbone):
    """Score: the mean logit of a class over its predicted pixels (over all, if there are none)."""

    def explain(
        self, image: Tensor, *, wanted: int | None = None, level: str | None = None
    ) -> Explained:
        height, width = image.shape[-2:]
        small = _at_most(image, LARGEST)
        x = normalise(small[None].to(self.weight.device), self.card.preprocess)
        with evaluating(self.model), captured(self.body, self.level_named(level)) as maps:
            logits = self.model(x.requires_grad_())[0]  # (N, H, W)
            given = logits.argmax(0)
            shares = torch.bincount(given.flatten(), minlength=len(logits)) / given.numel()
            number = self._largest(shares) if wanted is None else wanted
            part = given == number
            score = logits[number][part].mean() if part.any() else logits[number].mean()
            heat = weighed(maps[0], score)
        seen = (0, 0, width, height)
        label, name = self.classes[number], self.level_named(level)
        return Explained(
            heat=placed(self.evidence(heat, label, name), seen, height, width),
            seen=seen,
            label=label,
            score=float(shares[number]),
            level=name,
            meaning="share of the pixels",
        )

    def _largest(self, shares: Tensor) -> int:
        order = shares.argsort(descending=True).tolist()
        return next((k for k in order if self.classes[k].lower() not in BACKGROUND), order[0])


class Salience(_OnBackbone):
    """Score: the sum of the fused map."""

    chooses = False

    def explain(
        self,
        image: Tensor,
        *,
        wanted: int | None = None,  # noqa: ARG002 (there is one class)
        level: str | None = None,
    ) -> Explained:
        height, width = image.shape[-2:]
        x = squared(image[None].to(self.weight.device), self.card.preprocess, torch.float32)
        with evaluating(self.model), captured(self.body, self.level_named(level)) as maps:
            fused = self.model(x.requires_grad_())[0].sigmoid()
            heat = weighed(maps[0], fused.sum())
        seen = (0, 0, width, height)
        label, name = "salient", self.level_named(level)
        return Explained(
            heat=placed(self.evidence(heat, label, name), seen, height, width),
            seen=seen,
            label=label,
            score=float(fused.detach().mean()),
            level=name,
            meaning="mean of the map",
        )


class Detector(_OnBackbone):
    """Score: that of the highest-scoring box of a class."""

    def explain(
        self, image: Tensor, *, wanted: int | None = None, level: str | None = None
    ) -> Explained:
        height, width = image.shape[-2:]
        x = (image.to(self.weight.device, self.weight.dtype) / 255).requires_grad_()
        sizes: list[tuple[tuple[int, int], torch.Size]] = []
        hook = self.model.transform.register_forward_hook(
            lambda _, __, out: sizes.append((out[0].image_sizes[0], out[0].tensors.shape[-2:]))
        )
        try:
            with evaluating(self.model), captured(self.body, self.level_named(level)) as maps:
                (found,) = self.model([x])
                best = self._surest(found, wanted)
                score, number = found["scores"][best], int(found["labels"][best]) - 1
                heat = weighed(maps[0], score)  # (1, h, w) over the padded image
        finally:
            hook.remove()
        ((inner_h, inner_w), padded), *_ = sizes
        full = enlarged(heat, (padded[0], padded[1]))[:, :inner_h, :inner_w]
        seen = (0, 0, width, height)
        label, name = self.classes[number], self.level_named(level)
        left, top, right, bottom = (round(edge) for edge in found["boxes"][best].tolist())
        return Explained(
            heat=placed(self.evidence(full, label, name), seen, height, width),
            seen=seen,
            label=label,
            score=float(score.detach()),
            level=name,
            meaning="score of the most confident box",
            box=(left, top, right, bottom),
        )

    def _surest(self, found: dict[str, Tensor], wanted: int | None) -> int:
        """The index of the most confident box, of the wanted class if there is one."""
        own = torch.ones_like(found["labels"], dtype=torch.bool)
        if wanted is not None:
            own = found["labels"] == wanted + 1  # 0 is the background
        if not own.any():
            what = "" if wanted is None else f" of class {self.classes[wanted]}"
            raise UnexplainedError(f"{self.name} detects no box{what} to explain in the image")
        return int(found["scores"].detach().masked_fill(~own, -1).argmax())


_SUBJECTS: dict[str, Callable[[str, Any, ModelCard], Subject]] = {
    "classify": Classifier,
    "detect": Detector,
    "instances": Detector,
    "segment": Segmenter,
    "saliency": Salience,
}


def open_subject(target: str) -> Subject:
    """Open a run folder, a checkpoint, a ``.safetensors`` file, or a name with random weights.

    Raises:
        UserError: a missing target, an artifact, or a network without classes, as for key-points.
    """
    opened = open_target(target)
    if opened.kind == "artifact":
        raise UserError(
            f"{target}: an artifact computes no gradients, so it cannot be explained; give the run "
            "that it was exported from"
        )
    if opened.card.multi_label:
        raise UserError(f"{target}: multi-label networks are not supported")
    if opened.task not in _SUBJECTS:
        raise UserError(
            f"{target}: a network of {find_task(opened.task).title} has no class to explain "
            "(its maps show location: use `res2net predict`); give a classifier, detector, "
            "segmenter or saliency run"
        )
    check_levels(opened.card.network)
    name = Path(target).name or opened.card.network
    subject = _SUBJECTS[opened.task](name, opened.network, opened.card)
    subject.structure_only = not opened.trained
    return subject


@contextmanager
def captured(body: Backbone, level: str) -> Iterator[list[Any]]:
    """The backbone's maps of a level, one per forward pass, with gradients."""
    maps: list[Any] = []

    def keep(_: object, __: object, out: dict[str, Tensor]) -> None:
        maps.append(out[level])

    hook = body.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            yield maps
    finally:
        hook.remove()


def _at_most(image: Tensor, longest: int) -> Tensor:
    """uint8 (3, H, W), reduced if a side is longer, since windows would not share a gradient."""
    height, width = image.shape[-2:]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)
    return small[0].round().clamp(0, 255).to(torch.uint8)
