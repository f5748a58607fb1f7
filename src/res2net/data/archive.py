"""Read files from a zip or tar archive, with a check that the archive is complete.

A truncated or damaged archive is never taken for a complete one: a tar must end with its empty
block, a compressed stream with its checksum, and a zip must have as many members as its directory
lists, under the names in their local headers.

Members that unpack to more than ``LARGEST`` bytes are refused.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from res2net.data.foreign import LARGEST, check_file, in_gib
from res2net.errors import UserError, one_line

_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
_STEP = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive."""

    name: str
    data: bytes = b""
    fault: str = ""  # why it has no data


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    """The wanted files of an archive, in its order.

    Args:
        wanted: takes the name of a member. Links to other members are followed.

    Raises:
        UserError: not a plain file, not an archive, or a damaged one; members before the damage
            have been yielded by then.
    """
    check_file(path)
    try:
        is_zip = path.suffix.lower() == ".zip"
        yield from (_zip_members if is_zip else _tar_members)(path, wanted)
    except UserError:
        raise
    except RuntimeError as error:
        if "password" in str(error):
            raise UserError(f"{path}: is encrypted; unpack it first") from error
        raise _damaged(path, error) from error
    except Exception as error:  # a damaged archive can raise anything
        raise _damaged(path, error) from error


def entries(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The entries of an uncompressed tar, in its order, each with the open tar.

    Raises:
        UserError: not a plain file, compressed, not a tar, or a damaged one; entries before the
            damage have been yielded by then.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(8)
            if any(head.startswith(sign) for sign in _OPENERS):
                raise UserError(f"{path}: is compressed; unpack it to a plain .tar (gunzip)")
            file.seek(0)
            with _opened(file) as tar:
                kept: list[tarfile.TarInfo] = vars(tar)["members"]
                while (entry := tar.next()) is not None:
                    yield tar, entry
                    kept.clear()  # else it holds them all
                end = tar.offset
            _check_end(path, file, end)
    except UserError:
        raise
    except Exception as error:  # a damaged archive can raise anything
        raise _damaged(path, error) from error


def first_name(path: Path) -> str | None:
    """The name of the first member of a tar; None for an empty tar or another file."""
    try:
        check_file(path)
        with closing(_unpacked(path)) as file:
            first = _opened(file).next()
    except Exception:  # a damaged archive can raise anything
        return None
    return None if first is None else first.name


def _damaged(path: Path, reason: object) -> UserError:
    return UserError(f"{path}: a damaged archive ({one_line(reason)[:120]}); copy it again")


def _too_large(size: int) -> str:
    return f"too large ({in_gib(size)} unpacked; at most {in_gib(LARGEST)})"


# ---------------------------------------------------------------- zip


def _zip_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        said = _entries_said(path, len(archive.comment))
        if said not in (len(entries), 0xFFFF):  # 0xFFFF: more than fit in two bytes
            raise _damaged(path, f"it lists {len(entries)} of {said} members")
        for entry in entries:
            with archive.open(entry) as file:  # compares both of its names
                if entry.is_dir() or not wanted(entry.filename):
                    continue
                if entry.file_size > LARGEST:
                    yield Member(entry.filename, fault=_too_large(entry.file_size))
                else:
                    yield Member(entry.filename, file.read())


def _entries_said(path: Path, comment: int) -> int:
    """The number of members in a zip's end record."""
    with path.open("rb") as file:
        file.seek(-22 - comment, 2)
        end = file.read(22)
    return int.from_bytes(end[10:12], "little") if end[:4] == b"PK\x05\x06" else 0xFFFF


# ---------------------------------------------------------------- tar


class _Bounded:
    """A file that refuses reads larger than a member may be.

    Headers give the lengths of other headers, which ``tarfile`` reads whole.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST + tarfile.BLOCKSIZE:
            raise ValueError(f"a header of {size} bytes")
        return self.file.read(size)


def _tar_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    with closing(_unpacked(path)) as file:
        with _opened(file) as tar:
            for entry in tar:
                if not entry.isdir() and wanted(entry.name):
                    yield _tar_member(tar, entry)
            end = tar.offset
        _check_end(path, file, end)


def _check_end(path: Path, file: BinaryIO, end: int) -> None:
    """Refuse a tar that does not end where its last entry does."""
    file.seek(end)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise _damaged(path, f"it is truncated or has a damaged header at byte {end:,}")
    while rest := file.read(_STEP):  # to its end, where the checksum of a stream stands
        if rest.count(0) != len(rest):
            raise _damaged(path, "there is data after its end")


def _opened(file: BinaryIO) -> tarfile.TarFile:
    bounded: Any = _Bounded(file)
    return tarfile.open(fileobj=bounded, mode="r:")


def _unpacked(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        head = file.read(8)
    opener = next((each for sign, each in _OPENERS.items() if head.startswith(sign)), None)
    found: BinaryIO = opener(path) if opener else path.open("rb")
    return found


def _tar_member(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> Member:
    if not (entry.isfile() or entry.islnk() or entry.issym()):
        return Member(entry.name, fault="not a file (a named pipe or a device)")
    try:
        file = tar.extractfile(entry)
    except (KeyError, RecursionError):  # of links to each other
        return Member(entry.name, fault=f"a link to {entry.linkname}, which is not in the archive")
    if file is None:
        return Member(entry.name, fault="a link to something that is not a file")
    size = file.seek(0, 2)
    file.seek(0)
    if size > LARGEST:
        return Member(entry.name, fault=_too_large(size))
    return Member(entry.name, file.read())
