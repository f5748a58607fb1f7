"""Label Studio's own JSON, full (JSON) or reduced (JSON-MIN)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data.photo import EXTENSIONS
from res2net.data.scene import RLE, Scenes
from res2net.data.scenes.checks import Tally, shown
from res2net.data.scenes.lookup import ImageNames, spellings
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.shapes import (
    Drawing,
    Points,
    Shape,
    box,
    boxed,
    ellipse,
    files_of,
    load,
    numbers,
    part_of_file,
    read_drawings,
    stated_size,
    turned,
)
from res2net.errors import UserError

_KINDS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels")
_POINTS = "keypointlabels"
_LONGEST = 1 << 15  # largest side of a brush mask in pixels
_HALF = 127  # of 255: pixels with more coverage belong to the object
_DIGITS = bytes.maketrans(b"\0\1", b"01")
_DEPTH = 4  # values per brush pixel: red, green, blue and coverage
_HASH = re.compile(r"^[0-9a-f]{8}-")  # before the name of an uploaded file


def read(root: Path, options: SceneOptions) -> Scenes:
    """Read rectangles, polygons, ellipses and brushes from the first annotation of each task.

    For key-point tasks, a key-point belongs to its parent shape. Choices and other types are left
    out and counted. Images are searched for by name below the folder of the file; URLs are never
    contacted.

    Raises:
        UserError: another format, or no image exists.
    """
    tally = Tally()
    names = ImageNames(root if root.is_dir() else root.parent)
    drawings = [
        drawing
        for file in files_of("labelstudio", root, tally)
        for drawing in _drawings(file, root, names, options, tally)
    ]
    return read_drawings(root, drawings, options, tally)


def _drawings(
    file: Path, root: Path, names: ImageNames, options: SceneOptions, tally: Tally
) -> Iterator[Drawing]:
    tasks = load(file)
    tasks = tasks if isinstance(tasks, list) else [tasks]
    for number, task in enumerate(tasks):
        where = f"{file}, task {number}"
        if not isinstance(task, dict):
            raise UserError(f"{where}: not Label Studio's format")
        data = task.get("data")
        image = _image(data if isinstance(data, dict) else task, where)
        results = _results(task, image, tally)
        if results is None:
            continue
        shapes = [shape for row in results for shape in _shapes(row, where, options, tally)]
        sizes = {(row.get("original_height"), row.get("original_width")) for row in results}
        yield Drawing(
            image=_without_hash(image, names),
            file=file,
            shapes=shapes,
            size=stated_size(*sizes.pop()) if len(sizes) == 1 else None,
            part=part_of_file(file, root),
        )


def _image(data: Mapping[str, Any], where: str) -> str:
    """The URL of the image in a task's data."""
    texts = [each for key, each in data.items() if isinstance(each, str) and key == "image"]
    texts += [each for each in data.values() if isinstance(each, str)]
    for text in texts:
        last = [words[-1] for words in spellings(text)]
        if any(PurePosixPath(each).suffix.lower() in EXTENSIONS for each in last):
            return text
    raise UserError(f"{where}: its data have no image")


def _without_hash(image: str, names: ImageNames) -> str:
    """The name before the upload, if the image exists under it."""
    *_, words = spellings(image)
    plain = _HASH.sub("", words[-1])
    return plain if plain != words[-1] and not names.has(words[-1]) else image


def _results(task: Mapping[str, Any], image: str, tally: Tally) -> list[dict[str, Any]] | None:
    """The results of a task, JSON-MIN converted to the full form; None if not annotated."""
    rows = task.get("annotations", task.get("completions"))
    if isinstance(rows, list) and "data" in task:
        done = [row for row in rows if isinstance(row, dict) and not row.get("was_cancelled")]
        tally.add("tasks have more than one annotation; the first is read", image, len(done) > 1)
        if not done:
            tally.add("tasks are not annotated and are left out", image)
            return None
        results = done[0].get("result")
        found = results if isinstance(results, list) else []
        return [row for row in found if isinstance(row, dict)]
    lists = [each for each in task.values() if isinstance(each, list)]
    values = [row for each in lists for row in each if isinstance(row, dict)]
    return [{**row, "type": _type(row), "value": row} for row in values]


def _type(row: Mapping[str, Any]) -> str:
    return next((key for key in row if key.endswith("labels")), "")


def _shapes(
    row: dict[str, Any], where: str, options: SceneOptions, tally: Tally
) -> Iterator[Shape]:
    kind, value = str(row.get("type")), row.get("value")
    pose = options.marks == "keypoints"
    if kind not in (*_KINDS, *([_POINTS] if pose else [])) or not isinstance(value, dict):
        tally.add(f"results of the type {shown(kind)} are left out", where)
        return
    if row.get("image_rotation"):
        raise UserError(f"{where}: its image was rotated during annotation; save it rotated")
    labels = value.get(kind)
    if not isinstance(labels, list) or not labels:
        tally.add("shapes without a label are left out", where)
        return
    tally.add("shapes have several labels: one object for each", where, len(labels) > 1)
    height, width = numbers([row.get("original_height"), row.get("original_width")], where)
    mask = None
    if kind == "brushlabels":
        found = _brush(value, (height, width), where)
        if found is None:
            tally.add("empty brushes are left out", where)
            return
        points, mask = found
    else:
        outline = _outline(kind, value, np.array([width, height]), where)
        if outline is None:
            tally.add("polygons with fewer than three points are left out", where)
            return
        points = outline
    tally.add("rotated rectangles: boxes around them are used", where, _is_turned(kind, value))
    group = row.get("parentID" if kind == _POINTS else "id") if pose else None
    for label in labels:
        seen = 2 if kind == _POINTS else 0
        yield Shape(label=str(label), points=points, group=group, mask=mask, seen=seen)


def _brush(
    value: Mapping[str, Any], size: tuple[float, float], where: str
) -> tuple[Points, RLE] | None:
    """The box and the mask of a brush in an image of H, W; None if it is empty."""
    height, width = (int(side) if 0 < side < _LONGEST else 0 for side in size)
    row = value.get("rle")
    whole = isinstance(row, list) and all(type(each) is int and 0 <= each < 256 for each in row)
    packed = np.array(row if whole else [], np.uint8)
    covers = _unpacked(packed, height * width * _DEPTH)
    if value.get("format", "rle") != "rle" or covers is None:
        raise UserError(f"{where}: its brush is not a run-length encoding of {size}, (H, W)")
    return boxed(covers[_DEPTH - 1 :: _DEPTH].reshape(height, width) > _HALF, 0, 0)


def _unpacked(packed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8] | None:
    """Decode Label Studio's run lengths: uint8 (count,); None if they are damaged.

    A bit stream, most significant bit first: number of values (32 bits), width of values minus 1
    (5), four widths of lengths minus 1 (4 each). Then, until all values are read: 1 for a run or 0
    for single values, index of the width (2), the length minus 1, and one or length values.
    """
    bits = np.unpackbits(packed).tobytes().translate(_DIGITS).decode()
    at = 0

    def take(number: int) -> int:
        nonlocal at
        at += number
        return int(bits[at - number : at], 2)  # ValueError at the end

    values = np.zeros(count, np.uint8)
    try:
        if take(32) != count or not count:
            return None
        depth = take(5) + 1
        lengths = [take(4) + 1 for _ in range(4)]
        done = 0
        while done < count:
            run = take(1)
            length = take(lengths[take(2)]) + 1
            if run:
                values[done : done + length] = take(depth)
            else:
                values[done : done + length] = [take(depth) for _ in range(length)]
            done += length
    except (ValueError, OverflowError):
        return None
    return values if done == count and at <= len(bits) else None


def _is_turned(kind: str, value: Mapping[str, Any]) -> bool:
    return kind == _KINDS[0] and bool(value.get("rotation"))


def _outline(kind: str, value: Mapping[str, Any], size: Points, where: str) -> Points | None:
    """The outline in pixels; None for a polygon of fewer than three points.

    Label Studio has percent, and rotates rectangles about a corner.
    """
    if kind == "polygonlabels":
        rows = value.get("points")
        rows = rows if isinstance(rows, list) and all(isinstance(p, list) for p in rows) else []
        flat = numbers([number for point in rows for number in point], where)
        if len(flat) < 6 or len(flat) % 2:
            return None
        return np.array(flat).reshape(-1, 2) * size / 100
    if kind == _POINTS:
        return np.array([numbers([value.get("x"), value.get("y")], where)]) * size / 100
    sides = ("width", "height") if kind == "rectanglelabels" else ("radiusX", "radiusY")
    stated = [value.get(key) for key in ("x", "y", *sides)]
    x, y, across, down = np.array(numbers(stated, where)) * np.tile(size, 2) / 100
    (degrees,) = numbers([value.get("rotation") or 0], where)
    if kind == "ellipselabels":
        return ellipse(x, y, across, down, degrees)
    return turned(box(0, 0, across, down), degrees) + np.array([x, y])
