"""Download a catalogue entry, a URL or a hub repository to a checked file in the cache.

``RES2NET_CACHE`` is the folder (default ``~/.cache/res2net``), ``RES2NET_WEIGHTS_URL`` a mirror to
try first, and ``RES2NET_OFFLINE=1`` disables network access. No torch in here.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from res2net.card import WEIGHTS_NAME
from res2net.errors import UserError, printable
from res2net.files import cache_folder, unusable_cache, write_error
from res2net.weights.catalogue import WeightFile
from res2net.weights.download import Patience, Show, download, is_whole, sha256_of, silent

PREFIX = "hf-hub:"  # as in timm
HUB_FILES = (WEIGHTS_NAME, "pytorch_model.bin")  # in this order
_ADDRESS = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PROMISE = re.compile(r"-([0-9a-f]{8,64})\.[A-Za-z]+$")  # torch.hub: NAME-<hash digits>.pth


@dataclass(frozen=True, slots=True)
class Fetched:
    """A local file."""

    path: Path
    revision: str = ""  # commit of its hub repository


def fetch(row: WeightFile, *, patience: Patience | None = None) -> Fetched:
    """The file of a row, from the cache if possible.

    Raises:
        UserError: it is not available; the message has the reason and the remedy.
    """
    if row.hub:
        return fetch_from_hub(row.hub, files=(row.file,))
    target = cache_folder() / row.file
    urls = with_mirror(row.urls, row.file)
    return Fetched(_cached(urls, target, row.sha256, row.name, patience))


def fetch_url(url: str, *, patience: Patience | None = None) -> Fetched:
    """A weight file at a URL; each URL has its own place in the cache.

    The hash in a name such as ``NAME-0123abcd.pth`` is verified.

    Raises:
        UserError: it is not available; the message has the reason and the remedy.
    """
    file = PurePosixPath(unquote(urlsplit(url).path)).name
    if not file:
        raise UserError(f"{url}: no file name in this URL")
    target = cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:12] / file
    return Fetched(_cached((url,), target, promised_hash(file), url, patience))


def _cached(
    urls: tuple[str, ...], target: Path, sha256: str, name: str, patience: Patience | None
) -> Path:
    try:
        if is_whole(target, sha256):
            return target
    except OSError as error:
        raise write_error(error, target) from error
    if offline():
        raise UserError(
            f"{target.name} is not in the cache and RES2NET_OFFLINE is set; download it on a "
            f"machine with network (`res2net weights fetch {name}`) and copy it to {target}"
        )
    make_folder(target.parent)
    with shown(target.name) as show:
        return download(urls, target, sha256=sha256, patience=patience, show=show)


# ---------------------------------------------------------------- the cache


def make_folder(folder: Path) -> None:
    """Create a writable folder in the cache.

    Raises:
        UserError: it cannot be created or written; the message tells how to choose another.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable_cache(folder, error.strerror or str(error)) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise unusable_cache(folder, "permission denied")


def offline() -> bool:
    """Whether network access is disabled.

    Raises:
        UserError: ``RES2NET_OFFLINE`` has an invalid value.
    """
    value = os.environ.get("RES2NET_OFFLINE", "").strip().lower()
    if value in ("", "0", "false", "no", "off"):
        return False
    if value in ("1", "true", "yes", "on"):
        return True
    raise UserError(f"RES2NET_OFFLINE is {value!r}; it must be 1 or 0")


def with_mirror(urls: tuple[str, ...], file: str) -> tuple[str, ...]:
    """The URLs of a file, with the user's mirror first if one is set."""
    mirror = os.environ.get("RES2NET_WEIGHTS_URL", "").strip()
    return (f"{mirror.rstrip('/')}/{file}", *urls) if mirror else urls


def promised_hash(file: str) -> str:
    """The leading sha256 digits in a file's name (torch.hub convention); "" if none."""
    found = _PROMISE.search(file)
    return found.group(1) if found else ""


def check_hash(path: Path, promised: str, what: str) -> str:
    """The sha256 of a file, verified to begin with ``promised``.

    Raises:
        UserError: the hash is wrong.
    """
    found = sha256_of(path)
    if not found.startswith(promised):
        raise UserError(
            f"{path}: its sha256 begins with {found[: len(promised)]}, but {what} has "
            f"{promised}: damaged or changed; download it again, or rename it"
        )
    return found


# ---------------------------------------------------------------- the Hugging Face hub


def parse_address(address: str) -> tuple[str, str | None]:
    """``OWNER/NAME[@REVISION]`` as (repository, revision).

    Raises:
        UserError: not of this form.
    """
    found = _ADDRESS.fullmatch(address.removeprefix(PREFIX))
    if not found:
        raise UserError(
            f"{address!r} is not a hub address; it must be {PREFIX}OWNER/NAME or "
            f"{PREFIX}OWNER/NAME@REVISION"
        )
    return found["repository"], found["revision"]


def fetch_from_hub(
    repository: str,
    *,
    revision: str | None = None,
    files: tuple[str, ...] = HUB_FILES,
) -> Fetched:
    """The weights in a repository: the first of ``files`` that exists.

    Every version has its own place in the cache; without a revision it is the newest, and offline
    the newest that was downloaded. ``HF_ENDPOINT`` selects another hub.

    Raises:
        UserError: no such repository, revision or file; no network; no huggingface_hub.
    """
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ModuleNotFoundError:
        raise UserError(
            f"{PREFIX}{repository} needs huggingface_hub: pip install 'res2net[hub]'"
        ) from None
    folder = cache_folder() / "hub"
    if not offline():
        make_folder(folder)
    for file in files:
        try:
            path = hf_hub_download(
                repository,
                file,
                revision=revision,
                cache_dir=folder,
                local_files_only=offline(),
                endpoint=os.environ.get("HF_ENDPOINT") or None,
            )
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError) and not offline():
                raise _failure(repository, error) from None
            continue
        except Exception as error:  # it lets errors of its HTTP library through
            raise _failure(repository, error) from None
        return _checked(Path(path))
    where = "in the cache, and RES2NET_OFFLINE is set" if offline() else "in it"
    raise UserError(f"{PREFIX}{repository}: none of {', '.join(files)} is {where}")


def _checked(path: Path) -> Fetched:
    """The file, after its hash is compared with the hub's."""
    blob = path.resolve().name
    if _SHA256.fullmatch(blob):
        check_hash(path, blob, "the hub")
    parts = path.parts
    return Fetched(path, parts[parts.index("snapshots") + 1] if "snapshots" in parts else "")


def _failure(repository: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{PREFIX}{repository} could not be downloaded ({reason[:300]})")


@contextmanager
def shown(file: str) -> Iterator[Show]:
    """A callback that shows the bytes so far and the total on standard error."""
    if not sys.stderr.isatty():
        print(printable(f"fetching {file}"), file=sys.stderr)
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(file, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
