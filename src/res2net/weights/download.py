"""One file from the web, whole and checked, or one line that says why not. No torch in here.

A download goes to ``FILE.part``, resumes there after any interruption, is checked against its hash
and only then renamed to ``FILE``. A lock lets two processes that want the same file fetch it once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from res2net.errors import UserError
from res2net.files import write_error, write_text
from res2net.weights.cache import sha256_of
from res2net.weights.transfer import BrokenOffError, Part, RefusedError, Show, silent, transfer

Sleep = Callable[[float], None]

_PROGRESS = 1 << 20  # bytes; an attempt that brought as much does not count as failed


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How hard a download tries."""

    rounds: int = 5  # times that every mirror is asked before giving up
    stall: float = 15.0  # seconds without a byte that count as a broken connection
    pause: float = 1.0  # seconds before the second round; doubles each round, ± half by chance
    longest_pause: float = 60.0  # seconds
    lock: float = 3600.0  # seconds to wait for another process that fetches the same file


def download(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str = "",
    patience: Patience | None = None,
    show: Show = silent,
    sleep: Sleep = time.sleep,
) -> Path:
    """Fetch a file unless it is there already; return ``target``.

    Args:
        urls: mirrors, in the order they are tried. http or https.
        sha256: leading hexadecimal digits that the file's sha256 must have; "" trusts the first
            download and remembers its hash beside it for later use.

    Raises:
        UserError: no mirror has it, a wrong hash everywhere, no space, no permission.
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
    """Whether the file is there with the promised hash; a damaged one is taken out of the way.

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
    """Where the hash of a downloaded file is kept."""
    return target.with_name(f"{target.name}.sha256")


def _remembered(target: Path) -> str:
    path = remembered_path(target)
    return path.read_text().strip() if path.is_file() else ""


@contextmanager
def _alone(target: Path, patience: Patience) -> Iterator[None]:
    """Hold the file's lock; the system frees it when a process dies."""
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        lock.acquire(timeout=patience.lock)
    except Timeout:
        raise UserError(
            f"another process has been fetching {target.name} for {patience.lock:.0f} s; "
            f"end it, or remove {lock.lock_file}"
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
    """Ask the mirrors in rounds until one gave the whole file."""
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
                    live.remove(url)  # twice out of reach
                failures[url] = str(error)
                advised = max(advised, error.wait)
                continue
            found = sha256_of(part.path)
            if found.startswith(sha256):
                _finish(part, target, found)
                return
            if part.conclusive:  # else bytes of two versions may have been joined, or some miss
                live.remove(url)
            failures[url] = f"wrong file (sha256 {found[:8]} instead of {sha256[:8]})"
            part.remove()
        if part.size < before + _PROGRESS:
            failed_rounds += 1
        if live and failed_rounds < patience.rounds:
            sleep(_pause(failed_rounds, advised, patience))
    reasons = "; ".join(f"{urlsplit(url).netloc}: {why}" for url, why in failures.items())
    kept = f"; {part.size:,} bytes are kept and resumed next time" if part.size else ""
    raise UserError(
        f"{target.name} could not be fetched ({reasons}){kept}. Set RES2NET_WEIGHTS_URL to a "
        f"mirror that you can reach, or put the file at {target}"
    )


def _pause(failed_rounds: int, advised: float, patience: Patience) -> float:
    """Seconds until the next round: exponential, by chance ± half, or what a server asked for."""
    backoff = patience.pause * 2 ** max(0, failed_rounds - 1) * random.uniform(0.5, 1.5)
    return min(max(backoff, advised), patience.longest_pause)


def _finish(part: Part, target: Path, sha256: str) -> None:
    """The checked file takes its name; what was remembered of its parts goes."""
    write_text(remembered_path(target), f"{sha256}\n")
    part.path.replace(target)
    part.remove()
