"""Images inside tar files, each read in place without unpacking.

A million images take two arrays. Every process opens the tar files itself, so loader workers do
not share a file position.
"""

from __future__ import annotations

import functools
import io
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from res2net.errors import UserError

_KEPT = 64  # tar files kept open per process
ROW = np.dtype(  # per image: index of its shard, place of its bytes and its name
    [("shard", "i4"), ("length", "i4"), ("offset", "i8"), ("size", "i8"), ("start", "i8")]
)
Rows = npt.NDArray[np.void]  # (N,) of ROW
Buffer = bytes | memoryview


class Shard(NamedTuple):
    """A tar file as it was when it was indexed."""

    path: Path
    size: int  # bytes
    time: int  # of the last change, nanoseconds


@dataclass(frozen=True, slots=True)
class Packed:
    """An image file inside a tar file."""

    shard: Shard
    name: str  # in the tar
    offset: int  # of its first byte
    size: int  # bytes

    def __str__(self) -> str:
        return f"{self.shard.path}: {self.name}"

    @property
    def suffix(self) -> str:
        """The suffix of the name, with its dot."""
        return Path(self.name).suffix

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """The bytes as a seekable file.

        Raises:
            UserError: the tar is gone or was changed.
        """
        assert mode == "rb"
        return io.BufferedReader(_Window(self))

    def read(self) -> npt.NDArray[np.uint8]:
        """All bytes: (size,).

        Raises:
            UserError: the tar is gone or was changed.
        """
        return np.frombuffer(bytearray(_bytes(self.shard, self.size, self.offset)), np.uint8)


File = Path | Packed  # an encoded image


def as_file(file: str | File) -> File:
    """A string as a ``Path``."""
    return Path(file) if isinstance(file, str) else file


class PackedFiles(Sequence[Packed]):
    """Images in the tar files of a data set, held in flat buffers.

    Args:
        root: folder to which the tar names in reports are relative.
        shards: the tar files.
        names: names of all images in their tars, concatenated.
        rows: one per image.
    """

    def __init__(self, root: Path, shards: Sequence[Shard], names: Buffer, rows: Rows) -> None:
        self.root, self.shards, self.rows = root, shards, rows
        self._names = np.frombuffer(names, np.uint8)  # an array, which processes can share

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, rows: Rows) -> PackedFiles:
        """The same data set with other rows."""
        return PackedFiles(self.root, self.shards, self._names.data, rows)

    def member(self, i: int) -> str:
        """The name of image ``i`` in its tar."""
        row = self.rows[i]
        return os.fsdecode(self._names[row["start"] : row["start"] + row["length"]].tobytes())

    def name(self, i: int) -> str:
        """The name of image ``i`` in the data set: ``train-000.tar/KEY.jpg``."""
        shard = self.shards[self.rows[i]["shard"]]
        return f"{shard.path.relative_to(self.root).as_posix()}/{self.member(i)}"

    @overload
    def __getitem__(self, i: int) -> Packed: ...
    @overload
    def __getitem__(self, i: slice) -> PackedFiles: ...
    def __getitem__(self, i: int | slice) -> Packed | PackedFiles:
        if isinstance(i, slice):
            return self.of(self.rows[i])
        row = self.rows[i]
        shard = self.shards[row["shard"]]
        return Packed(shard, self.member(i), int(row["offset"]), int(row["size"]))


class _Window(io.RawIOBase):
    """A part of a tar file as a separate file."""

    def __init__(self, packed: Packed) -> None:
        self.packed, self.at = packed, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.packed.size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self.at = start + offset
        return self.at

    def readinto(self, buffer: Any) -> int:
        count = max(min(len(buffer), self.packed.size - self.at), 0)
        buffer[:count] = _bytes(self.packed.shard, count, self.packed.offset + self.at)
        self.at += count
        return count


def _bytes(shard: Shard, size: int, offset: int) -> bytes:
    """A part of a tar file.

    Raises:
        UserError: it was deleted or changed since it was indexed.
    """
    try:
        data = _opened(shard, os.getpid()).read(size, offset)
    except OSError as error:
        raise UserError(f"{shard.path}: cannot read it ({error.strerror})") from None
    if len(data) < size:
        raise _changed(shard)
    return data


def _changed(shard: Shard) -> UserError:
    return UserError(f"{shard.path}: was changed since it was indexed; run the command again")


@functools.lru_cache(maxsize=_KEPT)
def _opened(shard: Shard, process: int) -> _Handle:
    """The tar file, opened once in a process."""
    del process
    return _Handle(shard)


class _Handle:
    """An open tar file, closed with its last reader."""

    def __init__(self, shard: Shard) -> None:
        self.number = os.open(shard.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.turn = threading.Lock()
        found = os.fstat(self.number)
        if (found.st_size, found.st_mtime_ns) != (shard.size, shard.time):
            raise _changed(shard)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)

    def read(self, size: int, offset: int) -> bytes:
        """Read up to ``size`` bytes at a position; threads may read at the same time."""
        if hasattr(os, "pread"):
            return os.pread(self.number, size, offset)
        with self.turn:  # Windows: threads share the position of the file
            os.lseek(self.number, offset, os.SEEK_SET)
            return os.read(self.number, size)
