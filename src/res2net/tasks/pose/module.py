"""The pose network as a Lightning module: squared error of heat maps, OKS precision.

Legend: B batch · K key-points · S_h, S_w the network's input · h, w its heat maps
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from res2net.data.scene import Scene
from res2net.heads.pose import PoseNet
from res2net.metrics.coco import coco_scores
from res2net.metrics.detections import DetectionArrays
from res2net.tasks.module import TaskModule, gathered
from res2net.tasks.pose.crops import STRIDE, CropDataset, around, input_size
from res2net.tasks.pose.task import peaks

Batch = tuple[Tensor, Tensor, Tensor, list[int]]  # see ``crops.batched``


class PoseModule(TaskModule):
    """Loss and average precision of a pose network, in the annotated boxes."""

    def __init__(self, model: PoseNet, **of_run: Any) -> None:
        super().__init__(model, **of_run)
        assert self.images.skeleton is not None
        self.shown = CropDataset(self.images.val, self.images.skeleton, self.preprocess.size)
        self.val_loss = MeanMetric()
        self.found: dict[int, Tensor] = {}  # index of the crop → (K, 3) of the image

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        images, maps, counts, _ = batch
        return self.prepare(images), maps, counts

    def learn(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        x, maps, counts = inputs
        return (heat_loss(self.model(x), maps, counts),)

    def note(self, batch: Batch, loss: Tensor, *more: Tensor) -> None:  # noqa: ARG002
        self.log_loss(loss, len(batch[0]))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        images, maps, counts, indices = batch
        heat = self.model(self.prepare(images)).float()
        self.val_loss.update(heat_loss(heat, maps, counts), weight=len(images))
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True, batch_size=len(images))
        for index, points in zip(indices, peaks(heat).cpu(), strict=True):
            self.found[index] = points

    def on_validation_epoch_end(self) -> None:
        found = gathered(self.found)
        self.found = {}
        scenes, poses = self._by_scene(found)
        assert self.images.skeleton is not None
        scores = coco_scores(
            scenes, poses, self.images.classes, kind="keypoints", sigmas=self.images.skeleton.sigmas
        )
        value = scores.stats["ap"]  # None if COCO skips all objects: small ones
        self.log("val/ap_error", math.nan if value is None else 100 - value, prog_bar=True)

    def _by_scene(self, found: dict[int, Tensor]) -> tuple[list[Scene], list[DetectionArrays]]:
        rows: dict[int, list[tuple[int, Tensor]]] = {}
        for index, points in found.items():
            number, i = self.shown.objects[index]
            rows.setdefault(number, []).append((i, points))
        size = input_size(self.preprocess.size)
        poses = []
        for number, own in rows.items():
            objects = self.images.val[number].objects
            assert objects is not None
            chosen = np.array([i for i, _ in own])
            placed = torch.stack([points for _, points in own]).double().numpy()
            for row, i in enumerate(chosen):
                frame = around(objects.boxes[i])
                placed[row, :, :2] = frame.outward(placed[row, :, :2] * STRIDE, size)
            poses.append(
                DetectionArrays(
                    boxes=objects.boxes[chosen],
                    scores=placed[:, :, 2].mean(1),
                    labels=objects.labels[chosen],
                    keypoints=placed,
                )
            )
        return [self.images.val[number] for number in rows], poses


def heat_loss(heat: Tensor, maps: Tensor, counts: Tensor) -> Tensor:
    """Half the squared error of the maps (B, K, h, w) that count (B, K), mean over all."""
    error = (heat.float() - maps) * counts[:, :, None, None]
    return 0.5 * error.square().mean()
