"""A segmenter as a graph of one size: windows of images in, logits of each pixel out.

Legend: B windows · N classes · H, W of a window
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.scene import Objects
from res2net.tasks.dense.deployed import (
    Compared,
    Comparison,
    Deployment,
    Outputs,
    Pixels,
    channels_last,
    check_side,
)
from res2net.tasks.dense.network import Size
from res2net.tasks.segment.inference import windows

LEAST = 0.97  # share of pixels that keep their class in int8; our own rule


def outputs(card: ModelCard) -> tuple[dict[str, Any], ...]:
    """Logits (B, N, H, W)."""
    return ({"name": "class_logits", "channels": len(card.classes), "stride": 1},)


def frame(card: ModelCard, size: Size | int | None) -> tuple[ModelCard, Size]:
    """A square of the training crops' side, or any rectangle.

    Raises:
        UserError: too few pixels.
    """
    side = card.preprocess.size if size is None else size
    found = side if isinstance(side, tuple) else (side, side)
    check_side(*found)
    return card, found


def views(image: Tensor, objects: Objects | None, card: ModelCard, size: Size) -> Pixels:  # noqa: ARG001
    """The windows over an image, filled up where it is smaller."""
    return channels_last(torch.stack([seen for *_, seen in windows(image, size, card.preprocess)]))


def compare(wanted: Outputs, found: Outputs) -> Compared:
    """The share of pixels of one class in both."""
    a, b = wanted[0].argmax(1), found[0].argmax(1)  # (B, H, W)
    first = a[:, :1, :1]  # a map of one class in both finds nothing
    things = ((a != first) | (b != first)).sum(axis=(1, 2))
    return Compared(wanted, found, (a == b).mean(axis=(1, 2), dtype=np.float64), things)


DEPLOYMENT = Deployment(
    graph=lambda model: model,
    outputs=outputs,
    frame=frame,
    views=views,
    comparison=Comparison(what="class of a pixel", least=LEAST, of=compare),
)
