"""A trained classifier in use, in PyTorch or exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from res2net.data.decode import as_rgb, decode
from res2net.data.photo import RGB
from res2net.data.transforms import eval_transform
from res2net.prediction import Classification, Pixels
from res2net.tasks.classify.inference import logits_of
from res2net.tasks.predictor import Picture, Predictor

TOP, BATCH = 5, 32


class Classifier(Predictor):
    """A network with its classes and its preprocessing, or an artifact of one."""

    @cached_property
    def _transform(self) -> Callable[[Tensor], Any]:
        return eval_transform(self.preprocess)

    def _results(
        self, images: Iterable[Picture], *, top: Any, boxes: Any, batch: Any, precision: str
    ) -> Iterator[Classification]:
        del boxes
        rest = iter(images)
        while chunk := list(islice(rest, batch or BATCH)):
            shaped = [self.shaped(image) for image in chunk]
            found = self.classify(shaped, top=top or TOP, precision=precision)
            for image, each in zip(chunk, found, strict=True):
                yield Classification(each.top, _without_torch(image))

    def classify(
        self, shaped: Sequence[Any], *, top: int = TOP, precision: str = "auto"
    ) -> list[Classification]:
        """The most likely classes of one batch of images that ``shaped`` made."""
        if self.runtime is not None:
            return self.runtime.classify(shaped, top=top)
        logits = logits_of(self.model, torch.stack(list(shaped)), self.preprocess, precision)
        values, indices = logits.softmax(1).topk(min(top, len(self.classes)), dim=1)
        return [
            Classification(tuple((self.classes[k], v) for k, v in zip(row, p, strict=True)))
            for row, p in zip(indices.tolist(), values.tolist(), strict=True)
        ]

    def shaped(self, image: Picture) -> Tensor | RGB:
        """One image resized and cropped: uint8 (3, S, S), for an artifact (S, S, 3)."""
        if self.runtime is not None:
            return self.runtime.shaped(_without_torch(image))
        if isinstance(image, str | Path):
            rgb = decode(image, min_side=self.preprocess.decode_side)
        else:
            rgb = as_rgb(image)
        shaped: Tensor = self._transform(rgb)
        return shaped


def _without_torch(image: Picture) -> Pixels:
    return as_rgb(image).permute(1, 2, 0).numpy() if isinstance(image, Tensor) else image
