"""Pictures of a classifier's scores: PNG files, 1,200 pixels wide.

Import this module late: it imports matplotlib. Each function raises UserError if its file cannot
be written.
"""

# C classes · lengths and places in pixels from the figure's top left

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
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
    Picture,
    add_axes,
    fit,
    headed_figure,
    measure,
    write,
)
from res2net.drawing.sheet import Line, Tile, draw_tiles
from res2net.errors import counted
from res2net.metrics.mistakes import f1
from res2net.tasks.pictures import (
    FEW,
    MOST_CURVES,
    PerScore,
    draw_matrix,
    draw_named_matrix,
    draw_thresholds,
)

if TYPE_CHECKING:
    from res2net.tasks.classify.scores import ClassifyScores, Mistake

# ---- confusion matrix

_CELLS = 1000  # cells per side, at most


def draw_confusion(scores: ClassifyScores, path: Path) -> None:
    """Draw the confusion matrix, each row as shares of the true class.

    With up to 20 classes each cell shows its count, with up to 50 the classes are named; above that
    the most confused pairs are listed beside the matrix.
    """
    classes = len(scores.classes)
    absent = sum(each.support == 0 for each in scores.per_class)
    subtitle = (
        f"{counted(scores.images, 'image')} of {counted(classes, 'class')}, "
        f"{scores.top1_accuracy:.1f} % of them on the diagonal"
    )
    if absent:
        subtitle += f"; grey rows: classes without images ({absent:,})"
    with headed_figure(path, 1100, "Confusion matrix", subtitle) as figure:
        if classes <= 50:
            counts = scores.confusion
            texts = [[f"{n or ''}" for n in row] for row in counts] if classes <= FEW else []
            draw_named_matrix(figure, counts, scores.classes, "images", texts)
        else:
            at = {"left": MARGIN + 70, "side": 620.0, "gamma": 0.5}
            draw_matrix(figure, _cells(scores), classes, "images", **at)
            _list_pairs(figure, scores, left=MARGIN + 70 + 620 + 155)


def _cells(scores: ClassifyScores) -> npt.NDArray[np.int64]:
    """The matrix; above ``_CELLS`` classes a cell is a block of several: a screen shows no more."""
    classes = len(scores.classes)
    cells = min(classes, _CELLS)
    rows, columns = (each * cells // classes for each in (scores.targets, scores.predicted))
    return np.bincount(rows * cells + columns, minlength=cells**2).reshape(cells, cells)


def _list_pairs(figure: Figure, scores: ClassifyScores, *, left: float) -> None:
    right = WIDTH - MARGIN
    write(figure, "Most confused", left, TOP + 10, size=9, weight="bold")
    for i, pair in enumerate(scores.confused_pairs(11)):
        y = TOP + 50 + 53 * i
        count = f"{pair.count:,} ({100 * pair.share:.0f} %)"
        room = right - left - measure(count + "  ", 7)
        write(figure, fit(pair.true, right - left, 7), left, y, size=7, color=GREEN)
        write(figure, fit(f"→ {pair.predicted}", room, 7), left, y + 22, size=7, color=RED)
        write(figure, count, right, y + 22, size=7, color=GREY, align="right")


# ---- calibration


def draw_calibration(scores: ClassifyScores, path: Path) -> None:
    """Draw the reliability diagram and the histogram of confidences."""
    subtitle = (
        f"mean confidence {100 * scores.confidence.mean():.1f} %, "
        f"accuracy {scores.top1_accuracy:.1f} %, "
        f"expected calibration error {100 * scores.calibration_error:.1f} %"
    )
    title = "Calibration: accuracy against confidence"
    with headed_figure(path, 760, title, subtitle) as figure:
        left, top, side = MARGIN + 75, TOP + 40, 470
        _draw_reliability(add_axes(figure, left, top, side, side), scores)
        _draw_counts(add_axes(figure, left + side + 105, top, side, side), scores)


def _draw_reliability(axes: Axes, scores: ClassifyScores) -> None:
    for each in scores.bins:
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


def _draw_counts(axes: Axes, scores: ClassifyScores) -> None:
    tallest = max(each.count for each in scores.bins)
    for each in scores.bins:
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
    """A legend below the axes, where it covers nothing."""
    axes.legend(handles=keys, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=len(keys))


# ---- contact sheets


def draw_precision_recall(scores: ClassifyScores, path: Path) -> bool:
    """The classes of the lowest F1, by the least confidence of a prediction; False without any."""
    curves = sorted(accepted(scores), key=lambda each: f1(each[2][-1:], each[3][-1:])[0])
    shown = curves[:MOST_CURVES]
    if shown:
        few = f"the {counted(len(shown), 'predicted class')} of lowest F1"
        subtitle = f"predictions of at least the score; {few}"
        draw_thresholds(shown, scores.classes, subtitle, path)
    return bool(shown)


def accepted(scores: ClassifyScores) -> list[PerScore]:
    """Precision and recall of each class that is predicted, for every least confidence.

    A point a prediction, from the most confident: its confidence, the share of right ones among
    those so far, and the share of the class's images that these find.
    """
    curves: list[PerScore] = []
    for k, name in enumerate(scores.classes):
        own = np.flatnonzero(scores.predicted == k)
        support = int((scores.targets == k).sum())
        if support and len(own):
            own = own[np.argsort(-scores.confidence[own], kind="stable")]
            right = np.cumsum(scores.targets[own] == k)
            precision = right / np.arange(1, len(own) + 1)
            curves.append((name, scores.confidence[own], precision, right / support))
    return curves


def draw_mistakes(
    scores: ClassifyScores,
    load_image: Callable[[int], Picture],
    path: Path,
    *,
    names: Sequence[str] | None = None,
    count: int = 24,
) -> None:
    """Draw the most confident mistakes.

    Args:
        scores: their mistakes are shown.
        load_image: returns image ``i`` of the data set as uint8 (H, W, 3), any size.
        path: the PNG to write.
        names: a file name for each of the N images, shown below its picture.
        count: largest number of images.
    """
    mistakes = scores.mistakes()
    worst = mistakes[:count]
    subtitle = (
        f"{len(worst)} of {counted(len(mistakes), 'mistake')} in "
        f"{counted(scores.images, 'image')}, most confident first:"
        "   ✓ true class   ✗ predicted class and its probability"
    )
    if not worst:
        subtitle = f"none: all {scores.images:,} images are classified correctly"
    tiles = (Tile([load_image(each.index)], [_explain(each, names)]) for each in worst)
    draw_tiles(path, "Worst mistakes", subtitle, tiles)


def _explain(mistake: Mistake, names: Sequence[str] | None) -> list[Line]:
    confidence = f"{100 * mistake.confidence:.0f} %"
    lines = [
        Line(text=f"✓ {mistake.true}", color=GREEN),
        Line(text=f"✗ {mistake.predicted}", aside=confidence, color=RED),
    ]
    if names:
        lines.append(Line(text=Path(names[mistake.index]).name, color=GREY, size=5.5))
    return lines


def draw_predictions(images: Sequence[Picture], labels: Sequence[str], path: Path) -> None:
    """Draw images with their predictions.

    Args:
        images: uint8 (H, W, 3), any size; the first 60 are drawn.
        labels: text below each image, a few lines at most. What follows a tab is set at
            the right end of its line: ``"church\\t93 %\\ngas pump\\t4 %"``.
        path: the PNG to write.
    """
    shown = min(len(images), 60)
    subtitle = f"{counted(shown, 'image')}, the first of {len(images):,}"
    if shown == len(images):
        subtitle = counted(shown, "image")
    texts = [
        [
            Line(text=text, aside=aside, color=GREY if i else INK)
            for i, (text, _, aside) in enumerate(
                line.partition("\t") for line in label.splitlines()
            )
        ]
        for label in labels[:shown]
    ]
    tiles = [Tile([image], [lines]) for image, lines in zip(images[:shown], texts, strict=True)]
    draw_tiles(path, "Predictions", subtitle, tiles)
