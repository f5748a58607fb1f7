"""Convert shapes drawn in annotation tools to scenes.

Legend: n corners of a shape · H, W pixels of an image
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data.files import some
from res2net.data.foreign import check_file
from res2net.data.outlines import area, pack, to_mask
from res2net.data.scene import COCO_PERSON, RLE, Objects, Scene, Scenes, Segment, no_objects
from res2net.data.scenes.checks import (
    BOXES_ALONE,
    Corners,
    Tally,
    check_names,
    check_scale,
    parted,
    scene_of,
    shown,
)
from res2net.data.scenes.forms import files_below, form_of
from res2net.data.scenes.lookup import ImageNames, part_named, part_of
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.skeletons import make_skeleton
from res2net.errors import UserError

ROTATED = "boxes are rotated (attribute rotation); the upright boxes around them are used"
_ROUND = 48  # corners of the polygon for a circle

Points = npt.NDArray[np.float64]  # (n, 2) x, y in pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """A shape with its class: an outline, a box as an outline of four corners, or a key-point."""

    label: str
    points: Points
    group: object = None  # shapes of a class with equal group are parts of one object
    mask: RLE | None = None  # pixels of the box, if it is not an outline
    seen: int = 0  # for a key-point, named by its label: 1 hidden, 2 visible


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """An image and the shapes drawn on it."""

    image: str  # as in the file, relative to it
    file: Path
    shapes: list[Shape] = field(default_factory=list)
    size: tuple[int, int] | None = None  # H, W if stated
    part: str | None = None  # if the file states one


def files_of(form: str, root: Path, tally: Tally) -> list[Path]:
    """The JSON files of a tool, in a folder and its subfolders, or the given file itself.

    Raises:
        UserError: there is no such file.
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


def load(file: Path, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The content of a JSON file; ``hook`` is called with each object.

    Raises:
        UserError: the file cannot be read.
    """
    check_file(file)
    try:
        return json.loads(file.read_bytes(), object_hook=hook)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: cannot be read as JSON ({error})") from None


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """The corners of a box given by any two opposite corners."""
    (left, right), (top, bottom) = sorted((left, right)), sorted((top, bottom))
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def ellipse(x: float, y: float, across: float, down: float, degrees: float = 0) -> Points:
    """The outline of an ellipse with two radii, rotated clockwise about its centre."""
    turns = np.linspace(0, 2 * math.pi, _ROUND, endpoint=False)
    points = np.stack([across * np.cos(turns), down * np.sin(turns)], 1)
    return turned(points, degrees) + np.array([x, y])


def turned(points: Points, degrees: float) -> Points:
    """Points rotated clockwise about 0, 0."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return points @ np.array([[cos, sin], [-sin, cos]])


def around_turned(corners: Sequence[float], degrees: float) -> list[float]:
    """Left, top, right, bottom around a box that CVAT rotates clockwise about its centre."""
    ends = np.array(corners, np.float64).reshape(2, 2)
    with np.errstate(all="ignore"):  # of huge numbers, which a check refuses later
        points = turned(box(*(ends - ends.mean(0)).ravel()), degrees) + ends.mean(0)
    return [*points.min(0).tolist(), *points.max(0).tolist()]


def numbers(values: Sequence[object], where: str) -> list[float]:
    """Finite numbers from a foreign file.

    Raises:
        UserError: a value is not a number.
    """
    try:
        found = [float(value) for value in values]  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{where}: must be numbers: {shown(list(values))}") from None
    return found


def stated_size(height: object, width: object) -> tuple[int, int] | None:
    """H, W if a file states them as whole numbers above 0."""
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
    """The images of the drawings, found by name, with shapes as objects.

    Parts come from the files or the folders.

    Args:
        corners: detects boxes given as two corners in a format with sides.

    Raises:
        UserError: no class, or no image exists.
    """
    shapes = [shape for each in drawings for shape in each.shapes]
    names = _point_names({shape.label for shape in shapes if shape.seen})
    if options.marks not in ("boxes", "masks", *(["keypoints"] if names else [])):
        raise UserError(
            f"{root}: its shapes are boxes and outlines; this --task needs {options.marks}"
        )
    home = root if root.is_dir() else root.parent
    classes = tuple(sorted({shape.label for shape in shapes if not shape.seen}))
    check_names(root, classes)
    skeleton = None
    if options.marks == "keypoints":
        skeleton = make_skeleton(root, names, tally, given=options.partners)
    if not classes:
        tally.warn(root)  # the reason
        raise UserError(f"{root}: no shape with a class in {len(drawings)} images")
    found = ImageNames(home).find_all([_named(each, home) for each in drawings], [home], tally)
    scenes: dict[Path, Scene] = {}
    parts: dict[str | None, list[Scene]] = {}
    for each in drawings:
        image = found.get(_named(each, home))
        if image is None:
            tally.add("annotated images do not exist", each.image)
            continue
        if image in scenes:
            tally.add("images are annotated more than once; the first is kept", each.image)
            continue
        if options.marks == "masks":
            tally.add(BOXES_ALONE, each.image, sum(map(_is_box, each.shapes)))
        name = str(image.relative_to(home))
        objects = partial(_objects, each, classes, names, options, tally, corners)
        scenes[image] = scene_of(name, image, each.size, objects, tally)
        stated = each.part or part_of(each.file.relative_to(home)) or part_of(Path(name))
        parts.setdefault(stated, []).append(scenes[image])
    if not scenes:
        raise UserError(
            f"{root}: none of the {len(drawings)} annotated images exists: "
            f"{some([each.image for each in drawings])}"
        )
    rest = parts.pop(None, [])
    if rest and parts:
        tally.add("images outside the folders of parts are left out", rest[0].name, len(rest))
    named = {str(part): own for part, own in parts.items()} or {"train": rest}
    tally.warn(root)
    check_scale(root, [*scenes.values()])
    if corners is not None:
        corners.check(root, "left, top, width, height")
    return Scenes(
        name=home.resolve().name,
        classes=classes,
        skeleton=skeleton,
        **parted(root, named, options),
    )


def _is_box(shape: Shape) -> bool:
    """Whether the outline of an object is an upright box."""
    corners = box(*shape.points.min(0), *shape.points.max(0))
    whole = not shape.seen and shape.mask is None and shape.group is None
    return whole and np.array_equal(shape.points, corners)


def _point_names(names: set[str]) -> tuple[str, ...]:
    """Key-points sorted by name; those of COCO's person in COCO's order."""
    return COCO_PERSON.names if names == {*COCO_PERSON.names} else tuple(sorted(names))


def _named(drawing: Drawing, home: Path) -> str:
    """The image's name relative to ``home``, if it is beside its file."""
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


def _objects(
    drawing: Drawing,
    classes: Sequence[str],
    names: Sequence[str],
    options: SceneOptions,
    tally: Tally,
    corners: Corners | None,
    size: tuple[int, int],
) -> Objects:
    joined: dict[object, list[Shape]] = {}
    for number, shape in enumerate(each for each in drawing.shapes if not each.seen):
        key = number if shape.group is None else (shape.label, str(shape.group))
        joined.setdefault(key, []).append(shape)
    points = [shape for shape in drawing.shapes if shape.seen]
    groups = {str(row[0].group) for row in joined.values() if row[0].group is not None}
    alone = sum(str(shape.group) not in groups for shape in points)
    tally.add("key-points without an outline in their group are left out", drawing.file.name, alone)
    if not joined:
        return no_objects()
    rows = [*joined.values()]
    around = [np.concatenate([shape.points for shape in row]) for row in rows]
    boxes = np.array([[*each.min(0), *each.max(0)] for each in around])
    if corners is not None:
        corners.add(np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1), boxes, size)
    return Objects(
        boxes=boxes,
        labels=np.array([classes.index(row[0].label) for row in rows], np.int64),
        ignored=np.zeros(len(rows), bool),
        areas=np.array([sum(_area(shape) for shape in row) for row in rows]),
        segments=tuple(_outline(row, size) for row in rows) if options.marks == "masks" else None,
        keypoints=np.array([_keypoints(row[0].group, points, names, drawing) for row in rows])
        if options.marks == "keypoints"
        else None,
    )


def _keypoints(
    group: object, points: Sequence[Shape], names: Sequence[str], drawing: Drawing
) -> npt.NDArray[np.float64]:
    """The key-points (K, 3) of a group."""
    found = np.zeros((len(names), 3))
    for shape in points if group is not None else ():
        if str(shape.group) != str(group):
            continue
        k = names.index(shape.label)
        if found[k, 2]:
            raise UserError(f"{drawing.file}: group {group} has {shape.label!r} twice")
        found[k] = *shape.points[0], shape.seen
    return found


def _outline(row: Sequence[Shape], size: tuple[int, int]) -> Segment:
    """The polygons of an object, or its mask in an image of H, W."""
    polygons = [shape.points.ravel().tolist() for shape in row if shape.mask is None]
    if len(polygons) == len(row):
        return polygons
    whole = to_mask(polygons, *size).astype(bool) if polygons else np.zeros(size, bool)
    for shape in row:
        if shape.mask is not None:
            pixels = to_mask(shape.mask, *shape.mask["size"])
            left, top = np.rint(shape.points.min(0)).astype(int).tolist()
            y, x = np.nonzero(pixels)
            inside = (y + top >= 0) & (y + top < size[0]) & (x + left >= 0) & (x + left < size[1])
            whole[(y + top)[inside], (x + left)[inside]] = True
    return pack(whole)


def boxed(mask: npt.NDArray[np.bool_], left: int, top: int) -> tuple[Points, RLE] | None:
    """The box and pixels of a mask with its corner at left, top; None if it is empty."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    (up, down), (one, two) = ((each[0], each[-1] + 1) for each in (rows, columns))
    around = box(left + one, top + up, left + two, top + down)
    return around, pack(mask[up:down, one:two])


def _area(shape: Shape) -> float:
    if shape.mask is not None:
        return area(shape.mask)
    x, y = shape.points.T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)


def part_of_file(file: Path, root: Path) -> str | None:
    """The part of a multi-image file, by its name or else its folders."""
    if root.is_file():
        return None
    return part_named(file.stem) or part_of(file.relative_to(root))
