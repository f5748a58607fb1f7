"""Figs. 2 and 3: diagram of a network's block. Imports matplotlib."""

# Positions are in units of a split's column, from the lower left; text is in points.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from res2net.drawing.canvas import GREY, INK, MARGIN, TOP, WIDTH, add_axes, headed_figure, plain
from res2net.errors import UserError
from res2net.paper.networks import find_variant
from res2net.paper.variant import ResNetVariant, split_channels

COLUMN, STEP = 2.2, 1.0  # from a split to the next: across, down
BLUES = ("#eff6fc", "#deebf7", "#cfe1f2", "#b9d6ea", "#9ecae1", "#82badb", "#6baed6")
PALE_BOX, SE_BOX = "#e4e7eb", "#fdd0a2"
SIDE = 1.5  # left of a panel, for the shortcut
MOST = 8  # splits that fit


def draw_blocks(networks: Sequence[str], path: Path, *, title: str) -> None:
    """Draw the blocks of networks side by side, with widths of their first stage, as PNG.

    Raises:
        UserError: a network without bottlenecks, too many splits, or a file that cannot be written.
    """
    rows = {name: _bottleneck_row(name) for name in networks}
    widths = {name: SIDE + 0.8 + max(1, row.scale) * COLUMN for name, row in rows.items()}
    scale = (WIDTH - 2 * MARGIN) / sum(widths.values())  # pixels a unit
    splits = max(row.scale for row in rows.values())
    inner = 3.0 + STEP * max(0, splits - 2)  # units between the two 1×1
    tall = inner + 5.6 + any(row.se for row in rows.values())
    subtitle = "channels of the first stage; field: receptive field within the block's 3×3 layers"
    with headed_figure(path, round(TOP + tall * scale) + MARGIN, title, subtitle) as figure:
        axes = add_axes(figure, MARGIN, TOP, WIDTH - 2 * MARGIN, tall * scale)
        axes.set_xlim(0, sum(widths.values()))
        axes.set_ylim(0, tall)
        axes.axis("off")
        left = 0.0
        for name, row in rows.items():
            _block(axes, name, row, left + SIDE, tall, inner, size=min(9.0, 0.135 * scale))
            left += widths[name]


def _bottleneck_row(name: str) -> ResNetVariant:
    row = find_variant(name)
    if not isinstance(row, ResNetVariant) or row.basic:
        raise UserError(f"--networks {name}: has no bottleneck to draw; choose a ResNet-like model")
    if row.scale > MOST:
        raise UserError(f"--networks {name}: {row.scale} splits do not fit; at most {MOST}")
    return row


def _block(
    axes: Axes,
    name: str,
    row: ResNetVariant,
    left: float,
    tall: float,
    inner: float,
    *,
    size: float,
) -> None:
    """One block: title, convolutions, shortcut."""
    columns = [left + (i + 0.5) * COLUMN for i in range(row.scale)]
    middle, wide = sum(columns) / row.scale, row.scale * COLUMN - 0.3
    channels = split_channels(row.planes, row.width, row.cardinality)
    top, mid = tall - 2.0, tall - 2.0 - inner  # centres of the first and the last 1×1
    what = "Bottleneck" if row.scale == 1 else f"Res2Net module, scale {row.scale}"
    axes.text(middle, tall - 0.25, what, ha="center", size=size * 1.25, weight="bold")
    axes.text(middle, tall - 0.68, plain(name), ha="center", size=size, color=GREY)
    _arrow(axes, (middle, tall - 0.9), (middle, top + 0.35))
    split = f", then {row.scale} splits of {channels}" if row.scale > 1 else f" to {channels}"
    _box(axes, middle, top, wide, f"1×1{split} channels" if row.scale > 1 else f"1×1{split}", size)
    _splits(axes, row, columns, top, mid, size)
    _box(axes, middle, mid, wide, "concatenate, 1×1" if row.scale > 1 else "1×1", size)
    end = mid - 0.35
    if row.se:
        _arrow(axes, (middle, end), (middle, end - 0.3))
        _box(axes, middle, end - 0.65, 1.4, "SE", size, SE_BOX)
        end -= 1.0
    _arrow(axes, (middle, end), (middle, end - 0.4))
    _plus(axes, middle, end - 0.65, size)
    _arrow(axes, (middle, end - 0.9), (middle, end - 1.45))
    side = left - 0.75
    axes.plot([middle, side, side], [top + 0.8, top + 0.8, end - 0.65], color=GREY, linewidth=1.2)
    _arrow(axes, (side, end - 0.65), (middle - 0.25, end - 0.65), colour=GREY)


def _splits(
    axes: Axes, row: ResNetVariant, columns: list[float], top: float, mid: float, size: float
) -> None:
    """The 3×3 convolutions between the two 1×1, each with the previous output added."""
    groups = f"\n{row.cardinality} groups" if row.cardinality > 1 else ""
    tall = 0.8 if groups else 0.6
    for i, x in enumerate(columns):
        if row.scale > 1 and i == row.scale - 1:
            _arrow(axes, (x, top - 0.35), (x, mid + 0.35), colour=GREY)
            _label(axes, x, mid + 0.85, "passes", size)
            continue
        y = top - 1.2 - STEP * i if row.scale > 1 else (top + mid) / 2
        _arrow(axes, (x, top - 0.35), (x, y + tall / 2 + (0.52 if i else 0.05)))
        if i:
            _plus(axes, x, y + tall / 2 + 0.3, size * 0.9)
            start = (columns[i - 1] + 0.72, y + STEP)
            _arrow(axes, start, (x - 0.24, y + tall / 2 + 0.3), bend=-0.15)
        _box(axes, x, y, 1.4, f"3×3{groups}", size, BLUES[i], tall)
        _arrow(axes, (x, y - tall / 2), (x, mid + 0.35))
        field = 3 + 2 * i
        _label(axes, x, mid + 0.85, f"field {field}×{field}", size)


def _label(axes: Axes, x: float, y: float, text: str, size: float) -> None:
    back = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
    axes.text(x, y, text, size=size * 0.9, color=GREY, ha="center", va="center", bbox=back)


def _box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    text: str,
    size: float,
    colour: str = PALE_BOX,
    height: float = 0.62,
) -> None:
    corner = (x - width / 2, y - height / 2)
    style = "round,pad=0.03,rounding_size=0.09"
    axes.add_patch(
        FancyBboxPatch(
            corner, width, height, boxstyle=style, facecolor=colour, edgecolor=INK, linewidth=0.9
        )
    )
    axes.text(x, y, text, ha="center", va="center", size=size, linespacing=1.0)


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    bend: float = 0.0,
    colour: str = INK,
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=9,
            color=colour,
            linewidth=1.2,
            connectionstyle=f"arc3,rad={bend}",
            shrinkA=0,
            shrinkB=0,
        )
    )


def _plus(axes: Axes, x: float, y: float, size: float) -> None:
    circle = {"boxstyle": "circle,pad=0.12", "facecolor": "white", "edgecolor": INK}
    axes.text(x, y, "+", ha="center", va="center", size=size, bbox=circle)
