"""From a row of the catalogue, an address or a hub repository to a checked file on this machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from res2net.errors import UserError
from res2net.files import cache_folder, write_error
from res2net.weights.cache import (
    make_folder,
    offline,
    promised_hash,
    with_mirror,
)
from res2net.weights.catalogue import WeightFile
from res2net.weights.download import Patience, download, is_whole
from res2net.weights.hub import fetch_from_hub
from res2net.weights.progress import shown


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on this machine."""

    path: Path
    revision: str = ""  # of a hub file


def fetch(row: WeightFile, *, patience: Patience | None = None) -> Fetched:
    """The file of a row, from the cache where it is there.

    Raises:
        UserError: it cannot be had; says why and what to do.
    """
    if row.hub:
        found = fetch_from_hub(row.hub, files=(row.file,))
        return Fetched(found.path, found.revision)
    target = cache_folder() / row.file
    urls = with_mirror(row.urls, row.file)
    return Fetched(_cached(urls, target, row.sha256, row.name, patience))


def fetch_url(url: str, *, patience: Patience | None = None) -> Fetched:
    """A file of weights at an address; each address has its own place in the cache.

    A name that ends in the digits of its hash (``NAME-0123abcd.pth``) is held to it.

    Raises:
        UserError: it cannot be had; says why and what to do.
    """
    file = PurePosixPath(unquote(urlsplit(url).path)).name
    if not file:
        raise UserError(f"{url}: no file name in this address")
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
            f"{target.name} is not in the cache and RES2NET_OFFLINE is set; fetch it where there "
            f"is a network (`res2net weights fetch {name}`) and copy it to {target}"
        )
    make_folder(target.parent)
    with shown(target.name) as show:
        return download(urls, target, sha256=sha256, patience=patience, show=show)
