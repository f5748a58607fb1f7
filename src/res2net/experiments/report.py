"""A self-contained HTML page of items: tables, charts and figures. Imports matplotlib."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from res2net.drawing.canvas import BLUE, GREY, ORANGE
from res2net.experiments.charts import Dots, draw_dots, draw_growth
from res2net.experiments.items import LOWER_IS_BETTER, NAMES, Item, metrics_of, rows_of
from res2net.experiments.sheets import (
    Measured,
    Sheet,
    growth_rows,
    measured_cell,
    sheets_of,
    small_rows,
)
from res2net.experiments.small import COLUMNS
from res2net.files import write_text

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 1240px; margin: 2em auto;
       padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.25em; margin-top: 2.4em; border-top: 1px solid #ddd;
     padding-top: 1em; } h3 { font-size: 1.05em; margin-top: 1.6em; }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }
th { text-align: left; vertical-align: bottom; border-bottom: 2px solid #999; padding: 4px 10px; }
td { border-bottom: 1px solid #eee; padding: 3px 10px; white-space: nowrap; }
td.figure, th.figure { text-align: right; font-variant-numeric: tabular-nums; }
p.note { color: #666; font-size: 13px; max-width: 90ch; overflow-wrap: anywhere; }
code { font-size: 12px; }
img { max-width: 100%; height: auto; display: block; margin: 1em 0; }
nav a { margin-right: .9em; white-space: nowrap; }
"""


def write_report(
    items: Sequence[Item],
    out: Path,
    *,
    measured: Measured,
    timed: Measured,
    pictures: Mapping[str, Path],
) -> Path:
    """Draw the charts of the items and write ``report.html``; returns its path.

    Args:
        out: folder of ``report.html``, with ``pictures`` in it.
        measured: rows of results.
        timed: rows of runtimes.
        pictures: item → the image of a figure.

    Raises:
        UserError: the folder is not writable.
    """
    folder = out / "pictures"
    parts = []
    for item in items:
        drawn = [pictures[item.name]] if item.name in pictures else []
        drawn += charts(item, folder, measured)
        parts.append(_section(item, sheets_of(item, measured, timed), drawn))
    links = " ".join(f'<a href="#{item.name}">{item.word}</a>' for item in items)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Res2Net: the paper and here</title><style>{_STYLE}</style></head><body>"
        "<h1>Res2Net: published, counted and measured results</h1>"
        "<p>A dash marks a value that is not in the paper or not measured here yet.</p>"
        f"<nav>{links}</nav>{''.join(parts)}</body></html>\n"
    )
    write_text(out / "report.html", page)
    return out / "report.html"


def charts(item: Item, folder: Path, measured: Measured) -> list[Path]:
    """Charts of an item: its first published score with ours, and results of small networks."""
    drawn = [_paper_chart(item, folder, measured)] if item.table else []
    small = small_rows(item, measured)
    if item.figure == "growth":
        return [*drawn, *_growth_charts(item, folder, small, growth_rows(measured))]
    return [*drawn, _small_chart(item, folder, small)] if small else drawn


def _growth_charts(item: Item, folder: Path, small: Measured, full: Measured) -> list[Path]:
    """A chart for each study of Fig. 5, since different data are not comparable."""
    studies = dict.fromkeys(row["study"] for row in (*full, *small))
    paths = []
    for study in studies:
        rows = [row for row in (*full, *small) if row["study"] == study]
        subtitle = "CIFAR-100, the paper's training" if rows[0] in full else _data(rows)
        paths.append(folder / f"{study}.png")
        draw_growth(paths[-1], f"{item.word}: {item.title}", subtitle, rows)
    return paths


def _paper_chart(item: Item, folder: Path, measured: Measured) -> Path:
    rows = rows_of(item)
    metric = next(m for m in metrics_of(rows) if m not in ("params", "flops", "runtime"))
    studies = [how.study if (how := item.how(row.setting)) else "" for row in rows]
    pairs = zip(rows, studies, strict=True)
    ours = tuple(measured_cell(item, row, metric, measured, study) for row, study in pairs)
    printed = tuple(row.published.get(metric) for row in rows)
    dots = (
        Dots(label="the paper", values=printed, colour=GREY, hollow=True),
        Dots(label="trained here", values=ours, colour=BLUE),
    )
    path = folder / f"{item.name}.png"
    title, names = f"{item.word}: {item.title}", [row.title for row in rows]
    draw_dots(path, title, _better(metric), names, dots, NAMES[metric])
    return path


def _small_chart(item: Item, folder: Path, small: Measured) -> Path:
    key, axis = COLUMNS[item.task][0]
    values = [float(row[key]) if row.get(key) else None for row in small]
    ours = ["Res2Ne" in row["point"] for row in small]

    def of(kind: bool) -> tuple[float | None, ...]:
        return tuple(
            v if is_ours == kind else None for v, is_ours in zip(values, ours, strict=True)
        )

    dots = (
        Dots(label="ResNet and other baselines", values=of(False), colour=ORANGE),
        Dots(label="Res2Net", values=of(True), colour=BLUE),
    )
    path = folder / f"{item.name}-small.png"
    names = [f"{row['point']} on {row['data']}" for row in small]
    subtitle = f"{_data(small)}; {_better(key)}"
    draw_dots(path, f"{item.word}, small scale", subtitle, names, dots, axis)
    return path


def _data(small: Measured) -> str:
    kinds = ", ".join(dict.fromkeys(row["data"] for row in small))
    return f"small networks, short trainings on {kinds}, one seed"


def _better(metric: str) -> str:
    return "lower is better" if metric in LOWER_IS_BETTER else "higher is better"


def _section(item: Item, sheets: Sequence[Sheet], pictures: Sequence[Path]) -> str:
    title = f"{item.word}. {item.title} (section {item.section})"
    tables = "".join(_table(sheet, headed=sheet.title != title) for sheet in sheets)
    shown = "".join(_image(path) for path in pictures)
    note = "" if item.table or not item.note else f'<p class="note">{html.escape(item.note)}</p>'
    nothing = "" if tables or shown else "<p>No measurements yet.</p>"
    return f'<h2 id="{item.name}">{html.escape(title)}</h2>{note}{tables}{shown}{nothing}'


def _table(sheet: Sheet, *, headed: bool) -> str:
    kinds = ["" if i < sheet.left else ' class="figure"' for i in range(len(sheet.head))]
    head = "".join(f"<th{k}>{html.escape(h)}</th>" for k, h in zip(kinds, sheet.head, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{k}>{html.escape(c)}</td>" for k, c in zip(kinds, row, strict=True))
        + "</tr>"
        for row in sheet.rows
    )
    note = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(sheet.note))
    title = f"<h3>{html.escape(sheet.title)}</h3>" if headed else ""
    return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" + (
        f'<p class="note">{note}</p>' if note else ""
    )


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}">'
