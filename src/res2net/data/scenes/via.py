"""The VGG Image Annotator (VIA): a JSON project, or regions as JSON or CSV."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from res2net.data.files import some
from res2net.data.scene import Scenes
from res2net.data.scenes.boxlists import rows
from res2net.data.scenes.checks import Tally, shown
from res2net.data.scenes.forms import VIA_COLUMNS, files_below, form_of, is_via_table
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

_KEYS = ("shape_attributes", "region_attributes")  # keys of a region in JSON
_USUAL = ("class", "label", "name", "category", "type", "object")  # usual attributes for the class


def read(root: Path, options: SceneOptions) -> Scenes:
    """Read rectangles, polygons, circles and ellipses; points and lines are left out and counted.

    The class is the only attribute of the regions, or the one with a common name.

    Raises:
        UserError: another format, no attribute for the class, or no image exists.
    """
    tally = Tally()
    files = {file: _entries(file) for file in _files(root, tally)}
    key = _class_key(root, [row for own in files.values() for row in own])
    drawings = [
        Drawing(
            image=str(row["filename"]),
            file=file,
            shapes=[each for region in _regions(row) for each in _shape(region, key, file, tally)],
            part=part_of_file(file, root),
        )
        for file, own in files.items()
        for row in own
    ]
    return read_drawings(root, drawings, options, tally)


def _files(root: Path, tally: Tally) -> list[Path]:
    """JSON files, or CSV files if there are none."""
    inside = [root] if root.is_file() else files_below(root, ".csv")
    tables = [file for file in inside if is_via_table(file)]
    projects = root.is_dir() and any(form_of(each) == "via" for each in files_below(root, ".json"))
    return tables if tables and not projects else files_of("via", root, tally)


def _of_table(file: Path) -> list[dict[str, Any]]:
    """The images of a CSV file with one region per line and JSON in its cells."""
    head, *lines = rows(file)
    names = [name.strip().lower() for name in head]
    entries: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, 2):
        held = dict(zip(names, line, strict=False))
        try:
            region = {key: json.loads(held[key] or "{}") for key in VIA_COLUMNS}
        except (KeyError, ValueError, RecursionError):
            raise UserError(f"{file}, line {number}: not a region of VIA's CSV") from None
        image = held.get("filename", "")
        entry = entries.setdefault(image, {"filename": image, "regions": []})
        if region[VIA_COLUMNS[0]]:  # else an image without regions
            entry["regions"].append(dict(zip(_KEYS, region.values(), strict=True)))
    return [*entries.values()]


def _entries(file: Path) -> list[dict[str, Any]]:
    found = _of_table(file) if is_via_table(file) else _of_project(file)
    if not found or not all(isinstance(row, dict) and row.get("filename") for row in found):
        raise UserError(f"{file}: not VIA's format (filename and regions of each image)")
    return found


def _of_project(file: Path) -> list[dict[str, Any]]:
    content = load(file)
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)
    return [*content.values()] if isinstance(content, dict) else []


def _regions(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    regions = row.get("regions") or []
    found = regions.values() if isinstance(regions, dict) else regions
    return [each for each in found if isinstance(each, dict)]


def _attributes(region: Mapping[str, Any]) -> dict[str, Any]:
    held = region.get("region_attributes")
    return held if isinstance(held, dict) else {}


def _class_key(root: Path, entries: list[dict[str, Any]]) -> str:
    regions = [region for row in entries for region in _regions(row)]
    keys = Counter(key for region in regions for key in _attributes(region))
    if len(keys) == 1:
        return next(iter(keys))
    usual = sorted((key for key in keys if key.lower() in _USUAL), key=str.lower)
    if not usual:
        held = ", ".join(map(shown, keys)) or "none"
        raise UserError(f"{root}: no attribute of its regions holds the class; they have {held}")
    if len(usual) > 1:
        text = f"{root}: classes come from the attribute {usual[0]}; not used: {some(usual[1:])}"
        warnings.warn(text, stacklevel=3)
    return usual[0]


def _shape(region: Mapping[str, Any], key: str, file: Path, tally: Tally) -> Iterator[Shape]:
    held = region.get("shape_attributes")
    shape: Mapping[str, Any] = held if isinstance(held, dict) else {}
    value = _attributes(region).get(key)
    ticked = [name for name in value if value[name]] if isinstance(value, dict) else [value]
    names = [text for each in ticked if each is not None and (text := str(each).strip())]
    tally.add("regions have several classes: one object for each", file.name, len(names) > 1)
    points = _outline(shape, str(file))
    if points is None:
        tally.add(f"regions of the kind {shown(shape.get('name'))} are left out", file.name)
    else:
        tally.add("regions without a class are left out", file.name, not names)
        yield from (Shape(label=name, points=points) for name in names)


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
