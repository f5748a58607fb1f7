"""Everything a run needs, built from its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

import torch

from res2net import machine
from res2net.card import ModelCard
from res2net.config import HeadOptions, NetOptions, RunConfig
from res2net.data.loader import default_workers, make_loader
from res2net.data.preprocess import Preprocess
from res2net.data.scene import Scenes
from res2net.data.values import fit_to_values, training_images
from res2net.errors import UserError, option
from res2net.tasks.data import Images
from res2net.tasks.task import Job, Task


def build_job(
    task: Task,
    config: RunConfig,
    processes: machine.Processes,
    make_optimiser: Callable[[Any, int], dict[str, Any]],
    kept: Preprocess | None = None,
) -> Job:
    """Read the data, build the network, and put loaders around both.

    Args:
        processes: the processes that share each batch.
        make_optimiser: (module, steps an epoch) → optimiser and schedule for Lightning.
        kept: preprocessing of the run that is resumed.

    Raises:
        UserError: data, network or option that cannot work; says which.
    """
    batch = machine.share_of_batch(config.train.batch, processes)
    images: Any = task.data.of_run(config)
    card = describe(task, config, images, kept)
    torch.manual_seed(config.seed)  # the weights
    model = build(task, card, config.net.pretrained)
    body = task.body(model)
    if body.weights_notice:  # the weights may have brought their rule for first blocks
        rule = {"first_block": str(body.first_block)} if body.first_block else {}
        card = replace(card, options={**card.options, **rule}, notes=body.weights_notice)
    try:
        body.freeze(config.train.frozen_levels)
    except ValueError as error:
        raise UserError(f"--train.frozen-levels: {error}") from None
    body.gradient_checkpointing = config.train.gradient_checkpointing
    if config.compile:
        mode = "default" if config.compile is True else config.compile
        model.compile(mode=mode)
    datasets = task.datasets(config, card, images)
    common: dict[str, Any] = {
        "seed": config.seed,
        "workers": default_workers() if config.input.workers is None else config.input.workers,
        "rank": processes.rank,
        "world": processes.world,
    }
    train_loader = make_loader(
        datasets.train,
        datasets.collate_train,
        batch=batch,
        shuffle=True,
        drop_last=len(datasets.train) // processes.world > batch,
        **common,
    )
    val_batch = datasets.val_batch or batch
    val_loader = make_loader(
        datasets.val, datasets.collate_val, batch=val_batch, shuffle=False, **common
    )
    steps = -(-len(train_loader) // config.train.accumulate)  # what is left over makes a step too
    module = task.module()(
        model,
        card=card,
        images=images,
        config=config,
        optimiser=lambda module: make_optimiser(module, steps),
    )
    return Job(
        task=task,
        module=module,
        card=card,
        images=images,
        train_loader=train_loader,
        val_loader=val_loader,
        steps=steps,
        precision=config.train.precision,
        skip_bad=config.input.skip_bad,
    )


def describe(
    task: Task, config: RunConfig, images: Images, kept: Preprocess | None = None
) -> ModelCard:
    """The card of a run that has not been measured yet.

    Args:
        kept: preprocessing whose range and channels a resumed run goes on with; None reads them
            from the training images.

    Raises:
        UserError: an option that the task does not have.
    """
    net = config.net
    head, preprocess = task.describe(config, images)
    if kept is not None:
        preprocess = replace(preprocess, range=kept.range, mean=kept.mean, std=kept.std)
    else:
        preprocess = fit_to_values(
            preprocess,
            training_images(images),
            config.data,
            within=config.input.range,
            channels=config.input.channels,
        )
    given = {
        "drop_path": net.drop_path or None,
        "first_block": net.first_block,
        "zero_init": net.zero_init,
        **head,
        **net.variant(),
        "norm": None if net.norm == "batch" else net.norm,
        "in_channels": None if preprocess.channels == 3 else preprocess.channels,
    }
    return ModelCard(
        network=config.model,
        task=task.name,
        options={name: value for name, value in given.items() if value is not None},
        classes=images.classes,
        preprocess=preprocess,
        marks=_marks(images) if isinstance(images, Scenes) else {},
        data=config.data,
        recipe=config.recipe,
        versions=machine.versions(),
        commit=machine.commit(),
    )


def _marks(images: Scenes) -> dict[str, Any]:
    """How what is found is drawn, and what a mirror makes of it."""
    marks: dict[str, Any] = {}
    if images.palette:
        marks["palette"] = [list(colour) for colour in images.palette]
    if images.skeleton is not None:
        marks["skeleton"] = json.loads(json.dumps(asdict(images.skeleton)))
    return marks


def build(task: Task, card: ModelCard, pretrained: str | None = None) -> Any:
    """The network that a card describes.

    Raises:
        UserError: an option that this network does not have, or a value that it cannot have.
    """
    try:
        return task.build(card, pretrained)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        first = str(error).partition(" ")[0]
        groups = (("net", NetOptions), ("head", HeadOptions))
        group = next((g for g, kind in groups if first in {f.name for f in fields(kind)}), None)
        if group:
            raise UserError(f"{option(f'{group}.{first}')}{str(error)[len(first) :]}") from None
        raise UserError(f"--model {card.network}: {error}") from None
