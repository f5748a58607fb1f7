"""The classification task: its options, its data, its network in use.

Legend: B batch · S side in pixels · N classes
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from res2net import machine
from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.dataset import ImageDataset, batched
from res2net.data.decode import as_pixels, channels_last, decode, gpu_jpeg_decoder
from res2net.data.feed import MOST_BYTES, Feed, gathered, moves_pixels, sent
from res2net.data.labelled import LabelledImages, named
from res2net.data.photo import Pixels as Bytes
from res2net.data.preprocess import SMALL, Preprocess, Reading, default_preprocess
from res2net.data.transforms import eval_transform, mix, train_transform
from res2net.errors import UserError
from res2net.models.weights import build
from res2net.paper.networks import find_variant
from res2net.prediction import Classification, Labels, Pixels
from res2net.tasks.data import Labelled, Unlabelled, repeat_factors
from res2net.tasks.deployed import Compared, Comparison, Deployment, Outputs, shown
from res2net.tasks.network import LOGITS, Size, in_colours, in_use
from res2net.tasks.predictor import Picture, Predictor
from res2net.tasks.task import Curve, Datasets, Task, later

SMALLEST = {"inception_v3": 75}  # pixels; 32 for every other network
TOP, BATCH = 5, 32


def describe(config: RunConfig, images: LabelledImages) -> tuple[dict[str, Any], Preprocess]:
    """The classifier's option, and the input size.

    The requested size, or that of small images, or the network's default.

    Raises:
        UserError: smaller than the network supports.
    """
    native = images.native_size
    small = native is not None and native <= SMALL
    size = config.input.size
    if size is None:
        smallest = SMALLEST.get(config.model, 32)
        size = max(smallest, native or 0) if small else find_variant(config.model).size
    check_size(size, config.model, "--input.size")
    preprocess = default_preprocess(
        size, cifar=images.name in ("cifar10", "cifar100"), native_size=native
    )
    pool = config.net.global_pool
    head = {"global_pool": None if pool == "avg" else pool}
    return head, replace(preprocess, interpolation=config.input.interpolation)


def check_size(size: int, network: str, option: str) -> None:
    """Refuse images that are too small for the network.

    Raises:
        UserError: the message names the option.
    """
    smallest = SMALLEST.get(network, 32)
    if size < smallest:
        raise UserError(f"{option} is {size}; {network} needs images of at least {smallest} pixels")


def datasets(config: RunConfig, card: ModelCard, images: LabelledImages) -> Datasets:
    """Images of one size, augmented for training.

    Raises:
        UserError: an augmentation of colours for images of other channels than one or three, or a
            reflected border that is wider than the image.
    """
    channels, augment = card.preprocess.channels, config.augment
    if channels not in (1, 3) and (augment.color_jitter or augment.randaugment):
        raise UserError(
            "--augment.color-jitter and --augment.randaugment need images of 1 or 3 channels, "
            f"these have {channels}; set both to 0"
        )
    reflected, size = augment.crop == "pad" and augment.border == "reflect", card.preprocess.size
    if reflected and augment.pad >= size:
        raise UserError(
            f"--augment.pad {augment.pad}: a reflected border of images of {size} pixels can have "
            f"{size - 1} pixels at most"
        )
    common: dict[str, Any] = {
        "min_side": card.preprocess.decode_side,
        "skip_bad": config.input.skip_bad,
        "reading": card.preprocess.reading,
    }
    train = ImageDataset(
        images.train,
        train_transform(augment, card.preprocess),
        alternate=augment.flip == "alternate",
        **common,
    )
    return Datasets(
        factors=repeat_factors(images.train, len(images.classes), config.input.balance),
        train=train,
        feed=find_feed(config, train, card.preprocess),
        val=ImageDataset(images.val, eval_transform(card.preprocess), **common),
        collate_train=batched,
        collate_val=batched,
        val_batch=None,
    )


def find_feed(config: RunConfig, train: ImageDataset, preprocess: Preprocess) -> Feed | None:
    """What is finished on the device, by the options and this machine; None if workers do it all.

    Raises:
        UserError: GPU decoding is requested for images that do not have three channels.
    """
    jpeg = None
    if config.input.decode == "gpu":
        if preprocess.channels != 3:
            raise UserError(
                f"--input.decode gpu gives three channels, these images have {preprocess.channels}"
            )
        jpeg, reason = gpu_jpeg_decoder()
        if jpeg is None:
            warnings.warn(f"JPEG files are decoded by the CPU: {reason}", stacklevel=2)
    given, images = config.augment, train.split.images
    if moves_pixels(train, given, preprocess):
        asked = given.where == "device"
        fits = machine.best_device().type == "cuda" and images.nbytes <= MOST_BYTES  # type: ignore[union-attr]
        return gathered(train, given) if asked or (given.where == "auto" and fits) else None
    return sent(train, jpeg) if jpeg or given.where == "device" else None


def seen(
    batch: tuple[Tensor, Tensor, Tensor], images: LabelledImages, config: RunConfig
) -> Iterator[tuple[npt.NDArray[np.uint8], str]]:
    """The images of a training batch with their classes; mixed ones with their shares."""
    pixels, targets, _ = batch
    if targets.ndim == 2:
        for image, labels in zip(pixels, targets.numpy(), strict=True):
            shown = in_colours(image).permute(1, 2, 0).contiguous().numpy()
            yield shown, named(labels, images.classes)
        return
    mixed, goals = mix(pixels.float(), targets, config.augment, len(images.classes))
    for image, goal in zip(mixed.round().to(torch.uint8), goals, strict=True):
        shares = [(float(goal[k]), images.classes[k]) for k in goal.argsort(descending=True)[:2]]
        words = [f"{100 * share:.0f} % {name}" for share, name in shares if share > 0]
        caption = shares[0][1] if len(words) == 1 else ", ".join(words)
        yield in_colours(image).permute(1, 2, 0).contiguous().numpy(), caption


class Classifier(Predictor):
    """A network with its classes and its preprocessing, or an artifact of one."""

    @cached_property
    def _transform(self) -> Callable[[Tensor], Any]:
        return eval_transform(self.preprocess)

    def _results(
        self, images: Any, *, top: Any, boxes: Any, batch: Any, precision: str, finding: Any
    ) -> Iterator[Classification]:
        del boxes, finding
        rest, reading = iter(images), self.preprocess.reading
        while chunk := list(islice(rest, batch or BATCH)):
            shaped = [self.shaped(image) for image in chunk]
            found = self.classify(shaped, top=top or TOP, precision=precision)
            for image, each in zip(chunk, found, strict=True):
                yield replace(each, image=_without_torch(image, reading), reading=reading)

    def classify(
        self, shaped: Sequence[Any], *, top: int = TOP, precision: str = "auto"
    ) -> list[Classification]:
        """The most likely classes of one batch of images from ``shaped``."""
        if self.runtime is not None:
            return self.runtime.classify(shaped, top=top)
        logits = in_use(self.network, self.preprocess, precision)(torch.stack(list(shaped)))
        if self.card.multi_label:
            return above(logits, self.card, top)
        return likeliest(logits, self.classes, top)

    def shaped(self, image: Picture) -> Tensor | Bytes:
        """One image resized and cropped: uint8 (C, S, S), for an artifact (S, S, C)."""
        reading = self.preprocess.reading
        if self.runtime is not None:
            return self.runtime.shaped(_without_torch(image, reading))
        if isinstance(image, str | Path):
            pixels = decode(image, min_side=self.preprocess.decode_side, reading=reading)
        else:
            pixels = as_pixels(image, reading)
        shaped: Tensor = self._transform(pixels)
        return shaped


def likeliest(logits: Tensor, classes: Sequence[str], top: int) -> list[Classification]:
    """The most likely classes of each image: float32 (B, N)."""
    values, indices = logits.softmax(1).topk(min(top, len(classes)), dim=1)
    return [
        Classification(tuple((classes[k], v) for k, v in zip(row, p, strict=True)))
        for row, p in zip(indices.tolist(), values.tolist(), strict=True)
    ]


def above(logits: Tensor, card: ModelCard, top: int) -> list[Classification]:
    """The classes of each image that reach their thresholds, and the most likely: (B, N)."""
    found: list[Classification] = []
    for row in logits.sigmoid().tolist():
        order = sorted(range(len(row)), key=lambda k: -row[k])
        there = tuple(card.classes[k] for k in order if row[k] >= card.thresholds[k])
        best = tuple((card.classes[k], row[k]) for k in order[:top])
        found.append(Labels(best, above=there))
    return found


MULTI_LABEL = later("res2net.tasks.classify.module", "MultiLabelModule")


def for_run(config: RunConfig) -> Task:
    """The task of a run: multi-label data have another module and measure."""
    if not config.input.multi_label:
        return CLASSIFY
    loss, error = CLASSIFY.curves
    lines = (("val/ap_error", "validation, 100 % - mAP"),)
    curves = (loss, error._replace(lines=lines))
    return replace(CLASSIFY, module=MULTI_LABEL, monitor="val/ap_error", curves=curves)


def _without_torch(image: Picture, reading: Reading) -> Pixels:
    return channels_last(image, reading) if isinstance(image, Tensor) else image


def resized(card: ModelCard, size: Size | int | None) -> tuple[ModelCard, Size]:
    """A square of the card's side, or another with the same share of margin around the crop.

    Raises:
        UserError: two different sides, or too few pixels.
    """
    if isinstance(size, tuple):
        raise UserError(f"--size {shown(size)}: classifiers take square images; give one number")
    old = card.preprocess
    if size is not None:
        check_size(size, card.network, "--size")
        resize = round(size * old.resize / old.size)
        card = replace(card, preprocess=replace(old, size=size, resize=resize))
    return card, (card.preprocess.size, card.preprocess.size)


def compare(wanted: Outputs, found: Outputs) -> Compared:
    """Whether the most likely class is the same."""
    same = wanted[0].argmax(1) == found[0].argmax(1)
    return Compared(wanted, found, same.astype(np.float64), np.ones(len(same), np.int64))


TOP1 = Comparison(what="top-1 class", least=None, of=compare)


def pretraining() -> Any:
    """The module of pretraining.

    Raises:
        UserError: lightly is missing.
    """
    try:
        from res2net.tasks.classify import pretrain
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "lightly":
            raise
        raise UserError("--task pretrain needs lightly: pip install 'res2net[pretrain]'") from None
    return pretrain


CLASSIFY = Task(
    name="classify",
    title="classification",
    head="a classifier",
    data=Labelled(),
    monitor="val/top1_error",
    one_size=True,
    curves=(
        Curve("Loss", (("train/loss", "training"), ("val/loss", "validation"))),
        Curve(
            "Error",
            (
                ("train/top1_error", "training, top-1"),
                ("val/top1_error", "validation, top-1"),
                ("val/top5_error", "validation, top-5"),
            ),
            percent=True,
        ),
    ),
    describe=describe,
    build=build,
    body=lambda model: model,
    datasets=datasets,
    seen=seen,
    module=later("res2net.tasks.classify.module", "ClassifierModule"),
    measure=later("res2net.tasks.classify.scores", "measure"),
    for_run=for_run,
    deployment=Deployment(
        graph=lambda model: model,
        outputs=lambda card: ({"name": LOGITS},),  # noqa: ARG005
        resized=resized,
        comparison=TOP1,
        levels=True,
    ),
    predictor=Classifier,
)

PRETRAIN = replace(
    CLASSIFY,
    name="pretrain",
    title="pretraining without labels",
    head="a projector that is left out",
    data=Unlabelled(),
    monitor="val/loss",  # needs no labels
    curves=(
        CLASSIFY.curves[0],
        Curve("Probe error", (("val/probe_error", "nearest neighbours"),), percent=True),
        Curve("Spread of the features", (("val/spread", "validation"),)),
    ),
    build=lambda card, pretrained: build(replace(card, classes=()), pretrained),
    datasets=lambda *of_run: pretraining().datasets(*of_run),
    seen=lambda *batch: pretraining().seen(*batch),
    module=lambda: pretraining().PretrainModule,
    measure=lambda: pretraining().measure,
    for_run=None,
)
