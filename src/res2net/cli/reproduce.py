"""``res2net reproduce``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from res2net.cli.parser import Parser, portable, read_options
from res2net.cli.tables import new_table, show
from res2net.errors import UserError, check_needs, no_such_path
from res2net.experiments.full import (
    PASSES,
    RATE,
    as_line,
    full_plan,
    full_words,
    published_networks,
    published_words,
    readable,
)
from res2net.experiments.items import ITEMS, Item, find_items
from res2net.experiments.results import check_results, read_results
from res2net.experiments.sheets import Sheet, sheets_of
from res2net.experiments.small import PAIR, has_small
from res2net.experiments.study import machine_settings
from res2net.files import alone_in, make_folder

EXAMPLES = (
    "res2net reproduce table1                                  # the table, in a second",
    "res2net reproduce table4 --scale small                    # small networks on digits, minutes",
    "res2net reproduce table7 --scale full --data-root data/   # the paper's trainings",
    "res2net reproduce fig2 --out pictures/",
    "res2net reproduce fig6 street.jpg --runs runs/resnet50,runs/res2net50 --out pictures/",
)
RESULTS = Path("results/reproduce.csv")  # of a checkout
OUT = Path("runs/reproduce")
BASIS = (
    f"multiply-adds of the backbone (heads not counted) × images × epochs × {PASSES}, "
    "at {rate:g}·10^12 per second (--rate: one recent GPU)"
)


def make_parser() -> Parser:
    """All options of the command."""
    lines = "\n".join(f"  {name:<8} {item.title} ({item.section})" for name, item in ITEMS.items())
    parser = Parser(
        "reproduce ITEM [IMAGE ...] [--scale full|small] [--data-root DIR] [--out DIR]",
        "Reproduce a table or figure of the paper: published values beside counted and measured "
        "ones. Without --scale, known results are shown. `full` lists the paper's commands, data "
        "and hours, and trains if the data are present; `small` trains small networks on data that "
        "need no download, in ten minutes or less. Both resume where they stopped.",
        EXAMPLES,
    )
    parser.description = f"{parser.description}\n\nitems:\n{lines}\n  all      all of them"
    parser.add_argument("item", type=str, help="table1 ... table10, fig2 ... fig7, all")
    parser.add_argument(
        "images",
        type=Path,
        nargs="*",
        help="figs. 4, 6, 7: images to draw; default: validation images",
    )
    parser.add_argument(
        "--scale",
        type=str | None,
        choices=("full", "small", None),
        metavar="{full,small}",
        help="train at this scale; default: only show known results",
    )
    parser.add_argument(
        "--data-root",
        type=Path | None,
        help="folder of data sets, as `--scale full --plan` lists them; default: no training",
    )
    parser.add_argument(
        "--out",
        type=Path | None,
        help=f"folder for runs, results.csv and report.html; default, with --scale: {OUT}",
    )
    parser.add_argument(
        "--results",
        type=Path | None,
        help="CSV file to append results to; default: OUT/results.csv",
    )
    parser.add_argument("--plan", action="store_true", help="full: only list what would be done")
    parser.add_argument(
        "--rate",
        type=float,
        default=RATE,
        help="full: speed in 10^12 multiply-adds per second, for the estimate of hours",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="table3: rounds of the runtime measurement"
    )
    parser.add_argument(
        "--networks",
        type=str | None,
        help="figs. 2, 3: networks to draw, separated by commas; default: the paper's",
    )
    parser.add_argument(
        "--runs",
        type=str | None,
        help="figs. 4, 6, 7: two run folders, RUN,RUN; default: those trained here",
    )
    parser.add_argument("--threads", type=int | None, help="CPU threads for training; default: all")
    parser.add_argument(
        "--workers",
        type=int | None,
        help="processes that read images; default: chosen for the machine",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Show, and train where a scale is given.

    Raises:
        UserError: an unknown item, options that do not belong together, an error of a run, or
            another process that writes the report.
    """
    parser = make_parser()
    options = read_options(parser, argv)
    items = find_items(options.item)
    check(parser.typed, options, items)
    out = options.out or OUT
    check_results(options.results)
    results = options.results or out / "results.csv"
    how = {
        "machine": machine_settings(options.threads, options.workers),
        "command": shlex.join(["res2net", "reproduce", *portable(argv)]),
        "say": _say,
    }
    if options.scale and not options.plan:
        make_folder(out, "--out")
    if options.scale == "full":
        full(items, options, out, results, how)
    if options.scale == "small":
        small(items, options, out, results, how)
    if options.plan:
        return
    measured = read_results(RESULTS, *([results] if results != RESULTS else []))
    timed = read_results(RESULTS.with_name("deploy_networks.csv"), times_of(RESULTS))
    timed += read_results(times_of(results)) if results != RESULTS else []
    if options.scale or options.out:
        with alone_in(out, "--out"):
            report(items, options, out, measured, timed)
    else:
        tell(items, measured, timed)


def times_of(results: Path) -> Path:
    """The file of runtimes next to a file of results."""
    return results.with_name(f"{results.stem}_runtime.csv")


def check(given: Sequence[str], options: Any, items: Sequence[Item]) -> None:
    """Check options that need or exclude each other.

    Args:
        given: names of options that were typed.

    Raises:
        UserError: the first error.
    """
    kinds = {item.figure for item in items}
    pair = len(items) == 1 and kinds <= {"activation", "segment", "saliency"}
    drawn = bool(options.scale or options.out)
    plans = options.plan or options.data_root is None
    trains = options.scale == "small" or (options.scale == "full" and not plans)
    if options.images and not (pair and drawn):
        raise UserError("images can be given for one of fig4, fig6 and fig7, with --out or --scale")
    for image in options.images:
        if not image.is_file():
            raise no_such_path(image, "file")
    full = ("--scale full", options.scale == "full")
    runs = any(item.name == "table3" for item in items) and options.scale == "small"
    training = ("--scale small, or --scale full with --data-root", trains)
    needs = {
        "runs": ("one of fig4, fig6 and fig7, with --out or --scale", pair and drawn),
        "networks": ("fig2 or fig3, with --out or --scale", kinds == {"block"} and drawn),
        "plan": full,
        "rate": full,
        "rounds": ("table3 --scale small", runs),
        "threads": training,
        "workers": training,
        "data_root": ("--scale", bool(options.scale) or (pair and drawn)),
    }
    check_needs(given, needs)
    for name in ("rounds", "threads"):
        if options[name] is not None and options[name] < 1:
            raise UserError(f"--{name} is {options[name]}; it must be at least 1")
    if not options.rate > 0:
        raise UserError(f"--rate is {options.rate}; it must be above 0")
    if options.scale == "full" and not options.plan and options.data_root is None:
        options.plan = True
        print("no --data-root, so this is only the plan; with it, rows with data are trained\n")


def small(
    items: Sequence[Item], options: Any, out: Path, results: Path, how: dict[str, Any]
) -> None:
    """Small networks of each item; the two of a figure."""
    from res2net.experiments.run import run_small, time_networks

    for item in items:
        if has_small(item):
            run_small(item, options.data_root, out, results, **how)
        elif item.of and not options.runs:
            run_small(ITEMS[item.of], options.data_root, out, results, only=PAIR, **how)
        if item.name == "table3":
            said = {name: how[name] for name in ("command", "say")}
            time_networks(item, times_of(results), rounds=options.rounds, **said)


def full(
    items: Sequence[Item], options: Any, out: Path, results: Path, how: dict[str, Any]
) -> None:
    """The plan of each item; then its runs whose data are present."""
    for item in items:
        if full_plan(item):
            show_plan(item, options, out)
    if options.plan:
        return
    from res2net.experiments.run import run_full

    for item in items:
        if left := run_full(item, options.data_root, out, results, **how):
            print(f"{item.name}: {left} rows lack their data; rerun the same command to resume")


def show_plan(item: Item, options: Any, out: Path) -> None:
    """Commands, data and hours of an item."""
    root = options.data_root or Path("data")
    plan = full_plan(item)
    print(f"{item.word}: {item.title}\n")
    places = {place.folder: place for each in plan for place in (each.place, *each.tests.values())}
    for place in places.values():
        there = "found" if place.path(root).exists() else "missing"
        print(f"data  {place.path(root)} ({there}): {place.needs}")
    print()
    for each in plan:
        hours = each.hours(options.rate)
        print(f"# {each.point.label}: about {readable(hours)}")
        for words in full_words(each, root, out):
            print(as_line(words))
    for network, place in published_networks(item).items():
        print(f"# {network}: published weights")
        print(as_line(published_words(network, place, root, out)))
    total = sum(each.hours(options.rate) for each in plan)
    print(f"\n{len(plan)} trainings, about {readable(total)}: {BASIS.format(rate=options.rate)}\n")


def tell(items: Sequence[Item], measured: Any, timed: Any) -> None:
    """Print every available table."""
    for item in items:
        sheets = sheets_of(item, measured, timed)
        for sheet in sheets:
            _show(sheet)
        if not sheets:
            print(f"{item.word}: {item.title} (section {item.section}). {item.note}".rstrip())
            print(f"  res2net reproduce {item.name} --scale small --out pictures\n")


def report(items: Sequence[Item], options: Any, out: Path, measured: Any, timed: Any) -> None:
    """Pictures and the page."""
    from res2net.experiments.report import write_report

    make_folder(out / "pictures", "--out")
    pictures = {}
    for item in items:
        if path := figure(item, options, out):
            pictures[item.name] = path
            print(f"{item.name}: {path}")
    page = write_report(items, out, measured=measured, timed=timed, pictures=pictures)
    tell([item for item in items if sheets_of(item, measured, timed)], measured, timed)
    print(f"report with plots: {page}")


def figure(item: Item, options: Any, out: Path) -> Path | None:
    """Draw a figure; None for a table, a chart of the report, or where nothing was trained."""
    path = out / "pictures" / f"{item.name}.png"
    if item.figure == "block":
        from res2net.experiments.block import draw_blocks

        networks = options.networks.split(",") if options.networks else item.networks
        draw_blocks(networks, path, title=f"{item.word}: {item.title}")
        return path
    if item.of is None:
        return None
    from res2net.experiments.pairs import draw_pair
    from res2net.experiments.run import pair_runs

    if options.runs:
        runs = [Path(run) for run in options.runs.split(",")]
    else:
        runs = pair_runs(item, options.scale or "small", options.data_root, out)
    if not options.runs and not all((run / "report.md").is_file() for run in runs):
        print(f"{item.name}: no two runs to show; train with --scale small, or give --runs")
        return None
    draw_pair(item, runs, options.images, path)
    return path


def _show(sheet: Sheet) -> None:
    table = new_table(*sheet.head[: sheet.left], right=sheet.head[sheet.left :])
    for row in sheet.rows:
        table.add_row(*row)
    print(f"{sheet.title}\n")
    show(table)
    print(f"{sheet.note}\n" if sheet.note else "")


def _say(line: str) -> None:
    print(line, flush=True)
