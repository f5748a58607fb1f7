"""A segmenter over whole images: (H, W) classes of each, windows where one is large."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from res2net.data.preprocess import Preprocess
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.prediction import Prediction
from res2net.tasks.dense.deployed import filled
from res2net.tasks.dense.network import Deployed, InUse, in_use

LARGEST = 1536  # pixels of a side that is seen at once
OVERLAP = 256  # pixels that neighbouring windows share


@torch.inference_mode()
def classes_of(
    model: DeepLabV3Plus | Deployed,
    image: Tensor,
    preprocess: Preprocess,
    *,
    precision: str = "auto",
    largest: int = LARGEST,
    scales: Sequence[float] = (1.0,),
    turned: bool = False,
) -> Tensor:
    """The class of each pixel: uint8 (3, H, W) → int64 (H, W), on the CPU.

    Args:
        largest: a longer side is seen in windows of this length that overlap by 256 pixels (a
            quarter of it, if that is less); where they do, their scores are added. An exported
            network sees windows of its own size.
        scales: sizes at which the image is seen, as factors of its own; scores are added.
        turned: also see the image in a mirror (the flip test).
    """
    height, width = image.shape[-2:]
    net = in_use(model, preprocess, precision)
    total: Tensor | None = None
    for scale in scales:
        seen = image
        if scale != 1:
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            small = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)
            seen = small[0].round().clamp(0, 255).to(torch.uint8)
        for mirrored in (False, True) if turned else (False,):
            scores = _windows(net, seen.flip(-1) if mirrored else seen, preprocess, largest)
            scores = scores.flip(-1) if mirrored else scores
            if scale != 1:
                scores = F.interpolate(scores[None], (height, width), mode="bilinear")[0]
            total = scores if total is None else total + scores
    if total is None:
        raise ValueError("scales is empty")
    return total.argmax(0).cpu()


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation(Prediction):
    """The classes of an image's pixels.

    Attributes:
        image: uint8 (3, H, W).
        classes: int64 (H, W), indices of ``names``.
        names: of the classes.
        palette: a colour of each class.

    Example:
        >>> (found,) = res2net.load("runs/streets").predict("street.jpg")
        >>> found.shares()  # {"road": 0.41, "sky": 0.2, ...}
    """

    image: Tensor
    classes: Tensor
    names: tuple[str, ...]
    palette: Sequence[tuple[int, int, int]]

    def shares(self) -> dict[str, float]:
        """The share of the image that each class covers, largest first; those that are there."""
        found = self.classes.numpy()
        counts = np.bincount(found.ravel(), minlength=len(self.names)) / found.size
        order = np.argsort(-counts, kind="stable")
        return {self.names[k]: float(counts[k]) for k in order if counts[k]}

    def as_dict(self) -> dict[str, Any]:
        return {"shares": self.shares()}

    def line(self) -> str:
        return "  ".join(f"{name} {100 * share:.0f} %" for name, share in self.shares().items())

    def pictures(self) -> Mapping[str, Any]:
        """The image in the colours of its classes, with their names, and the map of classes."""
        from res2net.tasks.segment.pictures import labelled

        classes = self.classes.numpy()
        picture = labelled(self.image, classes, self.names, self.palette)
        return {"": picture, "-classes": classes.astype(np.uint8)}


def _windows(net: InUse, image: Tensor, preprocess: Preprocess, largest: int) -> Tensor:
    """Probabilities (N, H, W) of an image."""
    height, width = image.shape[-2:]
    total: Tensor | None = None
    fill = preprocess if net.size else None
    for top, left, window in windows(image, net.size or (largest, largest), fill):
        scores = net(window[None])[0].softmax(0)  # (N, h, w)
        if total is None:
            total = scores.new_zeros((scores.shape[0], height, width))
        part = total[:, top : top + window.shape[1], left : left + window.shape[2]]
        part += scores[:, : part.shape[1], : part.shape[2]]
    assert total is not None
    return total


def windows(
    image: Tensor, size: tuple[int, int], fill: Preprocess | None
) -> Iterator[tuple[int, int, Tensor]]:
    """Top, left and pixels (3, h, w) of the windows over an image (3, H, W).

    Args:
        size: h, w at most.
        fill: whose mean colour makes every window of exactly this size; None leaves them smaller.
    """
    height, width = image.shape[-2:]
    if fill is not None and (height < size[0] or width < size[1]):
        image = filled(image, (max(height, size[0]), max(width, size[1])), fill)
    for top in starts(height, size[0]):
        for left in starts(width, size[1]):
            yield top, left, image[:, top : top + size[0], left : left + size[1]]


def starts(length: int, window: int) -> list[int]:
    """Where windows begin so that they cover ``length`` and overlap."""
    if length <= window:
        return [0]
    step = window - min(OVERLAP, window // 4)
    last = length - window
    return sorted({*range(0, last, step), last})
