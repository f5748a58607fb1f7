"""Speeds as a chart: a panel for each engine and precision, a bar for each network and maker.

And rooflines: a panel for each precision, a bar for each network and part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.patches import Patch

from res2net.bench.deploy import Speed
from res2net.bench.engines import MAKERS, Case
from res2net.bench.roofline import Roofline
from res2net.drawing.canvas import (
    BLUE,
    GREEN,
    INK,
    MARGIN,
    ORANGE,
    RED,
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


def draw_rooflines(found: Mapping[Case, Roofline], size: int, path: Path) -> None:
    """Draw what each part reaches beside the measured peak, in GFLOP/s, and write a PNG.

    Raises:
        UserError: ``path`` cannot be written.
    """
    precisions = list(dict.fromkeys(case.precision for case in found))
    networks = list(dict.fromkeys(case.network for case in found))
    parts = list(dict.fromkeys(p.name for each in found.values() for p in each.parts if p.macs))
    colours = dict(zip(networks, cycle((BLUE, ORANGE, GREEN, RED))))
    step = len(networks) + 1
    panel = len(parts) * step * BAR * 2 // 3
    height = TOP + 20 + len(precisions) * (panel + GAP) + MARGIN
    subtitle = (
        f"GFLOP/s of one image of {size}x{size} pixels; dashed: the processor's measured peak"
    )
    with headed_figure(path, height, "What each stage reaches", subtitle) as figure:
        keys = [Patch(color=colours[network], label=network) for network in networks]
        figure.legend(handles=keys, loc="upper right", ncols=len(keys))
        for i, precision in enumerate(precisions):
            top = TOP + 20 + i * (panel + GAP)
            axes = add_axes(figure, MARGIN + NAME, top, WIDTH - 2 * MARGIN - NAME - 30, panel)
            of_network = {c.network: r for c, r in found.items() if c.precision == precision}
            for n, network in enumerate(networks):
                each = of_network[network]
                shown = [part for part in each.parts if part.macs]
                places = [parts.index(part.name) * step + n for part in shown]
                bars = axes.barh(places, [p.gflops for p in shown], 0.9, color=colours[network])
                axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=6)
            peak = max(each.peak for each in of_network.values())
            axes.axvline(peak, color=INK, linestyle="--", linewidth=0.8, zorder=0)
            axes.set_yticks([k * step + (step - 2) / 2 for k in range(len(parts))], parts)
            axes.invert_yaxis()
            axes.set_title(precision)
            axes.grid(axis="y", visible=False)
