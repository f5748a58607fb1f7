"""Activation maps of every task that has a score to ask about: one score, one level weighed.

Legend: H, W pixels of an image · C channels, h, w pixels of a level · N classes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from res2net.card import ModelCard
from res2net.data.transforms import normalise
from res2net.errors import UserError
from res2net.explain.cam import enlarged, evaluating, weighed
from res2net.explain.subject import Classifier, Explained, Subject, UnexplainedError, placed
from res2net.machine import best_device
from res2net.models.backbone import Backbone
from res2net.tasks.open import open_target
from res2net.tasks.saliency.inference import squared
from res2net.tasks.segment.inference import LARGEST
from res2net.tasks.table import find_dense_task

BACKGROUND = ("background", "void")  # classes that nobody asks about first


class _Dense(Subject):
    def __init__(self, name: str, network: Any, card: ModelCard) -> None:
        self.model = network.to(best_device())
        self.body: Backbone = find_dense_task(card.task).body(network)
        super().__init__(name, card, [level.name for level in self.body.levels])
        self.weight = next(self.model.parameters())


class Segmenter(_Dense):
    """Score: the mean logit of a class over the pixels that it is given (all, if none are)."""

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


class Salience(_Dense):
    """Score: the sum of the fused map."""

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


class Detector(_Dense):
    """Score: that of the surest box of a class."""

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
                score, number = self._surest(found, wanted)
                heat = weighed(maps[0], score)  # (1, h, w) over the padded image
        finally:
            hook.remove()
        ((inner_h, inner_w), padded), *_ = sizes
        full = enlarged(heat, (padded[0], padded[1]))[:, :inner_h, :inner_w]
        seen = (0, 0, width, height)
        label, name = self.classes[number], self.level_named(level)
        return Explained(
            heat=placed(self.evidence(full, label, name), seen, height, width),
            seen=seen,
            label=label,
            score=float(score.detach()),
            level=name,
            meaning="score of the surest box",
        )

    def _surest(self, found: dict[str, Tensor], wanted: int | None) -> tuple[Tensor, int]:
        labels = found["labels"] - 1  # 0 is the background
        scores = found["scores"]
        if wanted is not None:
            scores = scores[labels == wanted]
        if not len(scores):
            what = "" if wanted is None else f" of class {self.classes[wanted]}"
            raise UnexplainedError(f"{self.name} finds no box{what} to explain in the image")
        best = int(scores.argmax())
        return scores[best], int(labels[best]) if wanted is None else wanted


_SUBJECTS: dict[str, Callable[[str, Any, ModelCard], Subject]] = {
    "classify": Classifier,
    "detect": Detector,
    "instances": Detector,
    "segment": Segmenter,
    "saliency": Salience,
}


def open_subject(target: str) -> Subject:
    """A run folder, a checkpoint, a ``.safetensors`` file, or a name with random weights.

    Raises:
        UserError: nothing there, an artifact, or a network of key-points.
    """
    opened = open_target(target)
    if opened.kind == "artifact":
        raise UserError(
            f"{target}: an artifact computes no gradients, so it cannot be explained; give the run "
            "that it was exported from"
        )
    if opened.task == "pose":
        raise UserError(
            f"{target}: a network of key-points has no class to explain (its maps of heat are its "
            "answer: `res2net predict` draws them); give a classifier, detector, segmenter or "
            "saliency run"
        )
    name = Path(target).name or opened.card.network
    subject = _SUBJECTS[opened.task](name, opened.network, opened.card)
    subject.structure_only = not opened.trained
    return subject


@contextmanager
def captured(body: Backbone, level: str) -> Iterator[list[Any]]:
    """The maps that the backbone gives for a level, one for each time it runs, with gradients."""
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
    """uint8 (3, H, W), made smaller where a side is longer: windows have no gradient in common."""
    height, width = image.shape[-2:]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)
    return small[0].round().clamp(0, 255).to(torch.uint8)
