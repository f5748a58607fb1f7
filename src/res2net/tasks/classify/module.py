"""The classifier as a Lightning module.

Legend: B batch · S side in pixels · N classes
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from res2net.config import RunConfig
from res2net.data.dataset import ImageDataset, batched
from res2net.data.labelled import LabelledImages, counts_of
from res2net.data.transforms import eval_transform, mix
from res2net.errors import UserError, single_values_explained
from res2net.models.network import Network, whiten
from res2net.tasks.classify.multilabel import average_precisions
from res2net.tasks.losses import class_weights, focal, of_labels
from res2net.tasks.module import TaskModule, gathered

Batch = tuple[Tensor, Tensor, Tensor]  # uint8 (B, 3, S, S), class (B,), index (B,)


class TopError(MulticlassAccuracy):
    """Share of images whose class is not among the k most likely ones, in percent."""

    def __init__(self, classes: int, k: int) -> None:
        super().__init__(classes, top_k=min(k, classes), average="micro")

    def compute(self) -> Tensor:
        return 100 * (1 - super().compute())


one_image_explained = partial(
    single_values_explained,
    "a batch of one image is too small for batch normalisation at this size: increase "
    "--train.batch or --input.size, or set --net.norm group",
)


class ClassifierModule(TaskModule):
    """Loss and scores of a classification network; mixup and cutmix act on whole batches."""

    def __init__(self, model: Network, **of_run: Any) -> None:
        super().__init__(model, **of_run)
        self.augment = self.config.augment
        self.label_smoothing = self.config.train.label_smoothing
        self.kind = self.config.train.loss
        if dropout := self.config.train.dropout:
            classifier = getattr(model, model.HEAD)
            classifier.register_forward_pre_hook(
                lambda layer, features: F.dropout(features[0], dropout, layer.training)
            )
        self.class_weights: Tensor | None
        self.register_buffer(
            "class_weights",
            weights_of(self.config, self.images),
            persistent=False,
        )
        if self.config.net.whiten:
            whiten(model, self.whitening_images(), self.config.seed)
        self.mixes = self.augment.mixup > 0 or self.augment.cutmix > 0
        self.val_loss = MeanMetric()
        self.train_error = TopError(self._classes, 1)
        self.val_top1 = TopError(self._classes, 1)
        self.val_top5 = TopError(self._classes, 5)

    def whitening_images(self) -> Tensor:
        """Training images, evenly spaced, as network inputs: (B, C, S, S).

        Raises:
            UserError: a damaged file.
        """
        split, preprocess = self.images.train, self.preprocess
        common: dict[str, Any] = {
            "min_side": preprocess.decode_side,
            "skip_bad": self.config.input.skip_bad,
            "reading": preprocess.reading,
        }
        images = ImageDataset(split, eval_transform(preprocess), **common)
        count = min(len(split), max(WHITENED // preprocess.size**2, 64))
        chosen = images.__getitems__([len(split) * k // count for k in range(count)])
        if isinstance(chosen, UserError):
            raise chosen
        return self.prepare(batched(chosen)[0])

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        images, targets, _ = batch
        x = self.prepare(images)
        return mix(x, targets, self.augment, self._classes) if self.mixes else (x, targets)

    def learn(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        x, goal = inputs
        with one_image_explained():
            outputs = self.model.training_outputs(x)
        loss = torch.stack([weight * self.loss(y, goal) for weight, y in outputs]).sum()
        return loss, outputs[0][1].detach()

    def note(self, batch: Batch, loss: Tensor, *more: Tensor) -> None:
        self.log_loss(loss)
        if not self.mixes:  # a mixed image has no single true class
            self.train_error.update(more[0], batch[1])
            self.log("train/top1_error", self.train_error, on_step=False, on_epoch=True)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        images, targets, _ = batch
        logits = self.model(self.prepare(images)).float()
        loss = F.cross_entropy(logits, targets)
        self.check_finite(loss, "validation loss")
        self.val_loss.update(loss, weight=len(targets))
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True)
        for k, error in ((1, self.val_top1), (5, self.val_top5)):
            if k < self._classes:
                error.update(logits, targets)
                self.log(f"val/top{k}_error", error, on_epoch=True, prog_bar=k == 1)

    @property
    def _classes(self) -> int:
        return len(self.hparams["card"]["classes"])

    def loss(self, logits: Tensor, goal: Tensor) -> Tensor:
        if self.kind == "focal":
            if goal.ndim == 1:
                goal = F.one_hot(goal, logits.shape[1])
            smooth = self.label_smoothing
            goal = (1 - smooth) * goal + smooth / logits.shape[1]
            return focal(logits.float(), goal, self.class_weights)
        return F.cross_entropy(
            logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits,
            goal,
            weight=self.class_weights,
            label_smoothing=self.label_smoothing,
        )


WHITENED = 1 << 19  # pixels of training images whose patches are used


class MultiLabelModule(ClassifierModule):
    """The multi-label module: a sigmoid per class, mean average precision."""

    def __init__(self, model: Network, **of_run: Any) -> None:
        super().__init__(model, **of_run)
        self.found: dict[int, tuple[Tensor, Tensor]] = {}  # index → probabilities, labels

    def note(self, batch: Batch, loss: Tensor, *more: Tensor) -> None:  # noqa: ARG002
        self.log_loss(loss)

    def loss(self, logits: Tensor, goal: Tensor) -> Tensor:
        return of_labels(logits.float(), goal, self.kind, self.class_weights)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        images, targets, indices = batch
        logits = self.model(self.prepare(images)).float()
        loss = of_labels(logits, targets, "cross_entropy", None)
        self.check_finite(loss, "validation loss")
        self.val_loss.update(loss, weight=len(targets))
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True)
        pairs = zip(logits.sigmoid().cpu(), targets.cpu(), strict=True)
        self.found.update(zip(indices.tolist(), pairs, strict=True))

    def on_validation_epoch_end(self) -> None:
        found = gathered(self.found).values()
        self.found = {}
        p, true = (torch.stack(each).numpy() for each in zip(*found, strict=True))
        each = [ap for ap in average_precisions(true, p) if ap is not None]
        self.log("val/ap_error", 100 - sum(each) / len(each) if each else 100.0, prog_bar=True)


def weights_of(config: RunConfig, images: LabelledImages) -> Tensor | None:
    """Class weights: (N,); for multi-label data, of each class's positives.

    Balanced weights are n / (N · count), for multi-label data negatives / positives.
    """
    labels = images.train.labels
    counts = torch.from_numpy(counts_of(labels, len(images.classes)))
    if labels.ndim == 2 and config.train.class_weights == "balanced":
        return (len(labels) - counts).clamp(min=1) / counts.clamp(min=1)
    return class_weights(config.train.class_weights, images.classes, lambda: counts)
