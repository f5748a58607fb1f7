"""Lists of the classes of class maps: ``classes.txt``, ``labelmap.txt``, ``class_dict.csv``."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from res2net.data.files import some
from res2net.data.scene import IGNORED, Colour
from res2net.errors import UserError

# In order of precedence; label_colors.txt as CamVid has it, class_names.txt as labelme2voc writes.
FILES = (
    *("classes.txt", "labelmap.txt", "class_dict.csv"),
    *("label_colors.txt", "class_names.txt"),
)
MOST = 255  # 255 itself is the value that does not count
_GAP = r"[\s,;:=]+"
_RGB = r"(?P<red>\d{1,9})[\s,]+(?P<green>\d{1,9})[\s,]+(?P<blue>\d{1,9})"
_HEX = "#" + "".join(f"(?P<{name}>[0-9a-fA-F]{{2}})" for name in ("red", "green", "blue"))
_FORMS = (  # how a line names a colour, and the base of its numbers
    (re.compile(rf"(?P<name>\S.*?){_GAP}\(?{_RGB}\)?", re.ASCII), 10),
    (re.compile(rf"{_RGB}{_GAP}(?P<name>.*\S)", re.ASCII), 10),
    (re.compile(rf"(?P<name>\S.*?){_GAP}{_HEX}", re.ASCII), 16),
)


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The classes that a list names."""

    names: tuple[str, ...]  # in the order of the values
    colours: tuple[Colour, ...] = ()  # one a class, or none
    void: tuple[Colour, ...] = field(default=())  # colours of a table that are no class

    def table(self) -> dict[Colour, int]:
        """Colour → class."""
        known = {colour: index for index, colour in enumerate(self.colours)}
        return {**dict.fromkeys(self.void, IGNORED), **known}


def find_classes(*homes: Path) -> Classes | None:
    """The classes that are listed in one of some folders, or None.

    Names come from the first list of ``FILES`` that is there, colours from it or from the first
    other list that has them.

    Raises:
        UserError: a list that cannot be read, or with fewer than two classes.
    """
    files = [home / name for name in FILES for home in dict.fromkeys(homes)]
    there = [file for file in files if file.is_file()]
    if not there:
        return None
    first = read_classes(there[0])
    if not 2 <= len(first.names) <= MOST:
        raise UserError(
            f"{there[0]}: lists {len(first.names)} class(es); class maps have 2 to {MOST}, the "
            "first is value 0"
        )
    for file in there[1:]:
        if not first.colours and file.name != "class_names.txt":
            first = _coloured(first, read_classes(file), file)
    return first


def read_classes(path: Path) -> Classes:
    """One list, a class a line: its name, and its colour where every line has one.

    Raises:
        UserError: not text, or a name or a colour twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the list of classes cannot be read ({error})") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows = [_row(line, path.name) for line in lines]
    if path.name == "labelmap.txt":
        rows = [row for line, row in zip(lines, rows, strict=True) if not line.startswith("#")]
    elif path.suffix == ".csv" and rows and rows[0][1] is None:
        rows = rows[1:]  # the header
    if rows and rows[0][0] == "__ignore__":  # labelme's name for what does not count
        rows = rows[1:]
    colours = [colour for _, colour in rows if colour is not None]
    if len(colours) < len(rows):
        if path.suffix == ".csv":
            raise UserError(f"{path}: every line after the first must have name,r,g,b")
        if path.name != "labelmap.txt":  # then the numbers are part of names
            rows = [(line, None) for line in lines if line != "__ignore__"]
        colours = []
    _check_rows(path, [name for name, _ in rows], colours)
    return Classes(names=tuple(name for name, _ in rows), colours=tuple(colours))


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
        raise UserError(f"{path}: {some(odd)} is no name of a class; write one a line, as text")
    high = [str(colour) for colour in colours if max(colour) > 255]
    if high:
        raise UserError(f"{path}: the colour {some(high)} is beyond 0..255")


def _coloured(first: Classes, other: Classes, path: Path) -> Classes:
    """The classes of one list with the colours of another, by name."""
    colour_of = dict(zip(map(_plain, other.names), other.colours, strict=False))
    without = [name for name in first.names if _plain(name) not in colour_of]
    if without and colour_of:
        warnings.warn(f"{path}: not used, it has no colour for {some(without)}", stacklevel=3)
    if without:
        return first
    wanted = {_plain(name) for name in first.names}
    left = {name: colour_of[_plain(name)] for name in other.names if _plain(name) not in wanted}
    if left:
        warnings.warn(
            f"{path}: pixels of {some(list(left))} do not count, since the list of classes has no "
            "such name",
            stacklevel=3,
        )
    colours = tuple(colour_of[_plain(name)] for name in first.names)
    return Classes(names=first.names, colours=colours, void=tuple(left.values()))


def _plain(name: str) -> str:
    return name.strip().strip("_").casefold()
