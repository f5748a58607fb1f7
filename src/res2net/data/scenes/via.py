"""The JSON of the VGG Image Annotator (VIA), a project or an export of its regions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from res2net.data.scene import Scenes
from res2net.data.scenes.checks import Tally, shown
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.shapes import (
    Drawing,
    Points,
    Shape,
    box,
    ellipse,
    files_of,
    load,
    numbers,
    part_of_file,
    read_drawings,
)
from res2net.errors import UserError

_USUAL = ("class", "label", "name", "category", "type", "object")  # attributes with the class


def read(root: Path, options: SceneOptions) -> Scenes:
    """Rectangles, polygons, circles and ellipses; points and lines are left out and counted.

    The class is the only attribute of the regions, or the one with a usual name.

    Raises:
        UserError: not VIA's form, no attribute with the class, or no image that is there.
    """
    tally = Tally()
    files = {file: _entries(file) for file in files_of("via", root, tally)}
    key = _class_key(root, [row for rows in files.values() for row in rows])
    drawings = [
        Drawing(
            image=str(row["filename"]),
            file=file,
            shapes=[each for region in _regions(row) for each in _shape(region, key, file, tally)],
            part=part_of_file(file, root),
        )
        for file, rows in files.items()
        for row in rows
    ]
    return read_drawings(root, drawings, options, tally)


def _entries(file: Path) -> list[dict[str, Any]]:
    content = load(file)
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)
    rows = [*content.values()] if isinstance(content, dict) else []
    if not rows or not all(isinstance(row, dict) and row.get("filename") for row in rows):
        raise UserError(f"{file}: not VIA's form (filename and regions of each image)")
    return rows


def _regions(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    regions = row.get("regions") or []
    found = regions.values() if isinstance(regions, dict) else regions
    return [each for each in found if isinstance(each, dict)]


def _attributes(region: Mapping[str, Any]) -> dict[str, Any]:
    held = region.get("region_attributes")
    return held if isinstance(held, dict) else {}


def _class_key(root: Path, rows: list[dict[str, Any]]) -> str:
    regions = [region for row in rows for region in _regions(row)]
    keys = Counter(key for region in regions for key in _attributes(region))
    if len(keys) == 1:
        return next(iter(keys))
    usual = sorted((key for key in keys if key.lower() in _USUAL), key=str.lower)
    if not usual:
        held = ", ".join(map(shown, keys)) or "none"
        raise UserError(f"{root}: no attribute of its regions is the class; they have {held}")
    return usual[0]


def _shape(region: Mapping[str, Any], key: str, file: Path, tally: Tally) -> Iterator[Shape]:
    held = region.get("shape_attributes")
    shape: Mapping[str, Any] = held if isinstance(held, dict) else {}
    value = _attributes(region).get(key)
    if isinstance(value, dict):  # of a check box: those that are ticked
        value = next((name for name, ticked in value.items() if ticked), None)
    points = _outline(shape, str(file))
    if points is None:
        tally.add(f"regions of the kind {shown(shape.get('name'))} are left out", file.name)
    elif value is None or not str(value).strip():
        tally.add("regions without a class are left out", file.name)
    else:
        yield Shape(label=str(value).strip(), points=points)


def _outline(shape: Mapping[str, Any], where: str) -> Points | None:
    kind = shape.get("name")
    if kind == "rect":
        x, y, w, h = numbers([shape.get(key) for key in ("x", "y", "width", "height")], where)
        return box(x, y, x + w, y + h)
    if kind == "circle":
        x, y, radius = numbers([shape.get(key) for key in ("cx", "cy", "r")], where)
        return ellipse(x, y, radius, radius)
    if kind == "ellipse":
        x, y, across, down = numbers([shape.get(key) for key in ("cx", "cy", "rx", "ry")], where)
        return ellipse(x, y, across, down, np.degrees(float(shape.get("theta") or 0)))
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if kind != "polygon" or not isinstance(xs, list) or not isinstance(ys, list):
        return None
    if len(xs) != len(ys) or len(xs) < 3:
        return None
    return np.array([numbers(xs, where), numbers(ys, where)]).T
