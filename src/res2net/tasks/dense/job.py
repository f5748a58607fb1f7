"""Everything a run of a dense task needs, built from its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

import torch

from res2net import machine
from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.loader import default_workers
from res2net.data.scene import Scenes
from res2net.data.scenes.checks import check_objects
from res2net.data.scenes.loader import make_scene_loader
from res2net.data.scenes.maps import check_maps
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.source import parse_source
from res2net.errors import UserError
from res2net.tasks.dense.task import DenseTask, Job


def build_job(
    task: DenseTask,
    config: RunConfig,
    processes: machine.Processes,
    make_optimiser: Callable[[Any, int], dict[str, Any]],
) -> Job:
    """Read the data, build the network, and put loaders around both.

    Raises:
        UserError: data, network or option that cannot work; says which.
    """
    batch = machine.share_of_batch(config.train.batch, processes)
    if config.train.class_weights != "none" or config.train.label_smoothing:
        raise UserError("--train.class-weights and --train.label-smoothing are for --task classify")
    source = parse_source(config.data)
    images = read_scenes(
        source,
        SceneOptions(marks=task.marks, val_fraction=config.input.val_fraction, seed=config.seed),
    )
    if not images.train:
        raise UserError(
            f"{config.data}: no images to train on; as it is, this set is for `res2net evaluate`"
        )
    if not images.val:
        raise UserError(f"{config.data}: no images to validate on; add a val part")
    if source.path is not None:  # generated scenes hold every class
        check_objects(config.data, images, task.marks)
    check_maps(config.data, images, task.marks, skip_bad=config.input.skip_bad)
    card = describe(task, config, images)
    torch.manual_seed(config.seed)  # the weights
    model = build(task, card, pretrained=config.net.pretrained)
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
        model.compile()
    workers = default_workers() if config.input.workers is None else config.input.workers
    datasets = task.datasets(config, card, images)
    common: dict[str, Any] = {
        "seed": config.seed,
        "workers": workers,
        "rank": processes.rank,
        "world": processes.world,
    }
    train_loader = make_scene_loader(
        datasets.train, datasets.collate_train, batch=batch, shuffle=True, **common
    )
    val_loader = make_scene_loader(
        datasets.val, datasets.collate_val, batch=datasets.val_batch, shuffle=False, **common
    )
    steps = -(-len(train_loader) // config.train.accumulate)
    module = task.module(
        model, card=card, images=images, optimiser=lambda module: make_optimiser(module, steps)
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
        monitor=task.monitor,
    )


def describe(task: DenseTask, config: RunConfig, images: Scenes) -> ModelCard:
    """The card of a run that has not been measured yet.

    Raises:
        UserError: an option that the task does not have.
    """
    net = config.net
    head, preprocess = task.describe(config, images)
    body = {
        "drop_path": net.drop_path or None,
        "first_block": net.first_block,
        "zero_init": net.zero_init,
        "norm": None if net.norm == "batch" else net.norm,
        **net.variant(),
    }
    assert head.keys().isdisjoint(f.name for f in fields(net)), "one name for head and backbone"
    given = {**head, **body}
    return ModelCard(
        network=config.model,
        task=task.name,
        options={name: value for name, value in given.items() if value is not None},
        classes=images.classes,
        preprocess=preprocess,
        marks=_marks(images),
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


def build(task: DenseTask, card: ModelCard, *, pretrained: str | None = None) -> Any:
    """The network that a card describes.

    Raises:
        UserError: an option that this network does not have, or a value that it cannot have.
    """
    try:
        return task.build(card, pretrained)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"--model {card.network}: {error}") from None
