"""Pictures of a training run and of its evaluation: PNG files, 1,200 pixels wide.

Import this file late: it imports matplotlib. Each function raises UserError when its file cannot
be written.
"""

# C classes · lengths and places in pixels from the figure's top left

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from res2net.drawing.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MARGIN,
    ORANGE,
    RED,
    TOP,
    WIDTH,
    add_axes,
    counted,
    fit,
    headed_figure,
    measure,
    plain,
    write,
)
from res2net.tasks.classify.evaluation import Evaluation
from res2net.tasks.classify.history import History, epochs, lowest, series
from res2net.tasks.classify.sheets import draw_mistakes, draw_predictions

__all__ = ["draw_calibration", "draw_confusion", "draw_curves", "draw_mistakes", "draw_predictions"]

# ---- training curves


@dataclass(frozen=True, kw_only=True)
class _Panel:
    title: str
    series: tuple[tuple[str, str, str], ...]  # key in the history, label, colour
    percent: bool = False
    height: int = 330


_PANELS = (
    _Panel(
        title="Loss",
        series=(("train/loss", "training", BLUE), ("val/loss", "validation", ORANGE)),
    ),
    _Panel(
        title="Error",
        series=(
            ("train/top1_error", "training, top-1", BLUE),
            ("val/top1_error", "validation, top-1", ORANGE),
            ("val/top5_error", "validation, top-5", GREEN),
        ),
        percent=True,
    ),
    _Panel(title="Learning rate", series=(("lr", "", GREY),), height=180),
    _Panel(title="Seconds per epoch", series=(("seconds", "", GREY),), height=180),
)


def draw_curves(history: History, path: Path) -> None:
    """Draw loss, error, learning rate and time of each epoch.

    Args:
        history: rows with ``epoch`` and any of ``train/loss``, ``val/loss``, ``train/top1_error``,
            ``val/top1_error``, ``val/top5_error`` (percent), ``lr``, ``seconds``. A value may be
            missing or blank; rows of one epoch are merged.
        path: the PNG to write.
    """
    panels = [p for p in _PANELS if any(series(history, key) for key, _, _ in p.series)]
    ticks = epochs(history)
    width, gap = (WIDTH - 2 * MARGIN - 170) / 2, 100  # the gap holds title, tick labels, label
    subtitle = counted(len(ticks), "epoch") if panels else "no epoch recorded"
    with headed_figure(path, 1100, "Training", subtitle) as figure:
        top = TOP + 30
        for start in range(0, len(panels), 2):
            row = panels[start : start + 2]
            for column, panel in enumerate(row):
                left = MARGIN + 65 + column * (width + 95)
                axes = add_axes(figure, left, top, width, panel.height)
                margin = 0.5 if len(ticks) == 1 else 0.04 * (ticks[-1] - ticks[0])
                axes.set_xlim(ticks[0] - margin, ticks[-1] + margin)
                _draw_panel(axes, panel, history)
            top += max(panel.height for panel in row) + gap


def _draw_panel(axes: Axes, panel: _Panel, history: History) -> None:
    for key, label, color in panel.series:
        points = series(history, key)
        if not points:
            continue
        best = lowest(history, key)
        if panel.percent and best:
            label += f" (best {best[1]:.2f} %, epoch {best[0]:g})"
        marker = "o" if len(points) <= 20 else ""
        axes.plot(list(points), list(points.values()), color=color, marker=marker, label=label)
    axes.set_title(panel.title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylim(bottom=0, top=1.08 * axes.get_ylim()[1])
    if panel.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(symbol=" %"))
    if len(panel.series) > 1:
        axes.legend(loc="best")


# ---- confusion matrix


def draw_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix, each row as shares of the true class.

    Up to 20 classes each cell shows its count, up to 50 the classes are named; above that the most
    confused pairs are listed beside the matrix.
    """
    classes = len(evaluation.classes)
    absent = sum(each.support == 0 for each in evaluation.per_class)
    subtitle = (
        f"{evaluation.count:,} images of {classes:,} classes, "
        f"{evaluation.top1_accuracy:.1f} % of them on the diagonal"
    )
    if absent:
        subtitle += f"; grey rows: classes without images ({absent:,})"
    with headed_figure(path, 1100, "Confusion matrix", subtitle) as figure:
        if classes <= 50:
            _draw_named_matrix(figure, evaluation)
        else:
            _draw_matrix(figure, evaluation, left=MARGIN + 70, side=620, gamma=0.5)
            _list_pairs(figure, evaluation, left=MARGIN + 70 + 620 + 155)


def _draw_named_matrix(figure: Figure, evaluation: Evaluation) -> None:
    classes = len(evaluation.classes)
    size, rotation = (8, 45) if classes <= 25 else (6, 90)
    names = [fit(name, 280, size) for name in evaluation.classes]
    room = max(measure(name, size) for name in names)
    below = 70 + room * math.sin(math.radians(rotation))
    left = MARGIN + 50 + room
    side = min(WIDTH - left - 130, figure.bbox.height - TOP - below)
    cell = side / classes
    axes = _draw_matrix(figure, evaluation, left=left, side=side, gamma=1 if classes <= 20 else 0.5)
    axes.set_yticks(range(classes), [plain(name) for name in names], size=size)
    axes.set_xticks(range(classes), [plain(name) for name in names], size=size)
    if room > 0.95 * cell:
        axes.tick_params(axis="x", rotation=rotation)
        for label in axes.get_xticklabels():
            label.set(ha="right", va="center_baseline", rotation_mode="anchor")
    if classes <= 20:
        digits = len(str(evaluation.confusion.max()))
        for (row, column), count in np.ndenumerate(evaluation.confusion):
            if count:
                dark = count > 0.55 * evaluation.confusion[row].sum()
                axes.text(
                    column,
                    row,
                    f"{count}",
                    color="white" if dark else INK,
                    ha="center",
                    va="center",
                    size=min(8, 0.65 * cell / digits),
                )


def _draw_matrix(
    figure: Figure, evaluation: Evaluation, *, left: float, side: float, gamma: float
) -> Axes:
    """The matrix as an image; ``gamma`` below 1 brings out rare confusions."""
    support = evaluation.confusion.sum(axis=1, keepdims=True)  # (C, 1)
    shares = np.ma.masked_invalid(evaluation.confusion / np.where(support, support, np.nan))
    colors = mpl.colormaps["Blues"].with_extremes(bad="#cccccc")
    axes = add_axes(figure, left, TOP, side, side)
    image = axes.imshow(shares, cmap=colors, norm=PowerNorm(gamma, vmin=0, vmax=1))
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    bar = figure.colorbar(image, cax=add_axes(figure, left + side + 20, TOP, 18, side))
    bar.set_label("share of the true class's images")
    bar.set_ticks([0, 0.2, 0.4, 0.6, 0.8, 1] if gamma == 1 else [0, 0.01, 0.05, 0.2, 0.5, 1])
    _in_percent(bar.ax.yaxis)
    bar.outline.set_visible(False)
    return axes


def _list_pairs(figure: Figure, evaluation: Evaluation, *, left: float) -> None:
    right = WIDTH - MARGIN
    write(figure, "Most confused", left, TOP + 10, size=9, weight="bold")
    for i, pair in enumerate(evaluation.confused_pairs(11)):
        y = TOP + 50 + 53 * i
        count = f"{pair.count:,} ({100 * pair.share:.0f} %)"
        room = right - left - measure(count + "  ", 7)
        write(figure, fit(pair.true, right - left, 7), left, y, size=7, color=GREEN)
        write(figure, fit(f"→ {pair.predicted}", room, 7), left, y + 22, size=7, color=RED)
        write(figure, count, right, y + 22, size=7, color=GREY, align="right")


# ---- calibration


def draw_calibration(evaluation: Evaluation, path: Path) -> None:
    """Draw the reliability diagram and how often each confidence was given."""
    subtitle = (
        f"mean confidence {100 * evaluation.confidence.mean():.1f} %, "
        f"accuracy {evaluation.top1_accuracy:.1f} %, "
        f"expected calibration error {100 * evaluation.calibration_error:.1f} %"
    )
    title = "Calibration: is the network as often right as it is sure?"
    with headed_figure(path, 760, title, subtitle) as figure:
        left, top, side = MARGIN + 75, TOP + 40, 470
        _draw_reliability(add_axes(figure, left, top, side, side), evaluation)
        _draw_counts(add_axes(figure, left + side + 105, top, side, side), evaluation)


def _draw_reliability(axes: Axes, evaluation: Evaluation) -> None:
    for each in evaluation.bins:
        if each.confidence is not None and each.accuracy is not None:
            width = each.upper - each.lower
            axes.bar(each.lower, each.accuracy, width, align="edge", color=BLUE, edgecolor="white")
            axes.hlines(each.confidence, each.lower, each.upper, color=ORANGE, linewidth=3)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.set_title("Accuracy at each confidence")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    _in_percent(axes.xaxis)
    _in_percent(axes.yaxis)
    _legend(
        axes,
        Patch(color=BLUE, label="accuracy"),
        Line2D([], [], color=ORANGE, linewidth=3, label="mean confidence"),
        Line2D([], [], color=GREY, linewidth=1, linestyle="--", label="ideal"),
    )


def _draw_counts(axes: Axes, evaluation: Evaluation) -> None:
    tallest = max(each.count for each in evaluation.bins)
    for each in evaluation.bins:
        if each.accuracy is not None:
            width, right = each.upper - each.lower, each.count * each.accuracy
            for height, color in ((each.count, ORANGE), (right, BLUE)):  # blue covers orange
                axes.bar(each.lower, height, width, align="edge", color=color, edgecolor="white")
            x, y = each.lower + width / 2, each.count + 0.01 * tallest
            axes.text(x, y, f"{each.count}", ha="center", va="bottom", size=5, color=GREY)
    axes.set_title("Images at each confidence")
    axes.set(xlabel="confidence", ylabel="images", xlim=(0, 1), ylim=(0, 1.08 * tallest))
    _in_percent(axes.xaxis)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes, Patch(color=BLUE, label="right"), Patch(color=ORANGE, label="wrong"))


def _in_percent(axis: Axis) -> None:
    axis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))


def _legend(axes: Axes, *keys: Patch | Line2D) -> None:
    """A legend below the axes, where it hides nothing."""
    axes.legend(handles=keys, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=len(keys))
