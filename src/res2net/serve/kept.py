"""Photos and pictures of the page, kept on disk per visitor, with limits on age, number, size."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from res2net.serve.refusal import Refusal

KEPT = 3600  # seconds
GONE = "no photo of yours is stored under this path, or it has expired; upload it again"
EVERYONE = ""  # owner of the examples
# Follow no link and wait for no pipe; Windows has neither flag, but one for binary files.
OPEN = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A stored file."""

    visitor: str
    size: int  # bytes
    until: float  # on the monotonic clock


class Kept:
    """The folder of the page. Only files stored by ``add`` or ``share`` are ever given out.

    Args:
        folder: an empty one.
        most_files: largest number of files, without examples; the oldest are removed.
        most_bytes: largest size of all files; the oldest are removed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most_files: int = 1000,
        most_bytes: int = 2**30,
        seconds: float = KEPT,
    ) -> None:
        self.folder = folder.resolve()
        self._most_files = most_files
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._entries: dict[str, Entry] = {}  # by path, oldest first

    @property
    def size(self) -> int:
        """Bytes on disk, without the examples."""
        return sum(each.size for each in self._entries.values() if each.visitor != EVERYONE)

    async def add(self, visitor: str, name: str, data: bytes) -> str:
        """Store a visitor's file and return its path.

        Raises:
            Refusal: 503 if the disk is full.
        """
        path = self._path(name)
        try:
            await asyncio.to_thread(_write, path, data)
        except OSError as error:
            raise Refusal(503, f"the photo cannot be stored: {error.strerror}") from None
        self._enter(path, visitor, len(data))
        asyncio.get_running_loop().call_later(self._seconds, self.sweep)
        while (own := self._of_visitors()) and (
            len(own) > self._most_files or self.size > self._most_bytes
        ):
            self._forget(own[0])
        return str(path)

    def share(self, source: Path) -> str:
        """Store a copy of a photo for all visitors and return its path."""
        data = source.read_bytes()
        path = self._path(source.name)
        _write(path, data)
        self._enter(path, EVERYONE, len(data))
        return str(path)

    def find(self, path: str, visitor: str) -> Path:
        """The file at that path, if it belongs to this visitor.

        Raises:
            Refusal: 404 for anything else: another's, a link, a device, a file of the machine.
        """
        entry = self._entries.get(path)
        if entry is None or entry.visitor not in (visitor, EVERYONE):
            raise Refusal(404, GONE)
        real = Path(path).resolve()
        if real != Path(path) or not real.is_relative_to(self.folder) or not real.is_file():
            raise Refusal(404, GONE)
        return real

    def reader(self, path: str, visitor: str) -> Callable[[], bytes]:
        """A function that reads that file.

        Raises:
            Refusal: as ``find``, now and when the function is called.
        """
        found = self.find(path, visitor)
        return lambda: _read(found, self._entries.get(path))

    def sweep(self) -> None:
        """Remove files older than an hour."""
        now = time.monotonic()
        for path in [p for p in self._of_visitors() if self._entries[p].until <= now]:
            self._forget(path)

    def _of_visitors(self) -> list[str]:
        return [path for path, each in self._entries.items() if each.visitor != EVERYONE]

    def _path(self, name: str) -> Path:
        return self.folder / secrets.token_urlsafe(24) / _plain(name)

    def _enter(self, path: Path, visitor: str, size: int) -> None:
        until = time.monotonic() + self._seconds
        self._entries[str(path)] = Entry(visitor=visitor, size=size, until=until)

    def _forget(self, path: str) -> None:
        del self._entries[path]
        shutil.rmtree(Path(path).parent, ignore_errors=True)


def _plain(name: str) -> str:
    """A file name that is valid on any disk and in any URL."""
    plain = re.sub(r"[^\w. -]", "_", Path(name).name).strip(". ")
    return plain[-50:] or "photo"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(data)


def _read(path: Path, entry: Entry | None) -> bytes:
    """Read a file that is still stored, up to its stored size."""
    if entry is None:
        raise Refusal(404, GONE)
    try:
        handle = os.open(path, OPEN)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise Refusal(404, GONE)
            return file.read(entry.size)
    except OSError:
        raise Refusal(404, GONE) from None
