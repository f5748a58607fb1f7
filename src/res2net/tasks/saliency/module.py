"""The saliency network as a Lightning module: deep supervision of every side output.

Legend: B batch · S side of a training square · H, W of a whole image
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric

from res2net.data.scenes.dataset import Sample
from res2net.heads.dss import SaliencyNet
from res2net.metrics.saliency import Measured, SaliencyMetric, measured
from res2net.tasks.losses import of_pixels, pixel_weights
from res2net.tasks.module import TaskModule, gathered
from res2net.tasks.saliency.task import squared

Batch = tuple[Tensor, Tensor]  # uint8 (B, 3, S, S), maps of 0 and 1 uint8 (B, S, S)


class SaliencyModule(TaskModule):
    """Losses, max F-measure and mean absolute error of a saliency network."""

    def __init__(self, model: SaliencyNet, **of_run: Any) -> None:
        super().__init__(model, **of_run)
        self.val_loss = MeanMetric()
        self.found: dict[int, Measured] = {}  # by index of the scene
        self.kind = self.config.train.loss
        self.weights: Tensor | None
        self.register_buffer(
            "weights",
            pixel_weights(self.config, self.images, "salient", ("background", "salient")),
            persistent=False,
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        images, maps = batch
        return self.log_loss(self.loss(self.model(self.prepare(images)), maps))

    def loss(self, sides: list[Tensor], maps: Tensor) -> Tensor:
        """The chosen loss, of every side output and the fused map, as two classes."""
        if self.kind == "cross_entropy" and self.weights is None:
            return deep_loss(sides, maps)
        both = [torch.cat([torch.zeros_like(side), side], 1).float() for side in sides]
        each = [of_pixels(two, maps.long(), self.kind, self.weights) for two in both]
        return torch.stack(each).sum()

    def validation_step(self, batch: list[Sample], batch_idx: int) -> None:  # noqa: ARG002
        for image, target, index in batch:
            truth = target["map"].as_subclass(Tensor)
            sides = self.model(self.prepare(image.as_subclass(Tensor)[None]))
            size = tuple(truth.shape)
            full = [F.interpolate(each.float(), size, mode="bilinear") for each in sides]
            self.val_loss.update(deep_loss(full, truth[None]))
            seen = (self.model.predicted(full)[0, 0] * 255).round().to(torch.uint8)
            self.found[index] = measured(seen.cpu().numpy(), (truth * 255).cpu().numpy())
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True)

    def on_validation_epoch_end(self) -> None:
        metric = SaliencyMetric()
        found = list(gathered(self.found).values())
        for each in found:
            metric.add(each)
        self.found = {}
        scores = metric.compute()
        salient = any(each.recall[-1] < 1 for each in found)  # an empty map has recall 1 throughout
        self.log("val/f_error", 100 * (1 - scores.max_f) if salient else 100.0, prog_bar=True)
        self.log("val/mae", 100 * scores.mae)

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) to the network's input."""
        return squared(images, self.preprocess, next(self.model.parameters()).dtype)


def deep_loss(sides: list[Tensor], maps: Tensor) -> Tensor:
    """Sum over the side outputs and the fused map of the mean binary cross entropy per pixel."""
    wanted = maps[:, None].float()
    each = [F.binary_cross_entropy_with_logits(side.float(), wanted) for side in sides]
    return torch.stack(each).sum()
