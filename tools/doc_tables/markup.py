"""What all tables share: Markdown, rows of results, and what a measurement depends on."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "results"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right."""
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def read_results(name: str) -> list[dict[str, str]]:
    """Rows of a results file."""
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def pinned(package: str) -> str:
    """The version of a package that measurements are made with."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


def about(row: Mapping[str, str]) -> str:
    """What a measured table depends on, in a line."""
    timm = row.get("timm") or pinned("timm")
    return (
        f"\nMeasured on {machine(row)}, torch {row['torch']}, timm {timm}, "
        f"n = {row['n']} interleaved rounds, {row['date']}: `{row['command']}`\n"
    )


def machine(row: Mapping[str, str]) -> str:
    """What a row was measured on."""
    gpu = f"an {row['gpu']} beside " if row.get("gpu") else ""
    return f"{gpu}{row['cores']} cores of {row['cpu']}"
