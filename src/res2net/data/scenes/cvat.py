"""CVAT's own XML ("CVAT for images"): boxes, polygons, ellipses, masks and skeletons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from res2net.data.files import PARTS
from res2net.data.foreign import read_xml
from res2net.data.scene import RLE, Scenes
from res2net.data.scenes.checks import Tally
from res2net.data.scenes.forms import files_below, is_cvat
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.shapes import (
    ROTATED,
    Drawing,
    Points,
    Shape,
    box,
    boxed,
    ellipse,
    numbers,
    part_of_file,
    read_drawings,
    stated_size,
    turned,
)
from res2net.errors import UserError

_LONGEST = 1 << 15  # largest side of a mask in pixels


def read(root: Path, options: SceneOptions) -> Scenes:
    """Read the shapes of each image; polygons and masks of a group and class are one object.

    The box of a skeleton is the one around its points; for masks, skeletons are left out. Other
    shapes and tags are left out and counted. A subset of the project is a part.

    Raises:
        UserError: another format, tracks of a video, a damaged file, or no image exists.
    """
    tally = Tally()
    files = [root] if root.is_file() else [*filter(is_cvat, files_below(root, ".xml"))]
    if not files:
        raise UserError(f"{root}: no XML file of CVAT")
    drawings = [each for file in files for each in _drawings(file, root, options, tally)]
    return read_drawings(root, drawings, options, tally)


def _drawings(file: Path, root: Path, options: SceneOptions, tally: Tally) -> Iterator[Drawing]:
    tree = read_xml(file, "annotations", "CVAT's XML")
    images = tree.findall("image")
    tracks = len(tree.findall("track"))
    if tracks and not images:
        raise UserError(
            f"{file}: CVAT for video, which names no images; export the task as CVAT for images"
        )
    tally.add("tracks of videos are left out", file.name, tracks)
    for number, image in enumerate(images):
        where = f"{file}, image {number}"
        name = image.get("name")
        if not name:
            raise UserError(f"{where}: has no name")
        yield Drawing(
            image=name,
            file=file,
            shapes=[
                shape
                for k, each in enumerate(image)
                for shape in _shapes(each, f"{where}, shape {k}", options, tally)
            ],
            size=stated_size(_whole(image.get("height")), _whole(image.get("width"))),
            part=PARTS.get(image.get("subset", "").lower()) or part_of_file(file, root),
        )


def _whole(text: str | None) -> int:
    """A whole number from 0; -1 for anything else."""
    found = re.fullmatch(r"\s*(\d{1,9})(\.0*)?\s*", text or "", re.ASCII)
    return int(found[1]) if found else -1


def _shapes(each: Element, where: str, options: SceneOptions, tally: Tally) -> Iterator[Shape]:
    label, kind = each.get("label", "").strip(), each.tag
    if kind == "tag":
        tally.add("tags of whole images are left out", where)
        return
    if kind not in ("box", "polygon", "ellipse", "mask", "skeleton"):
        tally.add(f"shapes of the kind {kind[:40]!r} are left out", where)
        return
    if not label:
        raise UserError(f"{where}: has no label")
    if kind == "skeleton":
        yield from _skeleton(each, label, where, options, tally)
        return
    points: Points
    mask: RLE | None = None
    group: object = None
    if kind == "mask":
        found = _mask(each, where)
        if found is None:
            tally.add("masks without pixels are left out", where)
            return
        points, mask = found
    elif kind == "polygon":
        points = _points(each, where)
        if len(points) < 3:
            tally.add("polygons with fewer than three points are left out", where)
            return
    else:
        (degrees,) = numbers([each.get("rotation") or 0], where)
        x, y, across, down = _centre(each, kind, where)
        if kind == "box":
            points = turned(box(-across, -down, across, down), degrees) + np.array([x, y])
            tally.add(ROTATED, where, options.marks == "boxes" and degrees % 360 > 0)
        else:
            points = ellipse(x, y, across, down, degrees)
    if kind in ("mask", "polygon") and each.get("group_id", "0") != "0":
        group = f"group {each.get('group_id')}"
    yield Shape(label=label, points=points, mask=mask, group=group)


def _centre(each: Element, kind: str, where: str) -> list[float]:
    """Centre x, y and half the sides, or the radii, in pixels."""
    if kind == "ellipse":
        return numbers([each.get(key) for key in ("cx", "cy", "rx", "ry")], where)
    left, top, right, bottom = numbers([each.get(k) for k in ("xtl", "ytl", "xbr", "ybr")], where)
    return [(left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2]


def _points(each: Element, where: str) -> Points:
    """Points x, y of ``x,y;x,y``."""
    rows = [pair.split(",") for pair in each.get("points", "").split(";") if pair.strip()]
    if any(len(row) != 2 for row in rows):
        raise UserError(f"{where}: its points are not x,y;x,y")
    return np.array([numbers(row, where) for row in rows]).reshape(-1, 2)


def _mask(each: Element, where: str) -> tuple[Points, RLE] | None:
    """The box and pixels of a mask: lengths of its runs, 0 first, row by row in its box."""
    sides = ("left", "top", "width", "height")
    left, top, width, height = (_whole(each.get(key)) for key in sides)
    runs = [_whole(text) for text in each.get("rle", "").split(",")]
    fits = 0 < width < _LONGEST and 0 < height < _LONGEST and sum(runs) == width * height
    if not fits or min(left, top, *runs) < 0:
        raise UserError(f"{where}: its mask is not a run-length encoding of its width and height")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return boxed(pixels.reshape(height, width), left, top)


def _skeleton(
    each: Element, label: str, where: str, options: SceneOptions, tally: Tally
) -> Iterator[Shape]:
    """The box around the points of a skeleton, and the points; those outside are absent."""
    if options.marks == "masks":
        tally.add("skeletons are left out: they have no outline", where)
        return
    rows = [row for row in each.findall("points") if row.get("outside", "0") != "1"]
    places = [_points(row, where) for row in rows]
    if any(len(place) != 1 for place in places) or not all(row.get("label") for row in rows):
        raise UserError(f"{where}: a point of a skeleton has a label and one place x,y")
    if not rows:
        tally.add("skeletons without points are left out", where)
        return
    all_points = np.concatenate(places)
    around = box(*all_points.min(0), *all_points.max(0))
    yield Shape(label=label, points=around, group=where)
    for row, place in zip(rows, places, strict=True) if options.marks == "keypoints" else ():
        seen = 1 if row.get("occluded") == "1" else 2
        yield Shape(label=str(row.get("label")), points=place, group=where, seen=seen)
