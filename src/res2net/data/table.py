"""Tables of images: find the columns of image, label and part, and the image files.

A table is a CSV file, JSON (a list of objects or one object per line), or lines of path and label.
"""

from __future__ import annotations

import ast
import codecs
import csv
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from res2net.data.files import PARTS, composed, image_names, some
from res2net.data.photo import EXTENSIONS
from res2net.errors import UserError, did_you_mean, one_line

# Column names by kind, in lower case and without blanks, dashes and underscores.
_IMAGES = frozenset(
    {
        *("path", "paths", "image", "images", "img", "imgs", "file", "files", "filename"),
        *("filenames", "filepath", "filepaths", "imagepath", "imagepaths", "imagefile"),
        *("imagename", "imageid", "imgpath", "imgname", "imgid", "id", "idcode", "name", "fname"),
        *("photo", "picture"),
    }
)
_LABELS = frozenset(
    {
        *("label", "labels", "class", "classes", "category", "target", "y", "classname"),
        *("labelname", "categoryname", "classid", "labelid", "categoryid", "species", "breed"),
        *("diagnosis", "dx", "findinglabels", "predictionstring", "tag", "choice", "groundtruth"),
        *("gt", "truth"),
    }
)
SPLITS = frozenset(
    {"split", "set", "subset", "partition", "fold", "dataset", "phase", "usage", "part", "mode"}
)
_FLAGS = {"isvalid": "val", "isval": "val", "isvalidation": "val", "istest": "test"}
_FLAG_VALUES = {"0", "1", "0.0", "1.0"}
_SHOWN_FLAGS = {*map(repr, _FLAG_VALUES)}
_YES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_JSON_LINES = (".jsonl", ".ndjson")
SEVERAL = "several: train --input.multi-label true, data --multi-label"
_FEW = 1000  # rows inspected for the content of a column
_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")  # of files uploaded to Label Studio


class Row(NamedTuple):
    """A line of a table."""

    line: int  # in the file, from 1
    path: str  # as written
    label: str
    split: str  # "train", "val", "test" or "" without such a column
    group: str = ""  # value of the grouping column


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table."""

    image: int
    label: int | None  # None: one-hot columns
    one_hot: tuple[int, ...] = ()
    split: int | None = None
    flag: str = ""  # the part of rows with a true split column
    group: int | None = None


Cells = tuple[int, list[str]]  # line number, values


def read_table(path: Path, *, group: str = "", several: bool = False) -> list[Row]:
    """Read a table with any separator and encoding, with or without a header.

    Args:
        group: a column to read as groups; "" for none.
        several: images may have any number of labels, joined by line ends in a row.

    Raises:
        UserError: not a table, or the column of the image or the label is ambiguous.
    """
    try:
        header, rows = _cells(path, several)
    except UnicodeError as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{path}: not UTF-8 text ({reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror})") from error
    columns = _columns(path, header, rows, group)
    labels = (
        [] if columns.label is None else [_value(each, columns.label) for _, each in rows[:_FEW]]
    )
    labels = [label for label in labels if label]
    if labels and all(map(_is_geometry, labels)):
        raise UserError(
            f"{path}: its labels are boxes or run lengths ({labels[0][:40]!r}), not classes of "
            "images; write the class of each image into a column label"
        )
    return [_row(path, line, values, header, columns, several) for line, values in rows]


def _cells(path: Path, several: bool = False) -> tuple[list[str], list[Cells]]:
    """The header ([] if there is none) and the other lines."""
    if path.suffix.lower() in (".json", *_JSON_LINES):
        return _of_json(path, several)
    if is_list(path):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return [], [(k, line.rsplit(maxsplit=1)) for k, line in enumerate(lines, 1) if line.strip()]
    with path.open("rb") as file:
        marked = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    with path.open(encoding="utf-16" if marked else "utf-8-sig", newline="") as text:
        first = text.readline()
        separator = max(",;\t|", key=first.count)
        text.seek(0)
        reader = csv.reader(text, delimiter=separator, strict=True, skipinitialspace=True)
        rows = []
        for values in reader:
            if any(values):
                rows.append((reader.line_num, [value.strip() for value in values]))
    if not rows:
        return [], []
    if any(_is_file(value) for value in rows[0][1]):
        return [], rows
    return rows[0][1], rows[1:]


def is_list(path: Path) -> bool:
    """Whether a text file lists images, as for Caffe: each line a path, blanks and a label."""
    if path.suffix.lower() != ".txt":
        return False
    name, _, label = _head(path).strip().replace("\t", " ").rpartition(" ")
    return _is_file(name.strip()) and not set(",;|") & set(label)


def is_json_table(path: Path) -> bool:
    """Whether a JSON file holds rows of a table: the first one has a key for an image."""
    keys = re.findall(r'"([^"]{1,40})"\s*:', _head(path).lstrip("[ ").partition("}")[0])
    return bool({_plain(key) for key in keys} & _IMAGES)


def _head(path: Path) -> str:
    """The first non-empty line, as far as it is read."""
    with suppress(OSError, UnicodeError), path.open(encoding="utf-8-sig") as text:
        return next((line for line in iter(lambda: text.readline(4000), "") if len(line) > 3), "")
    return ""


def json_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Line and content of each object, of a list or one per line.

    Raises:
        UserError: not JSON, or not objects; names the line.
        UnicodeError: not UTF-8.
    """
    text = path.read_text(encoding="utf-8-sig")
    texts = {1: text}
    if path.suffix.lower() in _JSON_LINES:
        texts = {k: line for k, line in enumerate(text.split("\n"), 1) if line.strip()}
    rows: list[tuple[int, dict[str, Any]]] = []
    for line, each in texts.items():
        try:
            found = json.loads(each)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: line {line}: not JSON ({one_line(error)[:80]})") from None
        held = found if isinstance(found, list) else [found]
        if not all(isinstance(row, dict) for row in held):
            raise UserError(f"{path}: line {line}: not an object with an image and its label")
        rows += [(line if len(held) == 1 else k, row) for k, row in enumerate(held, 1)]
    return rows


def _of_json(path: Path, several: bool) -> tuple[list[str], list[Cells]]:
    """The keys and the values of objects, without those with several values."""
    rows = json_rows(path)
    for _, row in rows if several else ():
        row.update({k: json.dumps(v) for k, v in row.items() if isinstance(v, list)})
    names = dict.fromkeys(key for _, row in rows for key in row)
    nested = {key for _, row in rows for key, value in row.items() if _cell(value) is None}
    for line, row in rows:
        for key in nested & row.keys():
            if _plain(key) in _LABELS and _cell(row[key]) is None:
                fault = (
                    f"{key} has several values; a classifier needs one label per image ({SEVERAL})"
                )
                raise UserError(f"{path}: line {line}: {fault}")
    header = [name for name in names if name not in nested]
    return header, [(k, [_cell(row.get(name)) or "" for name in header]) for k, row in rows]


def _cell(value: object) -> str | None:
    """A JSON value as text for a table; None for several values."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list | dict):
        return None
    return "" if value is None else str(value).strip()


def _is_file(value: str) -> bool:
    return value.endswith(tuple(EXTENSIONS)) or value.lower().endswith(tuple(EXTENSIONS))


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).lower().removesuffix(":file")


def _columns(path: Path, header: list[str], rows: list[Cells], group: str) -> Columns:
    names = [_plain(name) for name in header]
    if not header:
        return _without_header(path, rows)
    if "\0" in "".join(header):
        raise UserError(f"{path}: line 1 must name the columns path and label; it has a NUL byte")
    for name in ("path", "label", "split"):
        if names.count(name) > 1:
            raise UserError(f"{path}: line 1 names the column {name} twice; keep one")
    few = [values for _, values in rows[:_FEW]]
    image = _image_column(names, few)
    split, flag = _split_column(names, few, image)
    rest = [i for i, name in enumerate(names) if i not in (image, split) and name]
    label = _label_column(names, few, rest)
    one_hot = tuple(i for i in rest if label is None and few and _all_flags(few, i))
    if not any(_value(each, i).startswith("1") for each in few for i in one_hot):
        one_hot = ()
    left = [i for i in rest if label is None and i not in one_hot and _nearly_flags(few, i)]
    if left:
        held = some(sorted({repr(_value(each, left[0])) for each in few} - _SHOWN_FLAGS))
        raise UserError(
            f"{path}: the column {header[left[0]]} holds {held}, unlike the 0 and 1 of columns of "
            "classes; write 0 or 1, or delete the column"
        )
    if image is None or (label is None and len(one_hot) < 2):
        hint = did_you_mean("path" if image is None else "label", header)
        raise UserError(
            f"{path}: line 1 must name the columns path and label; it has "
            f"{some(header) or 'nothing'}, none of which is clearly the "
            f"{'image' if image is None else 'label'}{'.' if hint else ''}{hint}"
        )
    _note_choice(path, header, (image, label, split), one_hot)
    lower = [name.lower() for name in header]
    if group and group not in lower:
        raise UserError(
            f"{path}: --input.group-by column:{group}: line 1 has no such column; it has "
            f"{some(header)}.{did_you_mean(group, lower)}"
        )
    return Columns(
        image=image,
        label=label,
        one_hot=one_hot,
        split=split,
        flag=flag,
        group=lower.index(group) if group else None,
    )


def _note_choice(
    path: Path, header: list[str], used: Sequence[int | None], one_hot: Sequence[int]
) -> None:
    """Warn which column is taken as label, if its name is unclear and other columns are left."""
    label = used[1]
    left = [
        name for i, name in enumerate(header) if i not in (*used, *one_hot) and not _aside(name)
    ]
    if left and label is not None and _plain(header[label]) != "label":
        warnings.warn(
            f"{path}: labels come from the column {header[label]}; not used: {some(left)}; rename "
            "another column to label to use it",
            stacklevel=5,
        )


def _aside(name: str) -> bool:
    """Whether an unused column needs no warning: an index, or another name of image or class."""
    numbers = ("classid", "labelid", "categoryid")
    return _plain(name) in ("", "index", "unnamed:0", *numbers) or _plain(name) in _IMAGES


def _without_header(path: Path, rows: list[Cells]) -> Columns:
    widths = {len(values) for _, values in rows}
    files = [i for i in range(max(widths, default=0)) if _all(rows, i, _is_file)]
    others = [i for i in range(max(widths, default=0)) if i not in files]
    if not rows or len(files) != 1 or len(others) != 1:
        held = some(rows[0][1]) if rows else "nothing"
        raise UserError(
            f"{path}: line 1 must name the columns path and label; it has {held or 'nothing'}"
        )
    return Columns(image=files[0], label=others[0])


def _all(rows: Sequence[Cells], i: int, check: Callable[[str], bool]) -> bool:
    return all(i < len(values) and check(values[i]) for _, values in rows[:_FEW])


def _value(values: Sequence[str], i: int) -> str:
    return values[i] if i < len(values) else ""


def _image_column(names: Sequence[str], few: Sequence[Sequence[str]]) -> int | None:
    """The column named path, else the only one with file names, else with such a name."""
    if "path" in names:
        return names.index("path")
    known = [i for i, name in enumerate(names) if name in _IMAGES]
    files = [i for i in range(len(names)) if few and all(_is_file(_value(each, i)) for each in few)]
    for choice in ([i for i in files if i in known], files, known):
        if len(choice) == 1:
            return choice[0]
    return None


def _label_column(
    names: Sequence[str], few: Sequence[Sequence[str]], rest: Sequence[int]
) -> int | None:
    """The column named label, else the only one of such a name, else the only one left."""
    if "label" in names:
        return names.index("label")
    known = [i for i in rest if names[i] in _LABELS]
    if len(known) == 2:  # number and name of a class
        pairs = {(_value(each, known[0]), _value(each, known[1])) for each in few}
        sides = [{pair[k] for pair in pairs} for k in (0, 1)]
        numbers = [all(value.isdecimal() for value in side) for side in sides]
        if len(pairs) == len(sides[0]) == len(sides[1]) and numbers[0] != numbers[1]:
            return known[numbers[0]]
    if len(known) == 1:
        return known[0]
    return rest[0] if len(rest) == 1 and not known else None


def _split_column(
    names: Sequence[str], few: Sequence[Sequence[str]], image: int | None
) -> tuple[int | None, str]:
    """The column with the part of each row; for a yes/no column also the part that yes means."""
    if "split" in names:
        return names.index("split"), ""
    for i, name in enumerate(names):
        held = {_value(each, i).lower() for each in few}
        if i == image or not held:
            continue
        if name in _FLAGS and held <= _YES.keys():
            return i, _FLAGS[name]
        if name in SPLITS and held & PARTS.keys():
            return i, ""
    return None, ""


def _all_flags(few: Sequence[Sequence[str]], i: int) -> bool:
    return all(_value(each, i) in _FLAG_VALUES for each in few)


def _nearly_flags(few: Sequence[Sequence[str]], i: int) -> bool:
    """Whether a column holds 1, and -1 or nothing in places, as columns of flags may."""
    held = {_value(each, i).removesuffix(".0") for each in few}
    return "1" in held and held <= {"", "0", "1", "-1"} and not held <= {"0", "1"}


def _is_geometry(label: str) -> bool:
    """Whether a label is mostly numbers: a box, if need be with its class, or run lengths."""
    words = label.replace(",", " ").split()
    return len(words) > 3 and sum(map(str.isdecimal, words)) >= 0.8 * len(words)


def _several(path: Path, line: int, value: str) -> list[str]:
    """The names in ``a;b``, ``a|b``, ``["a", "b"]`` or ``['a', 'b']``, each once, sorted."""
    names: Any = re.split(r"[;|]", value)
    if value.startswith("["):
        names = None
        try:
            names = json.loads(value)
        except (ValueError, RecursionError):
            with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                names = ast.literal_eval(value)
        if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
            raise UserError(f"{path}: line {line}: {value[:50]!r} is not a list of labels")
    return sorted({text for name in names if (text := " ".join(str(name).split()))})


def _row(
    path: Path,
    line: int,
    values: list[str],
    header: list[str],
    columns: Columns,
    several: bool,
) -> Row:
    if header and any(values[len(header) :]):
        raise UserError(
            f"{path}: line {line} has more values than line 1 has columns; put quotes around a "
            "value that holds the separator"
        )
    held = "".join(values)
    if "\0" in held or "\n" in held or "\r" in held:
        what = "a NUL byte" if "\0" in held else "a value over several lines (an unclosed quote?)"
        raise UserError(f"{path}: line {line} has {what}; save the file again as UTF-8 text")
    image = _value(values, columns.image)
    if columns.label is not None:
        label = _value(values, columns.label)
    else:
        on = [i for i in columns.one_hot if float(_number(path, line, _value(values, i)))]
        if len(on) != 1 and not several:
            names = some([header[i] for i in on]) or "none"
            raise UserError(
                f"{path}: line {line} has {len(on)} classes ({names}); a classifier needs one per "
                f"image ({SEVERAL})"
            )
        label = "\n".join(header[i] for i in on)
    if several and columns.label is not None:
        label = "\n".join(_several(path, line, label))
    if not image or not (label or several):
        raise UserError(f"{path}: line {line} has no {'label' if image else 'path'}")
    group = "" if columns.group is None else _value(values, columns.group)
    if columns.split is None:
        return Row(line, image, label, "", group)
    word = _value(values, columns.split).lower()
    if columns.flag and word in _YES:
        return Row(line, image, label, columns.flag if _YES[word] else "train", group)
    if word not in PARTS:
        raise UserError(
            f"{path}: line {line}: {header[columns.split]} is {word!r}; it must be train, val or "
            "test"
        )
    return Row(line, image, label, PARTS[word], group)


def _number(path: Path, line: int, value: str) -> float:
    if value not in _FLAG_VALUES:
        raise UserError(f"{path}: line {line}: {value!r} is not 0 or 1")
    return float(value)


class Finder:
    """Find the files of a table: as written, else below the folder by the end of the path.

    Tables may come from another machine or Windows, or omit folders and suffixes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[str, list[str]] | None = None

    def find(self, written: str) -> str | None:
        """The path relative to the folder; None if no file fits.

        Raises:
            UserError: several files fit.
        """
        if os.path.lexists(self.folder / written):
            return written
        parts = [part for part in written.replace("\\", "/").split("/") if part not in ("", ".")]
        for text in _spellings(parts):
            found = self._index().get(composed(text).casefold(), [])
            if len(found) > 1:
                raise UserError(f"{written} may be {found[0]} or {found[1]}")
            if found:
                return found[0]
        return None

    def _index(self) -> dict[str, list[str]]:
        """Ends of paths, with and without the suffix → files."""
        if self._names is None:
            self._names = {}
            for name in image_names(self.folder):
                parts = PurePosixPath(name).parts
                for i in range(len(parts)):
                    end = composed("/".join(parts[i:])).casefold()
                    for key in {end, end[: -len(PurePosixPath(end).suffix)]}:
                        self._names.setdefault(key, []).append(name)
        return self._names


def _spellings(parts: Sequence[str]) -> Iterator[str]:
    """Ends of a path, the longest first, then those of the name before an upload."""
    for i in range(len(parts)):
        yield "/".join(parts[i:])
    if parts and _PREFIX.search(parts[-1]):
        yield _PREFIX.sub("", parts[-1])
