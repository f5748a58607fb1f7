"""From the options set by hand to the whole configuration of a run. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from res2net.config import ANNOTATIONS, READ_BY, RunConfig, known_task
from res2net.data.source import LABELS, NONE, Source, parse_source
from res2net.errors import UserError, check_meaning, check_needs
from res2net.optionfile import flat
from res2net.paper.networks import find_variant, library_of
from res2net.paper.recipes import find_recipe, recipe_for
from res2net.paper.tasks import CLASSIFY

SMALL_IMAGES = {
    "cifar10": 32,
    "cifar100": 32,
    "digits": 32,
    "scenes": 64,
}  # format → default input size in pixels

# option → what it needs in other options, in words, and whether a run has that
NEEDS: Mapping[str, tuple[str, Callable[[RunConfig], bool]]] = {
    "net.first_block": ("a network of several splits", lambda run: _is_split(run)),
    "head.channels": ("--head.form fpn", lambda run: run.head.form == "fpn"),
    "input.download": (
        "cifar10 or cifar100 data",
        lambda run: run.data.partition(":")[0] in ("cifar10", "cifar100"),
    ),
    "input.decode": (
        "data of image files",
        lambda run: run.data.partition(":")[0] not in SMALL_IMAGES,
    ),
    "input.index": (
        "folder or csv data",
        lambda run: run.data.partition(":")[0] in ("folder", "csv"),
    ),
    "augment.crop": (
        "random_resized or none with boxes",
        lambda run: run.task in READ_BY["augment.pad"] or run.augment.crop != "pad",
    ),
    "augment.crop_scale": (
        "--augment.crop random_resized",
        lambda run: run.augment.crop == "random_resized",
    ),
    "augment.pad": ("--augment.crop pad", lambda run: run.augment.crop == "pad"),
    "augment.randaugment_magnitude": (
        "--augment.randaugment 1 or more",
        lambda run: run.augment.randaugment > 0,
    ),
    "augment.hflip": ("--augment.flip random", lambda run: run.augment.flip == "random"),
    "augment.border": ("--augment.crop pad", lambda run: run.augment.crop == "pad"),
    "train.norm_bias_factor": (
        "trainable norms, --net.norm batch or group",
        lambda run: run.net.norm != "frozen",
    ),
    "train.dropout": (
        "a network without dropout of its own; inception_v3 has 0.5",
        lambda run: run.model != "inception_v3",
    ),
    "train.gradient_checkpointing": (
        "a network of the model table",
        lambda run: not library_of(run.model),
    ),
    "train.momentum": ("--train.optimizer sgd", lambda run: run.train.optimizer == "sgd"),
    "train.nesterov": ("--train.optimizer sgd", lambda run: run.train.optimizer == "sgd"),
    "train.milestones": ("--train.schedule step", lambda run: run.train.schedule == "step"),
    "train.gamma": ("--train.schedule step", lambda run: run.train.schedule == "step"),
}


def configure(
    given: Mapping[str, Any],
    *,
    out: Path | None,
    resume: bool,
    saved: Path | None = None,
) -> tuple[RunConfig, Path, str]:
    """The whole configuration of a run, from the options set by hand.

    Given options take precedence over the saved configuration of a resumed run, or else over the
    recipe, and that over the defaults.

    Args:
        given: options by name; a group's in a dictionary, as in ``config.yaml``.
        out: the run folder; None makes one in ``runs``.
        saved: the configuration to start from instead of a recipe's.

    Returns:
        Configuration, run folder, and a remark on the data ("" if their format was given).

    Raises:
        UserError: an option that does not exist or is missing, or a value out of range.
    """
    values = RunConfig.read(saved).as_dict() if saved is not None else {}
    for needed in ("model", "data"):
        if not {**values, **given}.get(needed) and resume and out is not None:
            raise UserError(f"--resume: {out} holds no run; give --model and --data")
        if not {**values, **given}.get(needed):
            raise UserError(f"--{needed} is missing; `res2net train --help` explains it")
    task = known_task({**values, **given}.get("task", CLASSIFY))
    source = parse_source(str(given.get("data", values.get("data"))), ANNOTATIONS[task])
    if saved is None:
        name = str(given.get("recipe") or recipe_for(source.format, task))
        values = {"recipe": name}
        size = usual_size(str(given["model"]), source, task)
        for option, value in recipe_defaults(name, flat(given), usual_size=size).items():
            group, _, own = option.partition(".")
            values.setdefault(group, {})[own] = value
        if given.get("init"):  # it replaces all weights
            values.get("net", {}).pop("pretrained", None)
    for name, value in given.items():
        grouped = isinstance(value, Mapping)
        values[name] = {**values.get(name, {}), **value} if grouped else value
    config = RunConfig.from_dict({**values, "data": str(source)})
    find_variant(config.model)
    usual = Path("runs") / f"{config.model}-{source.format}".replace(":", "-")
    folder = out or (last_folder(usual) if resume else free_folder(usual))
    return config, folder, f"{source.path}: recognised as {source.format} data" * source.guessed


def saved_config(run: Path | None) -> Path | None:
    """The configuration in a run folder; None if there is none."""
    file = None if run is None else run / "config.yaml"
    return file if file is not None and file.is_file() else None


def usual_size(model: str, source: Source, task: str) -> int:
    """The default input size for the data, in pixels."""
    size = find_variant(model).size
    whole = ANNOTATIONS[task] in (LABELS, NONE)
    return min(size, SMALL_IMAGES.get(source.format, size)) if whole else size


def check_options(given: Iterable[str], run: RunConfig) -> None:
    """Refuse options that the task, or another option, makes meaningless.

    Raises:
        UserError: the first such option, and what it applies to or needs.
    """
    given = list(given)
    check_meaning(given, READ_BY, run.task)
    check_needs(given, {name: (what, holds(run)) for name, (what, holds) in NEEDS.items()})


def _is_split(run: RunConfig) -> bool:
    scale = run.net.scale
    return (getattr(find_variant(run.model), "scale", 1) if scale is None else scale) > 1


def recipe_defaults(name: str, given: dict[str, Any], *, usual_size: int) -> dict[str, Any]:
    """A recipe's settings, adapted to what was set by hand.

    Milestones and the peak of a linear schedule scale with the number of epochs; a learning rate
    set by hand is not scaled.

    Args:
        given: options set by hand.
        usual_size: this network's default input size for these data, in pixels.
    """
    settings = dict(find_recipe(name, str(given.get("task", CLASSIFY))).settings)
    if "train.epochs" in given:
        try:
            share = float(given["train.epochs"]) / settings["train.epochs"]
        except (OverflowError, TypeError, ValueError):
            share = 1.0  # the parser reports the error
        if milestones := settings.get("train.milestones"):
            settings["train.milestones"] = [round(m * share, 3) for m in milestones]
        if settings["train.schedule"] == "linear":
            settings["train.warmup"] = round(settings["train.warmup"] * share, 3)
    if "train.lr" in given:
        settings["train.lr_batch"] = 0
    if name == "smoke" and usual_size <= settings["input.size"]:
        del settings["input.size"]  # an upper limit: no image is enlarged to it
    return settings


def free_folder(wanted: Path) -> Path:
    """The folder, or the first of FOLDER-2, FOLDER-3, ... that does not exist."""
    return next(folder for folder in _numbered(wanted) if not folder.exists())


def last_folder(wanted: Path) -> Path:
    """The last existing one of FOLDER, FOLDER-2, FOLDER-3, ...; FOLDER if none exists."""
    made = list(takewhile(Path.exists, _numbered(wanted)))
    return made[-1] if made else wanted


def _numbered(wanted: Path) -> Iterator[Path]:
    yield wanted
    yield from (wanted.with_name(f"{wanted.name}-{number}") for number in count(2))
