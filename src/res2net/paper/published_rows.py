"""The form of a published result and of a quoted gain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Metric = tuple[str, str]  # (name, unit)
Row = tuple[str, str]  # (label, setting)
Kind = Literal["lower", "higher", "ratio"]  # baseline − ours, ours − baseline, ours / baseline
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


@dataclass(frozen=True, slots=True)
class Gain:
    """One gain that the paper quotes, and the two rows of a table that it compares."""

    item: str  # "Table 1"
    section: str  # of the text, "4.2.1"
    metric: str
    ours: Row
    baseline: Row
    claimed: float  # in the unit of the metric; percent for a ratio
    kind: Kind = "higher"
    note: str = ""  # what is wrong with the comparison, if anything

    def from_table(self, rows: Iterable[Published]) -> float:
        """The same gain by the printed numbers, rounded as those are.

        Raises:
            KeyError: the table has no such row.
        """
        values = {
            (row.label, row.setting): row.value
            for row in rows
            if (row.item, row.metric) == (self.item, self.metric)
        }
        ours, baseline = values[self.ours], values[self.baseline]
        if self.kind == "ratio":
            return round(100 * ours / baseline, 2)
        return round(baseline - ours if self.kind == "lower" else ours - baseline, 4)


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
