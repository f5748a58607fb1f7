"""Pictures of a detector's mistakes: precision and recall by score, confusions, kinds of errors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from res2net.drawing.canvas import (
    BLUE,
    GREY,
    INK,
    MARGIN,
    TOP,
    add_axes,
    fit,
    headed_figure,
    measure,
    plain,
    write,
)
from res2net.drawing.marks import colour_of
from res2net.errors import counted
from res2net.metrics.mistakes import KINDS, Mistakes, f1

MOST_CURVES = 8  # classes with a colour and a name, those with most objects
MOST_CELLS = 20  # classes whose cells show their numbers


def draw_thresholds(found: Mistakes, path: Path) -> None:
    """Precision over recall, and F1 by score, of each class; the rest of many is grey."""
    score, best = found.threshold
    subtitle = f"at an IoU of 0.5; mean F1 is highest, {best:.3f}, from a score of {score:.3f} on"
    with headed_figure(path, 820, "Precision, recall and F1", subtitle) as figure:
        side = 470
        left = add_axes(figure, MARGIN + 70, TOP + 40, side, side)
        right = add_axes(figure, MARGIN + 70 + side + 110, TOP + 40, side, side)
        known = [k for k in np.argsort(-found.objects, kind="stable") if found.objects[k]]
        for place, label in reversed(list(enumerate(known))):
            scores, precision, recall = found.curve(int(label))
            shown = place < MOST_CURVES
            red, green, blue = colour_of(place)
            look: dict[str, Any] = {
                "color": (red / 255, green / 255, blue / 255) if shown else "#cccccc",
                "label": plain(fit(found.classes[label], 200, 7)) if shown else None,
                "zorder": 2 if shown else 1,
            }
            left.plot([0, *recall], [1, *precision], **look)
            each = f1(precision, recall)
            each = np.append(each, each[-1] if len(each) else 0.0)
            right.step([*scores, 0], each, where="post", **look)
        right.axvline(score, color=GREY, linestyle="--", linewidth=1)
        left.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
        right.set(xlabel="score threshold", ylabel="F1", xlim=(0, 1.01), ylim=(0, 1.02))
        left.set_title("Precision by recall")
        right.set_title("F1 by score")
        if known:
            handles, names = right.get_legend_handles_labels()
            right.legend(
                *(handles[::-1], names[::-1]),
                loc="upper center", bbox_to_anchor=(-0.12, -0.14), ncols=4,
            )  # fmt: skip
        if len(known) > MOST_CURVES:
            rest = counted(len(known) - MOST_CURVES, "further class")
            write(figure, f"{rest} in grey", MARGIN, TOP + side + 175, size=7, color=GREY)


def draw_errors(found: Mistakes, path: Path) -> None:
    """The confusion matrix with the background, and how often each kind of error is made."""
    score, _ = found.threshold
    names = (*found.classes, "background")
    subtitle = (
        f"{counted(len(found.truth), 'object')}, detections of a score of {score:.3f} or more, "
        "matched at an IoU of 0.5"
    )
    room = max(measure(fit(name, 140, 7), 7) for name in names)
    side = 560 - room
    with headed_figure(path, round(TOP + side + room + 110), "Errors", subtitle) as figure:
        matrix = add_axes(figure, MARGIN + 45 + room, TOP + 40, side, side)
        _draw_matrix(matrix, found.confusion(score), [plain(fit(name, 140, 7)) for name in names])
        bars = add_axes(figure, MARGIN + 820, TOP + 40, 300, 260)
        counts, gains = found.counts(score), found.gains()
        bars.barh(range(len(KINDS)), list(counts.values()), color=BLUE)
        most = max(*counts.values(), 1)
        for i, name in enumerate(KINDS):
            text = f"{counts[name]:,} (AP50 {gains[name]:+.1f})"
            bars.text(0.02 * most + counts[name], i, text, va="center", size=7, color=INK)
        bars.set_yticks(range(len(KINDS)), list(KINDS))
        bars.set(
            xlim=(0, 1.75 * most),
            ylim=(len(KINDS) - 0.5, -0.5),
            xlabel="how often (AP50 gained without them)",
        )
        bars.set_title("Kinds of errors")
        for i, (name, what) in enumerate(KINDS.items()):
            y = TOP + 390 + 24 * i
            write(figure, f"{name}: {what}", MARGIN + 700, y, size=7, color=GREY)


def _draw_matrix(axes: Axes, cells: npt.NDArray[np.int64], names: list[str]) -> None:
    rows = cells.sum(axis=1, keepdims=True)
    shares = cells / np.maximum(rows, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title("Confusions, coloured by share of the row")
    if len(names) > 2 * MOST_CELLS:
        return
    axes.set_yticks(range(len(names)), names, size=7)
    axes.set_xticks(range(len(names)), names, size=7, rotation=90)
    size = min(8.0, 300 / len(names) / max(1, math.ceil(math.log10(cells.max() + 1))))
    for (row, column), count in np.ndenumerate(cells) if len(names) <= MOST_CELLS + 1 else ():
        if count:
            colour = "white" if shares[row, column] > 0.55 else INK
            axes.text(column, row, f"{count}", ha="center", va="center", size=size, color=colour)
