"""Download one file completely, with a hash check, or fail with one line. No torch in here.

A download goes to ``FILE.part``, resumes there after any interruption, is checked against its hash
and only then renamed to ``FILE``. A lock makes concurrent processes download a file only once.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

import res2net
from res2net.errors import UserError
from res2net.files import write_error, write_text

Sleep = Callable[[float], None]
Show = Callable[[int, int | None], None]  # bytes so far, total bytes if known

_PASSING = {408, 425, 429, 500, 502, 503, 504}  # a later attempt may succeed
_CHUNK = 1 << 16  # bytes
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_PROGRESS = 1 << 20  # bytes; an attempt with this progress does not count as failed


def silent(_done: int, _total: int | None) -> None:
    """Show nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """Retry limits of a download."""

    rounds: int = 5  # attempts per mirror before giving up
    stall: float = 15.0  # seconds without data until a connection counts as broken
    pause: float = 1.0  # seconds before the second round; doubles each round, with ± 50 % jitter
    longest_pause: float = 60.0  # seconds
    lock: float = 3600.0  # seconds to wait for another process with the same file


def download(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str = "",
    patience: Patience | None = None,
    show: Show = silent,
    sleep: Sleep = time.sleep,
) -> Path:
    """Download a file unless it exists already; return ``target``.

    Args:
        urls: mirrors, in the order they are tried. http or https.
        sha256: required leading hexadecimal digits of the file's sha256; "" trusts the first
            download and stores its hash beside it for later checks.

    Raises:
        UserError: no mirror has it, all hashes are wrong, no space, no permission.
    """
    patience = patience or Patience()
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https"):
            raise UserError(f"{url}: only http and https addresses can be fetched")
    try:
        with _alone(target, patience):
            if not is_whole(target, sha256):
                _fetch(urls, target, sha256, patience, show, sleep)
    except OSError as error:
        raise write_error(error, target) from error
    return target


def is_whole(target: Path, sha256: str = "") -> bool:
    """Whether the file exists with the expected hash; a damaged one is removed.

    Raises:
        OSError: it cannot be removed.
    """
    if not target.is_file():
        return False
    promised = sha256 or _remembered(target)
    if promised and not sha256_of(target).startswith(promised):
        target.unlink()
        return False
    return True


def remembered_path(target: Path) -> Path:
    """Path of the stored hash of a downloaded file."""
    return target.with_name(f"{target.name}.sha256")


def _remembered(target: Path) -> str:
    path = remembered_path(target)
    return path.read_text().strip() if path.is_file() else ""


@contextmanager
def _alone(target: Path, patience: Patience) -> Iterator[None]:
    """Hold the file's lock; the system releases it when a process dies."""
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        lock.acquire(timeout=patience.lock)
    except Timeout:
        raise UserError(
            f"another process has been downloading {target.name} for {patience.lock:.0f} s; "
            f"stop it, or delete {lock.lock_file}"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _fetch(
    urls: Sequence[str],
    target: Path,
    sha256: str,
    patience: Patience,
    show: Show,
    sleep: Sleep,
) -> None:
    """Try the mirrors in rounds until one delivers the whole file."""
    live, failures = list(dict.fromkeys(urls)), dict[str, str]()
    part = Part(target.with_name(f"{target.name}.part"), any_mirror=bool(sha256))
    failed_rounds = 0
    while live and failed_rounds < patience.rounds:
        before, advised = part.size, 0.0
        for url in tuple(live):
            try:
                transfer(url, part, stall=patience.stall, show=show)
            except RefusedError as error:
                live.remove(url)
                failures[url] = str(error)
                continue
            except BrokenOffError as error:
                if not error.reached and url in failures:
                    live.remove(url)  # unreachable twice
                failures[url] = str(error)
                advised = max(advised, error.wait)
                continue
            found = sha256_of(part.path)
            if found.startswith(sha256):
                _finish(part, target, found)
                return
            if part.conclusive:  # else bytes of two versions may be mixed, or some missing
                live.remove(url)
            failures[url] = f"wrong file (sha256 {found[:8]} instead of {sha256[:8]})"
            part.remove()
        if part.size < before + _PROGRESS:
            failed_rounds += 1
        if live and failed_rounds < patience.rounds:
            sleep(_pause(failed_rounds, advised, patience))
    reasons = "; ".join(f"{urlsplit(url).netloc}: {why}" for url, why in failures.items())
    kept = f"; {part.size:,} bytes are kept for resuming" if part.size else ""
    raise UserError(
        f"{target.name} could not be downloaded ({reasons}){kept}. Set RES2NET_WEIGHTS_URL to a "
        f"mirror that you can reach, or put the file at {target}"
    )


def _pause(failed_rounds: int, advised: float, patience: Patience) -> float:
    """Seconds until the next round: exponential with ± 50 % jitter, or as a server requested."""
    backoff = patience.pause * 2 ** max(0, failed_rounds - 1) * random.uniform(0.5, 1.5)
    return min(max(backoff, advised), patience.longest_pause)


def _finish(part: Part, target: Path, sha256: str) -> None:
    """Rename the checked file and delete the record of its parts."""
    write_text(remembered_path(target), f"{sha256}\n")
    part.path.replace(target)
    part.remove()


def sha256_of(path: Path) -> str:
    """The sha256 of a file, 64 hexadecimal digits.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


# ---------------------------------------------------------------- one connection


class RefusedError(Exception):
    """The URL does not provide the file."""


class BrokenOffError(Exception):
    """The transfer failed, and a later attempt may succeed.

    Args:
        wait: seconds requested by the server.
        reached: whether the server answered at all.
    """

    def __init__(self, reason: str, *, wait: float = 0.0, reached: bool = True) -> None:
        super().__init__(reason)
        self.wait = wait
        self.reached = reached


@dataclass(frozen=True, slots=True)
class _Origin:
    """Source of a part."""

    url: str
    validator: str  # the server's ETag or date of this version, "" if none
    total: int | None  # bytes


class Part:
    """A partial file: ``FILE.part``, with its source in ``FILE.part.json``.

    Args:
        any_mirror: bytes of different mirrors may be combined, since a hash is checked.
    """

    def __init__(self, path: Path, *, any_mirror: bool) -> None:
        self.path = path
        self.any_mirror = any_mirror
        self.conclusive = False  # one complete transfer: a wrong hash is final
        self._about = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """Number of bytes present."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self) -> _Origin | None:
        """The source of the bytes present; None if they cannot be resumed."""
        try:
            values = json.loads(self._about.read_text())
            return _Origin(values["url"], values["validator"], values["total"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, origin: _Origin) -> None:
        """Record the source of the bytes."""
        values = {"url": origin.url, "validator": origin.validator, "total": origin.total}
        write_text(self._about, json.dumps(values))

    def remove(self) -> None:
        """Delete the part and its record."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)


def transfer(url: str, part: Part, *, stall: float, show: Show) -> None:
    """Download the rest of a file; on return the part is complete according to the server.

    Raises:
        RefusedError: the server refuses it.
        BrokenOffError: interrupted; the received bytes are kept in the part.
        OSError: it cannot be written.
    """
    origin = part.origin()
    may_join = origin is not None and (
        part.any_mirror or (origin.url == url and bool(origin.validator))
    )
    offset = part.size if may_join else 0
    part.conclusive = False
    headers = {"User-Agent": f"res2net/{res2net.__version__}", "Accept-Encoding": "identity"}
    if origin is not None and offset:
        headers["Range"] = f"bytes={offset}-"
        if origin.url == url and origin.validator:
            headers["If-Range"] = origin.validator
    try:
        response = urlopen(Request(url, headers=headers), timeout=stall)
    except HTTPError as error:
        _explain(error, part, offset)
    except URLError as error:
        raise BrokenOffError(f"not reachable ({error.reason})", reached=False) from None
    except TimeoutError:
        raise BrokenOffError(f"no answer in {stall:g} s", reached=False) from None
    except (http.client.InvalidURL, ValueError):
        raise RefusedError("not a valid URL") from None
    except (http.client.HTTPException, OSError) as error:
        raise BrokenOffError(_text(error)) from None
    else:
        with response:
            _receive(response, url, part, offset, stall, show)


def _explain(error: HTTPError, part: Part, offset: int) -> None:
    """Translate the server's refusal; return if it means that the file is complete."""
    with error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if error.headers.get("Content-Range") == f"bytes */{offset}":
                return  # the part is complete already
            part.remove()
            raise BrokenOffError("it has another version of the file now")
        reason = f"{error.code} {error.reason}"
        if error.code in _PASSING:
            wait = error.headers.get("Retry-After", "")
            raise BrokenOffError(reason, wait=float(wait) if wait.isdecimal() else 0.0)
        raise RefusedError(reason)


def _receive(response: Any, url: str, part: Part, offset: int, stall: float, show: Show) -> None:
    """Append the body to the part, or start again if the server sends the whole file."""
    headers = response.headers
    if headers.get_content_type() == "text/html":
        raise RefusedError("a web page instead of the file")
    length = headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        total = _check_range(headers.get("Content-Range", ""), part, offset)
    else:
        offset = 0
    if total is not None and shutil.disk_usage(part.path.parent).free < total - offset:
        raise OSError(errno.ENOSPC, "No space left on device")
    validator = headers.get("ETag", "")
    if not validator or validator.startswith("W/"):  # a weak ETag does not guarantee equal bytes
        validator = headers.get("Last-Modified", "")
    with part.path.open("ab" if offset else "wb") as file:
        part.remember(_Origin(url, validator, total))
        done = offset
        while chunk := _read(response, stall):
            file.write(chunk)
            done += len(chunk)
            show(done, total)
    if total is not None and done != total:
        raise BrokenOffError(f"interrupted after {done:,} of {total:,} bytes")
    part.conclusive = offset == 0 and total is not None


def _check_range(text: str, part: Part, offset: int) -> int | None:
    """The size of the whole file, after a check that the server sends the requested range."""
    found = _RANGE.fullmatch(text)
    if not found or int(found.group(1)) != offset:
        part.remove()
        raise BrokenOffError("it sent another range than requested")
    total = None if found.group(2) == "*" else int(found.group(2))
    origin = part.origin()
    if origin and origin.total and total and origin.total != total:
        part.remove()
        raise BrokenOffError("it has another version of the file")
    return total


def _read(response: Any, stall: float) -> bytes:
    """Read the next bytes; catches only errors of the network, not of the disk."""
    try:
        chunk: bytes = response.read1(_CHUNK)
        return chunk
    except TimeoutError:
        raise BrokenOffError(f"no data in {stall:g} s") from None
    except (http.client.HTTPException, OSError) as error:
        raise BrokenOffError(_text(error)) from None


def _text(error: Exception) -> str:
    """A short description of an error."""
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
