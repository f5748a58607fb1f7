"""Arrays of an archive that is slow to unpack, kept for the next time.

Unpacking a .tar.xz takes about ten seconds on one core, reading the arrays back a tenth of one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from res2net.errors import UserError
from res2net.files import cache_folder

_KEY = "archive"  # entry of the cached file: which archive it was read from


def load(archive: Path) -> dict[str, Any] | None:
    """What :func:`save` kept of this archive; None if nothing, or if the archive has changed."""
    try:
        with np.load(_file(archive), allow_pickle=False) as stored:
            if str(stored[_KEY]) != _stamp(archive):
                return None
            return {name: stored[name] for name in stored.files if name != _KEY}
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save(archive: Path, arrays: Mapping[str, Any]) -> None:
    """Keep the arrays; where the folder cannot be written, they are read anew next time."""
    temporary = None
    try:
        target = _file(archive)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            np.savez(file, allow_pickle=False, **{_KEY: np.array(_stamp(archive)), **arrays})
        temporary.replace(target)
    except (OSError, RuntimeError, UserError):  # no room, no right to write, no home
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _file(archive: Path) -> Path:
    """One file an archive, in the cache."""
    digest = hashlib.sha256(os.fsencode(archive.resolve())).hexdigest()[:16]
    return cache_folder() / f"cifar-{digest}.npz"


def _stamp(archive: Path) -> str:
    found = archive.stat()
    return f"{archive.resolve()} {found.st_size} {found.st_mtime_ns}"
