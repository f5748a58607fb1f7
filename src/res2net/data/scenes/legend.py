"""Lists of classes for class maps: names with their colours or values."""

from __future__ import annotations

import codecs
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from res2net.data.files import some
from res2net.data.scene import IGNORED, Colour
from res2net.errors import UserError, one_line

# In order of precedence; label_colors.txt comes from CamVid, class_names.txt from labelme2voc.
FILES = (
    *("classes.txt", "labelmap.txt", "class_dict.csv", "class_dict_seg.csv", "_classes.csv"),
    *("label_colors.txt", "class_names.txt", "classes.csv", "labels.txt", "codes.txt"),
    *("classes.json", "meta.json", "objectInfo150.txt"),  # meta.json: Supervisely
)
MOST = 255  # 255 itself is the ignored value
_GAP = r"[\s,;:=]+"
_RGB = r"(?P<red>\d{1,9})[\s,]+(?P<green>\d{1,9})[\s,]+(?P<blue>\d{1,9})"
_HEX = "#" + "".join(f"(?P<{name}>[0-9a-fA-F]{{2}})" for name in ("red", "green", "blue"))
_FORMS = (  # pattern of a line with a colour, and the base of its numbers
    (re.compile(rf"(?P<name>\S.*?){_GAP}\(?{_RGB}\)?", re.ASCII), 10),
    (re.compile(rf"{_RGB}{_GAP}(?P<name>.*\S)", re.ASCII), 10),
    (re.compile(rf"(?P<name>\S.*?){_GAP}{_HEX}", re.ASCII), 16),
)


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The classes of a list."""

    names: tuple[str, ...]  # in the order of the values
    colours: tuple[Colour, ...] = ()  # one per class, or none
    void: tuple[Colour, ...] = field(default=())  # colours that are not a class
    values: tuple[int, ...] = ()  # pixel values, one per class; empty: 0, 1, 2 ...
    void_values: tuple[int, ...] = ()  # ignored besides 255

    def table(self) -> dict[Colour, int]:
        """Colour → class."""
        known = {colour: index for index, colour in enumerate(self.colours)}
        return {**dict.fromkeys(self.void, IGNORED), **known}

    def by_value(self) -> dict[int, int]:
        """Value → class; empty if the values are the class indices."""
        if self.values == tuple(range(len(self.names))):
            return {}
        known = {value: index for index, value in enumerate(self.values)}
        return {**dict.fromkeys(self.void_values, IGNORED), **known}


def find_classes(*homes: Path) -> Classes | None:
    """The classes listed in one of these folders, or None.

    Names come from the first of ``FILES`` that exists, colours from it or from the first other
    list that has them.

    Raises:
        UserError: a list that is unreadable or has fewer than two classes.
    """
    files = [home / name for name in FILES for home in dict.fromkeys(homes)]
    there = [file for file in files if file.is_file()]
    if not there:
        return None
    first = read_classes(there[0])
    for file in there[1:]:
        if file.name == there[0].name and read_classes(file) != first:
            raise UserError(f"{there[0]} and {file} list different classes; make them equal")
    if not 2 <= len(first.names) <= MOST:
        raise UserError(
            f"{there[0]}: lists {len(first.names)} class(es); class maps have 2 to {MOST}, the "
            "first is value 0"
        )
    for file in there[1:]:
        if not first.colours and file.name not in ("class_names.txt", "meta.json"):
            first = _coloured(first, read_classes(file), file)
    return first


def read_classes(path: Path) -> Classes:
    """Read one list: names, and colours or values if every line has one.

    Raises:
        UserError: not text, or a duplicate name, colour or value.
    """
    try:
        data = path.read_bytes()
        mark = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if mark else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the list of classes cannot be read ({error})") from None
    if path.suffix == ".json":
        found = _of_json(path, text)
    elif path.suffix == ".csv":
        found = _of_csv(path, text)
    elif path.name == "objectInfo150.txt":  # ADE20K, where 0 is "other"
        rows = [line.split("\t") for line in text.splitlines()[1:] if line.strip()]
        names = tuple(row[-1].split(",")[0].strip() for row in rows)
        found = Classes(names=names, values=tuple(range(1, len(rows) + 1)), void_values=(0,))
    else:
        found = _of_lines(path, [line.strip() for line in text.splitlines() if line.strip()])
    _check_rows(path, found.names, found.colours)
    return found


def _of_lines(path: Path, lines: list[str]) -> Classes:
    if len(lines) == 1 and "," in lines[0] and path.name != "labelmap.txt":
        lines = [name.strip() for name in lines[0].split(",")]
    rows = [_row(line, path.name) for line in lines]
    if path.name == "labelmap.txt":
        rows = [row for line, row in zip(lines, rows, strict=True) if not line.startswith("#")]
    if rows and rows[0][0] == "__ignore__":  # labelme's name for ignored pixels
        lines, rows = lines[1:], rows[1:]
    colours = tuple(colour for _, colour in rows if colour is not None)
    if len(colours) == len(rows):
        return Classes(names=tuple(name for name, _ in rows), colours=colours)
    if path.name == "labelmap.txt":
        return Classes(names=tuple(name for name, _ in rows))
    numbered = [re.fullmatch(r"(\d{1,3})\s*[:=,;.)\t ]\s*(\D.*)", line) for line in lines]
    values = [int(each[1]) for each in numbered if each]
    if values in (list(range(len(lines))), list(range(1, len(lines) + 1))):
        return Classes(
            names=tuple(each[2].strip() for each in numbered if each), values=tuple(values)
        )
    return Classes(names=tuple(line.strip("\"' ") for line in lines))  # numbers belong to the names


_COLUMNS = {  # columns of a table of classes, in lower case
    **dict.fromkeys(("name", "class", "label", "class_name", "classname", "label_name"), "name"),
    **dict.fromkeys(("r", "red"), "red"),
    **dict.fromkeys(("g", "green"), "green"),
    **dict.fromkeys(("b", "blue"), "blue"),
    **dict.fromkeys(("value", "pixel value", "id", "index", "class_id", "label_id"), "value"),
    **dict.fromkeys(("pixel_value", "pixelvalue", "idx"), "value"),
}


def _of_csv(path: Path, text: str) -> Classes:
    """Read a table with columns for the name and the colour or the value."""
    lines = [line for line in text.splitlines() if line.strip(" ,;\t")]
    separator = max(",;\t", key=(lines or [""])[0].count)
    table = [[cell.strip(" \"'") for cell in line.split(separator)] for line in lines]
    header = [_COLUMNS.get(cell.lower(), "") for cell in (table or [[]])[0]]
    at = {column: header.index(column) for column in header if column}
    colour = [at[each] for each in ("red", "green", "blue") if each in at]
    try:
        rows = [[row[i] for i in range(len(header))] for row in table[1:]]
        names = tuple(row[at["name"]] for row in rows)
        colours = [tuple(int(row[i]) for i in colour) for row in rows]
        values = tuple(int(row[at["value"]]) for row in rows) if "value" in at else ()
        if len(colour) not in (0, 3) or not (colour or values):
            raise KeyError("red, green, blue or value")
    except (KeyError, IndexError, ValueError):
        raise UserError(
            f"{path}: every line must have name,r,g,b or value,name, and the first line must name "
            "these columns"
        ) from None
    if colour:
        return Classes(names=names, colours=tuple((c[0], c[1], c[2]) for c in colours))
    return Classes(names=names, values=values)


def _of_json(path: Path, text: str) -> Classes:
    """Read JSON: a list of names, objects with name (title) and color, or {number: name}."""
    try:
        found = json.loads(text)
        held = found.get("classes", found) if isinstance(found, dict) else found
        if isinstance(held, dict):
            held = {int(number): str(name) for number, name in held.items()}
            return Classes(names=tuple(held.values()), values=tuple(held))
        names = [
            each if isinstance(each, str) else each.get("name", each.get("title")) for each in held
        ]
        shades = [each.get("color", each.get("colour")) for each in held if isinstance(each, dict)]
        colours = [_shade(each) for each in shades if each is not None]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("a class without a name")
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise UserError(f"{path}: not a list of classes ({one_line(error)[:120]})") from None
    full = len(colours) == len(names)
    return Classes(names=tuple(names), colours=tuple(colours) if full else ())


def _shade(colour: Any) -> Colour:
    if isinstance(colour, str):
        found = re.fullmatch(_HEX, colour.strip())
        if not found:
            raise ValueError(f"{colour!r} is not a colour")
        return int(found["red"], 16), int(found["green"], 16), int(found["blue"], 16)
    red, green, blue = (int(each) for each in colour[:3])
    return red, green, blue


_CITYSCAPES = (  # name, value in labelIds, colour
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)

# Value → class of the classes with objects.
CITYSCAPES_OBJECTS = {number: name for name, number, _ in _CITYSCAPES if number >= 24}

_CITYSCAPES_VOID = (
    *((0, 0, 0), (111, 74, 0), (81, 0, 81), (250, 170, 160), (230, 150, 140), (180, 165, 180)),
    *((150, 100, 100), (150, 120, 90), (0, 0, 90), (0, 0, 110)),
)


def cityscapes(kind: str) -> Classes:
    """The 19 Cityscapes classes, for "labeltrainids", "labelids" or "color" maps."""
    names = tuple(name for name, _, _ in _CITYSCAPES)
    if kind == "labeltrainids":
        return Classes(names=names)
    if kind == "color":
        colours = tuple(colour for _, _, colour in _CITYSCAPES)
        return Classes(names=names, colours=colours, void=_CITYSCAPES_VOID)
    numbers = tuple(number for _, number, _ in _CITYSCAPES)
    others = tuple(value for value in range(34) if value not in numbers)
    return Classes(names=names, values=numbers, void_values=others)


def _row(line: str, file: str) -> tuple[str, Colour | None]:
    if file == "labelmap.txt" and line.count(":") >= 2:  # CVAT: label:color_rgb:parts:actions
        name, colour, *_ = line.split(":")
        line = f"{name.strip()} {colour.strip()}"
    for form, base in _FORMS:
        found = form.fullmatch(line)
        if found:
            red, green, blue = (int(found[which], base) for which in ("red", "green", "blue"))
            return found["name"].strip("\"' "), (red, green, blue)
    return line.strip("\"' "), None


def _check_rows(path: Path, names: Sequence[str], colours: Sequence[Colour]) -> None:
    for what, things in (("class", names), ("colour", colours)):
        twice = [str(thing) for i, thing in enumerate(things) if thing in things[:i]]
        if twice:
            raise UserError(f"{path}: lists the {what} {some(twice)} twice")
    odd = [repr(name) for name in names if not name.isprintable() or not name]
    if odd:
        raise UserError(f"{path}: {some(odd)} is not a class name; write one per line, as text")
    high = [str(colour) for colour in colours if max(colour) > 255]
    if high:
        raise UserError(f"{path}: the colour {some(high)} is outside 0..255")


def _coloured(first: Classes, other: Classes, path: Path) -> Classes:
    """The classes of one list with the colours of another, by name."""
    colour_of = dict(zip(map(_plain, other.names), other.colours, strict=False))
    without = [name for name in first.names if _plain(name) not in colour_of]
    if without and colour_of:
        warnings.warn(f"{path}: not used; it has no colour for {some(without)}", stacklevel=3)
    if without:
        return first
    wanted = {_plain(name) for name in first.names}
    left = {name: colour_of[_plain(name)] for name in other.names if _plain(name) not in wanted}
    if left:
        warnings.warn(
            f"{path}: pixels of {some(list(left))} are ignored, since the list of classes has no "
            "such name",
            stacklevel=3,
        )
    colours = tuple(colour_of[_plain(name)] for name in first.names)
    return Classes(names=first.names, colours=colours, void=tuple(left.values()))


def _plain(name: str) -> str:
    return name.strip().strip("_").casefold()
