"""Lists of boxes: CSV of Roboflow, Kaggle and others, Hugging Face's metadata, CreateML's JSON."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from res2net.data.files import PARTS
from res2net.data.scene import Scenes
from res2net.data.scenes.checks import Corners, Tally, shown
from res2net.data.scenes.forms import files_below, lists_objects
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.shapes import (
    Drawing,
    Shape,
    box,
    files_of,
    load,
    numbers,
    part_of_file,
    read_drawings,
    stated_size,
)
from res2net.data.table import SPLITS, json_rows
from res2net.errors import UserError

_COLUMNS = {  # content of a column → its usual names
    "image": (
        *("filename", "file_name", "image_id", "image", "image_name", "imageid", "image_path"),
        "fname",
    ),
    "class": ("class_name", "label_name", "labelname", "class", "label", "category"),
    "left": ("xmin", "x_min", "x1", "bbox_x1", "left"),
    "top": ("ymin", "y_min", "y1", "bbox_y1", "top"),
    "right": ("xmax", "x_max", "x2", "bbox_x2", "right"),
    "bottom": ("ymax", "y_max", "y2", "bbox_y2", "bottom"),
    "x": ("x", "bbox_x"),
    "y": ("y", "bbox_y"),
    "width": ("w", "bbox_width", "width"),
    "height": ("h", "bbox_height", "height"),
    "bbox": ("bbox", "box", "bounding_box"),
    "part": tuple(sorted(SPLITS)),
    "image height": ("height", "image_height", "img_height"),
    "image width": ("width", "image_width", "img_width"),
}
_FORMS = (("left", "top", "right", "bottom"), ("x", "y", "width", "height"), ("bbox",))
# formats without a header: RetinaNet's and makesense.ai's
_UNNAMED = (
    ("image", "left", "top", "right", "bottom", "class"),
    ("class", "x", "y", "width", "height", "image", "image width", "image height"),
)
_SIZE = ("image height", "image width")
_BLANK = {"", "nan", "null", "none"}  # values of an image without objects
_ONE = "object"  # the class of boxes without one


def read_csv(root: Path, options: SceneOptions) -> Scenes:
    """One box per line: image name, class, and xmin, ymin, xmax, ymax (or x, y, width, height).

    A ``bbox`` of four numbers is x, y, width, height. The name of the file or of its folder gives
    the part. A line without numbers is an image without objects. Also Hugging Face's
    ``metadata.jsonl``: an image per line, with ``objects`` of boxes x, y, width, height.

    Raises:
        UserError: missing columns or numbers, or no image exists.
    """
    tally, corners = Tally(), Corners()
    files = [root] if root.is_file() else files_below(root, ".csv")
    columns = {file: found for file in files if (found := box_columns(file))}
    lines = [root] if root.is_file() else files_below(root, ".jsonl")
    listed = [file for file in lines if lists_objects(file)]
    if not columns and not listed:
        raise UserError(
            f"{root}: no CSV file with a column of images (filename, image_id) and boxes "
            "(xmin, ymin, xmax, ymax, or x, y, width, height, or bbox)"
        )
    sided = bool(listed) or any("left" not in names for names in columns.values())
    drawings = [
        drawing for file in columns for drawing in _of_csv(file, columns[file], root, tally)
    ]
    drawings += [drawing for file in listed for drawing in _of_lines(file, root, tally)]
    return read_drawings(root, drawings, options, tally, corners=corners if sided else None)


def box_columns(file: Path) -> dict[str, int]:
    """Content → index of its column; empty if a CSV file does not list boxes."""
    try:
        first = rows(file, 1, errors="replace")  # so that the reader tells the encoding
    except UserError:
        return {}
    row = [value.strip().lower() for value in first[0]] if first else []
    for names in _UNNAMED:
        if len(row) == len(names) and all(map(_is_number, _coordinates(row, names))):
            return {name: number for number, name in enumerate(names)}
    found = {
        what: next(row.index(name) for name in names if name in row)
        for what, names in _COLUMNS.items()
        if set(names) & set(row)
    }
    form = next((form for form in _FORMS if found.keys() >= set(form)), None)
    if form is None or "image" not in found:
        return {}
    taken = {found[what] for what in form}
    sizes = [what for what in _SIZE if found.get(what, -1) not in taken | {-1}]
    kinds = ("image", "class", "part", *form, *(sizes if len(sizes) == 2 else ()))
    return {what: found[what] for what in kinds if what in found}


def _coordinates(row: Sequence[str], names: Sequence[str]) -> list[str]:
    return [value for value, name in zip(row, names, strict=True) if name not in ("image", "class")]


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"-?\d+(\.\d*)?", text))


def rows(file: Path, most: int | None = None, *, errors: str = "strict") -> list[list[str]]:
    """The first ``most`` lines of a CSV file; ``errors`` as of ``open``.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with file.open("rb") as opened:
            marked = opened.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        encoding = "utf-16" if marked else "utf-8-sig"
        with file.open(encoding=encoding, errors=errors, newline="") as opened:
            separator = max(",;\t|", key=opened.readline().count)
            opened.seek(0)
            found = (row for row in csv.reader(opened, delimiter=separator) if row)
            return [*islice(found, most)]
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as CSV in UTF-8 ({error})") from None


def _of_csv(file: Path, columns: Mapping[str, int], root: Path, tally: Tally) -> list[Drawing]:
    drawings: dict[str, Drawing] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    lines = rows(file)
    named = not _is_number(lines[0][columns.get("left", columns.get("x", 0))].strip())
    for line, row in enumerate(lines[named:], 1 + named):
        where = f"{file}, line {line}"
        if len(row) <= max(columns.values()):
            raise UserError(f"{where}: has {len(row)} values, fewer than the columns")
        held = {what: row[number].strip() for what, number in columns.items()}
        image, label = held.pop("image"), held.pop("class", _ONE)
        stated = [held.pop(what, "") for what in _SIZE]
        part = PARTS.get(held.pop("part", "").lower()) or part_of_file(file, root)
        new = Drawing(image=image, file=file, part=part)
        drawing = drawings.setdefault(image, new)
        if drawing.part != part:
            raise UserError(f"{where}: {image} is in two parts, {drawing.part} and {part}")
        texts = re.findall(r"[^\s,\[\]()]+", held["bbox"]) if "bbox" in held else [*held.values()]
        if {text.lower() for text in texts} <= _BLANK:
            continue
        if len(texts) != 4:
            raise UserError(f"{where}: a bbox is four numbers, not {shown(held['bbox'])}")
        one, two, three, four = numbers(texts, where)
        if "left" not in held:
            three, four = one + three, two + four
        if all(map(_is_number, stated)):
            height, width = (int(float(each)) for each in stated)
            if abs(height - (four - two)) > 1 or abs(width - (three - one)) > 1:  # else the box's
                sizes[image] = stated_size(height, width)
        if one >= three or two >= four:
            tally.add("boxes left out that have no area", where)
            continue
        if not label:
            raise UserError(f"{where}: has a box, but no class")
        drawing.shapes.append(Shape(label=label, points=box(one, two, three, four)))
    if "class" not in columns:
        tally.add(f"files have no class column: all boxes get the class {_ONE!r}", file.name)
    return [replace(each, size=sizes.get(image)) for image, each in drawings.items()]


_BOXES = ("bbox", "bboxes", "box", "boxes")
_NAMES = ("category", "categories", "label", "labels", "class", "classes", "name", "names")


def _of_lines(file: Path, root: Path, tally: Tally) -> list[Drawing]:
    """The images of a file with a JSON object per line."""
    drawings = []
    try:
        rows = json_rows(file)
    except UnicodeError as error:
        raise UserError(f"{file}: cannot be read as JSON in UTF-8 ({error})") from None
    for line, row in rows:
        where, image = f"{file}, line {line}", row.get("file_name")
        if not isinstance(image, str):
            raise UserError(f"{where}: an image without a file_name")
        drawing = Drawing(image=image, file=file, part=part_of_file(file, root))
        drawings.append(drawing)
        for four, name in _objects(row.get("objects"), where):
            if not isinstance(four, list) or len(four) != 4:
                raise UserError(f"{where}: a bbox is four numbers, not {shown(four)}")
            if isinstance(name, bool) or not isinstance(name, int | str) or name == "":
                raise UserError(f"{where}: has a box, but no class")
            x, y, width, height = numbers(four, where)
            tally.add("boxes left out that have no area", where, min(width, height) <= 0)
            if min(width, height) > 0:
                points = box(x, y, x + width, y + height)
                drawing.shapes.append(Shape(label=str(name), points=points))
    return drawings


def _objects(held: object, where: str) -> list[tuple[object, object]]:
    """Box and class of each object, given as lists of both or one by one."""
    if held is not None and not isinstance(held, list | dict):
        raise UserError(f"{where}: objects needs a bbox and a category for each object")
    each = held if isinstance(held, list) else [] if held is None else [held]
    found: list[tuple[object, object]] = []
    for row in each:
        known = row if isinstance(row, dict) else {}
        boxes = next((known[key] for key in _BOXES if key in known), None)
        names = next((known[key] for key in _NAMES if key in known), None)
        if isinstance(held, list):
            boxes, names = [boxes], [names]
        if not isinstance(boxes, list) or not isinstance(names, list) or len(boxes) != len(names):
            raise UserError(f"{where}: objects needs a bbox and a category for each object")
        found += zip(boxes, names, strict=True)
    return found


def read_createml(root: Path, options: SceneOptions) -> Scenes:
    """CreateML's JSON: boxes of each image by centre, width and height.

    Raises:
        UserError: another format, or no image exists.
    """
    tally = Tally()
    drawings = []
    for file in files_of("createml", root, tally):
        content = load(file)
        for number, row in enumerate(content if isinstance(content, list) else [content]):
            where = f"{file}, image {number}"
            image = row.get("image", row.get("imagefilename")) if isinstance(row, dict) else None
            boxes = row.get("annotations", row.get("annotation")) if image else None
            if not isinstance(image, str) or not isinstance(boxes, list):
                raise UserError(f"{where}: not CreateML's format (image and annotations)")
            shapes = [_of_createml(each, where) for each in boxes]
            part = part_of_file(file, root)
            drawings.append(Drawing(image=image, file=file, shapes=shapes, part=part))
    return read_drawings(root, drawings, options, tally)


def _of_createml(row: object, where: str) -> Shape:
    held = row.get("coordinates") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(held, dict) or not row.get("label"):
        raise UserError(f"{where}: an annotation has no label or coordinates")
    x, y, w, h = numbers([held.get(key) for key in ("x", "y", "width", "height")], where)
    return Shape(label=str(row["label"]), points=box(x - w / 2, y - h / 2, x + w / 2, y + h / 2))
