"""The index of one WebDataset shard: positions and labels of the images in a tar file.

A tar is scanned once; its index is cached.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data import archive, bands, photo
from res2net.data.files import some
from res2net.data.foreign import LARGEST, check_file, in_gib
from res2net.data.packed import ROW, Rows, Shard
from res2net.errors import UserError
from res2net.files import cache_folder, write_bytes

_KINDS = ("cls", "json", "txt")  # suffixes of labels, in order of precedence
_KEYS = ("label", "class", "cls")  # keys of a label in JSON
_LONGEST = 200  # characters of a label; a longer text is a caption
_SMALL = 1 << 20  # largest label file in bytes
_FORM = 1  # version of the index
_SNIFFED = 20  # members of a tar that decide whether it is a shard


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """Samples of a shard."""

    rows: Rows  # (N,), with offsets of names in ``names``
    names: bytes  # of the images, concatenated
    keys: npt.NDArray[np.uint64]  # (N,) hashes of the keys
    codes: npt.NDArray[np.int32]  # (N,) index into ``labels``
    labels: list[str]
    faults: list[tuple[str, str]]  # (key, reason); key "": the shard itself


@dataclass(slots=True)
class _Sample:
    """The members of a shard under one key."""

    images: list[tuple[str, str, int, int]] = field(default_factory=list)  # suffix, name, place
    texts: dict[str, bytes] = field(default_factory=dict)  # suffix → content
    fault: str = ""


class FaultError(Exception):
    """Why a sample cannot be used."""


def index_of(path: Path) -> tuple[Shard, Index]:
    """The index of a shard, cached as long as the file is unchanged."""
    check_file(path)
    found = path.stat()
    shard = Shard(path, found.st_size, found.st_mtime_ns)
    name = hashlib.blake2b(os.fsencode(path.resolve()), digest_size=12).hexdigest()
    kept: Path | None = None
    with suppress(UserError):
        kept = cache_folder() / "shards" / f"{name}.npz"
    index = _kept(kept, shard)
    if index is None:
        index = _made(shard)
        if kept is not None:
            _keep(kept, shard, index)
    return shard, index


def is_shard(file: Path) -> bool:
    """Whether the first members of a file are an image and its label."""
    names = []
    with suppress(UserError):
        for _, entry in islice(archive.entries(file), _SNIFFED):
            names += [entry.name.removeprefix("./")] if entry.isfile() else []
    keys = {_key(name)[0] for name in names if _is_image(name)}
    return any(_kind(name) in _KINDS and _key(name)[0] in keys for name in names)


def _kept(file: Path | None, shard: Shard) -> Index | None:
    if file is None:
        return None
    damaged = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
    with suppress(*damaged), np.load(io.BytesIO(file.read_bytes())) as held:
        if held["stamp"].tolist() != [_FORM, shard.size, shard.time]:
            return None
        words = json.loads(held["words"].tobytes())
        return Index(
            rows=held["rows"],
            names=held["names"].tobytes(),
            keys=held["keys"],
            codes=held["codes"],
            labels=words["labels"],
            faults=[(key, why) for key, why in words["faults"]],
        )
    return None


def _keep(file: Path, shard: Shard, index: Index) -> None:
    buffer = io.BytesIO()
    words = json.dumps({"labels": index.labels, "faults": index.faults}).encode()
    np.savez(
        buffer,
        stamp=np.array([_FORM, shard.size, shard.time], np.int64),
        rows=index.rows,
        names=np.frombuffer(index.names, np.uint8),
        keys=index.keys,
        codes=index.codes,
        words=np.frombuffer(words, np.uint8),
    )
    with suppress(OSError, UserError):  # then it is rebuilt
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, buffer.getvalue())


def _made(shard: Shard) -> Index:
    """Scan a shard for its index; errors in samples become faults."""
    samples: dict[str, _Sample] = {}
    faults: list[tuple[str, str]] = []
    try:
        for tar, entry in archive.entries(shard.path):
            entry.name = entry.name.removeprefix("./")
            base = entry.name.rpartition("/")[2]
            if not entry.isdir() and not base.startswith((".", "__")):
                key, ending = _key(entry.name)
                _add(samples.setdefault(key, _Sample()), tar, entry, ending, shard.size)
    except UserError as error:
        faults.append(("", str(error).removeprefix(f"{shard.path}: ")))
    numbers: dict[str, int] = {}
    rows, names, keys, codes, start = [], [], [], [], 0
    for key, sample in samples.items():
        try:
            for image, label in _labelled(sample):
                _, name, offset, size = image
                encoded = os.fsencode(name)
                rows.append((0, len(encoded), offset, size, start))
                start += len(encoded)
                names.append(encoded)
                keys.append(_hashed(name.rpartition(".")[0]))
                codes.append(numbers.setdefault(label, len(numbers)))
        except FaultError as fault:
            faults.append((key, str(fault)))
    return Index(
        rows=np.array(rows, ROW),
        names=b"".join(names),
        keys=np.array(keys, np.uint64),
        codes=np.array(codes, np.int32),
        labels=list(numbers),
        faults=faults,
    )


def _hashed(key: str) -> int:
    digest = hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _key(name: str) -> tuple[str, str]:
    """Key and suffix of a member: WebDataset's key ends at the first dot of the file name."""
    folder, slash, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _kind(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _is_image(name: str) -> bool:
    return f".{_kind(name)}" in photo.EXTENSIONS


def _add(sample: _Sample, tar: Any, entry: Any, ending: str, end: int) -> None:
    """Add a member of a tar to its sample."""
    kind = _kind(ending)
    if not _is_image(ending) and kind not in _KINDS:
        return
    if not entry.isfile():
        sample.fault = f"{entry.name} is a link or a device, not a file"
    elif ending in sample.texts or any(ending == each[0] for each in sample.images):
        sample.fault = f"{entry.name} occurs twice"
    elif _is_image(ending):
        if entry.size > LARGEST:
            sample.fault = f"too large ({in_gib(entry.size)}; at most {in_gib(LARGEST)})"
        elif not entry.size or entry.offset_data + entry.size > end:
            sample.fault = f"{entry.name} is {'truncated' if entry.size else 'empty (0 bytes)'}"
        sample.images.append((ending, entry.name, entry.offset_data, entry.size))
    elif entry.size <= _SMALL:
        with tar.extractfile(entry) as file:
            sample.texts[ending] = file.read()


def _labelled(sample: _Sample) -> Iterator[tuple[tuple[str, str, int, int], str]]:
    """The images of a sample with their labels: one, or several with separate labels.

    Raises:
        FaultError: no image, no label, or more than one.
    """
    if sample.fault:
        raise FaultError(sample.fault)
    arrays = [each for each in sample.images if each[0].endswith(bands.ENDING.removeprefix("."))]
    images = [each for each in sample.images if each not in arrays] or arrays
    plain = [each for each in images if "." not in each[0]]
    images = plain if len(plain) == 1 else images  # KEY.jpg beside KEY.mask.png
    if not images:
        raise FaultError("no image")
    own = [_texts(sample.texts, each[0].rpartition(".")[0]) for each in images]
    if len(images) > 1 and (plain or not all(own)):
        raise FaultError(f"{len(images)} images ({some([each[1] for each in images])})")
    for image, texts in zip(images, own, strict=True):
        yield image, _label(texts or sample.texts)


def _texts(texts: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    """The label files of KEY.v2.jpg: KEY.v2.cls and the like."""
    names = {kind: f"{prefix}.{kind}" if prefix else kind for kind in _KINDS}
    return {kind: texts[name] for kind, name in names.items() if name in texts}


def _label(texts: Mapping[str, bytes]) -> str:
    """The label of a sample, from its files.

    Raises:
        FaultError: no label, or two different ones.
    """
    found = {kind: _words(texts[kind], kind) for kind in _KINDS if kind in texts}
    told = {kind: text for kind, text in found.items() if text is not None}
    if not told:
        raise FaultError(
            "no label (neither .cls nor .txt, nor label, class or cls in .json)"
            if not found
            else f"no label in its .{' and .'.join(found)}"
        )
    one, other = told.get("cls", ""), told.get("json", "")
    if one.isdecimal() and other.isdecimal() and one != other:
        raise FaultError(f"two labels: {one} in .cls, {other} in .json")
    label = next(iter(told.values()))
    if len(label) > _LONGEST or "\n" in label:
        raise FaultError(f"no label, but a text of {len(label)} characters")
    return label


def _words(data: bytes, kind: str) -> str | None:
    try:
        text = data.decode("utf-8-sig").strip()
        value: object = text
        if kind == "json":
            value = json.loads(text)
            if isinstance(value, dict):
                value = next((value[key] for key in _KEYS if key in value), None)
    except (ValueError, RecursionError):
        raise FaultError(f"its .{kind} is not {'JSON' if kind == 'json' else 'text'}") from None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        return None
    words = str(value).strip()
    return str(int(words)) if re.fullmatch(r"[0-9]{1,18}", words) else words
