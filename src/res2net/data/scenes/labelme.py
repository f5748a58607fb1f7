"""labelme's JSON, one file per image; X-AnyLabeling writes the same."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data import photo
from res2net.data.files import some
from res2net.data.photo import EXTENSIONS
from res2net.data.scene import Scenes
from res2net.data.scenes.checks import Tally, shown
from res2net.data.scenes.lookup import images_below
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
    read_drawings,
    stated_size,
)
from res2net.errors import UserError

_LEAST = {  # minimum points per kind
    "polygon": 3,
    "rotation": 3,
    "rectangle": 2,
    "mask": 2,
    "circle": 2,
    "point": 1,
}


def read(root: Path, options: SceneOptions) -> Scenes:
    """Read polygons, rectangles, circles and masks; shapes of a group are one object.

    Points are key-points of the object in their group (``group_id``). Lines are left out and
    counted, as are images without a file, and points for tasks on boxes or outlines. Parts are
    the folders train, val and test; without them a part is held out.

    Raises:
        UserError: a file in another format, or no image exists.
    """
    tally = Tally()
    drawings = [_drawing(file, options, tally) for file in files_of("labelme", root, tally)]
    if root.is_dir():
        named = {Path(each.image.replace("\\", "/")).stem for each in drawings}
        rest = [path.name for path in images_below(root) if path.stem not in named]
        tally.add("images have no JSON file and are left out", some(rest[:1]), len(rest))
    return read_drawings(root, drawings, options, tally)


def _drawing(file: Path, options: SceneOptions, tally: Tally) -> Drawing:
    content = load(file)
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(each, dict) for each in shapes):
        raise UserError(f"{file}: not labelme's format: its shapes are not a list of objects")
    stated = content.get("imagePath")
    image = stated if isinstance(stated, str) and stated else f"{file.stem}.jpg"
    if Path(image).suffix.lower() not in EXTENSIONS:
        image = file.stem  # any suffix
    found = (_shape(each, f"{file}, shape {k}", options, tally) for k, each in enumerate(shapes))
    return Drawing(
        image=image,
        file=file,
        size=stated_size(content.get("imageHeight"), content.get("imageWidth")),
        shapes=[shape for shape in found if shape is not None],
    )


def _shape(row: dict[str, Any], where: str, options: SceneOptions, tally: Tally) -> Shape | None:
    kind = row.get("shape_type") or "polygon"
    if kind not in _LEAST or (kind == "point" and options.marks != "keypoints"):
        tally.add(f"shapes of the kind {shown(kind)} are left out", where)
        return None
    rows = row.get("points")
    if not isinstance(rows, list) or not all(isinstance(p, list) and len(p) == 2 for p in rows):
        raise UserError(f"{where}: its points are not a list of x, y")
    if len(rows) < _LEAST[kind]:
        tally.add(f"shapes of the kind {kind} with fewer than {_LEAST[kind]} points", where)
        return None
    label = row.get("label")
    if not isinstance(label, str | int):
        raise UserError(f"{where}: its label is not a name: {shown(label)}")
    points = np.array(numbers([number for point in rows for number in point], where)).reshape(-1, 2)
    label, group = str(label).strip(), row.get("group_id")
    if kind == "point":  # "difficult" of X-AnyLabeling: hidden
        return Shape(
            label=label, points=points, group=group, seen=2 - (row.get("difficult") is True)
        )
    if kind == "mask" and options.marks == "masks":
        found = boxed(_pixels(row.get("mask"), where), *points.min(0).astype(int).tolist())
        if found is None:
            tally.add("empty masks are left out", where)
            return None
        return Shape(label=label, points=found[0], group=group, mask=found[1])
    return Shape(label=label, points=_outline(kind, points), group=group)


def _pixels(text: object, where: str) -> npt.NDArray[np.bool_]:
    """A mask stored as base64-encoded PNG: bool (h, w)."""
    try:
        data = base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except ValueError:
        raise UserError(f"{where}: its mask is not base64") from None
    with photo.faults_named(Path(f"{where}, its mask")):
        values = np.asarray(photo.open_image(np.frombuffer(data, np.uint8)))
        return np.asarray(values.reshape(*values.shape[:2], -1).any(axis=2))


def _outline(kind: str, points: Points) -> Points:
    if kind in ("rectangle", "mask"):
        return box(*points.min(0), *points.max(0))
    if kind == "circle":  # its centre and a point on it
        (x, y), radius = points[0].tolist(), float(np.linalg.norm(points[1] - points[0]))
        return ellipse(x, y, radius, radius)
    return points
