"""A detector as a graph of one size for one image, with results in the image's own pixels.

torchvision's detectors resize each image as it comes; a graph has one size. An image is shrunk or
enlarged as in the run, unless it would not fit, and placed at the upper left of the frame.
Legend: N detections · h, w an image in the frame · H, W the frame
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import LevelMapper

from res2net.card import ModelCard
from res2net.data.preprocess import Preprocess
from res2net.data.scene import Objects
from res2net.data.scenes.options import Marks
from res2net.metrics.detections import box_iou
from res2net.paper.tasks import TASKS
from res2net.tasks.deployed import (
    Compared,
    Outputs,
    Pixels,
    channels_last,
    check_side,
    filled,
    of_size,
)
from res2net.tasks.network import Deployed, Size

STEP = 32  # pixels; torchvision pads images to multiples of it
LONGEST = 5 / 3  # long side over short side, if the card has no value
SAME = 0.9  # intersection over union from which two boxes are one object
LEAST = 0.99  # share of detections that are found again
TOLERANCE = 1e-3  # relative L2 of their boxes, scores and masks: a tenth of a pixel in 100


class Pooling(nn.Module):
    """torchvision's ``MultiScaleRoIAlign`` for one image, with its regions reordered by a sort.

    The original's reordering fails in ONNX Runtime if no region falls on a level.
    """

    def __init__(self, pool: MultiScaleRoIAlign) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, maps: dict[str, Tensor], boxes: list[Tensor], sizes: list[Size]) -> Tensor:
        (regions,), ((height, _),) = boxes, sizes
        pool = self.pool
        levels = [maps[name] for name in pool.featmap_names]
        depths = [round(math.log2(height / level.shape[2])) for level in levels]  # log2 of strides
        size, ratio = pool.output_size, pool.sampling_ratio
        numbered = torch.cat([torch.zeros_like(regions[:, :1]), regions], 1)  # (N, 5): image 0
        if len(levels) == 1:
            return roi_align(levels[0], numbered, size, 0.5 ** depths[0], ratio)
        mapper = LevelMapper(depths[0], depths[-1], pool.canonical_scale, pool.canonical_level)
        places = mapper(boxes)
        chosen = [torch.where(places == i)[0] for i in range(len(levels))]
        pooled = [
            roi_align(level, numbered[own], size, 0.5**depth, ratio)
            for level, own, depth in zip(levels, chosen, depths, strict=True)
        ]
        order = torch.cat(chosen).float().argsort()  # N is a thousand at most
        return torch.cat(pooled)[order]


class Detector(nn.Module):
    """Normalised (1, 3, H, W) → boxes (N, 4), scores (N,), classes from 0 (N,).

    Mask R-CNN also outputs masks within the boxes: (N, 1, 28, 28), 0..1.
    """

    def __init__(self, model: FasterRCNN) -> None:
        super().__init__()
        self.backbone, self.rpn = model.backbone, model.rpn
        self.roi_heads = copy.deepcopy(model.roi_heads)
        self.roi_heads.box_roi_pool = Pooling(model.roi_heads.box_roi_pool)
        if model.roi_heads.has_mask():
            self.roi_heads.mask_roi_pool = Pooling(model.roi_heads.mask_roi_pool)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        size = (int(x.shape[2]), int(x.shape[3]))
        maps = self.backbone(x)
        regions, _ = self.rpn(ImageList(x, [size]), maps)
        (found,), _ = self.roi_heads(maps, regions, [size])
        masks = (found["masks"],) if "masks" in found else ()
        return found["boxes"], found["scores"], (found["labels"] - 1).float(), *masks


def marks_of(card: ModelCard) -> Marks:
    """The parts of a detection, by the task's annotations."""
    return cast(Marks, TASKS[card.task].annotations)


def outputs(card: ModelCard) -> tuple[dict[str, Any], ...]:
    """Names, in the order of ``Detector``."""
    masks = ("masks",) if marks_of(card) == "masks" else ()
    return tuple({"name": name} for name in ("boxes", "scores", "labels", *masks))


def resized(card: ModelCard, size: Size | int | None) -> tuple[ModelCard, Size]:
    """A square that holds every image at the run's size or another short side; or a rectangle.

    Raises:
        UserError: too few pixels.
    """
    preprocess = card.preprocess
    if isinstance(size, tuple):
        check_side(*size)
        return replace(card, preprocess=of_size(preprocess, min(size))), size
    short = preprocess.size if size is None else size
    check_side(short)
    longest = card.options.get("long_side", preprocess.size * LONGEST) / preprocess.size
    side = -(-round(short * longest) // STEP) * STEP
    return replace(card, preprocess=of_size(preprocess, short)), (side, side)


def inputs(image: Tensor, objects: Objects | None, card: ModelCard, size: Size) -> Pixels:  # noqa: ARG001
    """The image in its frame."""
    return channels_last(framed(image, card.preprocess, size)[0][None])


def framed(image: Tensor, preprocess: Preprocess, size: Size) -> tuple[Tensor, Size]:
    """uint8 (3, h0, w0) → uint8 (3, H, W), and its h, w within."""
    height, width = image.shape[-2:]
    scale = min(preprocess.size / min(height, width), size[0] / height, size[1] / width)
    inner = (max(1, int(height * scale)), max(1, int(width * scale)))
    if inner != (height, width):
        moved = F.interpolate(image[None].float(), inner, mode="bilinear", align_corners=False)
        image = moved[0].round().clamp(0, 255).to(torch.uint8)
    return filled(image, size, preprocess), inner


def detect_deployed(net: Deployed, image: Tensor) -> dict[str, Tensor]:
    """The outputs of torchvision's detectors for uint8 (3, h0, w0), in its own pixels."""
    height, width = image.shape[-2:]
    seen, inner = framed(image, net.preprocess, net.size)
    found = net.outputs(seen[None])
    boxes = found["boxes"].clone()
    boxes[:, 0::2] = boxes[:, 0::2].clamp(max=inner[1]) * (width / inner[1])
    boxes[:, 1::2] = boxes[:, 1::2].clamp(max=inner[0]) * (height / inner[0])
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # not beyond the image
    inside &= (found["scores"] > 0) & (found["labels"] >= 0)  # padding of older files in OpenVINO
    kept = {
        "boxes": boxes[inside],
        "scores": found["scores"][inside],
        "labels": found["labels"][inside].long() + 1,
    }
    if "masks" in found:
        masks = found["masks"][inside]
        kept["masks"] = paste_masks_in_image(masks, kept["boxes"], (height, width))
    return kept


def compare(wanted: Outputs, found: Outputs) -> Compared:
    """Detections of one class at the same place in both, highest score first; their share."""
    overlap = box_iou(wanted[0].astype(np.float64), found[0].astype(np.float64))
    overlap[wanted[2][:, None] != found[2][None]] = 0
    pairs: list[tuple[int, int]] = []
    for i in range(len(overlap)):
        j = int(overlap[i].argmax()) if overlap.shape[1] else 0
        if overlap.shape[1] and overlap[i, j] >= SAME:
            pairs.append((i, j))
            overlap[:, j] = 0
    a, b = np.array(pairs, np.int64).reshape(-1, 2).T
    total = len(wanted[0]) + len(found[0])
    return Compared(
        [each[a][None] for each in wanted],
        [each[b][None] for each in found],
        np.array([2 * len(pairs) / max(total, 1)]),
        np.array([total]),
    )
