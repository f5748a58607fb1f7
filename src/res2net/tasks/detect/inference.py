"""A detector over an image: boxes and, of Mask R-CNN, masks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN

from res2net import machine
from res2net.data.outlines import pack, to_mask
from res2net.data.scene import RLE
from res2net.errors import UserError
from res2net.metrics.detections import DetectionArrays
from res2net.tasks.dense.network import Deployed, Objects
from res2net.tasks.detect.deployed import detect_deployed

SURE = 0.5  # score from which a detection is shown
MASK = 0.5  # probability from which a pixel belongs to a mask


@torch.inference_mode()
def detect(
    model: FasterRCNN | Deployed, image: Tensor, *, precision: str = "auto"
) -> DetectionArrays:
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


def as_detections(found: Mapping[str, Tensor]) -> DetectionArrays:
    """What torchvision's detectors return of an image; their class 0 is the background."""
    masks = found.get("masks")  # (N, 1, H, W) probabilities
    return DetectionArrays(
        boxes=found["boxes"].double().cpu().numpy(),
        scores=found["scores"].double().cpu().numpy(),
        labels=found["labels"].cpu().numpy() - 1,
        masks=None
        if masks is None
        else tuple(pack(mask) for mask in (masks[:, 0] > MASK).cpu().numpy()),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections(Objects):
    """The objects in an image, surest first.

    Attributes:
        image: uint8 (3, H, W).
        detections: N boxes, scores, classes and, of Mask R-CNN, masks.
        names: of the classes.

    Example:
        >>> (found,) = res2net.load("runs/cells").predict("slide.png")
        >>> found.boxes[found.scores > 0.5]
    """

    names: tuple[str, ...]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(N,): indices of ``names``."""
        return self.detections.labels

    @property
    def masks(self) -> npt.NDArray[np.bool_] | None:
        """(N, H, W) of Mask R-CNN; None of a detector."""
        packed = self.detections.masks
        if packed is None:
            return None
        height, width = self.image.shape[-2:]
        found = [to_mask(each, height, width) for each in packed]
        return np.array(found, dtype=bool).reshape(len(packed), height, width)

    def to_coco(
        self, image_id: int | str, category_ids: Sequence[int] = ()
    ) -> list[dict[str, Any]]:
        """Rows of COCO's result format: box as left, top, width, height; masks as RLE.

        Args:
            category_ids: of each class; 1, 2, ... in their order where it is empty.
        """
        numbers = category_ids or range(1, len(self.names) + 1)
        rows = []
        for i, (left, top, right, bottom) in enumerate(self.boxes.tolist()):
            row: dict[str, Any] = {
                "image_id": image_id,
                "category_id": numbers[self.labels[i]],
                "bbox": [left, top, right - left, bottom - top],
                "score": float(self.scores[i]),
            }
            if self.detections.masks is not None:
                row["segmentation"] = _as_text(self.detections.masks[i])
            rows.append(row)
        return rows

    def to_supervision(self) -> Any:
        """The same as ``supervision.Detections``.

        Raises:
            UserError: the package supervision is missing.
        """
        try:
            import supervision
        except ModuleNotFoundError:
            raise UserError("to_supervision needs supervision: pip install supervision") from None
        return supervision.Detections(
            xyxy=self.boxes.astype(np.float32),
            mask=self.masks,
            confidence=self.scores.astype(np.float32),
            class_id=self.labels,
            data={"class_name": np.array([self.names[label] for label in self.labels], dtype=str)},
        )

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
                row["mask"] = _as_text(each.masks[i])
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


def _as_text(rle: RLE) -> dict[str, Any]:
    """A mask in run lengths, for JSON."""
    counts = rle["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": list(rle["size"]), "counts": text}
