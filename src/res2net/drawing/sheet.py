"""Sheets: images in rows that fill the width, their proportions kept, lines of text below each.

Import this file late: it imports matplotlib.
"""

# Lengths and places are in pixels from the figure's top left.

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from res2net.drawing.canvas import (
    GREY,
    INK,
    MARGIN,
    RED,
    TOP,
    WIDTH,
    Picture,
    fit,
    headed_figure,
    measure,
    write,
)
from res2net.drawing.marks import Colour

GAP, APART = 12, 20  # between the pictures of a tile, between tiles
LINE, BELOW = 22, 30  # of text, below a picture
LEGEND = 30  # a line of it
TALL, TALLEST = 520, 900  # a row of few images; where the title is wider than they
NARROWEST, WIDEST = 0.45, 4.0  # proportions of a picture's place


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of text below a picture."""

    text: str
    aside: str = ""  # at the right end of the line
    color: str = INK
    size: float = 7  # points


@dataclass(frozen=True, eq=False)
class Tile:
    """Pictures of one size side by side, and the lines below each; one list is for all of them."""

    pictures: Sequence[Picture]
    lines: Sequence[Sequence[Line]]

    @property
    def aspect(self) -> float:
        """Width by height of the place of a picture."""
        height, width = self.pictures[0].shape[:2]
        return min(max(width / height, NARROWEST), WIDEST)

    def height(self, place: float) -> float:
        """Of its pictures in a place of this height."""
        height, width = self.pictures[0].shape[:2]
        return min(place, place * self.aspect * height / width)


def draw_tiles(
    path: Path,
    title: str,
    subtitle: str,
    tiles: Iterable[Tile],
    *,
    columns: int = 6,
    legend: Sequence[tuple[str, Colour]] = (),
    note: str = "",
) -> None:
    """Tiles in rows of equal height that fill the width; few of them make a narrower figure.

    Args:
        columns: pictures in a row, where they are square and many.
        legend: names and their colours, above.
        note: in red below the subtitle.

    Raises:
        UserError: ``path`` cannot be written.
    """
    placed = [Tile([_shrunk(p) for p in tile.pictures], tile.lines) for tile in tiles]
    full = WIDTH - 2 * MARGIN
    title, subtitle, note = fit(title, 0.85 * full, 12), fit(subtitle, full, 8), fit(note, full, 8)
    text = max(1.15 * measure(title, 12), measure(subtitle, 8), measure(note, 8))
    rows = justified(
        [(len(tile.pictures) * tile.aspect, GAP * (len(tile.pictures) - 1)) for tile in placed],
        full,
        (full - APART * (columns - 1)) / columns,
        text,
    )
    wide = max((row.width for row in rows), default=0)
    names = _flowed([name for name, _ in legend])
    width = WIDTH if names else math.ceil(min(max(wide, text, 300), full)) + 2 * MARGIN
    deep = [max((len(x) for i in row.tiles for x in placed[i].lines), default=0) for row in rows]
    talls = [max(placed[i].height(row.height) for i in row.tiles) for row in rows]
    pitches = [tall + BELOW + LINE * lines for tall, lines in zip(talls, deep, strict=True)]
    top: float = TOP + LEGEND * len(names) + (LINE if note else 0)
    height = round(top + sum(pitches)) + MARGIN
    with headed_figure(path, height, title, subtitle, width=width) as figure:
        write(figure, note, MARGIN, 76 + LINE, color=RED)
        _draw_legend(figure, names, dict(legend), TOP + (LINE if note else 0))
        for row, tall, pitch in zip(rows, talls, pitches, strict=True):
            left = float(MARGIN)
            for i in row.tiles:
                side = row.height * placed[i].aspect  # width of a picture's place
                _draw_tile(figure, placed[i], left, top, side, tall)
                left += len(placed[i].pictures) * (side + GAP) - GAP + APART
            top += pitch


def _draw_tile(
    figure: Figure, tile: Tile, left: float, top: float, width: float, height: float
) -> None:
    count = len(tile.pictures)
    for j, picture in enumerate(tile.pictures):
        x = left + j * (width + GAP)
        shown = resized(picture, width, height)
        low = figure.bbox.height - top - height  # all stand on the line of the text
        figure.figimage(shown, round(x), round(low))
    for j, lines in enumerate(tile.lines):
        x = left + j * (width + GAP)
        room = width if len(tile.lines) > 1 else count * (width + GAP) - GAP
        for k, line in enumerate(lines):
            y = top + height + 18 + LINE * k
            text = fit(line.text, room - measure(line.aside + " ", line.size), line.size)
            write(figure, text, x, y, size=line.size, color=line.color)
            write(figure, line.aside, x + room, y, size=line.size, color=line.color, align="right")


@dataclass(frozen=True)
class Row:
    """Tiles that stand side by side."""

    tiles: range
    height: float  # of their pictures
    width: float


def justified(
    sizes: Sequence[tuple[float, float]], width: float, target: float, least: float = 0
) -> list[Row]:
    """Rows that fill a width, their heights as near to a target as can be.

    Args:
        sizes: of each tile: width at a height of 1, and what is added at any height.
        target: height that rows should have; half of it is as bad as four times.
        least: width that may be filled where there are too few tiles for the whole.
    """
    wide = [0.0, *accumulate(ratio for ratio, _ in sizes)]
    fixed = [0.0, *accumulate(added + APART for _, added in sizes)]

    def height(start: int, end: int, of: float = width) -> float:
        return (of + APART - fixed[end] + fixed[start]) / (wide[end] - wide[start])

    def cost(start: int, end: int) -> float:
        tall = height(start, end)
        if tall < 1:
            return math.inf if end - start > 1 else 1e9
        return float(math.log2(tall / target) ** 2 * (4 if tall < target else 1))

    best = [(0.0, 0)]  # cost of the first tiles, where their last row starts
    for end in range(1, len(sizes) + 1):
        best.append(min((best[i][0] + cost(i, end), i) for i in range(end)))
    rows: list[Row] = []
    end = len(sizes)
    while end:
        start = best[end][1]
        few = min(max(TALL, 1.2 * target, height(start, end, least)), TALLEST)
        tall = max(min(height(start, end), few), 1.0)
        used = tall * (wide[end] - wide[start]) + fixed[end] - fixed[start] - APART
        rows.insert(0, Row(range(start, end), tall, used))
        end = start
    return rows


def resized(image: Picture, width: float, height: float) -> Picture:
    """(H, W, 3), as large as fits, its proportions kept."""
    picture = Image.fromarray(image)
    scale = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # the pixels of tiny images (digits, CIFAR) stay visible as squares
    method = Image.Resampling.NEAREST if scale >= 4 else Image.Resampling.LANCZOS
    return np.asarray(picture.resize(size, method))


def _shrunk(image: Picture) -> Picture:
    """The same, or as large as a sheet can use: many photos of a camera are held at once."""
    most = WIDTH - 2 * MARGIN
    return resized(image, most, most) if max(image.shape[:2]) > most else image


def _draw_legend(
    figure: Figure, lines: Sequence[Sequence[tuple[int, str]]], colours: dict[str, Colour], top: int
) -> None:
    width, height = figure.bbox.width, figure.bbox.height
    for row, line in enumerate(lines):
        for left, name in line:
            y = top + LEGEND * row
            colour = tuple(value / 255 for value in colours[name])
            place, size = (left / width, 1 - (y + 20) / height), (18 / width, 18 / height)
            figure.add_artist(Rectangle(place, *size, facecolor=colour, edgecolor=GREY))
            write(figure, name, left + 26, y + 11, size=7)


def _flowed(names: Sequence[str]) -> list[list[tuple[int, str]]]:
    """Names one after the other, with their left edge, in as many lines as they need."""
    lines: list[list[tuple[int, str]]] = []
    left = WIDTH
    for name in names:
        wide = round(measure(name, 7)) + 26
        if left + wide > WIDTH - MARGIN:
            lines.append([])
            left = MARGIN
        lines[-1].append((left, name))
        left += wide + 24
    return lines
