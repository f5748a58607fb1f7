"""Everything a classification run needs, built from its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from res2net import machine
from res2net.card import ModelCard
from res2net.config import NetOptions, RunConfig, option_error
from res2net.data.labelled import LabelledImages
from res2net.data.loader import default_workers, make_loader
from res2net.data.preprocess import SMALL, Preprocess, default_preprocess
from res2net.data.readers import read
from res2net.data.source import parse_source
from res2net.data.transforms import eval_transform, train_transform
from res2net.errors import UserError
from res2net.models.factory import create_model, norm_by_name
from res2net.models.network import Network
from res2net.paper.networks import find_variant
from res2net.tasks.classify.module import ClassifierModule
from res2net.tasks.selection import Chosen

SMALLEST = {"inception_v3": 75}  # pixels; 32 for every other network


@dataclass(frozen=True, kw_only=True)
class Job:
    """A module and its data, ready for the Trainer."""

    module: ClassifierModule
    card: ModelCard
    images: LabelledImages
    train_loader: DataLoader[Any]
    val_loader: DataLoader[Any]
    steps: int  # of the optimiser, an epoch
    precision: str
    skip_bad: bool  # unreadable images are left out
    monitor: str = "val/top1_error"  # the lowest is best
    select: Chosen = "best"  # epoch whose weights are kept


def build_job(
    config: RunConfig,
    processes: machine.Processes,
    make_optimiser: Callable[[ClassifierModule, int], dict[str, Any]],
) -> Job:
    """Read the data, build the network, and put loaders around both.

    Args:
        processes: the processes that share each batch.
        make_optimiser: (module, steps an epoch) → optimiser and schedule for Lightning.

    Raises:
        UserError: data, network or option that cannot work; says which.
    """
    batch = machine.share_of_batch(config.train.batch, processes)
    images = read(
        parse_source(config.data),
        val_fraction=config.input.val_fraction,
        seed=config.seed,
        skip_bad=config.input.skip_bad,
        download=config.input.download,
    )
    preprocess = choose_preprocess(config, images)
    torch.manual_seed(config.seed)  # the weights
    model = build_model(config, len(images.classes))
    card = describe(config, images, preprocess, model)
    try:
        model.freeze(config.train.frozen_levels)
    except ValueError as error:
        raise UserError(f"--train.frozen-levels: {error}") from None
    model.gradient_checkpointing = config.train.gradient_checkpointing
    if config.compile:
        model.compile()
    workers = default_workers() if config.input.workers is None else config.input.workers
    train_loader = make_loader(
        images.train,
        train_transform(config.augment, preprocess),
        batch=batch,
        shuffle=True,
        seed=config.seed,
        workers=workers,
        min_side=preprocess.decode_side,
        rank=processes.rank,
        world=processes.world,
        drop_last=len(images.train) // processes.world > batch,
        pin_memory=torch.cuda.is_available(),
        skip_bad=config.input.skip_bad,
    )
    val_loader = make_loader(
        images.val,
        eval_transform(preprocess),
        batch=batch,
        shuffle=False,
        seed=config.seed,
        workers=workers,
        min_side=preprocess.decode_side,
        rank=processes.rank,
        world=processes.world,
        pin_memory=torch.cuda.is_available(),
        skip_bad=config.input.skip_bad,
    )
    steps = -(-len(train_loader) // config.train.accumulate)  # what is left over makes a step too
    module = ClassifierModule(
        model,
        card=card,
        augment=config.augment,
        optimiser=lambda module: make_optimiser(module, steps),
        label_smoothing=config.train.label_smoothing,
        class_weights=balanced_weights(images)
        if config.train.class_weights == "balanced"
        else None,
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


def build_model(config: RunConfig, classes: int) -> Network:
    """The network of a run, with the weights it starts from.

    Raises:
        UserError: an option that this network does not have, or a value that it cannot have.
    """
    net = config.net
    try:
        return create_model(
            config.model,
            num_classes=classes,
            pretrained=net.pretrained,
            norm_layer=None if net.norm == "batch" else norm_by_name(net.norm),
            **_model_options(config),
        )
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise option_error(error, "net", NetOptions) from None


def _model_options(config: RunConfig) -> dict[str, Any]:
    """What ``create_model`` is given besides classes, norm and starting weights."""
    net = config.net
    given = {
        "drop_path": net.drop_path or None,
        "first_block": net.first_block,
        "zero_init": net.zero_init,
        "global_pool": None if net.global_pool == "avg" else net.global_pool,
        **net.variant(),
    }
    return {name: value for name, value in given.items() if value is not None}


def choose_preprocess(config: RunConfig, images: LabelledImages) -> Preprocess:
    """The size the network sees: asked for, or the images' own if small, or the network's.

    Raises:
        UserError: smaller than the network can take.
    """
    native = images.native_size
    small = native is not None and native <= SMALL
    size = config.input.size
    if size is None:
        smallest = SMALLEST.get(config.model, 32)
        size = max(smallest, native or 0) if small else find_variant(config.model).size
    check_size(size, config.model, "--input.size")
    preprocess = default_preprocess(
        size, cifar=images.name in ("cifar10", "cifar100"), native_size=images.native_size
    )
    return replace(preprocess, interpolation=config.input.interpolation)


def check_size(size: int, network: str, option: str) -> None:
    """Refuse images that are too small for the network.

    Raises:
        UserError: names the option.
    """
    smallest = SMALLEST.get(network, 32)
    if size < smallest:
        raise UserError(f"{option} is {size}; {network} needs images of at least {smallest} pixels")


def describe(
    config: RunConfig, images: LabelledImages, preprocess: Preprocess, model: Network
) -> ModelCard:
    """The card of a run that has not been measured yet."""
    options = _model_options(config)
    if model.weights_notice and model.first_block:
        options["first_block"] = str(model.first_block)  # the weights may have brought it
    if config.net.norm != "batch":
        options["norm"] = config.net.norm
    return ModelCard(
        network=config.model,
        options=options,
        classes=images.classes,
        preprocess=preprocess,
        data=config.data,
        recipe=config.recipe,
        versions=machine.versions(),
        commit=machine.commit(),
        notes=model.weights_notice,
    )


def balanced_weights(images: LabelledImages) -> Tensor:
    """Loss factors that give every class the same weight in all: n / (N·count), (N,)."""
    counts = torch.bincount(torch.from_numpy(images.train.labels), minlength=len(images.classes))
    return counts.sum() / (len(counts) * counts.clamp(min=1))
