"""``--input.index FILE``: cache the file list of a huge data set in one file for later starts.

The list is out of date if these have changed: the time of any folder below the root (a file was
added, removed or renamed there), size and time of the tables, and those of ``SAMPLED`` files. A
file overwritten in place, which leaves its folder's time unchanged, is found only among these.
"""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from res2net.data.csvfile import tables_of
from res2net.data.files import Files, Texts, folders_below, spread
from res2net.data.labelled import LabelledImages, ReadOptions, Split
from res2net.data.source import Source
from res2net.errors import UserError
from res2net.files import write_bytes

SAMPLED = 256  # files whose size and time are compared at each start
_FORM = 1  # version of the file and of the listing rules
_PARTS, _KEPT = ("train", "val", "test"), ("name", "classes", "validation")

Stamps = dict[str, list[int]]  # path → size (0 for a folder) and time; empty if it does not exist


def indexed(
    file: Path, source: Source, options: ReadOptions, read: Callable[[], LabelledImages]
) -> LabelledImages:
    """The result of ``read``, from the index if it is up to date, with the same notes.

    Args:
        file: the index; it is created if it is absent, and rebuilt with a note if it is out of
            date. It may be in any folder.
        source: of format folder or csv.
        options: passed to ``read``.

    Raises:
        UserError: as ``read``; a file that is not an index, is the index of other data, or cannot
            be written.
    """
    home = source.path or Path()
    found = _read(file, home)
    if found is not None:
        about, arrays = found
        reason = _out_of_date(about, repr(options))
        if not reason:
            for note in about["notes"]:
                warnings.warn(note, stacklevel=3)
            return _images(home, about, arrays)
        warnings.warn(f"--input.index {file}: {reason}; it is rebuilt", stacklevel=3)
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise UserError(
            f"--input.index {file}: {file.parent} is not a writable folder; give a "
            "file in another one"
        )
    if source.format == "csv":
        tables = list(tables_of(home))
        places = [*tables, *({home, *(each.parent for each in tables)} if home.is_dir() else ())]
    else:
        places = folders_below(home)
    _check_beside(file, places)
    watched = _stamps(places)  # their state before they are read
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        images = read()
    notes = list(dict.fromkeys(str(each.message) for each in caught))
    for note in notes:
        warnings.warn(note, stacklevel=3)
    if source.format == "csv":
        holding = {each.parent for part in _parts(images).values() for each in part.images}
        _check_beside(file, holding)
        watched = _stamps(holding) | watched
    _write(file, home, images, {"options": repr(options), "notes": notes, "watched": watched})
    return images


def _out_of_date(about: dict[str, Any], options: str) -> str:
    """Why the index must be rebuilt; "" if it is up to date."""
    if about["form"] != _FORM:
        return "it was written by another version"
    if about["options"] != options:
        return "it was made with other options for reading or splitting"
    for kind in ("watched", "sampled"):
        now = _stamps(map(Path, about[kind]))
        changed = [path for path, stamp in about[kind].items() if now[path] != stamp]
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            return f"{changed[0]}{more} changed since"
    return ""


def _check_beside(file: Path, watched: Iterable[Path]) -> None:
    if any(each.resolve() == file.parent.resolve() for each in watched):
        raise UserError(
            f"--input.index {file}: is in a folder of the data, and writing it would make the "
            "data look changed; give a file in another folder"
        )


def _stamps(paths: Iterable[Path]) -> Stamps:
    found: Stamps = {}
    for path in paths:
        try:
            held = path.stat()
        except OSError:
            found[str(path)] = []
        else:
            found[str(path)] = [0 if path.is_dir() else held.st_size, held.st_mtime_ns]
    return found


def _parts(images: LabelledImages) -> dict[str, Any]:
    parts = {name: getattr(images, name) for name in _PARTS}
    return {name: part for name, part in parts.items() if part is not None}


def _write(file: Path, home: Path, images: LabelledImages, about: dict[str, Any]) -> None:
    parts = _parts(images)
    arrays: dict[str, Any] = {}
    sampled: list[Path] = []
    for name, part in parts.items():
        names = part.images.names
        arrays |= {f"{name}_bytes": names.bytes, f"{name}_ends": names.ends}
        arrays[f"{name}_labels"] = part.labels
        sampled += spread(part.images, SAMPLED // len(parts))
    about |= {"form": _FORM, "home": str(home.resolve()), "sampled": _stamps(sampled)}
    about |= {name: getattr(images, name) for name in _KEPT}
    words = np.frombuffer(json.dumps(about).encode(), np.uint8)
    buffer = BytesIO()
    np.savez(buffer, res2net_index=words, **arrays)
    write_bytes(file, buffer.getvalue())


def _read(file: Path, home: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The header and the arrays of an index; None if there is no file.

    Raises:
        UserError: another kind of file or the index of other data; neither is overwritten.
    """
    try:
        with np.load(BytesIO(file.read_bytes()), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
            about: dict[str, Any] = json.loads(arrays.pop("res2net_index").tobytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        raise UserError(
            f"--input.index {file}: not an index of images, or a damaged one; give another file, "
            "or delete it to rebuild it"
        ) from None
    if about["home"] != str(home.resolve()):
        raise UserError(
            f"--input.index {file}: is the index of {about['home']}, not of {home.resolve()}; give "
            "another file, or delete it"
        )
    return about, arrays


def _images(home: Path, about: dict[str, Any], arrays: dict[str, Any]) -> LabelledImages:
    root = home if home.is_dir() else home.parent
    parts: dict[str, Any] = {"test": None}
    for name in _PARTS:
        if f"{name}_labels" in arrays:
            names = Texts.of(arrays[f"{name}_bytes"], arrays[f"{name}_ends"])
            parts[name] = Split(images=Files(root, names), labels=arrays[f"{name}_labels"])
    kept = {name: about[name] for name in _KEPT} | {"classes": tuple(about["classes"])}
    return LabelledImages(**kept, **parts, native_size=None)
