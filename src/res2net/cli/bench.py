"""``res2net bench SUBJECT``: each measurement is a module of ``bench``."""

from __future__ import annotations

import importlib
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.markup import escape

from res2net.bench.options import SUBJECTS
from res2net.cli.parser import Parser, add_fields, portable, read_options
from res2net.cli.progress import track
from res2net.cli.tables import new_table, show
from res2net.errors import UserError, did_you_mean, single_values_explained
from res2net.files import check_file_to_write

RENAMED = {"dense": "tasks"}  # old name → new name
COUNTS = ("batch", "size", "rounds", "clients", "requests", "queue", "epochs")  # 1 or more
HOW = (
    "Cases are interleaved in rotating order; a ratio is the median of the per-round ratios. "
    "Run it on an otherwise idle machine."
)
EXAMPLES = (
    "res2net bench train-step --model res2net50_26w_4s --batch 8",
    "res2net bench deploy --model resnet50,res2net50_26w_4s --engines openvino --chart speed.png",
    "res2net bench tasks --task segment --size 256 --rounds 15",
    "res2net bench loading --model resnet50 --data photos/ --batch 32",
)


def make_parser(subject: str | None = None) -> Parser:
    """The options of a subject, including ``--out``; without a subject, the list of subjects."""
    if subject is None:
        usage = "bench SUBJECT [--option value ...]"
        parser = Parser(usage, f"Measure this machine. {HOW}", EXAMPLES)
        lines = "\n".join(f"  {name:<12} {summary(name)}" for name in SUBJECTS)
        parser.description = (
            f"{parser.description}\n\nsubjects:\n{lines}\n\n"
            "`res2net bench SUBJECT --help` shows the options of a subject."
        )
        parser.add_argument("subject", type=str, help="what to measure")
        return parser
    examples = [line for line in EXAMPLES if line.split()[2] == subject]
    usage = f"bench {subject} [--option value ...]"
    parser = Parser(usage, f"{summary(subject)}. {HOW}", examples)
    add_fields(parser, "", SUBJECTS[subject], f"options of {subject}")
    parser.add_argument(
        "--out",
        type=Path | None,
        help="CSV file to append results to (requires sources without "
        "uncommitted changes); default: none",
    )
    return parser


def summary(subject: str) -> str:
    """What a subject measures, in one line."""
    return (SUBJECTS[subject].__doc__ or "").rstrip(".")


def main(argv: Sequence[str]) -> None:
    """Measure and print; append to a file if requested.

    Raises:
        UserError: an unknown subject or option, or an error of the measurement.
    """
    if not argv or argv[0].startswith("-"):
        read_options(make_parser(), argv)  # prints the help or reports what is missing
    subject, *words = argv
    if subject in RENAMED:
        warnings.warn(f"`bench {subject}` is now `bench {RENAMED[subject]}`", stacklevel=2)
        subject = RENAMED[subject]
    if subject not in SUBJECTS:
        raise UserError(
            f"unknown subject {subject!r}.{did_you_mean(subject, SUBJECTS)} It can be "
            f"{', '.join(SUBJECTS)}"
        )
    options = read_options(make_parser(subject), words)
    for name in COUNTS:
        if name in options and options[name] < 1:
            raise UserError(f"--{name} is {options[name]}; it must be at least 1")
    if options.get("chart"):
        check_file_to_write(options.chart)
    if not options.out:
        measure(subject, options)
        return
    from res2net.bench.protocol import append_rows, commit_to_record

    commit = commit_to_record(options.out)
    rows = measure(subject, options)
    if commit_to_record(options.out) != commit:
        raise UserError(f"--out {options.out}: the commit changed meanwhile; nothing was recorded")
    append_rows(options.out, rows, shlex.join(["res2net", "bench", subject, *portable(words)]))
    print(f"appended to {options.out}")


def measure(subject: str, options: Any) -> list[dict[str, object]]:
    """Run a subject, print its results, and return its rows."""
    kind = SUBJECTS[subject]
    given = kind(**{each.name: options[each.name] for each in fields(kind)})
    module = importlib.import_module(f"res2net.bench.{subject.replace('-', '_')}")
    advice = (
        f"--batch {options.get('batch')} at --size {options.get('size')} leaves a batch norm one "
        "value per channel, which cannot be trained; raise one of them"
    )
    with single_values_explained(advice):
        found = module.run(given, track)
    if found.columns:
        from res2net.bench.protocol import RATIOS, shown

        table = new_table(*found.columns.values())
        for row in found.rows:
            table.add_row(*(escape(shown(row, name)) for name in found.columns))
        show(table)
        if any(f"{name}_q1" in row for row in found.rows for name in found.columns):
            print(RATIOS)
    for line in found.lines:
        print(line)
    return list(found.rows)
