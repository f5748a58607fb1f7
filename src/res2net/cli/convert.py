"""``res2net convert``."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from res2net.cli.parser import Parser, exit_after_help
from res2net.cli.progress import track
from res2net.cli.tables import show
from res2net.errors import UserError

ORIGINAL, CONVERTED, COMPARISON, REPORT = "original", "converted", "comparison", "conversion.md"
OWN = ("scale", "match", "out")
CHOSEN = ("model", "net.scale", "net.width", "preview", "task")  # options that this command sets
EXAMPLES = (
    "res2net convert timm:seresnet50 --data photos/ --out runs/seres",
    "res2net convert torchvision:resnext50_32x4d --data photos/ --scale 4 --match macs",
    "res2net convert resnet50 --data photos/ --train.epochs 50 --out runs/mine --resume",
)


def make_parser() -> Parser:
    """The command's own options; all others are those of ``res2net train``."""
    parser = Parser(
        "convert MODEL --data DATA [--scale S] [--match params|macs] [--option of train ...]",
        "Train a network unchanged and with Res2Net units in its bottlenecks, at equal cost, under "
        "one recipe and one seed, and compare the two on the validation images. Options of "
        "`res2net train` apply to both trainings.",
        EXAMPLES,
    )
    parser.add_argument(
        "model", type=str, help="timm:NAME, torchvision:NAME, or a network of `res2net models`"
    )
    parser.add_argument("--scale", type=int, default=4, help="number of splits (the paper's s)")
    parser.add_argument(
        "--match",
        type=Literal["params", "macs"],
        default="params",
        help="choose the width of a split so that parameters or multiply-adds stay equal",
    )
    parser.add_argument(
        "--out",
        type=Path | None,
        help="folder for both runs and their comparison; default: runs/MODEL-converted",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Train both networks, compare them and show the table."""
    exit_after_help(argv, make_parser)
    parser = make_parser()
    own, rest = _separated(argv)
    options = parser.parse_args(own)

    from res2net.cli.compare import as_table
    from res2net.cli.train import resolve
    from res2net.files import write_text
    from res2net.models.factory import create_model
    from res2net.plug.budget import Budget
    from res2net.plug.convert import convert
    from res2net.tasks.compare import compare
    from res2net.tasks.table import find_task
    from res2net.training.run import fit

    name = options.model.replace(":", "-")
    out = options.out or Path("runs") / f"{name}-converted"
    first = ["--model", options.model, *rest]
    asked = [resolve([*first, "--out", str(out / ORIGINAL)])]
    config = asked[0].config
    also = {"folds": asked[0].folds, "net.scale": config.net.scale, "net.width": config.net.width}
    if wrong := [name for name, value in also.items() if value is not None]:
        raise UserError(f"--{wrong[0]} is not an option of convert; leave it out, also in --config")
    with warnings.catch_warnings():  # which the first training shows
        warnings.simplefilter("ignore")
        find_task(config.task).data.of_run(config)  # wrong data fail before a network is built
    width: Budget = "match-params" if options.match == "params" else "match-macs"
    net = create_model(options.model)
    try:
        _, report = convert(net, scale=options.scale, width=width)
    except UserError as error:
        raise UserError(f"{options.model}: {error}") from None
    units = ["--net.scale", str(options.scale), "--net.width", str(report.width)]
    named = ["--data", config.data]  # recognised, and noted, once
    asked.append(resolve([*first, *named, *units, "--out", str(out / CONVERTED)]))
    summary = str(report).partition("\n")[0].partition(": ")[2]
    print(f"{options.model} with 1,000 classes: {summary}")
    for each in asked:
        print()
        fit(each.config, each.run, resume=each.resume, services=each.services)
    write_text(out / REPORT, report.markdown())
    runs = [each.run for each in asked]
    found = compare(runs[0], runs[1], config.data, out=out / COMPARISON, track=track)
    show(as_table(found))
    print(f"\n{found.headline}")
    print(f"first: {runs[0]}, second: {runs[1]}; tables and pictures: {found.folder}")


def _separated(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Arguments of this command, and those of the trainings.

    Raises:
        UserError: no network, or a training option that this command sets.
    """
    if not argv or argv[0].startswith("-"):
        raise UserError("MODEL comes first: res2net convert timm:seresnet50 --data photos/")
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in OWN:
        known.add_argument(f"--{name}")
    own, rest = known.parse_known_args(list(argv[1:]))
    for word in rest:
        name = word.partition("=")[0].removeprefix("--").replace("_", "-")
        if word.startswith("--") and name in CHOSEN:
            raise UserError(f"--{name}: convert sets it for both trainings; leave it out")
    given = {name: value for name, value in vars(own).items() if value is not None}
    return [argv[0], *(f"--{name}={value}" for name, value in given.items())], rest
