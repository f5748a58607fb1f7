"""Pictures that all dense tasks draw. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from res2net.drawing.canvas import (
    BLUE,
    GREY,
    MARGIN,
    ORANGE,
    TOP,
    WIDTH,
    Picture,
    add_axes,
    counted,
    fit,
    headed_figure,
    letterbox,
    write,
)
from res2net.tasks.dense.task import Curve

COLOURS = (BLUE, ORANGE)
GAP = 20  # pixels between pictures of a sheet


def draw_curves(
    history: Sequence[Mapping[str, float]], curves: Sequence[Curve], path: Path
) -> None:
    """What each epoch brought: one plot a curve."""
    with headed_figure(path, 560, "Training", counted(len(history), "epoch")) as figure:
        for i, (title, lines) in enumerate(curves):
            axes = add_axes(figure, MARGIN + 65 + i * 560, TOP + 40, 460, 340)
            for (key, label), colour in zip(lines, COLOURS, strict=False):
                points = [(row["epoch"], row[key]) for row in history if key in row]
                if points:
                    x, y = zip(*points, strict=True)
                    axes.plot(x, y, color=colour, label=label, marker="o" if len(x) < 21 else "")
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.set_ylim(bottom=0)
            if axes.lines:
                axes.legend()


def draw_sheet(
    rows: Sequence[tuple[Sequence[Picture], str]], title: str, subtitle: str, path: Path
) -> None:
    """Pictures side by side, a row each with its name below."""
    columns = max((len(pictures) for pictures, _ in rows), default=1)
    side = (WIDTH - 2 * MARGIN - GAP * (columns - 1)) // columns
    height = TOP + len(rows) * (side + 44) + MARGIN
    with headed_figure(path, height, title, subtitle) as figure:
        for row, (pictures, name) in enumerate(rows):
            top = TOP + row * (side + 44)
            for column, picture in enumerate(pictures):
                left = MARGIN + column * (side + GAP)
                figure.figimage(letterbox(picture, side), left, height - top - side)
            write(figure, fit(name, side, 7), MARGIN, top + side + 18, size=7, color=GREY)


def draw_bars(
    path: Path,
    title: str,
    subtitle: str,
    classes: Sequence[tuple[str, float]],
    sizes: Sequence[tuple[str, float, str]],
    labels: tuple[str, str, str],
) -> None:
    """A figure in percent for each class (the worst 40 of many), and for each size of object.

    Args:
        classes: (name, percent).
        sizes: (name, percent, remark above the bar).
        labels: below the classes; beside and above the sizes.
    """
    worst = sorted(classes, key=lambda each: each[1])[:MOST_CLASSES]
    tall = 26 * max(len(worst), 8)
    with headed_figure(path, TOP + 60 + tall + 90, title, subtitle) as figure:
        axes = add_axes(figure, MARGIN + 150, TOP + 30, 420, tall)
        axes.barh(range(len(worst)), [value for _, value in worst], color=BLUE)
        axes.set_yticks(range(len(worst)), [fit(name, 150, 7) for name, _ in worst])
        axes.set(xlim=(0, 100), xlabel=labels[0])
        axes.set_title("Classes")
        axes = add_axes(figure, MARGIN + 740, TOP + 30, 380, tall)
        axes.bar([k for k, _, _ in sizes], [value for _, value, _ in sizes], color=ORANGE)
        for i, (_, value, remark) in enumerate(sizes):
            axes.text(i, value + 1, remark, ha="center", size=7, color=GREY)
        axes.set(ylim=(0, 108), ylabel=labels[1])
        axes.set_title(labels[2])


MOST_CLASSES = 40  # bars
