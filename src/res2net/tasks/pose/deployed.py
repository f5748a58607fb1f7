"""A pose network as a graph: cut-out objects in, heat maps out.

Legend: B objects · K key-points · S_h, S_w the network's input · h, w its heat maps
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.scene import Objects
from res2net.errors import UserError
from res2net.tasks.dense.deployed import (
    Compared,
    Comparison,
    Deployment,
    Outputs,
    Pixels,
    of_size,
    shown,
)
from res2net.tasks.dense.network import Size
from res2net.tasks.pose.crops import STRIDE, input_size
from res2net.tasks.pose.frame import around
from res2net.tasks.pose.inference import SURE, peaks

LEAST = 0.97  # share of sure key-points whose peak stays where it is in int8; our own rule
NEAR = 1.0  # cells


def outputs(card: ModelCard) -> tuple[dict[str, Any], ...]:
    """Heat maps (B, K, h, w)."""
    count = len(card.marks["skeleton"]["names"])
    return ({"name": "heatmaps", "channels": count, "stride": STRIDE},)


def frame(card: ModelCard, size: Size | int | None) -> tuple[ModelCard, Size]:
    """The height of training, or another, and three quarters of it.

    Raises:
        UserError: another shape, or a height that does not fit.
    """
    given = card.preprocess.size if size is None else size
    height = given[0] if isinstance(given, tuple) else given
    if height < 64 or height % 32:
        raise UserError(f"--size is {height}; the height must be a multiple of 32, 64 or more")
    found = input_size(height)
    if isinstance(given, tuple) and given != found:
        raise UserError(f"--size {shown(given)}: objects are seen at 4:3, {shown(found)}")
    return replace(card, preprocess=of_size(card.preprocess, height)), found


def views(image: Tensor, objects: Objects | None, card: ModelCard, size: Size) -> Pixels:  # noqa: ARG001
    """The marked objects, or without marks the whole image as one."""
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    whole = np.array([[0.0, 0.0, pixels.shape[1], pixels.shape[0]]])
    boxes = whole if objects is None else objects.boxes[~objects.ignored]
    seen = [around(box).cut(pixels, size) for box in boxes]
    return np.stack(seen) if seen else np.zeros((0, *size, 3), np.uint8)


def compare(wanted: Outputs, found: Outputs) -> Compared:
    """The share of eager's sure key-points that are found within a cell."""
    a, b = (peaks(torch.from_numpy(each[0])).numpy() for each in (wanted, found))  # (B, K, 3)
    sure = a[:, :, 2] > SURE
    near = np.linalg.norm(a[:, :, :2] - b[:, :, :2], axis=2) <= NEAR
    counts = sure.sum(1)
    return Compared(wanted, found, (sure & near).sum(1) / counts.clip(1), counts)


DEPLOYMENT = Deployment(
    graph=lambda model: model,
    outputs=outputs,
    frame=frame,
    views=views,
    comparison=Comparison(what="place of a sure key-point", least=LEAST, of=compare),
)
