"""Pretraining without labels: VICReg of ``lightly`` on two augmented views of each image.

Labels, if the images have any, are used by the probe alone: each validation image is classified by
its nearest training images in the features. Source: Bardes et al., "VICReg", ICLR 2022.

Legend: B batch · S side in pixels · C features · D channels of the projector
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from lightly.transforms.vicreg_transform import VICRegTransform
from lightly.utils.benchmarking.knn import knn_predict
from lightly.utils.debug import std_of_l2_normalized
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric
from torchvision.transforms.v2.functional import to_pil_image

from res2net import machine
from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.augment import Augment
from res2net.data.dataset import Batch, ImageDataset, batched
from res2net.data.labelled import LabelledImages, Split
from res2net.data.preprocess import SMALL
from res2net.errors import UserError
from res2net.tasks.classify.scores import outputs
from res2net.tasks.module import TaskModule
from res2net.tasks.scores import Ended, Measuring, Scores, known, percent
from res2net.tasks.task import Datasets

CHANNELS = 1024  # of the projector
NEIGHBOURS = 20
MOST = 4096  # images of each part that the probe uses, evenly spaced


class Views:
    """uint8 (3, H, W) to two augmented views, uint8 (2, 3, S, S).

    All random numbers follow from torch's generator; lightly also draws from NumPy's.
    """

    def __init__(self, augment: Augment, size: int) -> None:
        self.views: Any = VICRegTransform(
            input_size=size,
            cj_strength=augment.color_jitter,
            min_scale=augment.crop_scale,
            hf_prob=augment.hflip,
            gaussian_blur=0.0 if size <= SMALL else 0.5,
            normalize=None,
        )

    def __call__(self, image: Tensor) -> Tensor:
        before = np.random.get_state()
        np.random.seed(int(torch.randint(1 << 32, ())))
        try:
            views = torch.stack(self.views(to_pil_image(image)))
        finally:
            np.random.set_state(before)
        return (255 * views).round().to(torch.uint8)


def datasets(config: RunConfig, card: ModelCard, images: LabelledImages) -> Datasets:
    """Two augmented views of each image.

    Raises:
        UserError: images of other channels than three, or fewer than two images for each process
            in a batch or a part.
    """
    preprocess, least = card.preprocess, 2 * machine.processes(config.train.devices).world
    if preprocess.channels != 3:
        raise UserError(
            f"--task pretrain takes images of 3 channels, these have {preprocess.channels}; "
            "set --input.channels 3"
        )
    counts: dict[str, Any] = {
        "training images": len(images.train),
        "validation images": len(images.val),
        "images in --train.batch": config.train.batch,
    }
    for what, count in counts.items():
        if count != "auto" and count < least:
            raise UserError(
                f"{config.data}: pretraining compares images: it needs {least} {what} (2 for each "
                f"process), and there are {count}"
            )
    train, val = (
        ImageDataset(
            part,
            Views(config.augment, preprocess.size),
            min_side=preprocess.decode_side,
            skip_bad=config.input.skip_bad,
            reading=preprocess.reading,
        )
        for part in (images.train, images.val)
    )
    return Datasets(
        train=train, val=val, collate_train=batched, collate_val=batched, val_batch=None
    )


def seen(batch: Batch, images: LabelledImages, config: RunConfig) -> Iterator[tuple[Any, str]]:
    """Both views of each image of a training batch."""
    del config
    for views, index in zip(batch[0], batch[2].tolist(), strict=True):
        for number, view in enumerate(views, 1):
            name = Path(images.train.names(index)).name
            yield view.permute(1, 2, 0).contiguous().numpy(), f"view {number} of {name}"


class PretrainModule(TaskModule):
    """The loss between the projections of two views, and the probe of the features."""

    def __init__(self, model: Any, **of_run: Any) -> None:
        super().__init__(model, **of_run)
        width = self.config.head.channels or CHANNELS
        self.projector = VICRegProjectionHead(model.num_features, width, width)
        self.criterion = VICRegLoss(gather_distributed=True)
        self.val_criterion = VICRegLoss()  # processes may hold different numbers of images
        self.val_loss = MeanMetric()

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """The first views of all images, then the second: (2B, 3, S, S)."""
        return (self.prepare(batch[0].transpose(0, 1).flatten(0, 1)),)

    def learn(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return (self.criterion(*self.projections(*inputs)),)

    def projections(self, x: Tensor) -> tuple[Tensor, ...]:
        """Of both views: float32 (B, D)."""
        return self.projector(self.model(x)).float().chunk(2)

    def note(self, batch: Batch, loss: Tensor, *more: Tensor) -> None:  # noqa: ARG002
        self.log_loss(loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        if len(batch[0]) > 1:  # the loss compares images
            loss = self.val_criterion(*self.projections(*self.inputs(batch)))
            self.check_finite(loss, "validation loss")
            self.val_loss.update(loss, weight=len(batch[0]))
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True)

    def on_validation_epoch_end(self) -> None:
        options, images = self.config, self.images
        loader: Any = self.trainer.val_dataloaders
        how = Measuring(
            precision=options.train.precision,
            skip_bad=options.input.skip_bad,
            limit=options.train.val_batches,
            batch=loader.batch_size,
            workers=options.input.workers,
        )
        card = ModelCard.from_dict(self.hparams["card"], "this run")
        found = measure(self.model, card, images, images.val, how)  # in every process the same
        for name, value in found.summary().items():
            self.log(f"val/{name}", value, prog_bar=name == "probe_error", sync_dist=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureScores(Scores):
    """The results of a measurement.

    Attributes:
        spread: standard deviation of the normalised features times √C: near 1 where images spread
            in all directions, 0 where all have the same features (a collapse).
        probe_error: of the probe, in percent; None without labels.
    """

    spread: float
    probe_error: float | None

    @property
    def headline(self) -> str:
        if self.probe_error is None:
            return f"features of spread {self.spread:.2f}; no labels, so no probe"
        return f"probe error {percent(self.probe_error)}"

    def summary(self) -> dict[str, float]:
        """The error of the probe in percent, if there are labels, and the spread."""
        return known(("probe_error", "spread"), (self.probe_error, self.spread))

    def table(self) -> list[tuple[str, str]]:
        """(label, figure) rows for display."""
        probe = self.probe_error
        words = "the images have no labels" if probe is None else percent(probe)
        return [
            ("images measured", f"{self.images:,}"),
            (f"error of the {NEIGHBOURS} nearest neighbours", words),
            ("spread of the features", f"{self.spread:.4f}"),
        ]

    def write(self, folder: Path) -> tuple[str, ...]:  # noqa: ARG002
        """No table: the figures are in ``metrics.json``."""
        return ()

    def commands(self, end: Ended) -> Sequence[str]:
        run = shlex.quote(str(end.folder))
        network = f"--model {end.card.network} --net.pretrained {run}"
        return (f"res2net train {network} --data DATA", f"res2net embed {run} IMAGES")


def measure(
    model: Any, card: ModelCard, images: LabelledImages, part: Split, how: Measuring
) -> FeatureScores:
    """The spread of a part's features, and the error of the probe if there are labels.

    Raises:
        UserError: a file that cannot be read (unless left out), or nothing to measure.
    """
    features, labels, rows = features_of(model, part, card, how)
    error = None
    if images.classes:
        bank, classes, _ = features_of(model, images.train, card, how)
        count = len(images.classes)
        nearest = min(NEIGHBOURS, len(bank))
        found = [
            knn_predict(each, bank.T, classes, count, nearest)[:, 0]
            for each in features.split(how.batch)
        ]
        error = 100 * float((torch.cat(found) != labels).float().mean())
    spread = float(std_of_l2_normalized(features)) * math.sqrt(features.shape[1])
    return FeatureScores(images=len(features), rows=rows.tolist(), spread=spread, probe_error=error)


def features_of(
    model: Any, part: Split, card: ModelCard, how: Measuring
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised features (N, C), labels and indices (N,) of at most ``MOST`` images of a part."""
    most = MOST if how.limit is None else how.limit * how.batch
    chosen = np.linspace(0, len(part) - 1, min(most, MOST, len(part))).round().astype(np.int64)
    how = replace(how, limit=None)
    batches = list(outputs(model, part.of(chosen), card.preprocess, how))
    features, labels, rows = (torch.cat(each) for each in zip(*batches, strict=True))
    return F.normalize(features.cpu()), labels, torch.from_numpy(chosen)[rows]
