"""A CSV manifest: columns ``path`` and ``label``, and ``split`` if wanted."""

from __future__ import annotations

import codecs
import csv
import os
import stat
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from res2net.data.files import Files, some, usable
from res2net.data.folder import TEST_NAME, VAL_NAMES
from res2net.data.labelled import (
    LabelledImages,
    Labels,
    ReadOptions,
    Split,
    check_classes,
    one_part,
    split_of,
    warn_shared,
)
from res2net.data.split import check_keys, column_of, note_shared
from res2net.errors import UserError, did_you_mean

SPLITS = {"train": "train", **dict.fromkeys(VAL_NAMES, "val"), TEST_NAME: "test"}


class Row(NamedTuple):
    line: int  # in the file, from 1
    path: str  # as written, relative to the file's folder
    label: str
    split: str  # "train", "val", "test" or "" where the file has no such column
    group: str = ""  # in the column that images are grouped by


def read(path: Path, options: ReadOptions) -> LabelledImages:
    """The images that a CSV lists; paths are relative to its folder, other columns are ignored.

    The separator may be a comma, a semicolon or a tab. Labels are names, or whole numbers (then in
    the order of numbers). Without validation rows in a ``split`` column (train, val or test) some
    training rows are held out; test rows are never used in training.

    Raises:
        UserError: missing columns or values (names the line), missing or empty files (unless
            ``skip_bad``), one class only, classes that differ between train and val.
    """
    column = column_of(options.group_by)
    rows = _rows(path, column)
    needed = options.needed(sorted({row.split or "train" for row in rows}))
    rows = [row for row in rows if (row.split or "train") in needed]
    present = _present(path, rows, options)
    rows = [row for row, kept in zip(rows, present, strict=True) if kept]
    names = sorted({row.label for row in rows})
    numbers = all(name.isascii() and name.isdecimal() for name in names)
    classes = sorted(names, key=_in_order_of_numbers) if numbers else names
    alone = needed == [options.measured]
    if not alone:
        check_classes(path, classes, classes)
    label_of = {name: i for i, name in enumerate(classes)}
    labels = np.array([label_of[row.label] for row in rows], dtype=np.int64)
    _warn_two_labels(path, rows)
    whole = Split(images=Files(path.parent, [row.path for row in rows]), labels=labels)
    if alone:
        return one_part(path.stem, classes, needed[0], whole)
    side = np.array([row.split for row in rows])
    keys = _groups(path, rows, side, options.group_by) if column else None
    train, val = _splits(path, side, whole, classes, options, keys)
    test = np.flatnonzero(side == "test")
    found = LabelledImages(
        name=path.stem,
        classes=tuple(classes),
        train=whole.of(train),
        val=whole.of(val),
        native_size=None,
        validation="given" if (side == "val").any() else "train",
        test=whole.of(test) if test.size else None,
    )
    warn_shared(path, found)
    return found


def _groups(
    path: Path, rows: Sequence[Row], side: npt.NDArray[np.str_], by: str
) -> Sequence[str | None]:
    """The group of each row; those that are in two parts are noted."""
    keys = [row.group or None for row in rows]
    check_keys(path, by, keys, [row.path for row in rows])
    named = {"train": "training", "": "training", "val": "validation", "test": "test"}
    parts: dict[str, list[str | None]] = {}
    for part, key in zip(side.tolist(), keys, strict=True):
        parts.setdefault(named[part], []).append(key)
    note_shared(path, by, parts)
    return keys


def _rows(path: Path, column: str) -> list[Row]:
    """Every line of the file, checked for its columns and values; ``column`` holds the group."""
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            header = file.readline()
            separator = max(",;\t", key=header.count)
            columns = [
                name.strip().lower() for name in next(csv.reader([header], delimiter=separator), [])
            ]
            _check_columns(path, columns)
            if column and column not in columns:
                raise UserError(
                    f"{path}: --input.group-by column:{column}: line 1 names no such column; it "
                    f"has {some(columns)}.{did_you_mean(column, columns)}"
                )
            reader = csv.DictReader(file, columns, delimiter=separator, strict=True)
            return [_row(path, reader.line_num + 1, values, column) for values in reader]
    except UnicodeError as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{path}: not UTF-8 text ({reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror})") from error


def _encoding(path: Path) -> str:
    """UTF-8, or UTF-16 where the file begins with its mark (Excel's "Unicode text")."""
    with path.open("rb") as file:
        return (
            "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        )


def _in_order_of_numbers(name: str) -> tuple[int, str, str]:
    """Of any number of digits."""
    digits = name.lstrip("0")
    return len(digits), digits, name


def _warn_two_labels(path: Path, rows: Sequence[Row]) -> None:
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(os.path.normpath(row.path), set()).add(row.label)
    several = [name for name, held in labels.items() if len(held) > 1]
    if several:
        warnings.warn(
            f"{path}: {len(several)} images are listed under more than one label: {some(several)}",
            stacklevel=3,
        )


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    twice = [name for name in ("path", "label", "split") if columns.count(name) > 1]
    if twice:
        raise UserError(f"{path}: line 1 names the column {some(twice)} twice; keep one")
    for needed in ("path", "label"):
        if needed not in columns:
            raise UserError(
                f"{path}: line 1 must name the columns path and label; it has "
                f"{some(columns) or 'nothing'}.{did_you_mean(needed, columns)}"
            )


def _row(path: Path, line: int, values: Mapping[str | None, Any], column: str) -> Row:
    if any(values.get(None, ())):  # what is beyond the columns
        raise UserError(
            f"{path}: line {line} has more values than line 1 has columns; put quotes around a "
            "value that holds the separator"
        )
    held = "".join(value for value in values.values() if isinstance(value, str))
    if "\0" in held or "\n" in held or "\r" in held:
        what = "a NUL byte" if "\0" in held else "a value over several lines (an open quote?)"
        raise UserError(f"{path}: line {line} holds {what}; write the file anew as UTF-8 text")
    image = (values["path"] or "").strip()
    label = (values["label"] or "").strip()
    if not image or not label:
        raise UserError(f"{path}: line {line} has no {'label' if image else 'path'}")
    group = (values[column] or "").strip() if column else ""
    if "split" not in values:
        return Row(line, image, label, "", group)
    word = (values["split"] or "").strip().lower()
    if word not in SPLITS:
        raise UserError(f"{path}: line {line}: split is {word!r}; it must be train, val or test")
    return Row(line, image, label, SPLITS[word], group)


def _present(path: Path, rows: Sequence[Row], options: ReadOptions) -> Sequence[bool]:
    """Which rows to keep: all, or with ``skip_bad`` those whose files are readable."""
    names = [row.path for row in rows]
    if options.skip_bad:
        return [bool(kept) for kept in usable(path.parent, names, skip_bad=True, empty=())]
    empty = []
    missing = []
    for row in rows:
        try:
            found = (path.parent / row.path).stat()
            if not stat.S_ISREG(found.st_mode):
                missing.append(f"line {row.line}: {row.path} (not a file)")
            elif not found.st_size:
                empty.append(row.path)
        except OSError:
            missing.append(f"line {row.line}: {row.path}")
    if missing:
        raise UserError(
            f"{path}: {len(missing)} missing file(s): {some(missing)}; paths are relative to "
            f"{path.parent}"
        )
    usable(path.parent, names, skip_bad=False, empty=empty)
    return [True] * len(rows)


def _splits(
    path: Path,
    side: npt.NDArray[np.str_],
    whole: Split,
    classes: Sequence[str],
    options: ReadOptions,
    keys: Sequence[str | None] | None,
) -> tuple[Labels, Labels]:
    """Indices of the training and the validation rows."""
    train, val = np.flatnonzero((side == "train") | (side == "")), np.flatnonzero(side == "val")
    labels = whole.labels
    used = [[classes[label] for label in np.unique(labels[part])] for part in (train, val)]
    if val.size:
        check_classes(path, *used)
    if missing := sorted(set(classes) - set(used[0])):
        raise UserError(f"{path}: no training row of class {some(missing)}")
    if val.size:
        return train, val
    if keys is not None:
        keys = [keys[i] for i in train]
    kept, chosen = split_of(whole.of(train), options, classes=classes, where=path, keys=keys)
    return train[kept], train[chosen]
