"""Files that anybody may have made: plain files of a bounded size, and what JSON in them holds.

A named pipe is waited for without end, a device has no end, and a few bytes of JSON or of an
archive can be made into all the memory there is: each is refused before it is read.
"""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any, TypeGuard

from res2net.data.packed import File, Packed
from res2net.errors import UserError, one_line

GIB = 1 << 30
LARGEST = GIB  # bytes of one image, packed; a TIFF of 89 megapixels in 16 bits has half of it
_DESCRIPTION = GIB >> 4  # bytes of a description in JSON
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_file(path: File, *, largest: int | None = None) -> None:
    """Refuse what is not a plain file (or a link to one).

    Args:
        largest: bytes that it may have.

    Raises:
        UserError: missing, a folder, a named pipe, a socket, a device, or too large.
    """
    size = path.size if isinstance(path, Packed) else _size(path)
    if largest is not None and size > largest:
        raise UserError(f"{path}: too large ({in_gib(size)}; at most {in_gib(largest)})")


def _size(path: Path) -> int:
    """Bytes of a plain file."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot read it ({reason})") from None
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise UserError(f"{path}: cannot read it: {kind}, not a file")
    return found.st_size


def in_gib(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / GIB:.3g} GiB"


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file.

    Args:
        what: the kind of file, as errors name it: "a model description".

    Raises:
        UserError: not a plain file, too large, not JSON, or nested too deep.
    """
    check_file(path, largest=_DESCRIPTION)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = one_line(error)[:120]
        raise UserError(f"{path}: cannot be read as {what} ({reason})") from None


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value of JSON is a finite number (true and false are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: object, most: int) -> bool:
    """Whether a value of JSON is a whole number of 1..most."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def is_texts(value: object) -> bool:
    """Whether a value of JSON is a list of texts (of a checkpoint: a tuple)."""
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
