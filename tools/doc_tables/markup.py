"""Shared by all tables: Markdown, rows of results, and the conditions of a measurement."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from doc_tables.measures import older
from res2net.errors import counted

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "results"
BLANK = "–"
Table = Callable[[Sequence[dict[str, str]]], str]
PAIRED = "median of per-round ratios (quartiles)"  # other ratios are of the medians


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; columns of numbers are right-aligned."""
    cells = list(rows)
    numbers = [
        all(re.match(r"[+-]?\d|–?$", cell) for cell in own) for own in zip(*cells, strict=True)
    ]
    marks = ("---:" if each else "---" for each in numbers or [False] * len(head))
    lines = [f"| {' | '.join(each)} |" for each in (head, marks, *cells)]
    return "\n".join(lines) + "\n"


# Columns that identify what a row measures; the others hold results and conditions.
CASE = (
    *("task", "kind", "network", "maker", "library", "engine", "precision", "case", "part", "data"),
    *("batch", "size", "clients", "requests", "what", "number"),
)


def every_row(name: str) -> list[dict[str, str]]:
    """All rows of a results file, the oldest first, with its name in ``file``."""
    if not (RESULTS / name).is_file():
        return []
    with (RESULTS / name).open(newline="") as file:
        return [{**row, "file": name} for row in csv.DictReader(file)]


def read_results(name: str) -> list[dict[str, str]]:
    """The newest row of each case of a results file, with its name in ``file``.

    Commands append: a case that is measured again takes the place of its older row. In a file with
    rows in bf16 that holds for rows of one kind of processor, see ``kind_of_processor``.
    """
    rows = every_row(name)
    kinds = any("bf16" in (row.get("precision") or row.get("case") or "") for row in rows)
    newest = {
        (kind_of_processor(row) if kinds else "", *(row.get(column) for column in CASE)): row
        for row in rows
    }
    return list(newest.values())


KINDS = ("AVX-512 with bf16", "AVX-512 without bf16", "AVX2")


def kind_of_processor(row: Mapping[str, str]) -> str:
    """Which vector instructions a row was measured with: one of ``KINDS``, the best first.

    Rows of before instructions were recorded are of processors with bf16.
    """
    if row.get("gpu") or not row.get("instructions"):
        return KINDS[0]
    hidden = row.get("level", "full")
    known = "" if hidden == "avx2" else row["instructions"]
    if "avx512_bf16" in known and hidden in ("", "full"):
        return KINDS[0]
    return KINDS[1] if "avx512f" in known else KINDS[2]


def of_best_kind(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The rows of the best kind of processor that there is."""
    best = min((kind_of_processor(row) for row in rows), key=KINDS.index, default=KINDS[0])
    return [row for row in rows if kind_of_processor(row) == best]


def by_processor(table: Table, rows: Sequence[dict[str, str]]) -> str:
    """A table for each kind of processor, under its name where there are several."""
    groups = {kind: [row for row in rows if kind_of_processor(row) == kind] for kind in KINDS}
    found = {kind: table(own) for kind, own in groups.items() if own}
    if len(found) < 2:
        return "".join(found.values())
    return "\n".join(f"**{kind}**\n\n{text}" for kind, text in found.items())


def newest_run(rows: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The rows measured last: those of one day, commit and processor."""

    def when(row: Mapping[str, str]) -> tuple[str, ...]:
        return row["date"], row["commit"], machine(row)

    last = max(rows, key=lambda row: row["date"])
    return [row for row in rows if when(row) == when(last)]


def run_of(row: Mapping[str, str]) -> tuple[str, ...]:
    """Key of the run of a row: cases of one run were interleaved."""
    return row["date"], row["commit"], row["command"]


def ratio_column(
    title: str,
    rows: Sequence[Mapping[str, str]],
    name: str,
    of_medians: Callable[[Mapping[str, str]], float | None],
    form: Callable[[float], str] = "{:.3f}".format,
) -> tuple[str, list[str]]:
    """Head and cells of a column of ratios.

    If every row with the ratio has its quartiles, the column shows the median of per-round ratios
    and its head states that. Otherwise it shows the ratio of the medians in the table.
    """
    found = [row for row in rows if row.get(name)]
    if found and all(row.get(f"{name}_q1") and row.get(f"{name}_q3") for row in found):
        cells = [
            "{} ({} to {})".format(*(form(float(row[name + end])) for end in ("", "_q1", "_q3")))
            if row.get(name)
            else BLANK
            for row in rows
        ]
        return f"{title}, {PAIRED}", cells
    values = [of_medians(row) for row in rows]
    return title, [BLANK if value is None else form(value) for value in values]


def about(rows: Sequence[Mapping[str, str]], libraries: Sequence[str] = ()) -> str:
    """The conditions of a measured table: machine, versions as recorded, all commands."""
    made = (f"{where}: {', '.join(known)}" for where, known in conditions(rows, libraries).items())
    return f"\nMeasured on {'; '.join(made)}\n{older_rows(rows)}"


def conditions(
    rows: Sequence[Mapping[str, str]], libraries: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Machine and versions as recorded → the commands that were measured there."""
    commands: dict[str, list[str]] = {}
    held: dict[str, dict[str, None]] = {}  # precisions of each measurement
    for row in rows:
        named = ", ".join(f"{each} {row.get(each) or BLANK}" for each in ("torch", *libraries))
        rounds = f"n = {row['n']} interleaved rounds, " if row.get("n") else ""
        commit = f"commit {row['commit'] or BLANK}"
        where = f"{machine(row)}, {named}, {rounds}{row['date']}, {commit}"
        known = commands.setdefault(where, [])
        if (command := f"`{row['command']}`") not in known:
            known.append(command)
        held.setdefault(where, {})[row.get("precision") or ""] = None
    apart = len({tuple(each) for each in held.values()}) > 1  # such as bf16 on another processor
    return {
        f"{where}{' (' + ', '.join(held[where]) + ')' if apart else ''}": known
        for where, known in commands.items()
    }


def older_rows(rows: Sequence[Mapping[str, str]]) -> str:
    """A paragraph on the rows that are older than the code they measure, per file."""
    files = dict.fromkeys(row["file"] for row in rows)
    found = [older(file, [row for row in rows if row["file"] == file]) for file in files]
    return "".join(f"\n**{line}**\n" for line in found if line)


def machine(row: Mapping[str, str]) -> str:
    """The hardware of a row."""
    gpu = f"an {row['gpu']} with " if row.get("gpu") else ""
    level = row.get("level", "full")
    hidden = "" if level in ("", "full") else f", up to {level}"
    known = f" ({row['instructions']}{hidden})" if row.get("instructions") else ""
    return f"{gpu}{counted(int(row['cores']), 'core')} of {row['cpu']}{known}"
