"""The rows of a table: what the paper prints, and what we count. No torch in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from res2net.paper.networks import find_variant
from res2net.paper.published import published
from res2net.paper.structure import tally
from res2net.reproduce.items import Item

NAMES: Mapping[str, str] = {  # the paper's metric → the head of its column
    "top1_error": "top-1 error, %",
    "top5_error": "top-5 error, %",
    "flops": "FLOPs, G",
    "params": "params, M",
    "runtime": "runtime, ms",
    "box_ap": "AP, %",
    "box_ap50": "AP50, %",
    "box_ar": "AR, %",
    "mean_iou": "mean IoU, %",
    "f_measure": "max F",
    "mae": "MAE",
    **{
        f"{what}_ap{key}": f"AP{word}, %"
        for what in ("mask", "keypoint")
        for key, word in (
            *(("", ""), ("50", "50"), ("75", "75")),
            *(("_small", "S"), ("_medium", "M"), ("_large", "L")),
        )
    },
}
LOWER_IS_BETTER = frozenset({"top1_error", "top5_error", "mae", "runtime"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of a table: a network in a setting."""

    item: str  # "table1"
    label: str  # as in the paper
    setting: str
    network: str  # of the model table
    published: Mapping[str, float]  # metric → value
    params: int
    macs: int

    @property
    def title(self) -> str:
        """The row in the paper's words."""
        return " ".join(part for part in (self.label, self.setting) if part)


def rows_of(item: Item) -> tuple[Row, ...]:
    """The rows of a table in the paper's order; none of a figure."""
    if item.table is None:
        return ()
    cells: dict[tuple[str, str, str], dict[str, float]] = {}
    for cell in published(item.table):
        assert cell.network is not None, cell  # every row of the paper is in the model table
        cells.setdefault((cell.label, cell.setting, cell.network), {})[cell.metric] = cell.value
    rows = []
    for (label, setting, network), values in cells.items():
        params, macs = counts(network, 299 if setting == "299×299" else None)
        rows.append(
            Row(
                item=item.name,
                label=label,
                setting=setting,
                network=network,
                published=values,
                params=params,
                macs=macs,
            )
        )
    return tuple(rows)


@cache
def counts(network: str, size: int | None = None) -> tuple[int, int]:
    """Parameters and multiply-adds of an image of ``size`` pixels, the network's own by default."""
    structure = tally(find_variant(network), size=size)
    return structure.params, structure.macs


def metrics_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The metrics that a table prints, in its order."""
    return tuple(dict.fromkeys(metric for row in rows for metric in row.published))


def shown(metric: str, value: float | None) -> str:
    """A figure with the decimals that the paper prints; "" where there is none."""
    if value is None:
        return ""
    if metric in ("f_measure", "mae"):
        return f"{value:.3f}"
    if metric == "runtime":
        return f"{value:.0f}"
    return f"{value:.2f}" if metric.endswith("error") else f"{value:.1f}"
