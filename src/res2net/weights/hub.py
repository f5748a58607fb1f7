"""Files of the Hugging Face hub, through its own library and into our cache."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from res2net.errors import UserError
from res2net.files import cache_folder
from res2net.weights.cache import check_hash, make_folder, offline

PREFIX = "hf-hub:"  # as timm writes it
FILES = ("model.safetensors", "pytorch_model.bin")  # in this order
_ADDRESS = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in the cache, and the version that it is."""

    path: Path
    revision: str  # commit of its repository


def parse_address(address: str) -> tuple[str, str | None]:
    """``OWNER/NAME[@REVISION]`` as (repository, revision).

    Raises:
        UserError: not of that form.
    """
    found = _ADDRESS.fullmatch(address.removeprefix(PREFIX))
    if not found:
        raise UserError(
            f"{address!r} is no address on the hub; it must be {PREFIX}OWNER/NAME or "
            f"{PREFIX}OWNER/NAME@REVISION"
        )
    return found["repository"], found["revision"]


def fetch_from_hub(
    repository: str,
    *,
    revision: str | None = None,
    files: tuple[str, ...] = FILES,
) -> HubFile:
    """The weights in a repository: the first of ``files`` that it has.

    Every version has its own place in the cache, so two of them never mix; without a revision it is
    the newest, and offline the newest that was fetched. ``HF_ENDPOINT`` is another hub to ask.

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
        except Exception as error:  # it passes on whatever its HTTP library raises
            raise _failure(repository, error) from None
        return _checked(Path(path))
    where = "in the cache, and RES2NET_OFFLINE is set" if offline() else "in it"
    raise UserError(f"{PREFIX}{repository}: none of {', '.join(files)} is {where}")


def _checked(path: Path) -> HubFile:
    """The file, its hash compared with the one that the hub names it by."""
    blob = path.resolve().name
    if _SHA256.fullmatch(blob):
        check_hash(path, blob, "the hub")
    parts = path.parts
    return HubFile(path, parts[parts.index("snapshots") + 1] if "snapshots" in parts else "")


def _failure(repository: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{PREFIX}{repository} could not be fetched ({reason[:300]})")
