"""Speeds as a chart: one panel an engine and precision, one bar a network and maker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.patches import Patch

from res2net.bench.deploy import Speed
from res2net.bench.engines import MAKERS
from res2net.drawing.canvas import (
    BLUE,
    GREEN,
    MARGIN,
    ORANGE,
    TOP,
    WIDTH,
    add_axes,
    counted,
    headed_figure,
)

BAR, GAP, NAME = 20, 90, 190  # pixels: a bar, between panels, a network's name
COLOURS = dict(zip(MAKERS, (BLUE, ORANGE, GREEN), strict=True))


def draw_speeds(speeds: Sequence[Speed], path: Path) -> None:
    """Draw the median time of every case, in milliseconds, and write a PNG.

    Raises:
        UserError: ``path`` cannot be written.
    """
    kinds = list(dict.fromkeys((s.case.engine, s.case.precision) for s in speeds))
    networks = list(dict.fromkeys(s.case.network for s in speeds))
    makers = [maker for maker in MAKERS if any(s.case.maker == maker for s in speeds)]
    panel = len(networks) * (len(makers) + 1) * BAR
    rows = -(-len(kinds) // 2)
    one = speeds[0]
    subtitle = (
        f"milliseconds for {counted(one.case.batch, 'image')} of {one.size}x{one.size} pixels, "
        f"median of {len(one.timing.seconds)} rounds; shorter is faster"
    )
    height = TOP + rows * (panel + GAP) + MARGIN
    width = (WIDTH - 2 * MARGIN) / 2 - NAME - 30
    with headed_figure(path, height, "Networks in engines", subtitle) as figure:
        keys = [Patch(color=COLOURS[maker], label=maker) for maker in makers]
        figure.legend(handles=keys, loc="upper right", ncols=len(keys))
        for i, kind in enumerate(kinds):
            left = MARGIN + NAME + (i % 2) * (WIDTH - 2 * MARGIN) / 2
            axes = add_axes(figure, left, TOP + 20 + (i // 2) * (panel + GAP), width, panel)
            for m, maker in enumerate(makers):
                shown = [
                    s
                    for s in speeds
                    if (s.case.engine, s.case.precision) == kind and s.case.maker == maker
                ]
                places = [networks.index(s.case.network) * (len(makers) + 1) + m for s in shown]
                times = [1000 * s.timing.median for s in shown]
                bars = axes.barh(places, times, 0.9, color=COLOURS[maker], label=maker)
                axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=6)
            axes.set_yticks(
                [n * (len(makers) + 1) + (len(makers) - 1) / 2 for n in range(len(networks))],
                networks,
            )
            axes.invert_yaxis()
            axes.set_title(" ".join(kind))
            axes.margins(x=0.15)
            axes.grid(axis="y", visible=False)
