"""A detector over an image: boxes and, of Mask R-CNN, masks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN

from res2net import machine
from res2net.data.outlines import pack
from res2net.metrics.detections import Detections
from res2net.tasks.dense.network import Deployed
from res2net.tasks.detect.deployed import detect_deployed

SURE = 0.5  # score from which a detection is shown
MASK = 0.5  # probability from which a pixel belongs to a mask


@torch.inference_mode()
def detect(model: FasterRCNN | Deployed, image: Tensor, *, precision: str = "auto") -> Detections:
    """All detections in uint8 (3, H, W), in its own pixels, surest first."""
    if isinstance(model, Deployed):
        return as_detections(detect_deployed(model, image))
    weight = next(model.parameters())
    pixels = padded(image, model)
    with machine.autocast(weight.device, precision):
        (found,) = model([pixels.to(weight.device, weight.dtype) / 255])
    return as_detections(within(found, image.shape[-2:]))


def padded(pixels: Tensor, model: FasterRCNN) -> Tensor:
    """An image (3, H, W), or its masks, with zeros below or beside it where it is a strip.

    The network shrinks an image until its long side fits: 2000 x 8 pixels would become none.
    """
    height, width = pixels.shape[-2:]
    shrink = min(
        model.transform.min_size[-1] / min(height, width),
        model.transform.max_size / max(height, width),
    )
    least = math.floor(1 / shrink) + 1  # pixels that become one
    if min(height, width) >= least:
        return pixels
    return F.pad(pixels, (0, max(0, least - width), 0, max(0, least - height)))


def within(found: dict[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
    """The detections in an image of (height, width), without those in what was padded."""
    height, width = size
    boxes = found["boxes"].clone()
    boxes[:, 0::2] = boxes[:, 0::2].clamp(max=width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(max=height)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    kept = {name: value[inside] for name, value in {**found, "boxes": boxes}.items()}
    if "masks" in kept:
        kept["masks"] = kept["masks"][..., :height, :width]
    return kept


def as_detections(found: Mapping[str, Tensor]) -> Detections:
    """What torchvision's detectors return of an image; their class 0 is the background."""
    masks = found.get("masks")  # (N, 1, H, W) probabilities
    return Detections(
        boxes=found["boxes"].double().cpu().numpy(),
        scores=found["scores"].double().cpu().numpy(),
        labels=found["labels"].cpu().numpy() - 1,
        masks=None
        if masks is None
        else tuple(pack(mask) for mask in (masks[:, 0] > MASK).cpu().numpy()),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Detected:
    """The objects of an image."""

    image: Tensor  # uint8 (3, H, W)
    detections: Detections
    names: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """All detections: box as left, top, right, bottom in pixels; masks as COCO's RLE."""
        each = self.detections
        rows = []
        for i in range(len(each)):
            row: dict[str, Any] = {
                "class": self.names[each.labels[i]],
                "score": round(float(each.scores[i]), 4),
                "box": [round(float(value), 2) for value in each.boxes[i]],
            }
            if each.masks is not None:
                rle = each.masks[i]
                counts = rle["counts"]
                text = counts.decode("ascii") if isinstance(counts, bytes) else counts
                row["mask"] = {"size": list(rle["size"]), "counts": text}
            rows.append(row)
        return {"objects": rows}

    def line(self) -> str:
        sure = self.detections.scores >= SURE
        counts = Counter(self.names[label] for label in self.detections.labels[sure])
        return "  ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"

    def pictures(self) -> Mapping[str, Any]:
        """The image with the surest detections (score 0.5 or more)."""
        from res2net.tasks.detect.pictures import draw_detections

        pixels = np.ascontiguousarray(self.image.permute(1, 2, 0).numpy())
        return {"": draw_detections(pixels, self.detections, self.names, least=SURE)}
