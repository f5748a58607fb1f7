"""Draw receptive fields: paths of a block, paths of the network, energy over the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle

from res2net.drawing.canvas import (
    GREY,
    MARGIN,
    PAIR,
    TOP,
    WIDTH,
    add_axes,
    fit,
    headed_figure,
    write,
)
from res2net.explain.effective import EffectiveField
from res2net.paper.paths import Paths

PLOT, GAP, SQUARE = 300, 100, 400  # pixels: height of a plot, between plots, side of an image
FAINTEST = 1e-4  # smallest drawn energy relative to the maximum
PANEL = 540  # pixels for a name
SHARES = ((0.5, "#00E5FF"), (0.95, "#FFFFFF"))  # squares around the centre


@dataclass(frozen=True, kw_only=True, eq=False)
class Fields:
    """The receptive fields of one network at one level."""

    network: str
    level: str
    block: str  # block whose paths are shown
    block_paths: Paths
    paths: Paths
    effective: EffectiveField | None = None


def scientific(number: int) -> str:
    """Format a whole number: ``123``, large ones as ``4.3e13``."""
    if number < 10**6:
        return f"{number:,}"
    return f"{Decimal(number):.1e}".replace("e+", "e")


def draw_fields(shown: Sequence[Fields], path: Path) -> None:
    """Draw one network, or two side by side, as PNG.

    Raises:
        UserError: ``path`` cannot be written.
    """
    effective = [each for each in shown if each.effective is not None]
    height = TOP + 40 + PLOT + GAP + (SQUARE + 100 if effective else 0) + MARGIN
    subtitle = "; ".join(
        f"{each.network}: {scientific(each.paths.total)} paths to {each.level}, the widest covers "
        f"{each.paths.largest} pixels"
        for each in shown
    )
    title = "Receptive fields: " + " and ".join(each.network for each in shown)
    with headed_figure(path, height, title, fit(subtitle, WIDTH - 2 * MARGIN, 8)) as figure:
        width = (WIDTH - 2 * MARGIN - 60 - GAP) / 2
        _draw_block(add_axes(figure, MARGIN + 60, TOP + 40, width, PLOT), shown)
        _draw_network(add_axes(figure, MARGIN + 60 + width + GAP, TOP + 40, width, PLOT), shown)
        for i, each in enumerate(effective):
            left = MARGIN + 60 + i * (width + GAP)
            _draw_energy(figure, each, left, TOP + 40 + PLOT + GAP + 50)


def _draw_block(axes: Any, shown: Sequence[Fields]) -> None:
    bar = 1.6 / len(shown)
    for i, (each, colour) in enumerate(zip(shown, PAIR, strict=False)):
        counts = each.block_paths.counts
        places = [side + (i - (len(shown) - 1) / 2) * bar for side in counts]
        label = f"{each.network}, {each.block}: {each.block_paths.total} paths"
        bars = axes.bar(places, list(counts.values()), 0.9 * bar, color=colour, label=label)
        axes.bar_label(bars, fontsize=6, color=GREY)
    sides = sorted({side for each in shown for side in each.block_paths.counts})
    axes.set_xticks(sides)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_title("Paths of one block")
    axes.set_xlabel("side of the field, pixels of the block's input")
    axes.set_ylabel("paths")
    axes.margins(y=0.4)
    axes.grid(False, axis="x")
    axes.legend(loc="upper right", fontsize=6.5)


def _draw_network(axes: Any, shown: Sequence[Fields]) -> None:
    for each, colour in zip(shown, PAIR, strict=False):
        shares = each.paths.shares()
        sides = np.array(list(shares))
        cumulative = np.cumsum(list(shares.values()))
        axes.step(sides, 100 * cumulative, where="post", color=colour, label=each.network)
        axes.plot([sides[-1]], [100], "o", color=colour)
    axes.set_title(f"Paths of the whole network to {shown[0].level}")
    axes.set_xlabel("side of the field, pixels of the image")
    axes.set_ylabel("cumulative share of paths, %")
    axes.set_ylim(0, 104)
    axes.set_xlim(left=0)
    axes.legend(loc="lower right", fontsize=6.5)


def _draw_energy(figure: Any, each: Fields, left: float, top: float) -> None:
    field = each.effective
    assert field is not None
    S = len(field.energy)
    axes = add_axes(figure, left, top, SQUARE, SQUARE)
    strongest = field.energy.max()
    axes.imshow(
        np.maximum(field.energy, FAINTEST * strongest),
        cmap="magma",
        norm=LogNorm(FAINTEST * strongest, strongest),
        extent=(-0.5, S - 0.5, S - 0.5, -0.5),
    )
    axes.set_xlim(-0.5, S - 0.5)
    axes.set_ylim(S - 0.5, -0.5)
    axes.grid(False)
    row, column = field.centre
    sides = {share: field.side(share) for share, _ in SHARES}
    for share, colour in SHARES:
        side = sides[share]
        corner = (column - side / 2, row - side / 2)
        axes.add_patch(Rectangle(corner, side, side, fill=False, color=colour, linewidth=1.5))
    parts = ", ".join(f"{100 * share:.0f} % in {side}×{side}" for share, side in sides.items())
    name = f"Effective field of {each.network}, {each.level}"
    write(figure, fit(name, PANEL, 9), left, top - 44, size=9, weight="bold")
    write(figure, f"energy: {parts} pixels (squares)", left, top - 20, size=7, color=GREY)
