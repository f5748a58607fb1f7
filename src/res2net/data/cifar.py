"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in the official python layout."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from res2net.data.archive import first_name, members
from res2net.data.foreign import LARGEST, check_file
from res2net.data.labelled import LabelledImages, Labels, Pixels, ReadOptions, Split
from res2net.data.pickled import read_arrays
from res2net.errors import UserError
from res2net.files import cache_folder

SIDE = 32  # pixels
_KEY = "archive"  # entry of the cached file: the archive that it was read from


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Layout of one of the two data sets in its official archive."""

    archive: str  # name of the archive without its suffix
    folder: str  # its top folder
    train: tuple[str, ...]  # files of the training images, in order
    test: str
    meta: str  # file of the class names
    label_key: str
    name_key: str
    torchvision: str  # class of torchvision.datasets that downloads it

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, self.test, self.meta)


LAYOUTS = {
    "cifar10": Layout(
        archive="cifar-10-python",
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{i}" for i in range(1, 6)),
        test="test_batch",
        meta="batches.meta",
        label_key="labels",
        name_key="label_names",
        torchvision="CIFAR10",
    ),
    "cifar100": Layout(
        archive="cifar-100-python",
        folder="cifar-100-python",
        train=("train",),
        test="test",
        meta="meta",
        label_key="fine_labels",
        name_key="fine_label_names",
        torchvision="CIFAR100",
    ),
}
ARCHIVE_ENDINGS = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar")


def read_cifar10(path: Path, options: ReadOptions) -> LabelledImages:
    """CIFAR-10: 50,000 training and 10,000 test images of 32x32, 10 classes."""
    return _read("cifar10", path, options)


def read_cifar100(path: Path, options: ReadOptions) -> LabelledImages:
    """CIFAR-100: 50,000 training and 10,000 test images of 32x32, 100 (fine) classes."""
    return _read("cifar100", path, options)


def recognise(path: Path) -> list[str]:
    """The data sets at a path: an extracted folder, an archive, or a folder that holds either."""
    return [name for name, layout in LAYOUTS.items() if _find(path, layout) is not None]


def _read(name: str, path: Path, options: ReadOptions) -> LabelledImages:
    layout = LAYOUTS[name]
    found = _find(path, layout)
    if found is None and options.download:
        _download(path, layout)
        found = _find(path, layout)
    if found is None:
        raise UserError(
            f"{path}: no folder {layout.folder} and no {layout.archive}.tar.gz or .tar.xz there; "
            "name the folder that holds one of them, or train with --input.download true"
        )
    arrays = _read_folder(found, layout) if found.is_dir() else _read_archive(found, layout)
    return LabelledImages(
        name=name,
        classes=tuple(str(word) for word in arrays["classes"]),
        train=Split(images=arrays["train_images"], labels=arrays["train_labels"]),
        val=Split(images=arrays["test_images"], labels=arrays["test_labels"]),
        native_size=SIDE,
        validation="test",
    )


def _find(path: Path, layout: Layout) -> Path | None:
    """The extracted folder (first choice) or the archive that ``path`` is or holds."""
    if path.is_file():
        return path if _is_archive_of(path, layout) else None
    for folder in (path, path / layout.folder):
        if all((folder / name).is_file() for name in layout.files):
            return folder
    archives = (path / (layout.archive + ending) for ending in ARCHIVE_ENDINGS)
    return next((file for file in archives if file.is_file()), None)


def _is_archive_of(path: Path, layout: Layout) -> bool:
    """Whether the first member is in the layout's folder; nothing else is unpacked."""
    if not path.name.endswith(ARCHIVE_ENDINGS):
        return False
    first = first_name(path)
    if first is None:  # reading it reports the reason
        return path.name.startswith(layout.archive)
    return layout.folder in Path(first).parts


def _read_folder(folder: Path, layout: Layout) -> dict[str, Any]:
    def load(name: str) -> Mapping[str, Any]:
        check_file(folder / name, largest=LARGEST)
        return _unpickle((folder / name).read_bytes(), folder / name)

    return _to_arrays(load, layout, folder)


def _read_archive(path: Path, layout: Layout) -> dict[str, Any]:
    """The arrays of an archive, unpacked in memory and then cached."""
    cached = _kept(path)
    if cached is not None:
        return cached
    held: dict[str, bytes] = {}
    for member in members(path, lambda name: Path(name).name in layout.files):
        if member.fault:
            raise UserError(f"{path}/{member.name}: {member.fault}")
        held[Path(member.name).name] = member.data

    def load(name: str) -> Mapping[str, Any]:
        if name not in held:
            raise UserError(f"{path}: the archive has no file {name}")
        return _unpickle(held.pop(name), path / name)

    arrays = _to_arrays(load, layout, path)
    _keep(path, arrays)
    return arrays


def _kept(archive: Path) -> dict[str, Any] | None:
    """The arrays that :func:`_keep` cached; None if there are none or the archive has changed."""
    try:
        with np.load(_cache_file(archive), allow_pickle=False) as stored:
            if str(stored[_KEY]) != _stamp(archive):
                return None
            return {name: stored[name] for name in stored.files if name != _KEY}
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _keep(archive: Path, arrays: Mapping[str, Any]) -> None:
    """Cache the arrays: unpacking takes ten seconds, reading them back 0.1 s.

    If the cache is not writable, the archive is unpacked again next time.
    """
    temporary = None
    try:
        target = _cache_file(archive)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            np.savez(file, allow_pickle=False, **{_KEY: np.array(_stamp(archive)), **arrays})
        temporary.replace(target)
    except (OSError, RuntimeError, UserError):  # no room, no right to write, no home
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _cache_file(archive: Path) -> Path:
    """The cache file of an archive."""
    digest = hashlib.sha256(os.fsencode(archive.resolve())).hexdigest()[:16]
    return cache_folder() / f"cifar-{digest}.npz"


def _stamp(archive: Path) -> str:
    found = archive.stat()
    return f"{archive.resolve()} {found.st_size} {found.st_mtime_ns}"


def _to_arrays(
    load: Callable[[str], Mapping[str, Any]], layout: Layout, where: Path
) -> dict[str, Any]:
    """Images uint8 (N, 32, 32, 3), labels int64 (N,) of train and test, and the class names."""
    try:
        classes = np.array([str(name) for name in load(layout.meta)[layout.name_key]])
        train = [_batch(load(name), layout) for name in layout.train]
        test = _batch(load(layout.test), layout)
        labels = np.concatenate([*(batch[1] for batch in train), test[1]])
        if labels.min() < 0 or labels.max() >= len(classes):
            raise ValueError(f"labels outside 0..{len(classes) - 1}")
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{where}: not in the layout of {layout.folder} ({error})") from error
    return {
        "classes": classes,
        "train_images": np.concatenate([images for images, _ in train]),
        "train_labels": np.concatenate([labels for _, labels in train]),
        "test_images": test[0],
        "test_labels": test[1],
    }


def _batch(content: Mapping[str, Any], layout: Layout) -> tuple[Pixels, Labels]:
    data = np.asarray(content["data"], dtype=np.uint8)
    labels = np.asarray(content[layout.label_key], dtype=np.int64)
    planes = data.reshape(len(labels), 3, SIDE, SIDE)  # (N, 3072) in planes of R, G, B
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def _unpickle(content: bytes, name: Path) -> Mapping[str, Any]:
    """A dictionary of plain values and NumPy arrays; a pickle of anything else is refused."""
    loaded = read_arrays(content, str(name), "a CIFAR file")
    if not isinstance(loaded, dict):
        raise UserError(f"{name}: holds a {type(loaded).__name__}, not the dictionary expected")
    return loaded


def _download(path: Path, layout: Layout) -> None:
    """Fetch and extract the official archive into ``path``, with torchvision."""
    from torchvision import datasets

    try:
        getattr(datasets, layout.torchvision)(root=path, download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: cannot download {layout.folder} ({reason}); download the archive "
            "yourself and give its path"
        ) from error
