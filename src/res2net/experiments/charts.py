"""Charts of results: a study's means over seeds, an item's dots and lines.

Imports matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from res2net.data.scenes.single import LENGTHS
from res2net.drawing.canvas import (
    BLUE,
    GREEN,
    GREY,
    MARGIN,
    ORANGE,
    RED,
    TOP,
    WIDTH,
    add_axes,
    fit,
    headed_figure,
)
from res2net.experiments.results import Row, Spread, spread
from res2net.experiments.studies import MAPS, column_of
from res2net.experiments.study import Drawing, Point, Study

COLOURS = (BLUE, ORANGE, GREEN, RED)  # of lines
HALO = [withStroke(linewidth=3, foreground="white")]  # of a text over lines
ROW, PLOT, LEFT = 56, 520, 210  # pixels: per bar, height of line plots, left margin
LINE, NAME = 34, 380  # pixels: per row of dots, width of its name


def draw(study: Study, rows: Sequence[Row], path: Path) -> None:
    """Draw the points with results and write a PNG.

    Raises:
        UserError: ``path`` cannot be written.
    """
    shown = [point for point in study.points if spread(rows, point).values]
    if not shown:
        return
    tall = study.drawing != "bars"
    height = PLOT if tall else ROW * len(shown) + 20
    left = 110 if tall else LEFT
    below = 134 if study.drawing == "maps" else 110
    with headed_figure(
        path, TOP + height + below, study.question, _subtitle(study, rows, shown)
    ) as figure:
        if study.drawing == "maps":
            room = (WIDTH - 2 * MARGIN) / len(MAPS)
            for place, name in enumerate(MAPS):
                axes = add_axes(figure, MARGIN + 50 + place * room, TOP + 16, room - 60, height)
                _maps(axes, rows, shown, name)
            lines = figure.axes[0].get_legend_handles_labels()  # below: bars reach every corner
            figure.legend(*lines, loc="lower center", ncols=len(shown) + 1)
            return
        axes = add_axes(figure, left, TOP + 16, WIDTH - left - MARGIN, height)
        _DRAWINGS[study.drawing](axes, rows, shown, study.score)


def _subtitle(study: Study, rows: Sequence[Row], shown: Sequence[Point]) -> str:
    counts = sorted({len(spread(rows, point).values) for point in shown})
    seeds = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    kept = study.settings_of(shown[0])
    return (
        f"{study.data}, {kept['train.epochs']} epochs, batch {kept['train.batch']}; "
        f"mean ± standard deviation over seeds, {seeds}"
    )


def _bars(axes: Axes, rows: Sequence[Row], shown: Sequence[Point], score: str) -> None:
    """One row per point, with a ring per seed and a dot for their mean."""
    for place, point in enumerate(shown):
        accuracy = _accuracy(spread(rows, point))
        axes.errorbar(
            accuracy.mean, place, xerr=accuracy.std or None, fmt="o", color=BLUE, capsize=4
        )
        rings = [place - 0.22] * len(accuracy.values)
        axes.plot(accuracy.values, rings, "o", mfc="none", color=GREY)
        label = f"{accuracy}"
        axes.annotate(label, (accuracy.mean, place + 0.34), ha="center", va="center", fontsize=7)
    axes.set_yticks(range(len(shown)), [point.label for point in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.margins(x=0.15)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{score} after the last epoch, %  (ring: one seed)")


def _lines(axes: Axes, rows: Sequence[Row], shown: Sequence[Point], score: str) -> None:
    """Accuracy against parameters, one line per group, starting at points without a group."""
    start = [point for point in shown if not point.group]
    groups = list(dict.fromkeys(point.group for point in shown if point.group))
    for group, colour in zip(groups, COLOURS, strict=False):
        line = [*start, *(point for point in shown if point.group == group)]
        found = [_accuracy(spread(rows, point)) for point in line]
        axes.errorbar(
            [_params(rows, point) for point in line],
            [each.mean for each in found],
            yerr=[each.std for each in found],
            fmt="o-",
            color=colour,
            capsize=4,
            label=group,
        )
        for point, each in zip(line[len(start) :], found[len(start) :], strict=True):
            place = (_params(rows, point), each.mean)
            axes.annotate(
                point.label.replace("_", " "),
                place,
                (6, -10),
                textcoords="offset points",
                path_effects=HALO,
                zorder=5,
            )
    if not groups:
        axes.plot(
            [_params(rows, point) for point in start],
            [_accuracy(spread(rows, point)).mean for point in start],
            "o",
            color=BLUE,
        )
    else:
        axes.legend(title="grown", loc="upper left")
    axes.margins(x=0.17, y=0.15)
    axes.set_xlabel("parameters, M")
    axes.set_ylabel(f"{score} after the last epoch, %")


def _sizes(axes: Axes, rows: Sequence[Row], shown: Sequence[Point], score: str) -> None:
    """Accuracy against object length, one line per point."""
    _by_length(axes, shown, lambda point, length: _accuracy(spread(rows, point, column_of(length))))
    axes.legend(loc="best")
    axes.set_ylabel(f"{score} of the best epoch, %")


def _maps(axes: Axes, rows: Sequence[Row], shown: Sequence[Point], name: str) -> None:
    """A measure of class activation maps against object length, one line per point."""
    _by_length(
        axes, shown, lambda point, length: spread(rows, point, column_of(length, f"{name}_"))
    )
    if name == "energy":
        even = [spread(rows, shown[0], column_of(length, "area_")).mean for length in LENGTHS]
        axes.plot(LENGTHS, even, "--", color=GREY, label="uniform map")
    axes.set_title(MAPS[name], fontsize=7)


def _by_length(axes: Axes, shown: Sequence[Point], of: Callable[[Point, float], Spread]) -> None:
    for number, point in enumerate(shown):
        measured = [(length, each) for length in LENGTHS if (each := of(point, length)).values]
        nudge = 2 ** (0.025 * (number - (len(shown) - 1) / 2))  # bars side by side
        axes.errorbar(
            [length * nudge for length, _ in measured],
            [each.mean for _, each in measured],
            yerr=[each.std for _, each in measured],
            fmt="o-",
            color=COLOURS[number % 4],
            capsize=3,
            label=f"{point.group} ({point.label.replace('_', '×')})",
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(LENGTHS, [f"{length:.0f}" for length in LENGTHS])
    axes.minorticks_off()
    axes.set_xlabel("object length, pixels")


def _accuracy(errors: Spread) -> Spread:
    return Spread(values=tuple(100 - error for error in errors.values))


def _params(rows: Sequence[Row], point: Point) -> float:
    return next(int(row["params"]) for row in rows if row["point"] == point.label) / 1e6


_DRAWINGS: dict[Drawing, Callable[..., None]] = {  # (axes, rows, points, score)
    "bars": _bars,
    "lines": _lines,
    "sizes": _sizes,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dots:
    """One value per row, if known."""

    label: str
    values: tuple[float | None, ...]
    colour: str
    hollow: bool = False


def draw_dots(
    path: Path, title: str, subtitle: str, names: Sequence[str], dots: Sequence[Dots], axis: str
) -> None:
    """Draw rows of dots; hollow dots are the paper's values.

    A value far from all others is an arrow at the edge with its number: it would squeeze the rest.

    Raises:
        UserError: ``path`` cannot be written.
    """
    tall = LINE * len(names)
    with headed_figure(path, TOP + tall + 130, title, subtitle) as figure:
        axes = add_axes(figure, MARGIN + NAME, TOP + 30, WIDTH - 2 * MARGIN - NAME - 60, tall)
        low, high = near([v for each in dots for v in each.values if v is not None])
        edge = 0.12 * (high - low) or 1.0
        axes.set_xlim(low - edge, high + edge)
        for each in dots:
            known = [(v, i) for i, v in enumerate(each.values) if v is not None]
            if not known:
                continue
            fill = "white" if each.hollow else each.colour
            axes.scatter([], [], s=42, label=each.label, edgecolors=each.colour, facecolors=fill)
            for value, row in known:
                marker = "<" if value < low else ">" if value > high else "o"
                place = min(max(value, low - 0.8 * edge), high + 0.8 * edge)
                style = {"edgecolors": each.colour, "facecolors": fill, "zorder": 3}
                axes.scatter([place], [row], s=42, marker=marker, **style)  # type: ignore[arg-type]
                axes.annotate(
                    f"{value:.4g}",
                    (place, row),
                    (-6 if value > high else 6, 5 if each.hollow else -9),
                    textcoords="offset points",
                    size=6,
                    color=GREY,
                    ha="right" if value > high else "left",
                )
        axes.set_yticks(range(len(names)), [fit(name, NAME - 20, 7) for name in names])
        axes.set_ylim(len(names) - 0.35, -0.5)
        axes.set_xlabel(axis)
        if len(dots) > 1:
            figure.legend(loc="upper right", ncols=len(dots))


FAR = 4  # times the range of the middle half


def near(values: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest of the values, without those that lie far away.

    At most a quarter is left out; of fewer than four, none.
    """
    kept = sorted(values) or [0.0, 1.0]
    quarter = len(kept) // 4
    middle = kept[quarter : len(kept) - quarter]
    reach = FAR * (middle[-1] - middle[0])
    inner = [v for v in kept if middle[0] - reach <= v <= middle[-1] + reach]
    shown = inner if len(inner) >= 0.75 * len(kept) else kept
    return shown[0], shown[-1]


def draw_growth(path: Path, title: str, subtitle: str, rows: Sequence[Row]) -> None:
    """Accuracy against parameters as one dimension grows at a time, from one base (Fig. 5).

    Args:
        rows: of results, with ``group``, ``params``, ``top1_accuracy``; the base's group is "base".

    Raises:
        UserError: ``path`` cannot be written.
    """

    def point(row: Row) -> tuple[float, float]:
        return int(row["params"]) / 1e6, float(row["top1_accuracy"])

    base = [point(row) for row in rows if row["group"] == "base"]
    with headed_figure(path, 760, title, subtitle) as figure:
        axes = add_axes(figure, MARGIN + 80, TOP + 20, WIDTH - 2 * MARGIN - 120, 500)
        for group, colour in zip(("scale", "cardinality", "depth"), COLOURS, strict=False):
            grown = sorted(point(row) for row in rows if row["group"] == group)
            if grown:
                x, y = zip(*base, *grown, strict=True)
                axes.plot(x, y, marker="o", color=colour, label=group)
        for params, accuracy in base:
            axes.scatter([params], [accuracy], color=RED, zorder=4, label="base")
        axes.set(xlabel="parameters, M", ylabel="top-1 accuracy, %")
        if axes.has_data():
            axes.legend(loc="lower right")
