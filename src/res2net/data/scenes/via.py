"""The VGG Image Annotator (VIA): a JSON project of VIA 2 or 3, or regions as JSON or CSV."""

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
from res2net.errors import UserError, one_line

_KEYS = ("shape_attributes", "region_attributes")  # keys of a region in JSON
_IMAGE, _CHECKBOX = 2, 2  # VIA 3's types of files and attributes
_CORNERS, _POLYGON = 8, 7  # VIA 3's shapes: a rectangle by its extreme points, a polygon
_SHAPES = {  # other shapes of VIA 3 → as in VIA 2
    1: ("point", ("cx", "cy")),
    2: ("rect", ("x", "y", "width", "height")),
    3: ("circle", ("cx", "cy", "r")),
    4: ("ellipse", ("cx", "cy", "rx", "ry")),
}
_USUAL = ("class", "label", "name", "category", "type", "object")  # usual attributes for the class


def read(root: Path, options: SceneOptions) -> Scenes:
    """Read rectangles, polygons, circles and ellipses; points and lines are left out and counted.

    The class is the only attribute of the regions, or the one with a common name.

    Raises:
        UserError: another format, no attribute for the class, or no image exists.
    """
    tally = Tally()
    files = {file: _entries(file, tally) for file in _files(root, tally)}
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


def _entries(file: Path, tally: Tally) -> list[dict[str, Any]]:
    found = _of_table(file) if is_via_table(file) else _of_project(file, tally)
    if not found or not all(isinstance(row, dict) and row.get("filename") for row in found):
        raise UserError(f"{file}: not VIA's format (filename and regions of each image)")
    return found


def _of_project(file: Path, tally: Tally) -> list[dict[str, Any]]:
    content = load(file)
    if isinstance(content, dict) and {"view", "file", "attribute", "metadata"} <= content.keys():
        try:
            found = [*_of_version_3(content, file, tally)]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file}: a damaged project of VIA 3 ({one_line(error)})") from None
        if not found:
            raise UserError(f"{file}: a project of VIA 3 without images; videos are not read")
        return found
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)
    return [*content.values()] if isinstance(content, dict) else []


def _of_version_3(content: Mapping[str, Any], file: Path, tally: Tally) -> Iterator[dict[str, Any]]:
    """The images of a project of VIA 3 with their regions, as in VIA 2."""
    regions: dict[str, list[dict[str, Any]]] = {}
    for row in content["metadata"].values():
        if row["xy"]:  # else of the whole image
            chosen = {
                content["attribute"][key]["aname"]: _chosen(content["attribute"][key], value)
                for key, value in row["av"].items()
                if key in content["attribute"]
            }
            held = dict(zip(_KEYS, (_shape_of_version_3(row["xy"]), chosen), strict=True))
            regions.setdefault(str(row["vid"]), []).append(held)
    for vid, view in content["view"].items():
        files = [content["file"][str(each)] for each in view["fid_list"]]
        if len(files) == 1 and files[0]["type"] == _IMAGE:
            yield {"filename": files[0]["fname"], "regions": regions.get(vid, [])}
        else:
            tally.add("views of videos or of several files are left out", file.name)


def _chosen(attribute: Mapping[str, Any], value: str) -> str | dict[str, bool]:
    """The text of an attribute of VIA 3; of a checkbox each chosen option."""
    options = attribute["options"]
    if attribute["type"] == _CHECKBOX:
        return {str(options[key]): True for key in value.split(",") if key}
    return str(options.get(value, value))


def _shape_of_version_3(values: list[Any]) -> dict[str, Any]:
    kind, *xy = values
    if kind == _POLYGON:
        return {"name": "polygon", "all_points_x": xy[::2], "all_points_y": xy[1::2]}
    if kind == _CORNERS:
        (left, right), (top, bottom) = ((min(each), max(each)) for each in (xy[::2], xy[1::2]))
        kind, xy = 2, [left, top, right - left, bottom - top]
    name, keys = _SHAPES.get(kind, (f"VIA 3's shape {kind}", ()))
    return {"name": name, **dict(zip(keys, xy, strict=bool(keys)))}


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
