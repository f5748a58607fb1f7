"""``res2net train``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import Any, get_args

from jsonargparse import Namespace

from res2net.cli.meaning import check_run
from res2net.cli.parser import (
    Parser,
    add_fields,
    config_files,
    config_values,
    exit_after_help,
    given_options,
)
from res2net.config import HeadOptions, InputOptions, NetOptions, RunConfig, TaskName, TrainOptions
from res2net.data.augment import Augment
from res2net.data.source import parse_source
from res2net.errors import UserError, did_you_mean
from res2net.paper.networks import find_variant
from res2net.paper.recipes import RECIPES, find_recipe, recipe_for
from res2net.paper.recipes_dense import DENSE_RECIPES

EXAMPLES = (
    "res2net train --model res2net50_26w_4s --data photos/ --out runs/photos",
    "res2net train --model res2next29_6c24w_4s --data cifar100:cifar-100-python.tar.gz",
    "res2net train --model dla60_res2net --data photos/ --recipe smoke",
    "res2net train --model res2net50_26w_4s --data photos/ --train.lr 0.01 --train.epochs 50",
    "res2net train --task detect --model res2net50_26w_4s --data coco:cells/ --out runs/cells",
    "res2net train --out runs/photos --resume        # go on after a stop or a crash",
)
SMALL_IMAGES = {
    "cifar10": 32,
    "cifar100": 32,
    "digits": 32,
    "scenes": 64,
}  # format → pixels a network sees


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
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order, augmentation")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    add_fields(parser, "net", NetOptions, "network")
    add_fields(parser, "head", HeadOptions, "head, of other tasks than classify")
    add_fields(parser, "input", InputOptions, "images")
    add_fields(parser, "augment", Augment, "augmentation")
    add_fields(parser, "train", TrainOptions, "training")
    return parser


def resolve(argv: Sequence[str]) -> tuple[RunConfig, Path, bool]:
    """The configuration, the run folder, and whether to go on with it.

    The command line goes before a ``--config`` file, that before the recipe, the recipe before the
    defaults.

    Raises:
        UserError: an unknown option or name, or a value that cannot be.
    """
    parser = make_parser()
    exit_after_help(argv, parser)
    typed, argv = list(argv), _with_saved_config(list(argv))
    for file in config_files(argv):
        parser.check_names(config_values(Path(file)), where=f"{file}: ")
    given = given_options(argv)
    parser.check_names(given)
    for needed in ("model", "data"):
        if not given.get(needed) and {"resume", "out"} <= given.keys():
            raise UserError(f"--resume: {given['out']} holds no run; give --model and --data")
        if not given.get(needed):
            raise UserError(f"--{needed} is missing; `res2net train --help` explains it")
    task = str(given.get("task", "classify"))
    if task not in get_args(TaskName):
        near = did_you_mean(task, get_args(TaskName))
        raise UserError(f"--task is {task!r}; it can be {', '.join(get_args(TaskName))}.{near}")
    size = find_variant(str(given["model"])).size
    source = parse_source(str(given["data"]))
    recipe_name = str(given.get("recipe") or recipe_for(source.format, task))
    if task == "classify":
        size = min(size, SMALL_IMAGES.get(source.format, size))
    if argv == typed:  # a saved configuration is whole: what it does not name is the default
        parser.set_defaults(recipe_defaults(recipe_name, given, usual_size=size))
    options = parser.parse_args(_config_first(argv))
    config = RunConfig.from_dict(
        {
            "model": options.model,
            "data": str(source),
            "recipe": recipe_name,
            "task": options.task,
            "seed": options.seed,
            "compile": options.compile,
            **{
                group: _values(options[group])
                for group in ("net", "head", "input", "augment", "train")
            },
        }
    )
    check_run(argv, config, saved=_saved_config(given) if options.resume else Path())
    if source.guessed:
        print(f"{source.path}: taken for {source.format} data")
    usual = Path("runs") / f"{options.model}-{source.format}"
    out = options.out or (last_folder(usual) if options.resume else free_folder(usual))
    return config, out, options.resume


def recipe_defaults(name: str, given: dict[str, Any], *, usual_size: int) -> dict[str, Any]:
    """A recipe's settings, adapted to what was set by hand.

    Milestones move with the number of epochs, and a learning rate set by hand is taken as it is.

    Args:
        given: options set by hand.
        usual_size: pixels, what this network sees of these data by default.
    """
    settings = dict(find_recipe(name, str(given.get("task", "classify"))).settings)
    milestones = settings.get("train.milestones")
    if milestones and "train.epochs" in given:
        try:
            share = float(given["train.epochs"]) / settings["train.epochs"]
        except (TypeError, ValueError):
            share = 1.0  # the parser will complain in its own words
        settings["train.milestones"] = [round(m * share, 3) for m in milestones]
    if "train.lr" in given:
        settings["train.lr_batch"] = 0
    if name == "smoke" and usual_size <= settings["input.size"]:
        del settings["input.size"]  # a ceiling: nothing is enlarged to it
    return settings


def _with_saved_config(argv: list[str]) -> list[str]:
    """``--resume`` takes the configuration of its run, unless it is given another."""
    given = given_options(argv)
    saved = _saved_config(given)
    if "resume" in given and "config" not in given and "out" in given and saved.is_file():
        return ["--config", str(saved), *argv]
    return argv


def _saved_config(given: dict[str, Any]) -> Path:
    return Path(str(given.get("out", ""))) / "config.yaml"


def _config_first(argv: Sequence[str]) -> list[str]:
    """The same command line with its files in front, so that what is typed goes before them."""
    files = config_files(argv)
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--config":
            next(words, None)
        elif not word.startswith("--config="):
            rest.append(word)
    return [word for file in files for word in ("--config", file)] + rest


def _values(group: Namespace) -> dict[str, Any]:
    return dict(group.as_dict())


def free_folder(wanted: Path) -> Path:
    """The folder, or the first of FOLDER-2, FOLDER-3, ... that does not exist."""
    return next(folder for folder in _numbered(wanted) if not folder.exists())


def last_folder(wanted: Path) -> Path:
    """The last that exists of FOLDER, FOLDER-2, FOLDER-3, ...; FOLDER where none does."""
    made = list(takewhile(Path.exists, _numbered(wanted)))
    return made[-1] if made else wanted


def _numbered(wanted: Path) -> Iterator[Path]:
    yield wanted
    yield from (wanted.with_name(f"{wanted.name}-{number}") for number in count(2))


def main(argv: Sequence[str]) -> None:
    """Train."""
    config, out, resume = resolve(argv)
    from res2net.train.run import fit

    fit(config, out, resume=resume)
