"""The segmenter as a Lightning module.

Legend: B batch · S side of a training crop · H, W of a whole image · N classes
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from res2net.data.scene import IGNORED
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.tasks.losses import of_pixels, pixel_weights
from res2net.tasks.module import TaskModule

Batch = tuple[Tensor, Tensor]  # uint8 (B, 3, S, S), classes uint8 (B, S, S)
Whole = list[tuple[Tensor, dict[str, Any], int]]  # images of their own sizes


class SegmenterModule(TaskModule):
    """Loss and mean IoU of a segmentation network."""

    def __init__(self, model: DeepLabV3Plus, **of_run: Any) -> None:
        super().__init__(model, **of_run)
        self.val_loss = MeanMetric()
        self.kind = self.config.train.loss
        self.weights: Tensor | None
        self.register_buffer(
            "weights",
            pixel_weights(self.config, self.images, "classes", self.images.classes),
            persistent=False,
        )
        self.confusion = MulticlassConfusionMatrix(len(self.images.classes), ignore_index=IGNORED)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        images, maps = batch
        logits = self.model(self.prepare(images))
        if self.kind == "cross_entropy" and self.weights is None:
            return self.log_loss(self.loss(logits, maps))
        return self.log_loss(of_pixels(logits.float(), maps.long(), self.kind, self.weights))

    def validation_step(self, batch: Whole, batch_idx: int) -> None:  # noqa: ARG002
        for image, target, _ in batch:
            logits = self.model(self.prepare(image[None])).float()  # (1, N, H, W)
            truth = target["map"][None].long()
            if bool((truth != IGNORED).any()):
                loss = self.loss(logits, truth)
                self.check_finite(loss, "validation loss")
                self.val_loss.update(loss)
            self.confusion.update(logits.argmax(1), truth)
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True)

    def on_validation_epoch_end(self) -> None:
        self.log("val/iou_error", 100 * (1 - mean_iou(self.confusion.compute())), prog_bar=True)
        self.confusion.reset()

    def loss(self, logits: Tensor, maps: Tensor) -> Tensor:
        """Mean cross entropy of the pixels that count; 0 if there are none."""
        total = F.cross_entropy(logits.float(), maps.long(), ignore_index=IGNORED, reduction="sum")
        return total / (maps != IGNORED).sum().clamp(min=1)


def mean_iou(confusion: Tensor) -> Tensor:
    """Mean over the classes that are present or predicted: (N, N) → ()."""
    hits = confusion.diagonal().double()
    union = confusion.sum(0) + confusion.sum(1) - hits
    known = union > 0
    return (hits[known] / union[known]).mean().float() if bool(known.any()) else hits.sum().float()
