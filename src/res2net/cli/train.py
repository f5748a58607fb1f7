"""``res2net train``."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from rich.table import Table

from res2net.cli.parser import Parser, add_fields, exit_after_help, field_comments
from res2net.cli.tables import new_table, show
from res2net.config import (
    ANNOTATIONS,
    READ_BY,
    Capture,
    Compile,
    HeadOptions,
    InputOptions,
    NetOptions,
    RunConfig,
    TrainOptions,
    known_task,
)
from res2net.data.augment import Augment
from res2net.data.source import parse_source
from res2net.errors import UserError, option
from res2net.paper.recipes import find_recipe, recipe_for, recipes_of
from res2net.paper.tasks import CLASSIFY, TASKS
from res2net.training.configure import check_options, configure, saved_config

EXAMPLES = (
    "res2net train --model res2net50_26w_4s --data photos/ --out runs/photos",
    "res2net train --model res2next29_6c24w_4s --data cifar100:cifar-100-python.tar.gz",
    "res2net train --model dla60_res2net --data photos/ --recipe smoke",
    "res2net train --model res2net50_26w_4s --data photos/ --train.lr 0.01 --train.epochs 50",
    *(
        f"res2net train --task {name} --model res2net50_26w_4s {row.example}"
        for name, row in TASKS.items()
        if name != CLASSIFY
    ),
    "res2net train --out runs/photos --resume        # resume after a stop or a crash",
)


def make_parser() -> Parser:
    """All options of a run, of any task."""
    parser = Parser(
        "train --model NAME --data DATA [--recipe NAME] [--out FOLDER] [--option value ...]",
        "Train a network of the model table. A recipe sets all options; each can be overridden. "
        "The run folder holds the configuration, metrics, curves, checkpoints, the weights of the "
        "best epoch and a report.",
    )
    _add_options(parser, without=())
    return parser


def make_help(argv: Sequence[str]) -> Parser:
    """The options that a task uses, with the defaults of its recipe.

    The task is that of ``--task``; the recipe that of ``--recipe``, or chosen by ``--data``.

    Raises:
        UserError: unknown task, or unknown recipe of it; the message suggests the nearest.
    """
    asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--task", "--recipe", "--data"):
        asked.add_argument(name, nargs="?")
    words, _ = asked.parse_known_args(argv)
    task = known_task(words.task or CLASSIFY)
    found = ""
    if words.data:
        with suppress(UserError):
            found = parse_source(words.data, ANNOTATIONS[task]).format
    recipe = words.recipe or recipe_for(found, task)
    settings = find_recipe(recipe, task).settings
    which = "" if task == CLASSIFY else f"--task {task} "
    parser = Parser(
        f"train {which}--model NAME --data DATA [--recipe NAME] [--option value ...]",
        f"Train a network of the model table to {TASKS[task].learns}. A recipe sets "
        "all options; each can be overridden. The run folder holds the configuration, metrics, "
        "curves, checkpoints, the weights of the best epoch and a report.",
        [line for line in EXAMPLES if (which or "train --model") in line] + [EXAMPLES[-1]],
    )
    lines = "\n".join(f"  {name:<12} {each.summary}" for name, each in recipes_of(task).items())
    others = ", ".join(f"{name} ({row.learns})" for name, row in TASKS.items() if name != task)
    more = textwrap.fill(
        f"This is the help of --task {task}, with the defaults of recipe {recipe}; --recipe NAME "
        f"--help shows those of another. Other tasks: {others}; `res2net train --task TASK --help` "
        "shows their recipes and options.",
        90,
        break_on_hyphens=False,
    )
    parser.description = f"{parser.description}\n\nrecipes:\n{lines}\n\n{more}"
    _add_options(parser, [name for name, tasks in READ_BY.items() if task not in tasks])
    parser.set_defaults({"task": task, **settings})
    return parser


def _add_options(parser: Parser, without: Sequence[str]) -> None:
    parser.add_argument(
        "--config",
        type=str,
        action="append",
        help="options from a YAML file; may be repeated; default: none",
    )
    parser.add_argument(
        "--model",
        type=str,
        help="a network of `res2net models`, or timm:NAME or torchvision:NAME; required",
    )
    parser.add_argument(
        "--data",
        type=str,
        help="FORMAT:PATH with folder, csv, shards, imagenet, cifar10, cifar100 (image labels), "
        "images (none), "
        "voc, coco, yolo, camvid, pairs, msra-b, ecssd (annotated images); digits and "
        "scenes need no path; the format of a bare path is recognised; required",
    )
    parser.add_argument(
        "--task",
        type=str,
        default=CLASSIFY,
        metavar=f"{{{','.join(TASKS)}}}",
        help="task to train for",
    )
    parser.add_argument(
        "--recipe", type=str | None, help="starting point; default: chosen by task and data"
    )
    parser.add_argument("--out", type=Path | None, help="run folder; default: runs/MODEL-FORMAT")
    parser.add_argument("--resume", action="store_true", help="resume the run in --out")
    parser.add_argument(
        "--folds",
        type=int | None,
        help="cross-validation: train N networks, each validated on another of N parts of the "
        "images, in folders of --out; default: one network",
    )
    parser.add_argument(
        "--logger",
        type=str,
        action="append",
        help="also log metrics to wandb or mlflow, by their own packages; may be repeated; "
        "default: TensorBoard files in the run folder",
    )
    parser.add_argument(
        "--preview",
        type=Path | None,
        help="write a sheet of augmented training images to this PNG and do not train; "
        "default: none",
    )
    comments = field_comments(RunConfig)
    parser.add_argument("--init", type=str | None, help=comments["init"])
    parser.add_argument("--seed", type=int, default=0, help=comments["seed"])
    parser.add_argument(
        "--compile",
        type=Compile,
        nargs="?",
        const=True,
        default=False,
        metavar="{default,reduce-overhead,max-autotune}",
        help=comments["compile"],
    )
    parser.add_argument("--capture", type=Capture, default="off", help=comments["capture"])
    add_fields(parser, "net", NetOptions, "network", without)
    add_fields(parser, "head", HeadOptions, "head", without)
    add_fields(parser, "input", InputOptions, "images", without)
    add_fields(parser, "augment", Augment, "augmentation", without)
    add_fields(parser, "train", TrainOptions, "training", without)


class Asked(NamedTuple):
    """What a command line asks for."""

    config: RunConfig
    run: Path
    resume: bool
    preview: Path | None
    folds: int | None
    services: list[str]  # that log metrics too


def resolve(argv: Sequence[str]) -> Asked:
    """The configuration of a run, its folder, and what to do.

    The command line takes precedence over a ``--config`` file, that over the recipe (or the
    configuration of the run that is resumed), and that over the defaults.

    Raises:
        UserError: an unknown option or name, or an invalid value.
    """
    exit_after_help(argv, lambda: make_help(argv))
    parser = make_parser()
    given = parser.parse_args(argv, defaults=False)
    filed = {Path(file): parser.read_file(Path(file)) for file in given.pop("config", [])}
    for content in filed.values():
        if "train.threads" in content:  # has every option: saved by a run
            content.setdefault("input.split_rule", "v1")  # from before there was a choice
    for file, content in reversed(filed.items()):
        if named := content.pop("logger", None):
            named = named if isinstance(named, list) else [named]
            given.update(named, "logger", only_unset=True)
        given.update(parser.checked(file, content), only_unset=True)
    out, resume = given.pop("out", None), given.pop("resume", False)
    preview, folds = given.pop("preview", None), given.pop("folds", None)
    services = given.pop("logger", [])
    saved = saved_config(out) if resume else None
    config, folder, note = configure(
        given.as_dict(), out=out, resume=resume, saved=None if filed else saved
    )
    check_options(parser.typed, config)
    for file, content in filed.items():
        if file != saved:  # a resumed run's own file is used as it is
            _check_meaning(file, content, config.task)
    if note:
        print(note)
    return Asked(config, folder, resume, preview, folds, services)


def _check_meaning(file: Path, values: Mapping[str, Any], task: str) -> None:
    """Refuse options of a file that do not apply to the task, unless they equal the defaults.

    Raises:
        UserError: the first such option.
    """
    for name, value in values.items():
        if task not in READ_BY.get(name, (task,)) and value != _default(name):
            raise UserError(
                f"{file}: {option(name)} {value} does not apply to --task {task}; it is for "
                f"--task {', '.join(READ_BY[name])}"
            )


def _default(option: str) -> Any:
    """A default as an options file holds it."""
    group, _, name = option.partition(".")
    kind = next(each.default_factory for each in fields(RunConfig) if each.name == group)
    value = getattr(kind(), name)  # type: ignore[operator]  # a group always has a factory
    return list(value) if isinstance(value, tuple) else value


def main(argv: Sequence[str]) -> None:
    """Train."""
    config, out, resume, preview, folds, services = resolve(argv)
    if preview is not None:
        from res2net.tasks.job import draw_preview

        draw_preview(config, preview)
        print(f"{preview}: augmented training images; nothing was trained")
        return
    if folds is not None:
        from res2net.training.folds import fit_folds

        show(_folds_table(fit_folds(config, out, folds, resume=resume, services=services)))
        print(f"\nfigures and predictions of all folds: {out}")
        return
    from res2net.training.run import fit

    fit(config, out, resume=resume, services=services)


def _folds_table(figures: Mapping[str, Sequence[float]]) -> Table:
    """A row a figure: its mean, its deviation, its values."""
    table = new_table("", right=("mean", "std"), wrapped=("by fold",))
    for name, values in figures.items():
        each = ", ".join(f"{value:.4g}" for value in values)
        table.add_row(name, f"{mean(values):.4g}", f"{stdev(values):.3g}", each)
    return table
