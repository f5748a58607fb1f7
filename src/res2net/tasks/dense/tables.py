"""Tables of scores as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from res2net.files import write_text


def write_table(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A CSV file; a blank where a value is None."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([[_shown(cell) for cell in row] for row in rows])
    write_text(path, text.getvalue())


def percent(value: float | None) -> str:
    """A figure for people; None is the figure of objects that are not there."""
    return "none there" if value is None else f"{value:.2f} %"


def _shown(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else value
