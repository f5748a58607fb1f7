"""The detector as a Lightning module: torchvision's losses, COCO's average precision."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN, MaskRCNN

from res2net.data.scenes.dataset import Sample
from res2net.metrics.detections import DetectionArrays
from res2net.tasks.detect.find import as_detections, padded, within
from res2net.tasks.detect.scores import scores_of
from res2net.tasks.losses import focal
from res2net.tasks.module import TaskModule, gathered


class DetectorModule(TaskModule):
    """Losses and average precision of a detector."""

    def __init__(self, model: FasterRCNN, **of_run: Any) -> None:
        super().__init__(model, **of_run)
        self.masks = isinstance(model, MaskRCNN)
        if self.config.train.loss == "focal":
            model.roi_heads.loss = focal_of_regions
        # in training the data set resizes, so the network does not
        model.transform._skip_resize = bool(self.config.augment.sides)
        self.found: dict[int, DetectionArrays] = {}  # index of the scene → detections

    def training_step(self, batch: list[Sample], batch_idx: int) -> Tensor:  # noqa: ARG002
        pixels = [self.prepare(image) for image, _, _ in batch]
        losses = self.model(pixels, [self.target(marks) for _, marks, _ in batch])
        total: Tensor = sum(losses.values())
        logged = {f"train/{name}": value for name, value in losses.items()}
        self.log_dict(logged, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch))
        return self.log_loss(total, len(batch))

    def validation_step(self, batch: list[Sample], batch_idx: int) -> None:  # noqa: ARG002
        outputs = self.model([self.prepare(image) for image, _, _ in batch])
        for (image, _, index), found in zip(batch, outputs, strict=True):
            self.found[index] = as_detections(within(found, image.shape[-2:]))

    def on_validation_epoch_end(self) -> None:
        found = gathered(self.found)
        self.found = {}
        scenes = [self.images.val[index] for index in found]
        scores = scores_of(scenes, list(found.values()), self.images.classes, masks=self.masks)
        stats = list(scores.values())[-1].stats
        for name in ("ap", "ap50"):
            value = stats[name]  # None where the images measured hold no object
            error = math.nan if value is None else 100 - value
            self.log(f"val/{name}_error", error, prog_bar=name == "ap")

    def prepare(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) to the network's input: 0..1; it resizes and normalises itself."""
        pixels = padded(image.as_subclass(Tensor), self.model)
        return pixels.to(next(self.model.parameters()).dtype) / 255

    def target(self, marks: dict[str, Any]) -> dict[str, Tensor]:
        """Annotations in torchvision's form: classes from 1, without crowds and difficult ones."""
        wanted = ~marks["ignored"]
        names = ("boxes", "masks") if self.masks else ("boxes",)
        chosen = {name: marks[name].as_subclass(Tensor)[wanted] for name in names}
        if self.masks:
            chosen["masks"] = padded(chosen["masks"], self.model)
        return {**chosen, "labels": marks["labels"][wanted] + 1}


def focal_of_regions(logits: Tensor, labels: Tensor) -> Tensor:
    """The focal loss of R regions with N classes, including background: (R, N), (R,) → ()."""
    return focal(logits, F.one_hot(labels, logits.shape[1]).to(logits.dtype), None)
