"""What every reader returns: images with labels, in a training and a validation split."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from res2net.data.files import Files, some
from res2net.errors import UserError

Labels = npt.NDArray[np.int64]  # (N,)
Pixels = npt.NDArray[np.uint8]  # (N, H, W, 3)
# Where the validation part comes from: the data's own, held out of the training part here, or the
# test part of a published protocol that has no other (CIFAR, VOC07, ECSSD).
Validation = Literal["given", "train", "test"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read, for the formats that leave a choice."""

    val_fraction: float = (
        0.2  # share of each class held out where the data has no val split; 0: none
    )
    seed: int = 0  # of that split
    skip_bad: bool = False  # drop unreadable files with a warning, instead of refusing
    download: bool = False  # fetch CIFAR where it is not there yet

    def __post_init__(self) -> None:
        if not 0 <= self.val_fraction < 1:
            raise UserError(f"val_fraction is {self.val_fraction}; it must lie between 0 and 1")


Reader = Callable[[Path, ReadOptions], "LabelledImages"]


def _joined(parts: Sequence[Sequence[Path] | Pixels]) -> Sequence[Path] | Pixels:
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if arrays:
        return np.concatenate(arrays)
    files = [part for part in parts if isinstance(part, Files)]
    return Files(
        files[0].root, [name for part in files for name in map(part.name, range(len(part)))]
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """N images and their classes."""

    images: Sequence[Path] | Pixels  # files, or uint8 (N, H, W, 3)
    labels: Labels  # (N,), index into the classes

    def __post_init__(self) -> None:
        assert len(self.images) == len(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def names(self, i: int) -> str:
        """The name of image ``i`` for reports: its path within the data set, or ``"#123"``."""
        if isinstance(self.images, np.ndarray):
            return f"#{i}"
        if isinstance(self.images, Files):
            return self.images.name(i)
        return str(self.images[i])


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledImages:
    """A data set for classification."""

    name: str  # for reports: "cifar100", or the folder's own name
    classes: tuple[str, ...]  # label -> name
    train: Split
    val: Split
    native_size: int | None  # pixels, when all images are squares of one known size
    validation: Validation = "given"
    test: Split | None = None  # for `evaluate --split test` alone; None where there is none

    @property
    def everything(self) -> Split:
        """The images of all parts, in the order training, validation, test."""
        parts = [
            part for part in (self.train, self.val, self.test) if part is not None and len(part)
        ]
        labels = np.concatenate([part.labels for part in parts]) if parts else self.train.labels
        return Split(images=_joined([part.images for part in parts]), labels=labels)

    def class_counts(self) -> Labels:
        """Training images of each class: int64 (number of classes,)."""
        return np.bincount(self.train.labels, minlength=len(self.classes)).astype(np.int64)


def check_classes(where: Path, train: Sequence[str], val: Sequence[str]) -> None:
    """Refuse fewer than two classes, or splits whose class names differ."""
    only_train, only_val = sorted(set(train) - set(val)), sorted(set(val) - set(train))
    if only_train or only_val:
        parts = [
            f"only in {split}: {some(names)}"
            for split, names in (("train", only_train), ("val", only_val))
            if names
        ]
        raise UserError(f"{where}: classes of train and val differ ({'; '.join(parts)})")
    if not train:
        raise UserError(f"{where}: lists no images")
    if len(train) < 2:
        raise UserError(f"{where}: one class only ({some(train)}); a classifier needs at least two")
    alike = _alike(train)
    if alike:
        warnings.warn(
            f"{where}: classes that differ in case, spaces or the form of a number or letter alone "
            f"are kept apart: {some([' and '.join(map(repr, group)) for group in alike])}",
            stacklevel=3,
        )


def _alike(classes: Iterable[str]) -> list[list[str]]:
    """Groups of classes that a person would take for one: ``Cat`` and ``cat``, 1 and 01 and 1.0."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(classes):
        plain = re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name)).strip().casefold()
        number = re.fullmatch(r"([+-]?)0*([0-9]+?)(?:\.0*)?", plain)
        groups.setdefault(f"{number[1]}{number[2]}" if number else plain, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def warn_shared(where: Path, images: LabelledImages) -> None:
    """Say how many files are in two parts, whatever links or spellings lead to them."""
    parts = {"training": images.train, "validation": images.val, "test": images.test}
    files = {name: part.images for name, part in parts.items() if part is not None}
    held = {
        name: {_identity(path): path for path in each if isinstance(path, Path)}
        for name, each in files.items()
    }
    for one, other in combinations(held, 2):
        both = held[one].keys() & held[other].keys()
        if both:
            first = next(path for key, path in held[other].items() if key in both)
            warnings.warn(
                f"{where}: {len(both)} images are in both parts, {one} and {other}; "
                f"the first: {first}",
                stacklevel=3,
            )


def _identity(path: Path) -> tuple[int, int] | str:
    """Device and inode: equal for all links to a file."""
    try:
        found = path.stat()
    except OSError:
        return str(path)
    return found.st_dev, found.st_ino


def stratified_split(
    labels: Labels, options: ReadOptions, *, classes: Sequence[str], where: Path | str
) -> tuple[Labels, Labels]:
    """Sorted indices (train, val) with ``val_fraction`` of every class, at least one in each.

    A fraction of 0 holds nothing out. Classes are drawn one by one from the seed, so new images of
    one class leave the split of the others as it was.

    Raises:
        UserError: a class with fewer than two images.
    """
    from sklearn.model_selection import train_test_split

    if not options.val_fraction:
        return np.arange(len(labels)), np.arange(0)
    order = np.argsort(labels, kind="stable")  # indices, class by class
    members = np.split(order, np.cumsum(np.bincount(labels, minlength=len(classes)))[:-1])
    small = [name for name, own in zip(classes, members, strict=True) if len(own) < 2]
    if small:
        raise UserError(f"{where}: fewer than 2 images, so no split, in class {some(small)}")
    train, val = [], []
    for own in members:
        held_out = min(max(round(options.val_fraction * len(own)), 1), len(own) - 1)
        parts = train_test_split(own, test_size=held_out, random_state=options.seed)
        train.append(parts[0])
        val.append(parts[1])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(val))
