"""``res2net train``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from jsonargparse import Namespace

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
)
from res2net.data.augment import Augment
from res2net.data.source import parse_source
from res2net.errors import UserError
from res2net.paper.networks import find_variant
from res2net.paper.recipes import RECIPES, recipe_for
from res2net.paper.recipes_dense import DENSE_RECIPES
from res2net.training.configure import (
    check_options,
    free_folder,
    known_task,
    last_folder,
    recipe_defaults,
    usual_size,
)

EXAMPLES = (
    "res2net train --model res2net50_26w_4s --data photos/ --out runs/photos",
    "res2net train --model res2next29_6c24w_4s --data cifar100:cifar-100-python.tar.gz",
    "res2net train --model dla60_res2net --data photos/ --recipe smoke",
    "res2net train --model res2net50_26w_4s --data photos/ --train.lr 0.01 --train.epochs 50",
    "res2net train --task detect --model res2net50_26w_4s --data coco:cells/ --out runs/cells",
    "res2net train --out runs/photos --resume        # go on after a stop or a crash",
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
    task = known_task(str(given.get("task", "classify")))
    find_variant(str(given["model"]))
    source = parse_source(str(given["data"]))
    recipe_name = str(given.get("recipe") or recipe_for(source.format, task))
    size = usual_size(str(given["model"]), source, task)
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
    _check_meaning(argv, config, saved=_saved_config(given) if options.resume else Path())
    if source.guessed:
        print(f"{source.path}: taken for {source.format} data")
    usual = Path("runs") / f"{options.model}-{source.format}"
    out = options.out or (last_folder(usual) if options.resume else free_folder(usual))
    return config, out, options.resume


def _check_meaning(argv: Sequence[str], run: RunConfig, *, saved: Path) -> None:
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


def main(argv: Sequence[str]) -> None:
    """Train."""
    config, out, resume = resolve(argv)
    from res2net.training.run import fit

    fit(config, out, resume=resume)
