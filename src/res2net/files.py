"""Whole files or none: what a run writes is written beside its place, then renamed into it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from res2net.errors import UserError

# What the operating system says -> what is wrong (with {folder}) and what to do.
_FREE_SOME = "free some and run again (with --resume if training)"
_MAY_NOT = "choose a folder that you may write to"
_REASONS: dict[int | None, tuple[str, str]] = {
    errno.ENOSPC: ("no space left on {folder}", _FREE_SOME),
    errno.EDQUOT: ("disk quota used up on {folder}", _FREE_SOME),
    errno.EFBIG: ("the limit on file size (ulimit -f) was hit on {folder}", "raise it"),
    errno.EACCES: ("permission denied on {folder}", _MAY_NOT),
    errno.EPERM: ("permission denied on {folder}", _MAY_NOT),
    errno.EROFS: ("{folder} is read-only", _MAY_NOT),
    errno.ENOENT: ("folder {folder} does not exist", "make it and run again"),
}


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``; a reader sees the old file or the new one, whole.

    Raises:
        UserError: the disk is full, the folder is missing or may not be written to.
    """
    write_bytes(path, text.encode("utf-8", "surrogateescape"))  # file names may be any bytes


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``; a reader sees the old file or the new one, whole.

    Raises:
        UserError: the disk is full, the folder is missing or may not be written to.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise write_error(error, path) from error


def make_folder(path: Path, option: str) -> None:
    """The folder, with those above it.

    Raises:
        UserError: it cannot be made; names the option that says otherwise.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be made ({error.strerror}); change {option}") from None


def write_error(error: OSError, path: Path) -> UserError:
    """The one line that a user needs when writing ``path`` failed with ``error``."""
    wrong, remedy = _REASONS.get(
        error.errno, (f"{error.strerror or error} on {{folder}}", "choose another folder")
    )
    return UserError(f"{wrong.format(folder=path.parent)} while writing {path.name}; {remedy}")
