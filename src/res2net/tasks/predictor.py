"""A trained network in use: one typed result per image; the same for every task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from res2net.capture import capture as capture_of
from res2net.card import ModelCard
from res2net.data.decode import as_pixels
from res2net.data.files import with_folders
from res2net.data.preprocess import Preprocess
from res2net.errors import UserError, arguments_named, check_meaning
from res2net.machine import best_device
from res2net.paper.tasks import readers
from res2net.prediction import Prediction
from res2net.runtime.session import Runtime
from res2net.tasks.finding import Finding, FindingOptions, given
from res2net.tasks.network import Deployed

if TYPE_CHECKING:
    from res2net.tasks.task import Task

NETWORK = "a network of --task {}"  # how messages name a network
Picture = str | Path | Image.Image | np.ndarray[Any, Any] | Tensor


class Predictor:
    """A network, or an exported artifact in its engine, with its description.

    Attributes:
        row: its task.
        card: network, task, classes, preprocessing, scores.
        model: the network in evaluation mode; None for an artifact.
        runtime: the artifact in its engine; None for a network in PyTorch.
        network: the argument of the task's functions: ``model``, captured on a GPU (see
            ``res2net.capture``), or the artifact as one.
    """

    def __init__(
        self,
        row: Task,
        card: ModelCard,
        *,
        model: Any = None,
        runtime: Runtime | None = None,
        device: str | torch.device | None = None,
        capture: str = "auto",
        compiled: str | None = None,
    ) -> None:
        self.row = row
        self.card = card
        self.runtime = runtime
        self.model: Any = None if model is None else _in_use(model, device)
        if self.model is not None:
            part = row.deployment.folded
            self.network: Any = capture_of(self.model, part, how=capture, compiled=compiled)
        else:
            assert runtime is not None, "a network or an artifact"
            self.network = Deployed(runtime)

    @property
    def task(self) -> str:
        """The task that the network was trained for: classify, detect, ..."""
        return self.card.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the network's outputs."""
        return self.card.classes

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing of images."""
        return self.card.preprocess

    @property
    def engine(self) -> str:
        """The engine: "pytorch", or engine and precision of an artifact."""
        if self.runtime is None:
            return "pytorch"
        return f"{self.runtime.artifact.engine} {self.runtime.artifact.precision}"

    def predict(
        self,
        images: Picture | Iterable[Picture],
        *,
        top: int | None = None,
        boxes: Any = None,
        batch: int | None = None,
        precision: str = "auto",
        **finding: Unpack[FindingOptions],
    ) -> list[Any]:
        """The result of each image, in order: ``Classification``, ``Detections``, ``Segmentation``,
        ``SaliencyMap`` or ``Poses``, by the task.

        Args:
            images: one or many of: a path, a folder (the images under it, at any depth, sorted), a
                PIL image, an array (H, W), (H, W, 3) or (H, W, 4) of uint8, a tensor (3, H, W) of
                uint8; for a network with C input channels, arrays (H, W, C) and tensors (C, H, W).
                (Other types: see ``decode.as_pixels``.)
            top: classify: number of classes to return; 5 if None.
            boxes: pose: where the objects are; None: the whole image. One for each
                image: an array (N, 4) of left, top, right, bottom in pixels or the ``Detections``
                of another network. Or the JSON file of a detector's predictions, by the names of
                image files.
            batch: classify: images per batch; 32 if None.
            precision: "auto" (bf16 if the hardware supports it), "fp32", "bf16" or "fp16". An
                artifact has its own.
            finding: detectors, pose: ``score`` and the other fields of ``Finding``: which
                detections are kept.

        Raises:
            UserError: an image that cannot be read (the message names it), an argument that does
                not apply to the task, or a value out of range.
            TypeError, ValueError: something that is not an image.

        Example:
            >>> detector = res2net.load("runs/cells")
            >>> (found,) = detector.predict("slide.png")
            >>> found.save("slide-marked.png")
        """
        return list(
            self.predict_each(
                images, top=top, boxes=boxes, batch=batch, precision=precision, **finding
            )
        )

    def predict_each(
        self,
        images: Picture | Iterable[Picture],
        *,
        top: int | None = None,
        boxes: Any = None,
        batch: int | None = None,
        precision: str = "auto",
        **finding: Unpack[FindingOptions],
    ) -> Iterator[Any]:
        """As ``predict``, one result at a time; earlier results are not kept."""
        with arguments_named():
            found = self.finding(finding)
            yield from self.results(
                *(images,), top=top, boxes=boxes, batch=batch, precision=precision, finding=found
            )

    def finding(self, options: Mapping[str, Any]) -> Finding | None:
        """Which detections are kept, by the options of ``Finding``; None if none is given.

        Raises:
            UserError: one that does not apply to the network, or a value out of range.
        """
        own = given(options)
        check_meaning(own, readers("predict"), self.task, NETWORK)
        folder = None if self.runtime is None else str(self.runtime.artifact.folder)
        return Finding.of(own, exported=folder)

    def results(
        self, images: Any, *, top: Any, boxes: Any, batch: Any, precision: str, finding: Any = None
    ) -> Iterator[Any]:
        """As ``predict_each``, with errors that name options of the command line."""
        own = {"top": top, "boxes": boxes, "batch": batch}
        check_meaning(given(own), readers("predict"), self.task, NETWORK)
        for name, count in (("top", top), ("batch", batch)):
            if count is not None and count < 1:
                raise UserError(f"--{name} is {count}; it must be at least 1")
        self.check_precision(precision)
        how: dict[str, Any] = {"precision": precision, "finding": finding}
        return self._results(listed(images), top=top, boxes=boxes, batch=batch, **how)

    def _results(
        self, images: Any, *, top: Any, boxes: Any, batch: Any, precision: str, finding: Any
    ) -> Iterator[Prediction]:
        """The results in order."""
        del top, batch
        predict = self.row.predict
        assert predict is not None, "a task without it has a predictor of its own"
        own = None if boxes is None or self.row.places is None else self.row.places(boxes)
        reading = self.preprocess.reading
        kept = {} if finding is None else {"finding": finding}
        for number, image in enumerate(images):
            places = () if own is None else (own(number, image, self.classes),)
            pixels = as_pixels(image, reading)
            yield predict(self.network, self.card, pixels, precision, *places, **kept)

    def check_precision(self, precision: str) -> None:
        """Refuse a precision for an artifact.

        Raises:
            UserError: it has its own.
        """
        if self.runtime is not None and precision != "auto":
            raise UserError(
                f"--precision {precision}: {self.runtime.artifact.folder} has its own; "
                "export another artifact"
            )


def _in_use(model: nn.Module, device: str | torch.device | None) -> nn.Module:
    try:
        where = best_device() if device is None else torch.device(device)
        model = model.to(where)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device}: {str(error).splitlines()[0]}") from None
    return model.to(memory_format=torch.channels_last).eval()


def listed(images: Picture | Iterable[Picture]) -> Iterable[Picture]:
    """The images one by one; a folder is several, so is an array or tensor of four axes."""
    if isinstance(images, np.ndarray | Tensor):
        return images if images.ndim == 4 else [images]
    return with_folders([images] if isinstance(images, str | Path | Image.Image) else images)
