"""``res2net train``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from res2net.cli.parser import (
    Parser,
    add_fields,
    config_files,
    config_values,
    exit_after_help,
    given_options,
    typed_options,
)
from res2net.config import (
    READ_BY,
    HeadOptions,
    InputOptions,
    NetOptions,
    RunConfig,
    TaskName,
    TrainOptions,
    known_task,
)
from res2net.data.augment import Augment
from res2net.errors import UserError
from res2net.paper.recipes import RECIPES
from res2net.paper.recipes_dense import DENSE_RECIPES
from res2net.training.configure import check_options, configure, saved_config

EXAMPLES = (
    "res2net train --model res2net50_26w_4s --data photos/ --out runs/photos",
    "res2net train --model res2next29_6c24w_4s --data cifar100:cifar-100-python.tar.gz",
    "res2net train --model dla60_res2net --data photos/ --recipe smoke",
    "res2net train --model res2net50_26w_4s --data photos/ --train.lr 0.01 --train.epochs 50",
    "res2net train --task detect --model res2net50_26w_4s --data coco:cells/ --out runs/cells",
    "res2net train --out runs/photos --resume        # resume after a stop or a crash",
)


def make_parser() -> Parser:
    """All options of a run."""
    lines = [f"  {name:<12} {recipe.summary}" for name, recipe in RECIPES.items()]
    for task, recipes in DENSE_RECIPES.items():
        lines += [f"--task {task}:", *(f"  {name:<12} {r.summary}" for name, r in recipes.items())]
    parser = Parser(
        "train --model NAME --data DATA [--recipe NAME] [--out FOLDER] [--option value ...]",
        "Train a network of the model table. A recipe sets every option, and each can be changed. "
        "The run folder holds the configuration, metrics, curves, checkpoints, the weights of the "
        "best epoch and a report.",
        EXAMPLES,
    )
    parser.description = f"{parser.description}\n\nrecipes:\n" + "\n".join(lines)
    parser.add_argument("--config", action="config", help="options from a YAML file")
    parser.add_argument("--model", type=str, help="a row of `res2net models`")
    parser.add_argument(
        "--data",
        type=str,
        help="FORMAT:PATH with folder, csv, imagenet, cifar10, cifar100 or, for other tasks, voc, "
        "coco, yolo, camvid, pairs, msra-b, ecssd; digits and scenes need no path; a bare path is "
        "recognised",
    )
    parser.add_argument(
        "--task",
        type=str,
        default="classify",
        choices=get_args(TaskName),
        help="what to learn: classes of images or, on data with such marks, boxes, masks, classes "
        "of pixels, salient objects, key-points",
    )
    parser.add_argument("--recipe", type=str | None, help="starting point; default: by the data")
    parser.add_argument("--out", type=Path | None, help="run folder; default runs/MODEL-FORMAT")
    parser.add_argument("--resume", action="store_true", help="resume the run in --out")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order, augmentation")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    add_fields(parser, "net", NetOptions, "network")
    add_fields(parser, "head", HeadOptions, "head, of other tasks than classify")
    add_fields(parser, "input", InputOptions, "images")
    add_fields(parser, "augment", Augment, "augmentation")
    add_fields(parser, "train", TrainOptions, "training")
    return parser


def resolve(argv: Sequence[str]) -> tuple[RunConfig, Path, bool]:
    """The configuration, the run folder, and whether to resume it.

    The command line takes precedence over a ``--config`` file, that over the recipe (or the
    configuration of the run that is resumed), and that over the defaults.

    Raises:
        UserError: an unknown option or name, or a value that cannot be.
    """
    parser = make_parser()
    exit_after_help(argv, parser)
    files = config_files(argv)
    for file in files:
        parser.check_names(config_values(Path(file)), where=f"{file}: ")
    parser.check_names(given_options(argv))
    known_task(str(given_options(argv).get("task", "classify")))
    given: dict[str, Any] = parser.parse_args(_config_first(argv), defaults=False).as_dict()
    given.pop("config", None)
    out, resume = given.pop("out", None), given.pop("resume", False)
    saved = saved_config(out) if resume else None
    config, folder, note = configure(given, out=out, resume=resume, saved=None if files else saved)
    _check_meaning(argv, config, saved)
    if note:
        print(note)
    return config, folder, resume


def _check_meaning(argv: Sequence[str], run: RunConfig, saved: Path | None) -> None:
    """Refuse options of ``train`` that the task, or another option, leaves without a meaning.

    Args:
        saved: the configuration file of a resumed run, which is taken as it is.

    Raises:
        UserError: the first such option; names its file where it stands in one.
    """
    check_options(typed_options(argv), run)
    for file in map(Path, config_files(argv)):
        if file == saved:
            continue
        for name, value in config_values(file).items():
            if run.task not in READ_BY.get(name, (run.task,)) and value != _default(name):
                raise UserError(
                    f"{file}: --{name} {value} means nothing for --task {run.task}; it is for "
                    f"--task {', '.join(READ_BY[name])}"
                )


def _default(option: str) -> Any:
    """As a file of options holds it."""
    group, _, name = option.partition(".")
    kind = next(each.default_factory for each in fields(RunConfig) if each.name == group)
    value = getattr(kind(), name)  # type: ignore[operator]  # a group always has a factory
    return list(value) if isinstance(value, tuple) else value


def _config_first(argv: Sequence[str]) -> list[str]:
    """The same command line with its files in front, so that what is typed takes precedence."""
    files = config_files(argv)
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--config":
            next(words, None)
        elif not word.startswith("--config="):
            rest.append(word)
    return [word for file in files for word in ("--config", file)] + rest


def main(argv: Sequence[str]) -> None:
    """Train."""
    config, out, resume = resolve(argv)
    from res2net.training.run import fit

    fit(config, out, resume=resume)
