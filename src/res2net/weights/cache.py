"""Where downloaded weights lie, and what the environment says about fetching them.

``RES2NET_CACHE`` is the folder (``~/.cache/res2net``), ``RES2NET_WEIGHTS_URL`` a mirror that is
asked first, ``RES2NET_OFFLINE=1`` keeps off the network.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from res2net.errors import UserError
from res2net.files import unusable_cache

_PROMISE = re.compile(r"-([0-9a-f]{8,64})\.[A-Za-z]+$")  # torch.hub: NAME-<hash digits>.pth
_CHUNK = 1 << 20  # bytes


def make_folder(folder: Path) -> None:
    """Make a folder of the cache ready to be written to.

    Raises:
        UserError: it cannot be made or written to; says how to choose another.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable_cache(folder, error.strerror or str(error)) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise unusable_cache(folder, "permission denied")


def offline() -> bool:
    """Whether the network is off limits.

    Raises:
        UserError: ``RES2NET_OFFLINE`` is neither yes nor no.
    """
    value = os.environ.get("RES2NET_OFFLINE", "").strip().lower()
    if value in ("", "0", "false", "no", "off"):
        return False
    if value in ("1", "true", "yes", "on"):
        return True
    raise UserError(f"RES2NET_OFFLINE is {value!r}; it must be 1 or 0")


def with_mirror(urls: tuple[str, ...], file: str) -> tuple[str, ...]:
    """The addresses of a file, the user's mirror first where one is set."""
    mirror = os.environ.get("RES2NET_WEIGHTS_URL", "").strip()
    return (f"{mirror.rstrip('/')}/{file}", *urls) if mirror else urls


def promised_hash(file: str) -> str:
    """The leading digits of the sha256 that a file's name promises (torch.hub); "" for none."""
    found = _PROMISE.search(file)
    return found.group(1) if found else ""


def sha256_of(path: Path) -> str:
    """The sha256 of a file, 64 hexadecimal digits.

    Raises:
        UserError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()


def check_hash(path: Path, promised: str, what: str) -> str:
    """The sha256 of a file, which must begin with ``promised``.

    Raises:
        UserError: it does not.
    """
    found = sha256_of(path)
    if not found.startswith(promised):
        raise UserError(
            f"{path}: its sha256 begins with {found[: len(promised)]}, but {what} promises "
            f"{promised}: damaged or changed; fetch it again, or rename it"
        )
    return found
