"""Untrusted files: plain files of bounded size, XML, and values of the JSON in them.

Reading a named pipe can block and a device never ends, and a few bytes of JSON or of an archive
can exhaust the memory: each is refused before it is read.
"""

from __future__ import annotations

import json
import math
import re
import stat
from pathlib import Path
from typing import Any, TypeGuard
from xml.etree import ElementTree

from res2net.data.packed import File, Packed
from res2net.errors import UserError, one_line

GIB = 1 << 30
LARGEST = GIB  # bytes of one encoded image; a 16-bit TIFF of 89 megapixels has half of that
_DESCRIPTION = GIB >> 4  # bytes of a JSON description
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_file(path: File, *, largest: int | None = None) -> None:
    """Refuse anything but a plain file (or a link to one).

    Args:
        largest: maximum size in bytes.

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
    """A number of bytes as text in GiB."""
    return f"{size / GIB:.3g} GiB"


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file.

    Args:
        what: the kind of file, for errors: "a model description".

    Raises:
        UserError: not a plain file, too large, not JSON, or nested too deep.
    """
    check_file(path, largest=_DESCRIPTION)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = one_line(error)[:120]
        raise UserError(f"{path}: cannot be read as {what} ({reason})") from None


def read_xml(path: Path, tag: str, what: str) -> ElementTree.Element:
    """The root element of an XML file.

    Args:
        tag: the tag of the root.
        what: the kind of file, for errors: "a VOC XML annotation".

    Raises:
        UserError: not a plain file, not XML, another root, or XML with entity definitions, which
            a few bytes can expand to gigabytes.
    """
    check_file(path)
    try:
        text = _decoded(path.read_bytes())
        if "<!ENTITY" in text or "<!DOCTYPE" in text:
            raise UserError(f"{path}: XML with entity definitions is not supported")
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise UserError(f"{path}: not {what} ({error})") from None
    if root.tag != tag:
        fault = f"its first element is {root.tag[:40]!r}, not {tag}"
        raise UserError(f"{path}: not {what} ({fault})")
    return root


def _decoded(data: bytes) -> str:
    """Decode XML by its byte order mark or its declaration, since expat has few encodings."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    declared = re.match(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""", data)
    encoding = declared[1].decode("ascii", "replace") if declared else "utf-8"
    return data.decode(encoding)


_MARKS = (  # start of a file → its encoding
    (b"\xef\xbb\xbf", "utf-8-sig"),
    *((b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32")),
    *((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")),
    *((b"<\x00?\x00", "utf-16-le"), (b"\x00<\x00?", "utf-16-be")),
)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a JSON value is a finite number (true and false are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: object, most: int) -> bool:
    """Whether a JSON value is a whole number in 1..most."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def is_texts(value: object) -> bool:
    """Whether a JSON value is a list of strings (in a checkpoint: a tuple)."""
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
