"""Reading the history of a run: a row an epoch, values missing or blank where not measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

History = Sequence[Mapping[str, float]]


def epochs(history: History) -> list[float]:
    """The epochs in order, each once; a row that names none counts by its place."""
    return sorted({_epoch(row, i) for i, row in enumerate(history)})


def series(history: History, key: str) -> dict[float, float]:
    """Epoch to value, in order; blanks are left out, what is not finite is NaN."""
    found: dict[float, float] = {}
    for i, row in enumerate(history):
        value = _number(row, key)
        if value is not None:
            found[_epoch(row, i)] = value if math.isfinite(value) else math.nan
    return dict(sorted(found.items()))


def lowest(history: History, key: str) -> tuple[float, float] | None:
    """Epoch and value of the lowest finite value; None where there is none."""
    finite = {epoch: value for epoch, value in series(history, key).items() if value == value}
    return min(finite.items(), key=lambda point: point[1]) if finite else None


def _epoch(row: Mapping[str, float], index: int) -> float:
    epoch = _number(row, "epoch")
    return index if epoch is None else epoch


def _number(row: Mapping[str, float], key: str) -> float | None:
    """The value, which a CSV reader gives as text; None for a blank."""
    value = row.get(key)
    return None if value is None or not str(value).strip() else float(value)
