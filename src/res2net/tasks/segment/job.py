"""Everything a segmentation run needs, built from its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader

from res2net import machine
from res2net.config import RunConfig
from res2net.data.loader import default_workers
from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from res2net.data.scene import Scenes
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.loader import listed, make_scene_loader, stacked
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.scenes.transforms import as_it_is, chain, flip, scale_and_crop
from res2net.data.source import parse_source
from res2net.errors import UserError
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.models.card import ModelCard
from res2net.models.factory import norm_by_name
from res2net.tasks.segment.module import SegmenterModule

CROP = 513  # pixels; the paper's base
SCALES = (0.5, 2.0)  # of the random size before the crop


@dataclass(frozen=True, kw_only=True)
class Job:
    """A module and its data, ready for the Trainer."""

    module: SegmenterModule
    card: ModelCard
    images: Scenes
    train_loader: DataLoader[Any]
    val_loader: DataLoader[Any]
    steps: int  # of the optimiser, an epoch
    precision: str
    skip_bad: bool  # unreadable images are left out
    monitor: str = "val/iou_error"  # the lowest is best


def build_job(
    config: RunConfig,
    together: machine.Processes,
    make_optimiser: Callable[[SegmenterModule, int], dict[str, Any]],
) -> Job:
    """Read the data, build the network, and put loaders around both.

    Raises:
        UserError: data, network or option that cannot work; says which.
    """
    batch, rest = divmod(config.train.batch, together.world)
    if rest or not batch:
        raise UserError(
            f"--train.batch {config.train.batch} cannot be shared by {together.world} processes; "
            f"use a multiple of {together.world}"
        )
    images = read_scenes(
        parse_source(config.data),
        SceneOptions(marks="classes", val_fraction=config.input.val_fraction, seed=config.seed),
    )
    card = describe(config, images)
    torch.manual_seed(config.seed)  # the weights
    model = build(card, pretrained=config.net.pretrained)
    if model.body.weights_notice:  # the weights may have brought their rule for first blocks
        rule = {"first_block": str(model.body.first_block)} if model.body.first_block else {}
        options = {**card.options, **rule}
        card = replace(card, options=options, notes=model.body.weights_notice)
    try:
        model.body.freeze(config.train.frozen_levels)
    except ValueError as error:
        raise UserError(f"--train.frozen_levels: {error}") from None
    model.body.gradient_checkpointing = config.train.gradient_checkpointing
    if config.compile:
        model.compile()
    workers = default_workers() if config.input.workers is None else config.input.workers
    fill = [255 * value for value in card.preprocess.mean]
    crop = chain(scale_and_crop(card.preprocess.size, *SCALES, fill), flip(config.augment.hflip))
    common: dict[str, Any] = {
        "seed": config.seed,
        "workers": workers,
        "rank": together.rank,
        "world": together.world,
    }
    train_loader = make_scene_loader(
        dataset_of(images, images.train, crop, skip_bad=config.input.skip_bad),
        stacked,
        batch=batch,
        shuffle=True,
        **common,
    )
    val_loader = make_scene_loader(
        dataset_of(images, images.val, as_it_is, skip_bad=config.input.skip_bad),
        listed,
        batch=1,
        shuffle=False,
        **common,
    )
    steps = -(-len(train_loader) // config.train.accumulate)
    module = SegmenterModule(
        model, card=card, optimiser=lambda module: make_optimiser(module, steps)
    )
    return Job(
        module=module,
        card=card,
        images=images,
        train_loader=train_loader,
        val_loader=val_loader,
        steps=steps,
        precision=config.train.precision,
        skip_bad=config.input.skip_bad,
    )


def dataset_of(images: Scenes, part: Any, transform: Any, *, skip_bad: bool) -> SceneDataset:
    """A part of the data with its class maps."""
    return SceneDataset(
        part, "classes", len(images.classes), transform, void=images.void, skip_bad=skip_bad
    )


def describe(config: RunConfig, images: Scenes) -> ModelCard:
    """The card of a run that has not been measured yet.

    Raises:
        UserError: an option that segmentation does not have.
    """
    net = config.net
    size = CROP if config.input.size is None else config.input.size
    if size < 32:
        raise UserError(f"--input.size is {size}; crops need at least 32 pixels")
    if config.train.class_weights != "none" or config.train.label_smoothing:
        raise UserError("--train.class_weights and --train.label_smoothing are for --task classify")
    given = {
        "drop_path": net.drop_path or None,
        "first_block": net.first_block,
        "zero_init": net.zero_init,
        "norm": None if net.norm == "batch" else net.norm,
        "output_stride": config.head.output_stride,
        "channels": config.head.channels,
        **net.variant(),
    }
    return ModelCard(
        network=config.model,
        task="segment",
        options={name: value for name, value in given.items() if value is not None},
        classes=images.classes,
        preprocess=Preprocess(size=size, resize=size, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        data=config.data,
        recipe=config.recipe,
        versions=machine.versions(),
        commit=machine.commit(),
    )


def build(card: ModelCard, *, pretrained: str | None = None) -> DeepLabV3Plus:
    """The network that a card describes.

    Raises:
        UserError: an option that this network does not have, or a value that it cannot have.
    """
    options = dict(card.options)
    norm = options.pop("norm", None)
    try:
        return DeepLabV3Plus(
            card.network,
            len(card.classes),
            pretrained=pretrained,
            norm_layer=norm and norm_by_name(norm),
            **options,
        )
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"--model {card.network}: {error}") from None
