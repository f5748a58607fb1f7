"""A table of images: columns of paths, labels and, optionally, parts."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from res2net.data.files import PARTS, Files, some, subfolders, usable
from res2net.data.folder import part_named
from res2net.data.labelled import (
    LabelledImages,
    Labels,
    ReadOptions,
    Split,
    check_classes,
    counts_of,
    one_part,
    split_of,
    warn_shared,
)
from res2net.data.split import check_keys, column_of, note_shared
from res2net.data.table import SEVERAL, Finder, Row, is_json_table, is_list, read_table
from res2net.errors import UserError

_BLANK = ("nan", "none", "null", "n/a", "na", "?")


def read(path: Path, options: ReadOptions) -> LabelledImages:
    """The images listed in a table or in the tables of a folder; other columns are ignored.

    Paths are relative to its folder; missing files are searched for below it by the end of their
    path. Labels are names, whole numbers (sorted as numbers), or columns of 0 and 1.
    Without validation rows (a column of train, val and test) some training rows are held out; test
    rows are never used for training.

    Raises:
        UserError: missing columns or values (names the line), missing or empty files (unless
            ``skip_bad``), one class only, classes that differ between train and val.
    """
    root = path if path.is_dir() else path.parent
    column = column_of(options.group_by)
    rows = _rows(path, column, options.multi_label)
    _note_parts(path, rows)
    needed = options.needed(sorted({row.split or "train" for row in rows}))
    rows = [row for row in rows if (row.split or "train") in needed]
    present = _present(path, root, rows, options)
    rows = [row for row, kept in zip(rows, present, strict=True) if kept]
    sets = [_labels_of(row, options.multi_label) for row in rows]
    names = sorted({name for each in sets for name in each})
    numbers = all(name.isascii() and name.isdecimal() for name in names)
    classes = sorted(names, key=_in_order_of_numbers) if numbers else names
    alone = needed == [options.measured]
    known = frozenset(names)
    joined = [name for name in names if not options.multi_label and _is_joined(name, known)]
    if joined:
        warnings.warn(
            f"{path}: {some([*map(repr, joined)])} taken as one class each ({SEVERAL})",
            stacklevel=2,
        )
    if blank := [name for name in names if name.lower() in _BLANK]:
        warnings.warn(
            f"{path}: {some(blank)} taken as a class; if it means that there is no label, empty "
            "these cells (several labels per image) or delete their rows",
            stacklevel=2,
        )
    if options.multi_label and not names:
        raise UserError(f"{path}: no image has a label")
    if options.multi_label and max(map(len, sets)) == 1:
        warnings.warn(
            f"{path}: no image has more than one label; in a cell they are separated by ; or |",
            stacklevel=2,
        )
    if not alone and not options.multi_label:
        check_classes(path, classes, classes)
    label_of = {name: i for i, name in enumerate(classes)}
    if options.multi_label:
        labels = np.zeros((len(rows), len(classes)), np.int64)
        for i, each in enumerate(sets):
            labels[i, [label_of[name] for name in each]] = 1
    else:
        labels = np.array([label_of[row.label] for row in rows], dtype=np.int64)
        _warn_two_labels(path, rows)
    name = path.name if path.is_dir() else path.stem
    whole = Split(images=Files(root, [row.path for row in rows]), labels=labels)
    if alone:
        return one_part(name, classes, needed[0], whole)
    side = np.array([row.split for row in rows])
    keys = _groups(path, rows, side, options.group_by) if column else None
    train, val = _splits(path, side, whole, classes, options, keys)
    test = np.flatnonzero(side == "test")
    found = LabelledImages(
        name=name,
        classes=tuple(classes),
        train=whole.of(train),
        val=whole.of(val),
        native_size=None,
        validation="given" if (side == "val").any() else "train",
        test=whole.of(test) if test.size else None,
    )
    warn_shared(path, found)
    return found


def _is_joined(name: str, names: frozenset[str]) -> bool:
    """Whether a label looks like several: separated, a list, or words that are labels."""
    words = name.replace(",", " ").split()
    return bool(set(";|[") & set(name)) or (len(words) > 1 and names.issuperset(words))


def _note_parts(path: Path, rows: Sequence[Row]) -> None:
    """Warn of images in the folders of several parts, without a column of parts."""
    if any(row.split for row in rows):
        return
    folders = {row.path.replace("\\", "/").rpartition("/")[0] for row in rows}
    named = (next(filter(None, map(part_named, each.split("/")[::-1])), "") for each in folders)
    parts = {*named} - {""}
    if len(parts) > 1:
        warnings.warn(
            f"{path}: its images are in folders of {some(sorted(parts))}, but no column (split) "
            "gives the parts; all are taken together",
            stacklevel=3,
        )


def _groups(
    path: Path, rows: Sequence[Row], side: npt.NDArray[np.str_], by: str
) -> Sequence[str | None]:
    """The group of each row, with a note of groups in two parts."""
    keys = [row.group or None for row in rows]
    check_keys(path, by, keys, [row.path for row in rows])
    named = {"train": "training", "": "training", "val": "validation", "test": "test"}
    parts: dict[str, list[str | None]] = {}
    for part, key in zip(side.tolist(), keys, strict=True):
        parts.setdefault(named[part], []).append(key)
    note_shared(path, by, parts)
    return keys


def _labels_of(row: Row, several: bool) -> list[str]:
    return row.label.split("\n") if row.label and several else [row.label] * (not several)


def _merged(path: Path, rows: Sequence[Row]) -> list[Row]:
    """Merge the rows of each image into one with all labels, for tables of one label per row.

    Raises:
        UserError: an image is in two parts.
    """
    merged: dict[str, Row] = {}
    for row in rows:
        name = os.path.normpath(row.path)
        first = merged.setdefault(name, row)
        if first.split != row.split:
            raise UserError(
                f"{path}: lines {first.line} and {row.line} list {row.path} in two parts, "
                f"{first.split or 'none'} and {row.split or 'none'}"
            )
        labels = {*_labels_of(first, True), *_labels_of(row, True)}
        merged[name] = first._replace(label="\n".join(sorted(labels)))
    return list(merged.values())


def _rows(path: Path, column: str, several: bool) -> list[Row]:
    """The unique rows of a table or of the tables in a folder, with their files found."""
    tables = tables_of(path)
    home = path if path.is_dir() else path.parent
    finder = Finder(home)
    rows: list[Row] = []
    for table, part in tables.items():
        own = Finder(table.parent) if table.parent != home else finder
        prefix = "" if own is finder else f"{table.parent.relative_to(home).as_posix()}/"
        written = read_table(table, group=column, several=several)
        found = [_found(table, row, own, prefix) for row in written]
        _check_one_file(table, written, found)
        rows += [row._replace(split=part or row.split) for row in found]
    return _merged(path, rows) if several else _once(path, rows)


def tables_of(path: Path) -> dict[Path, str]:
    """Tables → the part that each lists; "" if its name gives none.

    Raises:
        UserError: a folder without a table, or with several that are not parts.
    """
    if not path.is_dir():
        return {path: ""}
    below = {
        found[0]: PARTS[name.lower()]
        for name in subfolders(path)
        if name.lower() in PARTS and len(found := list_tables(path / name)) == 1
    }
    if "train" in below.values():
        return below
    here = list_tables(path)
    exact = {each: PARTS[each.stem.lower()] for each in here if each.stem.lower() in PARTS}
    parts = exact or {each: part for each in here if (part := part_named(each.stem))}
    if "train" in parts.values() and len({*parts.values()}) == len(parts):
        return {each: part for each, part in parts.items() if part == "train" or _labelled(each)}
    if len(here) != 1:
        raise UserError(
            f"{path}: holds {some([each.name for each in here]) or 'no table'}; give the table of "
            "path and label"
        )
    return {here[0]: ""}


def _labelled(table: Path) -> bool:
    """Whether a test table has labels; a table for predictions has none."""
    try:
        read_table(table)
    except UserError as error:
        warnings.warn(f"{error}; this part is not used", stacklevel=4)
        return False
    return True


def list_tables(folder: Path) -> list[Path]:
    """The table files, sorted: CSV, else JSON lines, else lists of path and label.

    Tables for submitting predictions are left out.
    """
    files = [each for each in sorted(folder.iterdir()) if "submission" not in each.stem.lower()]
    for endings in ((".csv", ".tsv"), (".jsonl", ".ndjson"), (".txt",)):
        found = [each for each in files if each.suffix.lower() in endings]
        if endings[0] == ".jsonl":
            found = [each for each in found if is_json_table(each)]
        elif endings[0] == ".txt":
            found = [each for each in found if is_list(each)]
        if found:
            return found
    return []


def _found(table: Path, row: Row, finder: Finder, prefix: str) -> Row:
    """The row with the path of its file relative to the folder, if the file exists."""
    try:
        name = finder.find(row.path)
    except (UserError, ValueError, OSError) as error:
        if isinstance(error, UserError):
            raise UserError(f"{table}: line {row.line}: {error}") from None
        return row
    name = row.path if name is None else name
    return row._replace(path=name if Path(name).is_absolute() else prefix + name)


def _check_one_file(table: Path, written: Sequence[Row], found: Sequence[Row]) -> None:
    """Refuse different paths that resolve to one file, as after folders were merged."""
    lines: dict[str, Row] = {}
    for before, after in zip(written, found, strict=True):
        if before.path == after.path:
            continue
        other = lines.setdefault(after.path, before)
        if other.path != before.path:
            raise UserError(
                f"{table}: lines {other.line} and {before.line} name {other.path} and "
                f"{before.path}, but only {after.path} exists"
            )


def _once(path: Path, rows: Sequence[Row]) -> list[Row]:
    """Drop repeated rows with the same image, label and part."""
    kept: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        kept.setdefault((os.path.normpath(row.path), row.label, row.split), row)
    if len(kept) < len(rows):
        warnings.warn(
            f"{path}: {len(rows) - len(kept)} duplicate rows are counted once", stacklevel=4
        )
    return list(kept.values())


def _in_order_of_numbers(name: str) -> tuple[int, str, str]:
    """Sort key for whole numbers of any length."""
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


def _present(path: Path, root: Path, rows: Sequence[Row], options: ReadOptions) -> Sequence[bool]:
    """The rows to keep: all, or with ``skip_bad`` those whose files are readable."""
    names = [row.path for row in rows]
    if options.skip_bad:
        return [bool(kept) for kept in usable(root, names, skip_bad=True, empty=())]
    empty = []
    missing = []
    for row in rows:
        try:
            found = (root / row.path).stat()
            if not stat.S_ISREG(found.st_mode):
                missing.append(f"line {row.line}: {row.path} (not a file)")
            elif not found.st_size:
                empty.append(row.path)
        except OSError:
            missing.append(f"line {row.line}: {row.path}")
    if missing:
        raise UserError(
            f"{path}: {len(missing)} missing file(s): {some(missing)}; paths are relative to "
            f"{root}, and no file below it has such a name"
        )
    usable(root, names, skip_bad=False, empty=empty)
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
    counts = [counts_of(labels[part], len(classes)) for part in (train, val)]
    used = [[classes[label] for label in np.flatnonzero(each)] for each in counts]
    if val.size and not options.multi_label:
        check_classes(path, *used)
    if missing := sorted(set(classes) - set(used[0])):
        raise UserError(f"{path}: no training row of class {some(missing)}")
    if val.size:
        return train, val
    if keys is not None:
        keys = [keys[i] for i in train]
    kept, chosen = split_of(whole.of(train), options, classes=classes, where=path, keys=keys)
    return train[kept], train[chosen]
