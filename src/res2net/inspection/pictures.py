"""Pictures of a data set: images with their annotations, counts by class, sizes of objects.

Imports matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from res2net.data import photo
from res2net.data.files import spread
from res2net.data.labelled import LabelledImages, Split, named
from res2net.data.packed import File
from res2net.data.pictures import annotated
from res2net.data.scene import Pixels, Scene, Scenes
from res2net.data.scenes.options import Marks
from res2net.drawing.canvas import (
    BLUE,
    GREEN,
    MARGIN,
    ORANGE,
    TOP,
    add_axes,
    fit,
    headed_figure,
    plain,
)
from res2net.drawing.sheet import Line, Tile, draw_tiles
from res2net.errors import UserError, counted
from res2net.inspection.images import parts_of
from res2net.metrics.sizes import LARGE, SMALL

if TYPE_CHECKING:
    from res2net.inspection.inspect import Inspection

SHOWN = 12  # images on the sheet


def draw_sheet(
    inspection: Inspection, found: LabelledImages | Scenes, folder: Path
) -> Iterator[Path]:
    tiles: list[tuple[Pixels, tuple[str, ...]]] = []
    parts = parts_of(found)
    for k, (_, images) in enumerate(parts):
        many = SHOWN // len(parts) + (k < SHOWN % len(parts))
        for i in spread(range(len(images)), many):
            tile = _tile(images, i, found, inspection.marks)
            if tile is not None:
                tiles.append(tile)
    if not tiles:
        return
    path, count = folder / "sheet.png", sum(part.images for part in inspection.parts)
    title = f"Annotations of {inspection.name}"
    subtitle = f"{counted(len(tiles), 'image')} of {count:,}"
    captioned = [Tile([each], [[Line(text=text) for text in texts]]) for each, texts in tiles]
    draw_tiles(path, title, subtitle, captioned, columns=4)
    yield path


def _tile(
    images: Split | Sequence[Scene], i: int, found: LabelledImages | Scenes, holds: str
) -> tuple[Pixels, tuple[str, ...]] | None:
    """An annotated image and its caption; None of one that cannot be read."""
    try:
        if isinstance(images, Split):
            image = images.images[i]
            pixels = photo.read_rgb(image) if isinstance(image, File) else image
            return pixels, (named(images.labels[i], found.classes), images.names(i))
        assert isinstance(found, Scenes)
        scene = images[i]
        pixels = photo.read_rgb(scene.image) if isinstance(scene.image, Path) else scene.image
        return annotated(pixels, scene, found, cast(Marks, holds)), (scene.name,)
    except UserError:
        return None


def draw_counts(inspection: Inspection, folder: Path) -> Iterator[Path]:
    colours = (BLUE, ORANGE, GREEN)
    numbers_of = {p.name: [r.objects or r.images for r in p.classes] for p in inspection.parts}
    order = sorted(
        range(len(inspection.classes)), key=lambda k: -sum(n[k] for n in numbers_of.values())
    )[:40]
    path, tall = folder / "classes.png", max(26 * len(order), 160)
    things = "objects" if any(p.sizes for p in inspection.parts) else "images"
    title = f"Classes of {inspection.name}"
    with headed_figure(path, TOP + tall + 120, title, f"{things} of each class") as figure:
        axes = add_axes(figure, MARGIN + 180, TOP + 20, 900, tall)
        start = np.zeros(len(order))
        for (name, numbers), colour in zip(numbers_of.items(), colours, strict=False):
            values = np.array([numbers[k] for k in order])
            axes.barh(range(len(order)), values, left=start, color=colour, label=name)
            start += values
        names = [plain(fit(inspection.classes[k], 164, 7)) for k in order]
        axes.set_yticks(range(len(order)), names)
        axes.invert_yaxis()
        axes.set_xlabel(things)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)  # above: it covers no bar
    yield path
    lengths = np.concatenate([np.zeros(0), *(part.lengths for part in inspection.parts)])
    if not lengths.size:
        return
    path = folder / "sizes.png"
    edges = np.geomspace(max(lengths.min(), 0.5), max(lengths.max(), 1) * 1.01, 31)
    title = f"Sizes of the objects in {inspection.name}"
    subtitle = f"square root of the area in pixels; median {np.median(lengths):.0f}"
    with headed_figure(path, TOP + 400, title, subtitle) as figure:
        axes = add_axes(figure, MARGIN + 60, TOP + 20, 1040, 260)
        named = [part for part in inspection.parts if part.lengths.size]
        axes.hist(
            [part.lengths for part in named],
            bins=edges.tolist(),
            stacked=True,
            color=colours[: len(named)],
            label=[part.name for part in named],
        )
        for limit in (SMALL, LARGE):
            axes.axvline(limit**0.5, color="black", linestyle=":", linewidth=1)
        axes.set(xscale="log", xlabel="pixels", ylabel="objects")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend()
    yield path
