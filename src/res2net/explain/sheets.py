"""Figures of explanations: a contact sheet like Fig. 4, and concentration by size."""

# lengths and positions in pixels from the figure's top left

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from res2net.drawing.canvas import (
    GREY,
    INK,
    MARGIN,
    PAIR,
    PALE,
    RED,
    TOP,
    WIDTH,
    Picture,
    add_axes,
    headed_figure,
)
from res2net.drawing.marks import LIGHT, draw_boxes
from res2net.drawing.sheet import Line, Tile, draw_tiles
from res2net.errors import counted
from res2net.explain.concentration import concentration
from res2net.explain.overlay import heat_overlay, outlined
from res2net.explain.study import Summary
from res2net.explain.subject import Explained
from res2net.metrics.sizes import SIZES

ON_A_SHEET = 24  # images


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """An image with the maps of one or two networks."""

    name: str
    image: Picture
    maps: Sequence[Explained]
    inside: npt.NDArray[np.bool_] | None = None  # (H, W), outlined


def draw_sheet(
    sheets: Sequence[Sheet], networks: Sequence[str], path: Path, *, images: int, note: str
) -> None:
    """Draw each image with its maps, annotations outlined, and the share of the map inside.

    Args:
        sheets: the first ``ON_A_SHEET`` are drawn.
        networks: names, in the order of the maps.
        images: total number of images.
        note: a remark on the networks; may be empty.

    Raises:
        UserError: ``path`` cannot be written.
    """
    shown = sheets[:ON_A_SHEET]
    level = shown[0].maps[0].level
    part = "" if len(shown) == images else f", the first of {images:,}"
    subtitle = (
        f"{counted(len(shown), 'image')}{part}, level {level}: bright is evidence for the class; "
        f"% is the {shown[0].maps[0].meaning}"
    )
    if any(each.inside is not None for each in shown):
        subtitle += "; outlined: annotations; uniform: share for a uniform map"
    title = "Class activation maps: " + " and ".join(networks)
    tiles = [_tile(each, networks) for each in shown]
    draw_tiles(path, title, subtitle, tiles, note=note)


def _tile(sheet: Sheet, networks: Sequence[str]) -> Tile:
    """The image and its maps, with their lines."""
    first = sheet.image if sheet.inside is None else outlined(sheet.image, sheet.inside)
    pictures, lines = [first], [[Line(text=sheet.name, color=GREY, size=6)]]
    for found, network in zip(sheet.maps, networks, strict=True):
        pictures.append(draw_map(sheet.image, found, sheet.inside))
        words = [
            Line(text=network, color=GREY, size=6),
            Line(text=found.label, aside=f"{100 * found.score:.0f} %"),
        ]
        if found.predicted not in (None, found.label):
            words.append(Line(text=f"predicted: {found.predicted}", color=RED, size=6))
        if sheet.inside is not None:
            words.append(Line(text=_inside(found, sheet.inside), color=GREY, size=6))
        lines.append(words)
    return Tile(pictures, lines)


def draw_map(
    image: Picture, found: Explained, inside: npt.NDArray[np.bool_] | None = None
) -> Picture:
    """The image (H, W, 3) under a map, with the explained box; what is annotated is outlined."""
    picture = heat_overlay(image, found.heat)
    if found.box is not None:
        picture = draw_boxes(picture, np.array([found.box], np.float64), [""], [LIGHT])
    return picture if inside is None else outlined(picture, inside)


def _inside(found: Explained, inside: npt.NDArray[np.bool_]) -> str:
    measured = concentration(found.heat, inside, found.seen)
    if measured is None:
        return "nothing to measure"
    return f"{100 * measured.energy:.0f} % inside, uniform {100 * measured.area:.0f} %"


def draw_concentration(summaries: Sequence[Summary], path: Path, *, subtitle: str) -> None:
    """Draw energy on the objects and the pointing game by size, compared with a uniform map.

    Raises:
        UserError: ``path`` cannot be written.
    """
    networks = list(dict.fromkeys(each.network for each in summaries))
    sizes = [size for size in ("all", *SIZES) if any(each.size == size for each in summaries)]
    height = TOP + 40 + 320 + 100
    width = (WIDTH - 2 * MARGIN - 60 - 100) / 2
    with headed_figure(path, height, "Class activation maps and objects", subtitle) as figure:
        left = add_axes(figure, MARGIN + 60, TOP + 40, width, 320)
        right = add_axes(figure, MARGIN + 60 + width + 100, TOP + 40, width, 320)
        bar = 0.8 / len(networks)
        for n, network in enumerate(networks):
            here = {each.size: each for each in summaries if each.network == network}
            places = [i + (n - (len(networks) - 1) / 2) * bar for i in range(len(sizes))]
            energy = [100 * here[size].energy for size in sizes]
            error = [100 * here[size].energy_error for size in sizes]
            points = [100 * here[size].pointing for size in sizes]
            style = {"width": 0.9 * bar, "color": PAIR[n % 2], "label": network}
            left.bar(places, energy, yerr=error, ecolor=INK, capsize=3, **style)  # type: ignore[arg-type]
            right.bar(places, points, **style)  # type: ignore[arg-type]
        first = {each.size: each for each in summaries if each.network == networks[0]}
        even = [100 * first[size].area for size in sizes]
        for axes in (left, right):
            spread = [(i - 0.42, i + 0.42) for i in range(len(sizes))]
            for k, ((start, end), value) in enumerate(zip(spread, even, strict=True)):
                label = "uniform map" if k == 0 else None
                axes.plot([start, end], [value, value], color=INK, ls="--", lw=1.2, label=label)
            labels = [f"{s}\n{counted(first[s].count, 'map')}" for s in sizes]
            axes.set_xticks(range(len(sizes)), labels)
            axes.grid(False, axis="x")
            axes.tick_params(axis="x", length=0)
            axes.set_facecolor("white")
            axes.spines["bottom"].set_color(PALE)
        left.set_title("Share of the map on objects, %")
        right.set_title("Maximum on an object, % of maps")
        left.margins(y=0.3)
        left.legend(loc="upper left", fontsize=6.5)
