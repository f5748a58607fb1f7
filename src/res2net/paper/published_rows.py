"""The form of a published result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Metric = tuple[str, str]  # (name, unit)
Row = tuple[str, str]  # (label, setting)
Cells = tuple[float | None, ...]  # one a metric; None where the paper prints a dash


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One number of a table of the paper."""

    item: str  # "Table 1"
    network: str | None  # name in the model table
    label: str  # as in the paper
    setting: str  # w×s, data set or group, as in the paper
    metric: str
    value: float
    unit: str  # "%", "G", "M", "ms", or "1" for a fraction


def table(
    item: str,
    metrics: tuple[Metric, ...],
    lines: Iterable[tuple[str | None, str, str, Cells]],
) -> tuple[Published, ...]:
    """A table as it is printed: (network, label, setting, cells) a line."""
    return tuple(
        Published(
            item=item,
            network=network,
            label=label,
            setting=setting,
            metric=metric,
            value=value,
            unit=unit,
        )
        for network, label, setting, cells in lines
        for (metric, unit), value in zip(metrics, cells, strict=True)
        if value is not None
    )
