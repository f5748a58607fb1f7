"""Segmentation as a row of the table of tasks."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from res2net.data.scene import Scenes
from res2net.data.scenes.loader import listed, stacked
from res2net.data.scenes.transforms import as_it_is, chain, flip, scale_and_crop
from res2net.errors import UserError
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.models.factory import norm_by_name
from res2net.tasks.dense.network import Deployed
from res2net.tasks.dense.task import Datasets, DenseTask
from res2net.tasks.segment.deployed import DEPLOYMENT
from res2net.tasks.segment.evaluation import dataset_of, measure
from res2net.tasks.segment.inference import Segmentation, classes_of
from res2net.tasks.segment.module import SegmenterModule

CROP = 513  # pixels; the paper's base
SCALES = (0.5, 2.0)  # of the random size before the crop


def describe(config: RunConfig, images: Scenes) -> tuple[dict[str, Any], Preprocess]:  # noqa: ARG001
    """The head's options and the size of training crops.

    Raises:
        UserError: crops that are too small.
    """
    size = CROP if config.input.size is None else config.input.size
    if size < 32:
        raise UserError(f"--input.size is {size}; crops need at least 32 pixels")
    head = {
        "output_stride": config.head.output_stride,
        "channels": config.head.channels or 256,
        "as_base": config.head.as_base,
    }
    return head, Preprocess(size=size, resize=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def build(card: ModelCard, pretrained: str | None) -> DeepLabV3Plus:
    """The network that a card describes."""
    options = dict(card.options)
    norm = options.pop("norm", None)
    return DeepLabV3Plus(
        card.network,
        len(card.classes),
        as_base=options.pop("as_base", False),  # runs of before do not name it
        pretrained=pretrained,
        norm_layer=norm and norm_by_name(norm),
        **options,
    )


def datasets(config: RunConfig, card: ModelCard, images: Scenes) -> Datasets:
    """Random crops for training, whole images one by one for validation."""
    fill = [255 * value for value in card.preprocess.mean]
    crop = chain(scale_and_crop(card.preprocess.size, *SCALES, fill), flip(config.augment.hflip))
    skip = config.input.skip_bad
    return Datasets(
        train=dataset_of(images, images.train, crop, skip_bad=skip),
        val=dataset_of(images, images.val, as_it_is, skip_bad=skip),
        collate_train=stacked,
        collate_val=listed,
    )


def predict(
    model: DeepLabV3Plus | Deployed, card: ModelCard, image: Tensor, precision: str
) -> Segmentation:
    """The class of each pixel."""
    found = classes_of(model, image, card.preprocess, precision=precision)
    colours = tuple(tuple(each) for each in card.marks["palette"])
    return Segmentation(image=image, classes=found, names=card.classes, palette=colours)


SEGMENT = DenseTask(
    name="segment",
    title="segmentation",
    head="DeepLab v3+",
    marks="classes",
    monitor="val/iou_error",
    curves=(
        ("Loss", (("train/loss", "training"), ("val/loss", "validation"))),
        ("Error, 100 % - mean IoU", (("val/iou_error", "validation"),)),
    ),
    sizes="a region is what hangs together of one class in the annotated map, from 16 pixels on, "
    "and its size is its area; shown is the share of its pixels that was found",
    describe=describe,
    build=build,
    body=lambda model: model.body,
    datasets=datasets,
    module=SegmenterModule,
    measure=measure,
    predict=predict,
    deployment=DEPLOYMENT,
)
