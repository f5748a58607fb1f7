"""Shapes that people drew on images, as annotation tools list them, become annotated scenes.

Legend: n corners of a shape · H, W pixels of an image
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data import photo
from res2net.data.files import some
from res2net.data.foreign import check_file
from res2net.data.scene import Objects, Scene, Scenes, no_objects
from res2net.data.scenes.checks import (
    Corners,
    Tally,
    check_names,
    check_scale,
    parted,
    shown,
    sound,
)
from res2net.data.scenes.forms import files_below, form_of
from res2net.data.scenes.lookup import ImageNames, part_named, part_of
from res2net.data.scenes.options import SceneOptions
from res2net.errors import UserError

_ROUND = 48  # corners of a circle's outline

Points = npt.NDArray[np.float64]  # (n, 2) x, y in pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """A shape with its class: an outline, or a box as the outline of four corners."""

    label: str
    points: Points
    group: object = None  # shapes of a class with the same one are parts of one object


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """An image and what is drawn on it."""

    image: str  # as the file has it, beside the file
    file: Path
    shapes: list[Shape] = field(default_factory=list)
    size: tuple[int, int] | None = None  # H, W where it is stated
    part: str | None = None  # where the file states one


def files_of(form: str, root: Path, tally: Tally) -> list[Path]:
    """The JSON files of a tool, of a folder and those below it; one file is itself.

    Raises:
        UserError: there is none.
    """
    if root.is_file():
        return [root]
    files = files_below(root, ".json")
    own = [file for file in files if form_of(file) == form]
    if not own:
        raise UserError(f"{root}: no JSON file of {form}")
    rest = sorted(set(files) - set(own))
    if rest:
        tally.add(f"JSON files are not of {form} and are left out", str(rest[0]), len(rest))
    return own


def load(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: it cannot be read.
    """
    check_file(file)
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: cannot be read as JSON ({error})") from None


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """The corners of a box, in any order of its sides."""
    (left, right), (top, bottom) = sorted((left, right)), sorted((top, bottom))
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def ellipse(x: float, y: float, across: float, down: float, degrees: float = 0) -> Points:
    """The outline of an ellipse with two radii, turned clockwise about its centre."""
    turns = np.linspace(0, 2 * math.pi, _ROUND, endpoint=False)
    points = np.stack([across * np.cos(turns), down * np.sin(turns)], 1)
    return turned(points, degrees) + np.array([x, y])


def turned(points: Points, degrees: float) -> Points:
    """Points turned clockwise about 0, 0."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return points @ np.array([[cos, sin], [-sin, cos]])


def numbers(values: Sequence[object], where: str) -> list[float]:
    """Numbers of a foreign file.

    Raises:
        UserError: one is none.
    """
    try:
        found = [float(value) for value in values]  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{where}: must be numbers: {shown(list(values))}") from None
    return found


def stated_size(height: object, width: object) -> tuple[int, int] | None:
    """H, W where a file states them as whole numbers above 0."""
    if type(height) is int and type(width) is int and height > 0 and width > 0:
        return height, width
    return None


def read_drawings(
    root: Path,
    drawings: Sequence[Drawing],
    options: SceneOptions,
    tally: Tally,
    *,
    corners: Corners | None = None,
) -> Scenes:
    """The images of some drawings, found by name, with their shapes as objects.

    Parts are those that the files or the folders state.

    Args:
        corners: boxes that may state two corners, of a format with sides.

    Raises:
        UserError: no class, or no image that is there.
    """
    if options.marks not in ("boxes", "masks"):
        raise UserError(f"{root}: shapes are read as boxes or outlines, not {options.marks}")
    home = root if root.is_dir() else root.parent
    classes = tuple(sorted({shape.label for each in drawings for shape in each.shapes}))
    check_names(root, classes)
    if not classes:
        raise UserError(f"{root}: no shape with a class in {len(drawings)} images")
    found = ImageNames(home).find_all([_named(each, home) for each in drawings], [home], tally)
    scenes: dict[Path, Scene] = {}
    parts: dict[str | None, list[Scene]] = {}
    for each in drawings:
        image = found.get(_named(each, home))
        if image is None:
            tally.add("images of the annotations are not there", each.image)
            continue
        if image in scenes:
            tally.add("images are annotated more than once; the first is kept", each.image)
            continue
        size = each.size or photo.image_size(image)
        objects = _objects(each, classes, options)
        if corners is not None:
            sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
            corners.add(np.concatenate([objects.boxes[:, :2], sides], 1), objects.boxes, size)
        objects = sound(objects, size, each.image, tally)
        name = str(image.relative_to(home))
        scenes[image] = Scene(name=name, image=image, objects=objects, size=size)
        stated = each.part or part_of(each.file.relative_to(home)) or part_of(Path(name))
        parts.setdefault(stated, []).append(scenes[image])
    if not scenes:
        raise UserError(
            f"{root}: none of the {len(drawings)} annotated images is there: "
            f"{some([each.image for each in drawings])}"
        )
    rest = parts.pop(None, [])
    if rest and parts:
        tally.add("images in no folder of a part are left out", rest[0].name, len(rest))
    named = {str(part): own for part, own in parts.items()} or {"train": rest}
    tally.warn(root)
    check_scale(root, [*scenes.values()])
    if corners is not None:
        corners.check(root, "left, top, width, height")
    return Scenes(name=home.resolve().name, classes=classes, **parted(root, named, options))


def _named(drawing: Drawing, home: Path) -> str:
    """The image's name below ``home``, where it is beside its file."""
    plain = drawing.image.replace("\\", "/")
    if plain.startswith("/") or ":" in plain or "?" in plain:
        return drawing.image
    words: list[str] = list(drawing.file.parent.relative_to(home).parts)
    for word in plain.split("/"):
        if word == "..":
            words = words[:-1]
        elif word != ".":
            words.append(word)
    return "/".join(words)


def _objects(drawing: Drawing, classes: Sequence[str], options: SceneOptions) -> Objects:
    joined: dict[object, list[Shape]] = {}
    for number, shape in enumerate(drawing.shapes):
        key = number if shape.group is None else (shape.label, str(shape.group))
        joined.setdefault(key, []).append(shape)
    if not joined:
        return no_objects()
    rows = [*joined.values()]
    corners = [np.concatenate([shape.points for shape in row]) for row in rows]
    outlines = tuple([shape.points.ravel().tolist() for shape in row] for row in rows)
    return Objects(
        boxes=np.array([[*points.min(0), *points.max(0)] for points in corners]),
        labels=np.array([classes.index(row[0].label) for row in rows], np.int64),
        ignored=np.zeros(len(rows), bool),
        areas=np.array([sum(_area(shape.points) for shape in row) for row in rows]),
        segments=outlines if options.marks == "masks" else None,
    )


def _area(points: Points) -> float:
    x, y = points.T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)


def part_of_file(file: Path, root: Path) -> str | None:
    """The part that a file of many images states by its name, else by its folders."""
    if root.is_file():
        return None
    return part_named(file.stem) or part_of(file.relative_to(root))
