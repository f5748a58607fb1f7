"""A segmenter over whole images: (H, W) classes of each, windows where one is large."""

from __future__ import annotations

import torch
from torch import Tensor

from res2net import machine
from res2net.data.preprocess import Preprocess
from res2net.data.transforms import normalise
from res2net.heads.deeplab import DeepLabV3Plus

LARGEST = 1536  # pixels of a side that is seen at once
OVERLAP = 256  # pixels that neighbouring windows share


@torch.inference_mode()
def classes_of(
    model: DeepLabV3Plus,
    image: Tensor,
    preprocess: Preprocess,
    *,
    precision: str = "auto",
    largest: int = LARGEST,
    turned: bool = False,
) -> Tensor:
    """The class of each pixel: uint8 (3, H, W) → int64 (H, W), on the CPU.

    Args:
        largest: a longer side is seen in windows of this length that overlap by 256 pixels (a
            quarter of it, if that is less); where they do, their scores are added.
        turned: also see the image in a mirror (the flip test).
    """
    scores = _windows(model, image, preprocess, precision, largest)
    if turned:
        mirror = _windows(model, image.flip(-1), preprocess, precision, largest)
        scores = scores + mirror.flip(-1)
    return scores.argmax(0).cpu()


def _windows(
    model: DeepLabV3Plus, image: Tensor, preprocess: Preprocess, precision: str, largest: int
) -> Tensor:
    weight = next(model.parameters())
    height, width = image.shape[-2:]
    rows, columns = starts(height, largest), starts(width, largest)
    total: Tensor | None = None
    for top in rows:
        for left in columns:
            window = image[None, :, top : top + largest, left : left + largest]
            x = normalise(window.to(weight.device), preprocess, dtype=weight.dtype)
            x = x.contiguous(memory_format=torch.channels_last)
            with machine.autocast(weight.device, precision):
                scores = model(x)[0].float().softmax(0)  # (N, h, w)
            if total is None:
                total = scores.new_zeros((scores.shape[0], height, width))
            total[:, top : top + largest, left : left + largest] += scores
    assert total is not None
    return total


def starts(length: int, window: int) -> list[int]:
    """Where windows begin so that they cover ``length`` and overlap."""
    if length <= window:
        return [0]
    step = window - min(OVERLAP, window // 4)
    last = length - window
    return sorted({*range(0, last, step), last})
