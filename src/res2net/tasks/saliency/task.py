"""Salient objects as a row of the table of tasks."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from res2net.data.scene import Scenes
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.loader import listed, stacked
from res2net.data.scenes.transforms import as_it_is, chain, flip, square
from res2net.errors import UserError
from res2net.heads.dss import SIDES, SaliencyNet
from res2net.models.factory import norm_by_name
from res2net.tasks.dense.network import Deployed
from res2net.tasks.dense.task import Datasets, DenseTask
from res2net.tasks.saliency.deployed import DEPLOYMENT
from res2net.tasks.saliency.evaluation import measure
from res2net.tasks.saliency.inference import SaliencyMap, saliency_of
from res2net.tasks.saliency.module import SaliencyModule

SIDE = 352  # pixels of the square that a network sees


def describe(config: RunConfig, images: Scenes) -> tuple[dict[str, Any], Preprocess]:  # noqa: ARG001
    """The head's options and the side of the square.

    Raises:
        UserError: a square that is too small.
    """
    size = SIDE if config.input.size is None else config.input.size
    if size < 32:
        raise UserError(f"--input.size is {size}; it needs at least 32 pixels")
    channels = config.head.channels or SIDES[0].channels
    head = {"channels": channels, "as_base": config.head.as_base}
    return head, Preprocess(size=size, resize=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def build(card: ModelCard, pretrained: str | None) -> SaliencyNet:
    """The network that a card describes."""
    options = dict(card.options)
    norm = options.pop("norm", None)
    if "channels" not in options:  # an older card: its width is a factor on the sides' channels
        options["channels"] = round(SIDES[0].channels * options.pop("width", 1))
    return SaliencyNet(
        card.network,
        as_base=options.pop("as_base", False),  # runs of before do not name it
        pretrained=pretrained,
        norm_layer=norm and norm_by_name(norm),
        **options,
    )


def datasets(config: RunConfig, card: ModelCard, images: Scenes) -> Datasets:
    """Squares for training, whole images one by one for validation."""
    vary = chain(square(card.preprocess.size), flip(config.augment.hflip))
    skip = config.input.skip_bad
    return Datasets(
        train=SceneDataset(images.train, "salient", 2, vary, skip_bad=skip),
        val=SceneDataset(images.val, "salient", 2, as_it_is, skip_bad=skip),
        collate_train=stacked,
        collate_val=listed,
    )


def predict(
    model: SaliencyNet | Deployed, card: ModelCard, image: Tensor, precision: str
) -> SaliencyMap:
    """What stands out."""
    found = saliency_of(model, image, card.preprocess, precision=precision)
    return SaliencyMap(image=image, saliency=found)


SALIENCY = DenseTask(
    name="saliency",
    title="salient objects",
    head="DSS",
    marks="salient",
    monitor="val/f_error",
    curves=(
        ("Loss, all sides", (("train/loss", "training"), ("val/loss", "validation"))),
        ("Error, %", (("val/f_error", "1 - max F-measure"), ("val/mae", "mean absolute error"))),
    ),
    sizes="an image belongs to the size of all that is salient in it, taken together, by area",
    describe=describe,
    build=build,
    body=lambda model: model.body,
    datasets=datasets,
    module=SaliencyModule,
    measure=measure,
    predict=predict,
    deployment=DEPLOYMENT,
)
