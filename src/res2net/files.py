"""Atomic file writes, and one writer per folder.

Files are written beside their place, then renamed into it.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import platform
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from res2net.errors import TakenError, UserError

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = ".lock"  # in a folder that a process writes to
# escaped in JSON: controls, text direction, line ends; bytes of names that are not UTF-8
_ESCAPED = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LEFTOVER = re.compile(r"\..+\.\d+\.tmp")  # left by a killed ``write_bytes``
_HOLDER = re.compile(r"process (\d+) on (\S+)")
WAIT = 60.0  # seconds for a process that appends a row
_LOADERS_END = 15.0  # seconds; loader processes of a killed training outlive it by five
# A file system without locks, such as some network ones.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

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


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON with names in their own letters.

    Control characters and bytes of names that are not UTF-8 stay escapes.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Journal:
    """The rows of interruptible work, one line of JSON each, until its result is written.

    Attributes:
        rows: those of the interrupted work; none if it is not resumed.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], *, resume: bool) -> None:
        """Read the existing journal; nothing is written yet.

        Args:
            about: what the rows depend on; plain types.

        Raises:
            UserError: the rows are of another network or of other options.
        """
        self.path, self._about, self._begun = path, dict(about), False
        self.rows: list[Any] = []
        before, *rows = _lines(path) or [None]
        if not isinstance(before, dict):
            return
        if not resume:
            what = f"{path}: starting the interrupted work again; --resume would continue it"
            warnings.warn(what, stacklevel=2)
        elif before != self._about:
            names = {**self._about, **before}
            other = [name for name in names if before.get(name) != self._about.get(name)]
            raise UserError(
                f"--resume: {path} was started with another {other[0]}; use the same, or run "
                "without --resume to start again"
            )
        else:
            self.rows = rows

    def add(self, rows: Sequence[Any]) -> None:
        """Append finished rows; before the first ones, an incomplete last row is removed.

        Raises:
            UserError: the disk is full.
        """
        if not self._begun:
            lines = [json.dumps(each) + "\n" for each in (self._about, *self.rows)]
            write_bytes(self.path, "".join(lines).encode())
            self._begun = True
        try:
            with self.path.open("a", encoding="ascii") as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows))
        except OSError as error:
            raise write_error(error, self.path) from error

    def end(self) -> None:
        """Remove the journal: the result is written, or nothing of it is worth keeping."""
        self.path.unlink(missing_ok=True)


def _lines(path: Path) -> list[Any]:
    """The intact rows of a journal; what follows a damaged one is done again."""
    rows: list[Any] = []
    with suppress(OSError, ValueError, RecursionError):
        for line in path.read_bytes().split(b"\n")[:-1]:
            rows.append(json.loads(line))  # a damaged one ends them
    return rows


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
    """Make the folder and those above it.

    Raises:
        UserError: it cannot be made; the message names the option.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if path.is_symlink() and not path.exists():
            wrong = f"a link to {path.readlink()}, which does not exist"
        elif path.exists() and not path.is_dir():
            wrong = "a file, not a folder"
        else:
            wrong = f"cannot be made ({error.strerror})"
        raise UserError(f"{option} {path}: {wrong}; name another folder") from None


@contextmanager
def alone_in(folder: Path, option: str) -> Iterator[None]:
    """The folder, made where it is absent, with this process as its only writer.

    Partial files of killed writers are removed first. Folders that were made for this are
    removed at the end if they are empty.

    Raises:
        TakenError: another process writes there.
        UserError: the folder cannot be made or written to.
    """
    with _made(folder, option), locked(folder / LOCK, f"{option} {folder}"):
        remove_leftovers(folder)
        yield


@contextmanager
def _made(folder: Path, option: str) -> Iterator[None]:
    """Make the folder and those above it; remove at the end those that are new and empty."""
    # (``Path.exists`` raises where a folder above may not be searched.)
    made = [each for each in (folder, *folder.parents) if not os.path.exists(each)]  # noqa: PTH110
    try:
        make_folder(folder, option)
        yield
    finally:
        for each in made:
            with suppress(OSError):  # folders with files stay
                each.rmdir()


def check_new(out: Path, option: str) -> None:
    """Raise ``UserError`` if ``out`` exists."""
    if out.exists() or out.is_symlink():
        raise UserError(f"{option} {out} exists; name another folder, or remove it first")


@contextmanager
def new_folder(out: Path, option: str) -> Iterator[Path]:
    """A temporary folder that is renamed to ``out`` on success, else removed, with all above it
    that were made.

    No other process can write ``out`` meanwhile; leftovers of killed ones are removed first.

    Raises:
        TakenError: another process writes it.
        UserError: ``out`` exists, or it cannot be made or written.
    """
    beside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    lock = out.with_name(f".{out.name}.lock")
    with _made(out.parent, option), locked(lock, f"{option} {out}"):
        check_new(out, option)
        for left in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):
            if left.name.removesuffix(".tmp").rpartition(".")[2].isdecimal():
                shutil.rmtree(left, ignore_errors=True)
        try:
            beside.mkdir()
        except OSError as error:
            raise write_error(error, out) from error
        try:
            yield beside
            try:
                beside.rename(out)
            except OSError as error:  # ``out`` was created meanwhile
                raise write_error(error, out) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def locked(path: Path, what: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold a lock file to the end of the block; the end of the process also releases it.

    Args:
        what: the thing that is locked, as the message begins.
        wait: seconds to wait for another process that holds it.

    Raises:
        TakenError: another process holds it; names it.
        UserError: the file cannot be made.
    """
    from filelock import FileLock, SoftFileLock  # help and lists need no locks

    lock = FileLock(path)
    try:
        _acquire(lock, path, what, wait)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise write_error(error, path) from None
        warnings.warn(
            f"{what}: this file system has no locks, so nothing keeps a second process from "
            "writing there",
            stacklevel=4,
        )
        yield
        return
    by_name = isinstance(lock, SoftFileLock)  # filelock's fallback without flock
    try:
        with suppress(OSError):  # a full disk: then the holder is not recorded
            if not by_name:
                path.write_text(f"process {os.getpid()} on {platform.node()}\n", encoding="utf-8")
        yield
    finally:
        with suppress(OSError):  # Windows cannot remove an open file
            if not by_name:
                path.unlink()  # while it is held: a process that waits for it starts afresh
        lock.release()


def _acquire(lock: FileLock, path: Path, what: str, wait: float) -> None:
    from filelock import Timeout

    try:
        lock.acquire(timeout=wait)
        if not path.is_file():  # whoever held it removed it after it was opened here
            lock.release()
            lock.acquire(timeout=wait)
    except Timeout:
        holder = _holder(path)
        found = _HOLDER.fullmatch(holder)
        ended = found and found[2] == platform.node() and not _runs(int(found[1]))
        try:
            lock.acquire(timeout=_LOADERS_END if ended else 0)
        except Timeout:
            raise TakenError(
                f"{what}: {holder} writes there; wait until it has ended, or name another folder"
            ) from None


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"


def _runs(process: int) -> bool:
    if os.name == "nt":  # where ``os.kill`` ends a process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def remove_leftovers(folder: Path, of: str | None = None) -> None:
    """Remove partial files of killed writers; nobody else may be writing them now.

    Args:
        of: the file that they were writing; None: any in the folder.
    """
    for path in folder.glob(f".{glob.escape(of) if of else '*'}.*.tmp"):
        if _LEFTOVER.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            with suppress(OSError):
                path.unlink()


def check_file_to_write(path: Path) -> None:
    """Refuse a folder, and a file in a folder that does not exist, before the work begins.

    Raises:
        UserError: names the path.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: folder {path.parent} does not exist; make it and run again")


def write_error(error: OSError, path: Path) -> UserError:
    """The one line that a user needs when writing ``path`` failed with ``error``."""
    wrong, remedy = _REASONS.get(
        error.errno, (f"{error.strerror or error} on {{folder}}", "choose another folder")
    )
    doing = "" if path.name.endswith(LOCK) else f" while writing {path.name}"
    return UserError(f"{wrong.format(folder=path.parent)}{doing}; {remedy}")


def at_home(text: str) -> Path:
    """A path with ``~`` and ``~user`` replaced by a home; as it is where there is no such user."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  Path.expanduser raises there


def cache_folder() -> Path:
    """The folder for downloads and caches; it need not exist yet.

    Raises:
        UserError: there is no home folder and ``RES2NET_CACHE`` is not set.
    """
    given = os.environ.get("RES2NET_CACHE")
    try:
        return Path(given).expanduser() if given else Path.home() / ".cache" / "res2net"
    except RuntimeError as error:
        raise unusable_cache(given or "~/.cache/res2net", str(error)) from None


def unusable_cache(folder: str | Path, reason: str) -> UserError:
    """The error of an unusable cache, with how to choose another."""
    return UserError(
        f"the cache {folder} cannot be used ({reason}); set RES2NET_CACHE to a folder that you may "
        "write to"
    )
