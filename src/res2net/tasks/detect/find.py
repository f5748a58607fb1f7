"""A detector in use: the user's thresholds, and large photos in tiles.

Legend: N detections · H, W an image
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.ops import batched_nms

from res2net import machine
from res2net.card import ModelCard
from res2net.data.outlines import pack, placed
from res2net.heads.c4 import SUPPRESSION
from res2net.metrics.detections import DetectionArrays, box_iou
from res2net.tasks.detect.graph import detect_deployed
from res2net.tasks.finding import OVERLAP, Finding
from res2net.tasks.network import Deployed

MASK = 0.5  # probability from which a pixel belongs to a mask
EDGE = 0.01  # share of a tile's side: a box that ends nearer to its border counts as cut off


def find(
    model: FasterRCNN | Deployed, card: ModelCard, image: Tensor, finding: Finding, precision: str
) -> DetectionArrays:
    """The requested detections in uint8 (3, H, W), in its own pixels, highest score first."""
    with thresholds(model, finding):
        found = detect(model, image, precision=precision)
        iou = overlap_of(model, card, finding)
        if finding.tiles is not None:
            side = card.preprocess.size if finding.tiles == "auto" else finding.tiles
            overlap = OVERLAP if finding.overlap is None else finding.overlap
            inner = in_tiles(model, image, side, overlap, precision)
            found = with_tiles(found, inner, iou)
    if finding.class_agnostic:
        found = found.of(_surest(found, iou, agnostic=True))
    order = np.argsort(-found.scores, kind="stable")
    kept = order[found.scores[order] >= (finding.score or 0.0)]
    return found.of(kept[: finding.max_detections])


@contextmanager
def thresholds(model: FasterRCNN | Deployed, finding: Finding) -> Iterator[None]:
    """Use these thresholds in the network; its own are restored at the end."""
    if isinstance(model, Deployed):
        yield
        return
    heads = model.roi_heads
    before = heads.score_thresh, heads.nms_thresh, heads.detections_per_img
    score = None if finding.score is None else finding.score - 1e-6  # torchvision's is exclusive
    wanted = score, finding.iou, finding.max_detections
    own = [old if new is None else new for old, new in zip(before, wanted, strict=True)]
    if finding.class_agnostic or finding.tiles is not None:  # the count applies to what is left
        own[2] = max(own[2], before[2])
    try:
        heads.score_thresh, heads.nms_thresh, heads.detections_per_img = own
        yield
    finally:
        heads.score_thresh, heads.nms_thresh, heads.detections_per_img = before


def overlap_of(model: FasterRCNN | Deployed, card: ModelCard, finding: Finding) -> float:
    """The overlap from which two boxes are one object: as given, or the network's own."""
    if finding.iou is not None:
        return finding.iou
    if isinstance(model, Deployed):
        return SUPPRESSION if card.options.get("form") == "c4" else 0.5  # torchvision's
    return float(model.roi_heads.nms_thresh)


def in_tiles(
    model: FasterRCNN | Deployed, image: Tensor, side: int, overlap: float, precision: str
) -> DetectionArrays:
    """The objects that lie within a tile, in pixels of the image; none for an image of one tile.

    A box that ends at a border inside the image is dropped: an object up to the size of the overlap
    minus the edge, is whole in another tile; larger ones are left to the whole image.
    """
    height, width = image.shape[-2:]
    rows, columns = places(height, side, overlap), places(width, side, overlap)
    whole, found = [0, 0, width, height], []
    for top, bottom in rows if len(rows) * len(columns) > 1 else ():
        for left, right in columns:
            tile = np.array([left, top, right, bottom])
            own = detect(model, image[:, top:bottom, left:right], precision=precision)
            boxes = own.boxes + np.array([left, top, left, top])
            near = np.abs(boxes - tile) < max(EDGE * side, 2)
            own = replace(own, boxes=boxes).of(~(near & (tile != whole)).any(1))
            if own.masks is not None:
                masks = [placed(mask, (left, top), (height, width)) for mask in own.masks]
                own = replace(own, masks=tuple(masks))
            found.append(own)
    return joined(found)


def places(length: int, side: int, overlap: float) -> list[tuple[int, int]]:
    """Start and end of evenly spaced tiles along a side of an image; neighbours overlap."""
    if length <= side:
        return [(0, length)]
    steps = int(np.ceil((length - side) / (side * (1 - overlap))))
    return [(start, start + side) for start in np.linspace(0, length - side, steps + 1, dtype=int)]


def with_tiles(whole: DetectionArrays, inner: DetectionArrays, iou: float) -> DetectionArrays:
    """Detections of the whole image and of its tiles, each object once.

    A box of a tile is added if none of its class overlaps. Else it replaces the one it overlaps
    most, if its score is higher: so no tile ever costs a box of the whole image.
    """
    inner = inner.of(_surest(inner, iou, agnostic=False))
    overlap = box_iou(whole.boxes, inner.boxes)
    overlap[whole.labels[:, None] != inner.labels[None]] = 0
    stays, added = np.ones(len(whole), bool), np.zeros(len(inner), bool)
    for j in range(len(inner)):
        i = int(overlap[:, j].argmax()) if len(whole) else -1
        if i < 0 or overlap[i, j] <= iou:
            added[j] = True
        elif inner.scores[j] > whole.scores[i]:
            stays[i], added[j] = False, True
            overlap[i] = 0
    return joined([whole.of(stays), inner.of(added)])


def _surest(found: DetectionArrays, iou: float, *, agnostic: bool) -> npt.NDArray[np.int64]:
    """Indices that suppression keeps, highest score first."""
    labels = np.zeros(len(found), np.int64) if agnostic else found.labels
    each = (torch.from_numpy(np.ascontiguousarray(v)) for v in (found.boxes, found.scores, labels))
    return batched_nms(*each, iou).numpy()


def joined(found: list[DetectionArrays]) -> DetectionArrays:
    """Detections of one image, one after the other."""
    masks = [each.masks for each in found if each.masks is not None]
    return DetectionArrays(
        boxes=np.concatenate([np.zeros((0, 4)), *[each.boxes for each in found]]),
        scores=np.concatenate([np.zeros(0), *[each.scores for each in found]]),
        labels=np.concatenate([np.zeros(0, np.int64), *[each.labels for each in found]]),
        masks=tuple(mask for own in masks for mask in own) if masks else None,
    )


@torch.inference_mode()
def detect(
    model: FasterRCNN | Deployed, image: Tensor, *, precision: str = "auto"
) -> DetectionArrays:
    """All detections in uint8 (3, H, W), in its own pixels, highest score first."""
    if isinstance(model, Deployed):
        return as_detections(detect_deployed(model, image))
    weight = next(model.parameters())
    pixels = padded(image, model)
    with machine.autocast(weight.device, precision):
        (found,) = model([pixels.to(weight.device, weight.dtype) / 255])
    return as_detections(within(found, image.shape[-2:]))


def padded(pixels: Tensor, model: FasterRCNN) -> Tensor:
    """Pad an image (3, H, W), or its masks, with zeros below or beside it if it is a strip.

    The network shrinks an image until its long side fits: 2000 x 8 pixels would become none.
    """
    height, width = pixels.shape[-2:]
    shrink = min(
        model.transform.min_size[-1] / min(height, width),
        model.transform.max_size / max(height, width),
    )
    least = math.floor(1 / shrink) + 1  # pixels that shrink to one
    if min(height, width) >= least:
        return pixels
    return F.pad(pixels, (0, max(0, least - width), 0, max(0, least - height)))


def within(found: dict[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
    """The detections in an image of (height, width), without those in the padding."""
    height, width = size
    boxes = found["boxes"].clone()
    boxes[:, 0::2] = boxes[:, 0::2].clamp(max=width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(max=height)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    kept = {name: value[inside] for name, value in {**found, "boxes": boxes}.items()}
    if "masks" in kept:
        kept["masks"] = kept["masks"][..., :height, :width]
    return kept


def as_detections(found: Mapping[str, Tensor]) -> DetectionArrays:
    """The outputs of torchvision's detectors for an image; their class 0 is the background."""
    masks = found.get("masks")  # (N, 1, H, W) probabilities
    return DetectionArrays(
        boxes=found["boxes"].double().cpu().numpy(),
        scores=found["scores"].double().cpu().numpy(),
        labels=found["labels"].cpu().numpy() - 1,
        masks=None
        if masks is None
        else tuple(pack(mask) for mask in (masks[:, 0] > MASK).cpu().numpy()),
    )
