"""Label Studio's own JSON, whole (JSON) or short (JSON-MIN)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from res2net.data.photo import EXTENSIONS
from res2net.data.scene import Scenes
from res2net.data.scenes.checks import Tally, shown
from res2net.data.scenes.lookup import ImageNames, spellings
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
    stated_size,
    turned,
)
from res2net.errors import UserError

_KINDS = ("rectanglelabels", "polygonlabels", "ellipselabels")
_HASH = re.compile(r"^[0-9a-f]{8}-")  # before the name of an uploaded file


def read(root: Path, options: SceneOptions) -> Scenes:
    """Rectangles, polygons and ellipses of each task, of its first annotation that was not skipped.

    Brushes, key-points and choices are left out and counted. Images are looked for below the
    folder of the file by their names; no address is contacted.

    Raises:
        UserError: not Label Studio's form, or no image that is there.
    """
    tally = Tally()
    names = ImageNames(root if root.is_dir() else root.parent)
    drawings = [
        drawing
        for file in files_of("labelstudio", root, tally)
        for drawing in _drawings(file, root, names, tally)
    ]
    return read_drawings(root, drawings, options, tally)


def _drawings(file: Path, root: Path, names: ImageNames, tally: Tally) -> Iterator[Drawing]:
    tasks = load(file)
    tasks = tasks if isinstance(tasks, list) else [tasks]
    for number, task in enumerate(tasks):
        where = f"{file}, task {number}"
        if not isinstance(task, dict):
            raise UserError(f"{where}: not Label Studio's form")
        data = task.get("data")
        image = _image(data if isinstance(data, dict) else task, where)
        results = _results(task, image, tally)
        if results is None:
            continue
        shapes = [shape for row in results for shape in _shapes(row, where, tally)]
        sizes = {(row.get("original_height"), row.get("original_width")) for row in results}
        yield Drawing(
            image=_without_hash(image, names),
            file=file,
            shapes=shapes,
            size=stated_size(*sizes.pop()) if len(sizes) == 1 else None,
            part=part_of_file(file, root),
        )


def _image(data: Mapping[str, Any], where: str) -> str:
    """The address of the image among a task's data."""
    texts = [each for key, each in data.items() if isinstance(each, str) and key == "image"]
    texts += [each for each in data.values() if isinstance(each, str)]
    for text in texts:
        last = [words[-1] for words in spellings(text)]
        if any(PurePosixPath(each).suffix.lower() in EXTENSIONS for each in last):
            return text
    raise UserError(f"{where}: its data name no image")


def _without_hash(image: str, names: ImageNames) -> str:
    """The name before the upload, where the image lies there under it."""
    *_, words = spellings(image)
    plain = _HASH.sub("", words[-1])
    return plain if plain != words[-1] and not names.has(words[-1]) else image


def _results(task: Mapping[str, Any], image: str, tally: Tally) -> list[dict[str, Any]] | None:
    """The results of a task, of JSON-MIN in the form of the whole; None of one not annotated."""
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


def _shapes(row: dict[str, Any], where: str, tally: Tally) -> Iterator[Shape]:
    kind, value = str(row.get("type")), row.get("value")
    if kind not in _KINDS or not isinstance(value, dict):
        tally.add(f"results of the type {shown(kind)} are left out", where)
        return
    if row.get("image_rotation"):
        raise UserError(f"{where}: its image was turned while it was annotated; save it turned")
    labels = value.get(kind)
    if not isinstance(labels, list) or not labels:
        tally.add("shapes without a label are left out", where)
        return
    tally.add("shapes have more than one label: an object for each", where, len(labels) > 1)
    height, width = numbers([row.get("original_height"), row.get("original_width")], where)
    points = _outline(kind, value, np.array([width, height]), where)
    tally.add("rectangles are turned: boxes around them", where, _is_turned(kind, value))
    for label in labels:
        yield Shape(label=str(label), points=points)


def _is_turned(kind: str, value: Mapping[str, Any]) -> bool:
    return kind == _KINDS[0] and bool(value.get("rotation"))


def _outline(kind: str, value: Mapping[str, Any], size: Points, where: str) -> Points:
    """The outline in pixels; Label Studio has percents, and turns a rectangle about its corner."""
    if kind == "polygonlabels":
        rows = value.get("points")
        rows = rows if isinstance(rows, list) and all(isinstance(p, list) for p in rows) else []
        flat = numbers([number for point in rows for number in point], where)
        if len(flat) < 6 or len(flat) % 2:
            raise UserError(f"{where}: a polygon has fewer than three points")
        return np.array(flat).reshape(-1, 2) * size / 100
    sides = ("width", "height") if kind == "rectanglelabels" else ("radiusX", "radiusY")
    stated = [value.get(key) for key in ("x", "y", *sides)]
    x, y, across, down = np.array(numbers(stated, where)) * np.tile(size, 2) / 100
    (degrees,) = numbers([value.get("rotation") or 0], where)
    if kind == "ellipselabels":
        return ellipse(x, y, across, down, degrees)
    return turned(box(0, 0, across, down), degrees) + np.array([x, y])
