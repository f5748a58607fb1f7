"""What all tables share: Markdown, rows of results, and what a measurement depends on."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from doc_tables.measures import older

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "results"
BLANK = "–"
PAIRED = "median of ratios, round by round (quartiles)"  # other ratios are of the medians


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right."""
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def read_results(name: str) -> list[dict[str, str]]:
    """Rows of a results file, with its name in ``file``."""
    with (RESULTS / name).open(newline="") as file:
        return [{**row, "file": name} for row in csv.DictReader(file)]


def run_of(row: Mapping[str, str]) -> tuple[str, ...]:
    """What rows share that one command measured in turns."""
    return row["date"], row["commit"], row["command"]


def ratio_column(
    title: str,
    rows: Sequence[Mapping[str, str]],
    name: str,
    of_medians: Callable[[Mapping[str, str]], float | None],
    form: Callable[[float], str] = "{:.3f}".format,
) -> tuple[str, list[str]]:
    """Head and cells of a ratio.

    Where every row that has it has its quartiles, it is the median of the rounds' ratios, and the
    head says so. Else it is the ratio of the medians, which a reader can divide.
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
    """What a measured table depends on: machine, versions as they were recorded, all commands."""
    commands: dict[str, list[str]] = {}
    for row in rows:
        named = ", ".join(f"{each} {row.get(each) or BLANK}" for each in ("torch", *libraries))
        rounds = f"n = {row['n']} rounds in turns, " if row.get("n") else ""
        commit = f"commit {row['commit'] or BLANK}"
        where = f"{machine(row)}, {named}, {rounds}{row['date']}, {commit}"
        known = commands.setdefault(where, [])
        if (command := f"`{row['command']}`") not in known:
            known.append(command)
    made = "; ".join(f"{where}: {', '.join(known)}" for where, known in commands.items())
    return f"\nMeasured on {made}\n{older_rows(rows)}"


def older_rows(rows: Sequence[Mapping[str, str]]) -> str:
    """A paragraph on the rows that are older than the code that they measure, by file."""
    files = dict.fromkeys(row["file"] for row in rows)
    found = [older(file, [row for row in rows if row["file"] == file]) for file in files]
    return "".join(f"\n**{line}**\n" for line in found if line)


def machine(row: Mapping[str, str]) -> str:
    """What a row was measured on."""
    gpu = f"an {row['gpu']} beside " if row.get("gpu") else ""
    level = row.get("level", "full")
    hidden = "" if level in ("", "full") else f", up to {level}"
    known = f" ({row['instructions']}{hidden})" if row.get("instructions") else ""
    return f"{gpu}{row['cores']} cores of {row['cpu']}{known}"
