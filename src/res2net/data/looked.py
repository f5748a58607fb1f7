"""Check files before use: find all faulty ones at once, and cache which ones are good.

A good file is not checked again as long as its size and time are unchanged.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import PIL

from res2net import processor
from res2net.data.packed import File, Packed
from res2net.errors import UserError
from res2net.files import cache_folder, write_bytes

T = TypeVar("T")
Say = Callable[[str], None]

_FORM = f"1 {PIL.__version__}"  # version of the checks; a new one invalidates the cache
_CHUNK = 256  # items per thread and turn
_OFTEN = 10.0  # seconds between two lines of progress
WORTH = 2.0  # seconds; shorter checks are not cached


def identity(path: File) -> str:
    """Identity of a file: inode, size and time; "" if it does not exist."""
    if isinstance(path, Packed):
        return f"{path.shard} {path.offset} {path.size}"
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ""
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


def faults_of(
    where: object,
    things: Sequence[T],
    identify: Callable[[T], str],
    check: Callable[[T], object],
    say: Say | None = None,
) -> dict[int, str]:
    """Check items; return index → reason for the faulty ones.

    Args:
        where: the data set that they belong to.
        identify: identity of an item; equal ones share a result. "": check every time.
        check: raises ``UserError`` for a faulty item.
        say: callback for a line of progress every ten seconds.
    """
    began = told = time.monotonic()
    file = _file(where)
    chunks = [range(i, min(i + _CHUNK, len(things))) for i in range(0, len(things), _CHUNK)]

    def known_as(chunk: range) -> list[int]:
        return [_number(identify(things[i])) for i in chunk]

    def look(chunk: Sequence[int]) -> list[tuple[int, str]]:
        found = []
        for i in chunk:
            try:
                check(things[i])
            except UserError as error:
                found.append((i, str(error)))
        return found

    faults: dict[int, str] = {}
    with ThreadPoolExecutor(processor.cores()) as pool:  # more would wait for Python's GIL
        numbers = [number for chunk in pool.map(known_as, chunks) for number in chunk]
        keys = np.array(numbers, np.uint64)  # (N,)
        new = np.flatnonzero(~np.isin(keys, _read(file)) | (keys == 0)).tolist()
        done = 0
        for found in pool.map(look, [new[i : i + _CHUNK] for i in range(0, len(new), _CHUNK)]):
            faults.update(found)
            done += _CHUNK
            if say is not None and time.monotonic() - told > _OFTEN:
                told = time.monotonic()
                say(f"checking the files of {where}: {min(done, len(new)):,} of {len(new):,}")
    if new and file is not None and time.monotonic() - began > WORTH:
        good = np.ones(len(things), bool)
        good[list(faults)] = False
        _write(file, keys[good & (keys > 0)])
    return faults


def _number(words: str) -> int:
    if not words:
        return 0
    digest = hashlib.blake2b(f"{_FORM} {words}".encode(errors="surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _file(where: object) -> Path | None:
    name = hashlib.blake2b(str(where).encode(errors="surrogateescape"), digest_size=12).hexdigest()
    try:
        return cache_folder() / "looked" / f"{name}.npy"
    except UserError:
        return None


def _read(file: Path | None) -> npt.NDArray[np.uint64]:
    """Items found good; none if the cache file is absent or damaged."""
    with suppress(OSError, ValueError, EOFError):
        if file is not None:
            return np.asarray(np.load(file, allow_pickle=False), np.uint64).reshape(-1)
    return np.zeros(0, np.uint64)


def _write(file: Path, keys: npt.NDArray[np.uint64]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.unique(np.concatenate([keys, _read(file)])))
    with suppress(OSError, UserError):  # then they are checked again
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, buffer.getvalue())
