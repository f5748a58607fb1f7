"""Pictures that all tasks draw. Imports matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from res2net.drawing.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MARGIN,
    ORANGE,
    PAIR,
    TOP,
    WIDTH,
    Picture,
    add_axes,
    fit,
    headed_figure,
    measure,
    plain,
)
from res2net.drawing.marks import Colour, class_colours
from res2net.drawing.sheet import Line, Tile, draw_tiles
from res2net.errors import counted
from res2net.metrics.mistakes import f1
from res2net.metrics.sizes import SIZES
from res2net.tasks.selection import History, epochs, lowest, series
from res2net.tasks.task import Curve

Floats = npt.NDArray[np.float64]
ALWAYS = (("Learning rate", "lr"), ("Seconds per epoch", "seconds"))


def draw_curves(history: History, curves: Sequence[Curve], path: Path) -> None:
    """Draw the curves of a training, its learning rate and its time per epoch.

    Args:
        history: a value may be missing or blank; rows of one epoch are merged.
    """
    every = (*curves, *(Curve(title, ((key, ""),)) for title, key in ALWAYS))
    shown = [curve for curve in every if any(series(history, key) for key, _ in curve.lines)]
    ticks = epochs(history)
    width, gap = (WIDTH - 2 * MARGIN - 170) / 2, 100  # the gap holds title, tick labels, label
    subtitle = counted(len(ticks), "epoch") if shown else "no epoch recorded"
    with headed_figure(path, 1100, "Training", subtitle) as figure:
        top = TOP + 30
        for start in range(0, len(shown), 2):
            row = shown[start : start + 2]
            tall = 330 if start < len(curves) else 180
            for column, curve in enumerate(row):
                left = MARGIN + 65 + column * (width + 95)
                axes = add_axes(figure, left, top, width, tall)
                margin = 0.5 if len(ticks) == 1 else 0.04 * (ticks[-1] - ticks[0])
                axes.set_xlim(ticks[0] - margin, ticks[-1] + margin)
                _draw_curve(axes, curve, history, tall)
            top += tall + gap


def _draw_curve(axes: Axes, curve: Curve, history: History, tall: int) -> None:
    colours = (BLUE, ORANGE, GREEN) if len(curve.lines) > 1 or curve.percent else (GREY,)
    for (key, label), colour in zip(curve.lines, colours, strict=False):
        points = series(history, key)
        if not points:
            continue
        best = lowest(history, key)
        if curve.percent and best:
            label += f" (best {best[1]:.2f} %, epoch {best[0]:g})"
        elif len(points) == 1:  # no line shows it
            label = f"{label} {next(iter(points.values())):.4g}".strip()
        marker = "o" if len(points) <= 20 else ""
        axes.plot(list(points), list(points.values()), color=colour, marker=marker, label=label)
    axes.set_title(curve.title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    named = len(axes.get_legend_handles_labels()[1])
    free = (14 + 26 * named) / tall if named else 0.0  # share of the height, for the legend
    axes.set_ylim(bottom=0, top=1.08 / (1 - free) * axes.get_ylim()[1])
    if curve.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(symbol=" %"))
    if named:
        axes.legend(loc="upper right", borderaxespad=0)


def draw_sheet(
    rows: Sequence[tuple[Sequence[Picture], str]],
    title: str,
    subtitle: str,
    path: Path,
    legend: Sequence[tuple[str, Colour]] = (),
) -> None:
    """Pictures of one image side by side with its name below; names and their colours above."""
    tiles = [Tile(pictures, [[Line(text=name, color=GREY)]]) for pictures, name in rows]
    columns = max((len(pictures) for pictures, _ in rows), default=1)
    draw_tiles(path, title, subtitle, tiles, columns=columns, legend=legend)


FEW = 20  # largest number of classes for which confusion matrices show texts


def draw_named_matrix(
    figure: Figure,
    counts: npt.NDArray[np.int64],
    classes: Sequence[str],
    things: str,
    texts: Sequence[Sequence[str]],
) -> None:
    """A confusion matrix (C, C) with names of classes and, if there are any, texts of cells."""
    few = len(classes) <= FEW
    size, rotation = (8, 45) if len(classes) <= 25 else (6, 90)
    names = [fit(name, 280, size) for name in classes]
    room = max(measure(name, size) for name in names)
    below = 70 + room * math.sin(math.radians(rotation))
    left = MARGIN + 50 + room
    side = min(WIDTH - left - 130, figure.bbox.height - TOP - below)
    cell = side / len(classes)
    gamma = 1 if few else 0.5
    axes = draw_matrix(figure, counts, len(classes), things, left=left, side=side, gamma=gamma)
    axes.set_yticks(range(len(classes)), [plain(name) for name in names], size=size)
    axes.set_xticks(range(len(classes)), [plain(name) for name in names], size=size)
    if room > 0.95 * cell:
        axes.tick_params(axis="x", rotation=rotation)
        for label in axes.get_xticklabels():
            label.set(ha="right", va="center_baseline", rotation_mode="anchor")
    longest = max((len(text) for row in texts for text in row), default=1)
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            if not text:
                continue
            dark = counts[row, column] > 0.55 * counts[row].sum()
            axes.text(
                column,
                row,
                text,
                color="white" if dark else INK,
                ha="center",
                va="center",
                size=min(8, 0.65 * cell / max(longest, 1)),
            )


def draw_matrix(
    figure: Figure,
    counts: npt.NDArray[np.int64],
    classes: int,
    things: str,
    *,
    left: float,
    side: float,
    gamma: float,
) -> Axes:
    """Row-normalised counts as an image; ``gamma`` below 1 brings out rare confusions.

    Args:
        counts: (cells, cells), rows true.
        classes: number of classes behind the cells.
        things: what is counted, for the label.
    """
    support = counts.sum(axis=1, keepdims=True)  # (cells, 1)
    shares = np.ma.masked_invalid(counts / np.where(support, support, np.nan))
    colors = mpl.colormaps["Blues"].with_extremes(bad="#cccccc")
    axes = add_axes(figure, left, TOP, side, side)
    sides = (-0.5, classes - 0.5, classes - 0.5, -0.5)
    image = axes.imshow(shares, cmap=colors, norm=PowerNorm(gamma, vmin=0, vmax=1), extent=sides)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    bar = figure.colorbar(image, cax=add_axes(figure, left + side + 20, TOP, 18, side))
    bar.set_label(f"share of the true class's {things}")
    bar.set_ticks([0, 0.2, 0.4, 0.6, 0.8, 1] if gamma == 1 else [0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
    bar.outline.set_visible(False)
    return axes


MOST_CURVES = 8  # curves in a picture of thresholds
PerScore = tuple[str, Floats, Floats, Floats]  # class; scores from the highest, precision, recall


def draw_thresholds(
    curves: Sequence[PerScore],
    classes: Sequence[str],
    subtitle: str,
    path: Path,
    *,
    at: float | None = None,
) -> None:
    """Precision by recall and F1 by score of each class; a dashed line at a score.

    Args:
        classes: all of them; a class has the colour that it has in other pictures, unless two of
            the curves would have the same.
    """
    colours = dict(zip(classes, class_colours(classes), strict=True))
    drawn = [name for name, *_ in curves]
    if len({colours[name] for name in drawn}) < len(drawn):
        colours = dict(zip(drawn, class_colours(drawn), strict=True))
    with headed_figure(path, 820, "Precision, recall and F1", subtitle) as figure:
        side = 470
        left = add_axes(figure, MARGIN + 70, TOP + 40, side, side)
        right = add_axes(figure, MARGIN + 70 + side + 110, TOP + 40, side, side)
        for name, scores, precision, recall in curves:
            colour = [value / 255 for value in colours[name]]
            left.plot([0, *recall], [1, *precision], color=colour)
            each = f1(precision, recall)
            last = each[-1] if len(each) else 0.0
            label = plain(fit(name, 200, 7))
            right.step([*scores, 0], [*each, last], where="post", color=colour, label=label)
        if at is not None:
            right.axvline(at, color=GREY, linestyle="--", linewidth=1)
        left.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
        right.set(xlabel="score threshold", ylabel="F1", xlim=(0, 1.01), ylim=(0, 1.02))
        if curves:
            right.legend(loc="upper center", bbox_to_anchor=(-0.12, -0.14), ncols=4)


@dataclass(frozen=True, kw_only=True)
class Bars:
    """The bars on the left of a picture of scores."""

    title: str
    label: str  # of the axis
    values: Sequence[tuple[str, float]]  # name, percent


@dataclass(frozen=True, kw_only=True)
class BySize:
    """Scores by size of object."""

    title: str
    things: str  # what is counted: "object", "region", "image"
    label: str  # of the axis
    series: Mapping[str, Mapping[str, float | None]]  # legend → size → percent
    counts: Mapping[str, int]  # size → how many there are


def draw_bars(path: Path, title: str, subtitle: str, bars: Bars, by_size: BySize) -> None:
    """Scores in percent, at most the lowest 40, and beside them those by size."""
    worst = sorted(bars.values, key=lambda each: each[1])[:MOST_BARS]
    tall = max(26 * len(worst), LEAST_TALL)
    with headed_figure(path, TOP + 60 + tall + 120, title, subtitle) as figure:
        names = [fit(name, 240, 7) for name, _ in worst]
        room = max((measure(name, 7) for name in names), default=0) + 16
        axes = add_axes(figure, MARGIN + room, TOP + 30, 560 - room, tall)
        axes.barh(range(len(worst)), [value for _, value in worst], color=BLUE)
        for i, (_, value) in enumerate(worst):
            axes.text(value + 1, i, f"{value:.1f}", va="center", size=7, color=GREY)
        axes.set_yticks(range(len(worst)), [plain(name) for name in names])
        axes.set(xlim=(0, 108), ylim=(-0.6, len(worst) - 0.4), xlabel=bars.label)
        axes.set_title(bars.title)
        draw_sizes(add_axes(figure, MARGIN + 690, TOP + 30, 440, LEAST_TALL), by_size)


def draw_sizes(axes: Axes, by_size: BySize) -> None:
    """Bars of each size, side by side, with their value and, below, the number of things."""
    width = 0.8 / len(by_size.series)
    for k, ((name, values), colour) in enumerate(zip(by_size.series.items(), PAIR, strict=False)):
        for i, size in enumerate(SIZES):
            value = values.get(size)
            x = i + (k - (len(by_size.series) - 1) / 2) * width
            axes.bar(x, value or 0.0, 0.94 * width, color=colour, label=name if i == 0 else None)
            if value is not None:
                axes.text(x, value + 1, f"{value:.1f}", ha="center", size=7, color=GREY)
    names = []
    for size, limits in LIMITS.items():
        count = by_size.counts.get(size, 0)
        many = counted(count, by_size.things) if count else f"no {by_size.things}"
        names.append(f"{size}, {limits}\n{many}")
    axes.set_xticks(range(len(SIZES)), names)
    axes.set(ylim=(0, 108), ylabel=by_size.label, xlim=(-0.5, len(SIZES) - 0.5))
    axes.set_title(by_size.title)
    if len(by_size.series) > 1:
        below = (0.5, -56 / axes.bbox.height)  # of the tick labels
        axes.legend(loc="upper center", bbox_to_anchor=below, ncols=len(by_size.series))


LIMITS = {"small": "< 32² px", "medium": "< 96² px", "large": "≥ 96² px"}
MOST_BARS = 40
LEAST_TALL = 240  # pixels
