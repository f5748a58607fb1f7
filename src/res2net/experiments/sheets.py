"""Tables of an item for the terminal, the docs and the report. No torch in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from res2net.experiments.items import NAMES, Item, TableRow, metrics_of, rows_of, shown
from res2net.experiments.results import Row
from res2net.experiments.small import COLUMNS, has_small, shared_name

BLANK = "–"
PUBLISHED_WEIGHTS = "published-weights"  # study name of their rows
GROWTH = "classify-cifar100-growth"  # the study of Fig. 5 at full scale
SMALL_NOTE = (
    "Small networks, short trainings, one seed: this shows that the item runs and how close the "
    "networks are at this size; it neither confirms nor refutes the paper."
)
Measured = Sequence[Row]  # rows of results, oldest first


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A table with a note."""

    title: str
    head: tuple[str, ...]  # the first ``left`` columns are text
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    note: str = ""


def measured_cell(
    item: Item, row: TableRow, metric: str, measured: Measured, study: str
) -> float | None:
    """The latest measured value of a cell; None if there is none."""
    how = item.how(row.setting)
    if how is None or metric not in how.keys:
        return None
    for each in reversed(measured):
        value = each.get(how.keys[metric], "")
        if (each.get("study"), each.get("point")) == (study, row.network) and value:
            return float(value)
    return None


def paper_sheet(item: Item, measured: Measured = ()) -> Sheet:
    """A table of the paper with our counts and full-scale measurements."""
    rows = rows_of(item)
    metrics = metrics_of(rows)
    sources = {}  # (heading, metric) → a cell for each row
    for metric in metrics:
        ours, files = [], []
        for row in rows:
            how = item.how(row.setting)
            ours.append(measured_cell(item, row, metric, measured, how.study if how else ""))
            on = "299×299" not in row.setting
            files.append(
                measured_cell(item, row, metric, measured, PUBLISHED_WEIGHTS) if on else None
            )
        sources[f"{NAMES[metric]}: trained here"] = (metric, ours)
        sources[f"{NAMES[metric]}: published weights here"] = (metric, files)
    kept = {h: (m, c) for h, (m, c) in sources.items() if any(v is not None for v in c)}
    head = (
        *("row", "setting", "network"),
        *(f"{NAMES[metric]}" for metric in metrics),
        *("params, M (counted)", "MACs, G (counted)"),
        *(kept or ("measured",)),
    )
    lines = []
    for i, row in enumerate(rows):
        lines.append(
            (
                *(row.label, row.setting, row.network),
                *(shown(metric, row.published.get(metric)) or BLANK for metric in metrics),
                *(f"{row.params / 1e6:.3f}", f"{row.macs / 1e9:.3f}"),
                *(
                    [shown(metric, cells[i]) or BLANK for metric, cells in kept.values()]
                    if kept
                    else [BLANK]
                ),
            )
        )
    title = f"{item.table}. {item.title} (section {item.section})"
    return Sheet(title=title, head=head, rows=tuple(lines), left=3, note=item.note)


def small_rows(item: Item, measured: Measured) -> list[Row]:
    """The latest rows of an item's small studies, per network and data."""
    if not has_small(item):
        return []
    of_item = f"{shared_name(item)}-small-"
    kept = {
        (row["study"], row["point"]): row
        for row in measured
        if row.get("study", "").startswith(of_item)
    }
    return list(kept.values())


def growth_rows(measured: Measured) -> list[Row]:
    """The rows of Fig. 5 at full scale."""
    return [row for row in measured if row.get("study") == GROWTH]


def small_sheet(item: Item, measured: Measured) -> Sheet | None:
    """Results of small networks; None without measurements."""
    rows = small_rows(item, measured)
    return (
        _trained_sheet(item, rows, f"{item.word} at small scale", f"{SMALL_NOTE} ")
        if rows
        else None
    )


def growth_sheet(item: Item, measured: Measured) -> Sheet | None:
    """Fig. 5's networks at full scale; None without measurements."""
    rows = growth_rows(measured) if item.figure == "growth" else []
    return _trained_sheet(item, rows, f"{item.word} at full scale", "") if rows else None


def _trained_sheet(item: Item, rows: Measured, title: str, note: str) -> Sheet:
    columns = COLUMNS[item.task]
    head = (
        *("network", "data", "params, M", "MACs, M"),
        *(name for _, name in columns),
        *("epochs", "steps", "s"),
    )
    lines = tuple(
        (
            *(row["point"], row["data"]),
            *(f"{int(row['params']) / 1e6:.3f}", f"{int(row['macs']) / 1e6:.1f}"),
            *(_figure(row.get(key, "")) for key, _ in columns),
            *(row["epochs"], row["steps"], row["seconds"]),
        )
        for row in rows
    )
    return Sheet(
        title=title,
        head=head,
        rows=lines,
        left=2,
        note=f"{note}Parameters and multiply-adds are of the backbone. {_about(rows[-1])}",
    )


def _figure(text: str) -> str:
    return f"{float(text):.3g}" if text else BLANK


def _about(row: Row) -> str:
    versions = f"torch {row['torch']}, {row['cores']} cores of {row['cpu']}, {row['date']}"
    return f"{versions}, commit {row['commit'] or 'unknown'}: `{row['command']}`"


def runtime_sheet(item: Item, timed: Measured) -> Sheet | None:
    """Table 3's runtime on this machine, eager and deployed; None without measurements."""
    networks = dict.fromkeys(row.network for row in rows_of(item))
    last = {
        (row["network"], row["engine"], row["precision"]): row
        for row in timed
        if row["maker"] == "ours" and row["batch"] == "1" and row["network"] in networks
    }
    kinds = list(dict.fromkeys((engine, precision) for _, engine, precision in last))
    if not kinds:
        return None
    published = {row.network: row.published.get("runtime") for row in reversed(rows_of(item))}
    base = "resnet50"
    lines = []
    for network in networks:
        cells = []
        for engine, precision in kinds:
            own, other = last.get((network, engine, precision)), last.get((base, engine, precision))
            if own is None:
                cells.append(BLANK)
                continue
            ratio = ""
            if other and network != base:
                ratio = f" ({float(own['median_ms']) / float(other['median_ms']):.2f}×)"
            cells.append(f"{float(own['median_ms']):.1f}{ratio}")
        value = published[network]
        paper = f" ({value / published[base]:.2f}×)" if value and network != base else ""  # type: ignore[operator]
        lines.append((network, f"{shown('runtime', value)}{paper}" if value else BLANK, *cells))
    rounds = "/".join(dict.fromkeys(row["n"] for row in last.values()))
    note = (
        "Median milliseconds of an image of 224 pixels, batch 1, and in brackets the ratio of "
        f"medians to ResNet-50; n = {rounds} rounds. The paper's column is of a GPU. "
        f"{'; '.join(dict.fromkeys(map(_about, last.values())))}"
    )
    head = ("network", "paper, ms", *(f"{e} {p}, ms" for e, p in kinds))
    return Sheet(title="Table 3: runtime here", head=head, rows=tuple(lines), note=note)


def sheets_of(item: Item, measured: Measured, timed: Measured) -> list[Sheet]:
    """All available tables of an item."""
    found = [paper_sheet(item, measured) if item.table else None, growth_sheet(item, measured)]
    found.append(small_sheet(item, measured))
    if item.table and "runtime" in metrics_of(rows_of(item)):
        found.append(runtime_sheet(item, timed))
    return [sheet for sheet in found if sheet is not None]


def markdown(sheet: Sheet) -> str:
    """As a Markdown table with its note."""
    rule = [*[" --- |"] * sheet.left, *[" ---: |"] * (len(sheet.head) - sheet.left)]
    lines = [f"| {' | '.join(sheet.head)} |", f"|{''.join(rule)}"]
    lines += [f"| {' | '.join(row)} |" for row in sheet.rows]
    return "\n".join(lines) + "\n" + (f"\n{sheet.note}\n" if sheet.note else "")
