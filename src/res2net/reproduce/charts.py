"""Charts of an item: a dot a network, or lines over the size. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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

LINE, NAME = 34, 380  # pixels: a row, the room for its name
_COLOURS = {"scale": BLUE, "cardinality": ORANGE, "depth": GREEN}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dots:
    """One figure for each row, where it is known."""

    label: str
    values: tuple[float | None, ...]
    colour: str
    hollow: bool = False


def draw_dots(
    path: Path, title: str, subtitle: str, names: Sequence[str], dots: Sequence[Dots], axis: str
) -> None:
    """Rows of dots; hollow ones are what the paper prints.

    Raises:
        UserError: ``path`` cannot be written.
    """
    tall = LINE * len(names)
    with headed_figure(path, TOP + tall + 130, title, subtitle) as figure:
        axes = add_axes(figure, MARGIN + NAME, TOP + 30, WIDTH - 2 * MARGIN - NAME - 60, tall)
        for each in dots:
            known = [(v, i) for i, v in enumerate(each.values) if v is not None]
            if not known:
                continue
            x, y = zip(*known, strict=True)
            fill = "white" if each.hollow else each.colour
            axes.scatter(
                x, y, s=42, label=each.label, edgecolors=each.colour, facecolors=fill, zorder=3
            )
            for value, row in known:
                axes.annotate(
                    f"{value:.4g}",
                    (value, row),
                    (6, 5 if each.hollow else -9),
                    textcoords="offset points",
                    size=6,
                    color=GREY,
                )
        axes.set_yticks(range(len(names)), [fit(name, NAME - 20, 7) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.margins(x=0.12)
        axes.set_xlabel(axis)
        if len(dots) > 1:
            figure.legend(loc="upper right", ncols=len(dots))


def draw_growth(path: Path, title: str, subtitle: str, rows: Sequence[Mapping[str, str]]) -> None:
    """Accuracy against parameters as one dimension grows at a time, from one base (Fig. 5).

    Args:
        rows: of results, with ``group``, ``params``, ``top1_accuracy``; the base's group is "base".

    Raises:
        UserError: ``path`` cannot be written.
    """

    def point(row: Mapping[str, str]) -> tuple[float, float]:
        return int(row["params"]) / 1e6, float(row["top1_accuracy"])

    base = [point(row) for row in rows if row["group"] == "base"]
    with headed_figure(path, 760, title, subtitle) as figure:
        axes = add_axes(figure, MARGIN + 80, TOP + 20, WIDTH - 2 * MARGIN - 120, 500)
        for group, colour in _COLOURS.items():
            grown = sorted(point(row) for row in rows if row["group"] == group)
            if grown:
                x, y = zip(*base, *grown, strict=True)
                axes.plot(x, y, marker="o", color=colour, label=group)
        for params, accuracy in base:
            axes.scatter([params], [accuracy], color=RED, zorder=4, label="base")
        axes.set(xlabel="parameters, M", ylabel="top-1 accuracy, %")
        if axes.has_data():
            axes.legend(loc="lower right")
