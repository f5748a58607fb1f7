"""``res2net study``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from res2net.cli.parser import Parser, portable, read_options
from res2net.cli.tables import new_table, show
from res2net.errors import UserError, check_needs

if TYPE_CHECKING:
    from res2net.experiments.study import Study

RESULTS = Path("results/studies")
EXAMPLES = (
    "res2net study                                   # all of them",
    "res2net study cifar-twins --data cifar-100-python.tar.gz --threads 1",
    "res2net study cifar-twins --data cifar-100-python.tar.gz --trial   # does it run?",
)


def make_parser() -> Parser:
    """All options of a study."""
    parser = Parser(
        "study [NAME] [--data DATA] [--option value ...]",
        "Train the networks of a study, each with several seeds, and append a row for each to a "
        "table of results. It may be stopped at any time; the same command resumes it, and two "
        "processes at once share the work. Without a name: list the studies and their progress.",
        EXAMPLES,
    )
    parser.add_argument("name", type=str | None, nargs="?", help="study to run; default: list them")
    parser.add_argument(
        "--data", type=str | None, help="path of its images; required by studies that need files"
    )
    parser.add_argument(
        "--out", type=Path | None, help="folder for the runs; default: runs/studies/NAME"
    )
    parser.add_argument(
        "--results", type=Path | None, help="CSV file of results; default: results/studies/NAME.csv"
    )
    parser.add_argument(
        "--only",
        type=str,
        action="append",
        help="train only this point; may be repeated; default: all",
    )
    parser.add_argument(
        "--seeds", type=int | None, help="number of seeds per point; default: the study's"
    )
    parser.add_argument("--threads", type=int | None, help="CPU threads for training; default: all")
    parser.add_argument(
        "--workers",
        type=int | None,
        help="processes that read images; default: chosen for the machine",
    )
    parser.add_argument(
        "--trial",
        action="store_true",
        help="train two steps per run; runs and results are written to OUT-trial",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Run a study, or list them."""
    parser = make_parser()
    options = read_options(parser, argv)
    named = ("the name of a study", options.name is not None)
    check_needs(parser.typed, dict.fromkeys(parser.typed, named))
    check_needs(parser.typed, {"results": ("a study without --trial", not options.trial)})
    from res2net.experiments.results import check_results
    from res2net.experiments.studies import find_study

    if options.name is None:
        list_studies()
        return
    study = find_study(options.name)
    check_results(options.results)
    results = options.results or RESULTS / f"{study.name}.csv"
    folder = options.out or Path("runs/studies") / study.name
    if options.trial:
        from res2net.experiments.study import as_trial

        study, folder = as_trial(study), folder.parent / f"{folder.name}-trial"
        results = folder / results.name
    run(study, folder, results, options, shlex.join(["res2net", "study", *portable(argv)]))


def run(study: Study, folder: Path, results: Path, options: Any, command: str) -> None:
    """Train what is missing, then print every row."""
    from res2net.experiments.run import run_study
    from res2net.experiments.study import machine_settings

    rows = run_study(
        study,
        folder,
        results,
        data=options.data,
        only=options.only or (),
        seeds=options.seeds,
        machine=machine_settings(options.threads, options.workers),
        command=command,
        say=lambda line: print(line, flush=True),
    )
    shown = ("point", "seed", "params", "macs", "epochs", "last_error")
    table = new_table(shown[0], right=(*shown[1:], "seconds"))
    for row in rows:
        table.add_row(*(escape(row[name]) for name in (*shown, "seconds")))
    show(table)
    print(f"rows: {results}")


def list_studies() -> None:
    """All studies, with their questions and progress."""
    from res2net.experiments.results import progress, read_rows
    from res2net.experiments.studies import STUDIES

    table = new_table("study", right=("rows",), wrapped=("question", "left"))
    for study in STUDIES.values():
        results = RESULTS / f"{study.name}.csv"
        try:
            rows = read_rows(study, results)
        except UserError as error:
            table.add_row(study.name, "-", study.question, escape(str(error)))
            continue
        done = {(row["point"], row["seed"]) for row in rows}
        runs = [(p, s) for s in range(study.seeds) for p in study.points]
        left = [(p, s) for p, s in runs if (p.label, str(s)) not in done]
        table.add_row(
            study.name,
            f"{len(runs) - len(left)}/{len(runs)}",
            study.question,
            progress(study, left, rows) if left else "nothing",
        )
    show(table)
