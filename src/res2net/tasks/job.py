"""Everything a run needs, built from its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from res2net import machine
from res2net.card import ModelCard
from res2net.config import HeadOptions, NetOptions, RunConfig
from res2net.data.labelled import LabelledImages
from res2net.data.loader import default_workers, make_loader
from res2net.data.preprocess import Preprocess
from res2net.data.values import fit_to_values, training_images
from res2net.errors import UserError, option
from res2net.tasks.data import Images
from res2net.tasks.start import following, open_start
from res2net.tasks.table import find_task
from res2net.tasks.task import Job, Task


def build_job(
    task: Task,
    config: RunConfig,
    processes: machine.Processes,
    make_optimiser: Callable[[Any, int], dict[str, Any]],
    say: Callable[[str], None] | None = None,
    kept: Mapping[str, Any] | None = None,
) -> Job:
    """Read the data, build the network, and put loaders around both.

    Args:
        processes: the processes that share each batch.
        make_optimiser: (module, steps per epoch) → optimiser and schedule for Lightning.
        say: called with lines of progress.
        kept: the card in the checkpoint that is resumed; its weights replace those of ``--init``.

    Raises:
        UserError: data, network or option that cannot work; the message names it.
    """
    assert not isinstance(config.train.batch, str)  # "auto" has become a number
    batch = machine.share_of_batch(config.train.batch, processes)
    images: Any = task.data.of_run(config, say)
    task = task if task.for_run is None else task.for_run(config)
    known = Preprocess.from_dict(kept["preprocess"]) if kept and "preprocess" in kept else None
    card = describe(task, config, images, known)
    start = open_start(config.init) if config.init and kept is None else None
    if start:
        card = start.settle(card)
    elif config.init and kept:
        card = following(card, kept.get("options", {}), str(kept.get("notes", "")))
    torch.manual_seed(config.seed)  # for the weights
    model = build(task, card, config.net.pretrained)
    for line in start.load_into(task, model, card) if start else ():
        if say:
            say(line)
    body = task.body(model)
    if body.weights_notice:  # the weights may have set their first-block rule
        rule = {"first_block": str(body.first_block)} if body.first_block else {}
        card = replace(card, options={**card.options, **rule}, notes=body.weights_notice)
    try:
        frozen = config.train.frozen_levels
        body.freeze(body.count_levels() if frozen == "all" else frozen)
    except ValueError as error:
        raise UserError(f"--train.frozen-levels: {error}") from None
    fresh = config.init is None and config.net.pretrained is None
    if say and fresh and (body.frozen_levels or config.train.unfreeze_every):
        say("frozen levels keep random weights here: --init or --net.pretrained loads others")
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
    feed = datasets.feed
    train_loader = make_loader(
        feed.dataset if feed else datasets.train,
        feed.collate if feed else datasets.collate_train,
        batch=batch,
        shuffle=True,
        drop_last=len(datasets.train) // processes.world > batch,
        factors=datasets.factors,
        **common,
    )
    val_batch = datasets.val_batch or batch
    val_loader = make_loader(
        datasets.val, datasets.collate_val, batch=val_batch, shuffle=False, **common
    )
    labels: Any = images.val.labels if isinstance(images, LabelledImages) else None
    if say and config.train.val_batches and labels is not None and labels.ndim == 1:
        seen = labels[: config.train.val_batches * val_batch * processes.world]
        if len(set(seen)) < len(set(labels)):
            say(
                f"--train.val-batches {config.train.val_batches}: {len(seen)} images of "
                f"{len(set(seen))} of {len(set(labels))} classes are measured"
            )
    steps = -(-len(train_loader) // config.train.accumulate)  # the remainder is a step too
    module = task.module()(
        model,
        card=card,
        images=images,
        config=config,
        optimiser=lambda module: make_optimiser(module, steps),
    )
    module.finish = feed.finish if feed else None
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


PREVIEWED = 12  # images on the sheet


def draw_preview(config: RunConfig, path: Path) -> None:
    """Draw a sheet of augmented training images with their annotations, as the network gets them.

    They are the first images of the first epoch.

    Args:
        path: path of the PNG.

    Raises:
        UserError: data or an option that cannot work, or a file that cannot be written.
    """
    from res2net.drawing.sheet import Line, Tile, draw_tiles

    if path.suffix.lower() != ".png":
        raise UserError(f"--preview {path}: it is written as PNG; give a name that ends with .png")
    task = find_task(config.task)
    images: Any = task.data.of_run(config)
    datasets = task.datasets(config, describe(task, config, images), images)
    loader = make_loader(
        datasets.train,
        datasets.collate_train,
        batch=PREVIEWED,
        shuffle=True,
        seed=config.seed,
        factors=datasets.factors,
    )
    torch.manual_seed(config.seed)  # for mixup and CutMix
    views = (view for batch in loader for view in task.seen(batch, images, config))
    tiles = [Tile([picture], [[Line(text=name)]]) for picture, name in islice(views, PREVIEWED)]
    title = f"Training images of {images.name}, augmented"
    subtitle = f"{config.task}, recipe {config.recipe}, {len(tiles)} of the first epoch"
    draw_tiles(path, title, subtitle, tiles, columns=4)


def describe(
    task: Task, config: RunConfig, images: Images, kept: Preprocess | None = None
) -> ModelCard:
    """The card of a run that has not been measured.

    Args:
        kept: preprocessing whose range and channels a resumed run keeps; None reads them
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
        marks=_marks(images, config),
        holdout=config.holdout.as_dict(),
        data=config.data,
        recipe=config.recipe,
        versions=machine.versions(),
        commit=machine.commit(),
    )


def _marks(images: Images, config: RunConfig) -> dict[str, Any]:
    """How predictions are drawn, and which key-points or classes are mirror partners."""
    if isinstance(images, LabelledImages):  # thresholds are found when the training ends
        return {"thresholds": []} if config.input.multi_label else {}
    marks: dict[str, Any] = {}
    if images.palette:
        marks["palette"] = [list(colour) for colour in images.palette]
    if images.skeleton is not None:
        marks["skeleton"] = json.loads(json.dumps(asdict(images.skeleton)))
    return marks


def build(task: Task, card: ModelCard, pretrained: str | None = None) -> Any:
    """The network that a card describes.

    Raises:
        UserError: an option that this network does not have, or an invalid value.
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
