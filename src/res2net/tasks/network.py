"""A trained network in use, in PyTorch or exported: pixels in, outputs out.

Legend: B batch · H, W space
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from res2net import machine
from res2net.data.preprocess import Preprocess
from res2net.data.transforms import normalise
from res2net.metrics.detections import DetectionArrays
from res2net.prediction import Prediction
from res2net.runtime.session import Runtime

Size = tuple[int, int]  # H, W
LOGITS = "logits"  # the output of a classifier


class InUse(Protocol):
    """uint8 (B, input channels, H, W) → float32 maps (B, C, h, w), on any device."""

    @property
    def size(self) -> Size | None:
        """H, W of its input; None: any."""

    def __call__(self, images: Tensor) -> Tensor:
        """The maps of a batch."""


class InTorch:
    """A network in PyTorch, on the device where its weights are."""

    size: Size | None = None

    def __init__(self, model: nn.Module, preprocess: Preprocess, precision: str) -> None:
        self.model, self.preprocess, self.precision = model, preprocess, precision

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        weight = next(self.model.parameters())
        x = normalise(images.to(weight.device), self.preprocess, dtype=weight.dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        with machine.autocast(weight.device, self.precision):
            found: Tensor = self.model(x)
        return found.float()


class Deployed:
    """An artifact in its engine; it has one size, and normalises its inputs itself."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    @property
    def size(self) -> Size:
        return self.runtime.artifact.height, self.runtime.artifact.width

    @property
    def preprocess(self) -> Preprocess:
        """How its images are resized."""
        return self.runtime.preprocess

    def __call__(self, images: Tensor) -> Tensor:
        return next(iter(self.outputs(images).values()))

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """All outputs of the graph by name."""
        pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())
        found = self.runtime(pixels)
        named = found if isinstance(found, dict) else {LOGITS: found}
        return {name: torch.from_numpy(np.asarray(each)) for name, each in named.items()}


def in_use(
    model: nn.Module | Deployed,
    preprocess: Preprocess,
    precision: str,
    graph: Callable[[Any], nn.Module] = lambda model: model,
) -> InUse:
    """A network as a function from images to maps.

    Args:
        graph: network → the module that outputs the map; in an artifact it is
            chosen already.
    """
    if isinstance(model, Deployed):
        return model
    return InTorch(graph(model), preprocess, precision)


def in_colours(image: Tensor) -> Tensor:
    """An image for drawing: (C, H, W) → (3, H, W), the first three channels or the first one."""
    count = image.shape[0]
    return image if count == 3 else image[:3] if count > 3 else image[:1].repeat(3, 1, 1)


def ready(model: Any) -> None:
    """Put a PyTorch network on the best device in evaluation mode; an artifact is unchanged."""
    if not isinstance(model, Deployed):
        model.to(machine.best_device()).to(memory_format=torch.channels_last).eval()


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundObjects(Prediction):
    """A result of N objects in an image, highest score first.

    Attributes:
        image: uint8 (3, H, W).
        detections: boxes, scores, classes and further results of the task.
    """

    image: Tensor
    detections: DetectionArrays

    def __len__(self) -> int:
        return len(self.detections)

    @property
    def boxes(self) -> npt.NDArray[np.float64]:
        """(N, 4): left, top, right, bottom in pixels of the image."""
        return self.detections.boxes

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """(N,), 0..1."""
        return self.detections.scores
