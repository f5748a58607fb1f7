"""The result of every reader: labelled images in a training and a validation split."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from res2net.data.files import Files, some
from res2net.data.packed import File, PackedFiles
from res2net.data.split import Holdout, Keys, check_keys, hold_out, keys_of, note_shared, one_group
from res2net.errors import UserError

Labels = npt.NDArray[np.int64]  # (N,)
Pixels = npt.NDArray[np.uint8]  # (N, H, W, 3)
# Source of the validation part: given by the data, held out of the training part here, or the test
# part of a published protocol without a validation part (CIFAR, VOC07, ECSSD).
Validation = Literal["given", "train", "test"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions(Holdout):
    """Options for reading; each applies to some formats."""

    skip_bad: bool = False  # drop unreadable files with a warning instead of an error
    download: bool = False  # download CIFAR if it is missing


Reader = Callable[[Path, ReadOptions], "LabelledImages"]


Images = Sequence[File] | Pixels  # files, on disk or in tars; or uint8 (N, H, W, 3)


def _joined(parts: Sequence[Images]) -> Images:
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if arrays:
        return np.concatenate(arrays)
    packed = [part for part in parts if isinstance(part, PackedFiles)]
    if packed:
        return packed[0].of(np.concatenate([part.rows for part in packed]))
    files = [part for part in parts if isinstance(part, Files)]
    return Files(
        files[0].root, [name for part in files for name in map(part.name, range(len(part)))]
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """N images and their classes."""

    images: Images
    labels: Labels  # (N,), index into the classes; multi-label: (N, classes) of 0 and 1
    numbers: Labels | None = (
        None  # (N,) of pixels: their places in the data as read; None: 0, 1, ...
    )

    def __post_init__(self) -> None:
        assert len(self.images) == len(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, chosen: Labels) -> Split:
        """The images at these indices."""
        images: Images
        numbers = None
        if isinstance(self.images, np.ndarray):
            images, numbers = self.images[chosen], self.places[chosen]
        elif isinstance(self.images, PackedFiles):
            images = self.images.of(self.images.rows[chosen])
        elif isinstance(self.images, Files):
            images = Files(self.images.root, [self.images.name(int(i)) for i in chosen])
        else:
            images = [self.images[int(i)] for i in chosen]
        return Split(images=images, labels=self.labels[chosen], numbers=numbers)

    @property
    def places(self) -> Labels:
        """The place of each image in the data as read: (N,)."""
        return np.arange(len(self)) if self.numbers is None else self.numbers

    def names(self, i: int) -> str:
        """The name of image ``i`` for reports: its path within the data set, or ``"#123"``."""
        if isinstance(self.images, np.ndarray):
            return f"#{i if self.numbers is None else self.numbers[i]}"
        if isinstance(self.images, Files | PackedFiles):
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
    test: Split | None = None  # only for `evaluate --split test`; None if there is none
    notes: tuple[str, ...] = ()  # notes of the reader, for the report

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself, so that a network and its moving average share the data set."""
        return self

    @property
    def everything(self) -> Split:
        """The images of all parts, in the order training, validation, test."""
        parts = [
            part for part in (self.train, self.val, self.test) if part is not None and len(part)
        ]
        labels = np.concatenate([part.labels for part in parts]) if parts else self.train.labels
        numbers = np.zeros(0, np.int64)
        for places in (part.places for part in parts):  # parts of two files both begin at 0
            after = numbers.max() + 1 if np.isin(places, numbers).any() else 0
            numbers = np.concatenate([numbers, places + after])
        return Split(
            images=_joined([part.images for part in parts]), labels=labels, numbers=numbers
        )

    def class_counts(self) -> Labels:
        """Training images of each class: int64 (number of classes,)."""
        return counts_of(self.train.labels, len(self.classes))


def counts_of(labels: Labels, classes: int) -> Labels:
    """Images of each class: int64 (classes,)."""
    found = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
    return found.astype(np.int64)


def named(label: Labels, classes: Sequence[str]) -> str:
    """Name of the class of an image, or of all its classes; ``label`` is () or (classes,)."""
    if label.ndim == 0:
        return classes[int(label)]
    return ", ".join(classes[k] for k in np.flatnonzero(label)) or "no class"


def one_part(name: str, classes: Sequence[str], part: str, images: Split) -> LabelledImages:
    """A data set with only the part to evaluate: "val" or "test"."""
    none = images.of(np.zeros(0, np.int64))
    return LabelledImages(
        name=name,
        classes=tuple(classes),
        train=none,
        val=images if part == "val" else none,
        native_size=None,
        test=images if part == "test" else None,
    )


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
        raise UserError(
            f"{where}: one class only ({some(train)}); a classifier needs at least two, each in a "
            "folder of its name or in the column label of a .csv"
        )
    note_alike(where, train)


def check_labelled(where: str, images: LabelledImages, *, weighted: bool = False) -> None:
    """Before the first step, refuse labels that cannot be learnt from, and note class imbalance.

    Args:
        where: the data, for messages.
        weighted: class weights are already in use.

    Raises:
        UserError: no validation image, or fewer than two training classes.
    """
    counts = {
        part: counts_of(split.labels, len(images.classes))
        for part, split in (("training", images.train), ("validation", images.val))
    }
    if not counts["validation"].any():
        raise UserError(f"{where}: no images to validate on; add a val part")
    there = [name for name, n in zip(images.classes, counts["training"], strict=True) if n]
    if len(there) < (1 if images.train.labels.ndim == 2 else 2):
        raise UserError(
            f"{where}: the {len(images.train)} training images have one class only "
            f"({some(there) or 'none'}); a classifier needs at least two"
        )
    for part, each in counts.items():
        absent = [name for name, n in zip(images.classes, each, strict=True) if not n]
        if absent:
            warnings.warn(
                f"{where}: {len(absent)} of {len(each)} classes have no {part} image: "
                f"{some(absent)}",
                stacklevel=3,
            )
    numbers = counts["training"][counts["training"] > 0]
    if numbers.max() >= UNEQUAL * numbers.min() and not weighted:
        least = there[int(numbers.argmin())]
        warnings.warn(
            f"{where}: strong class imbalance: {numbers.max()} training images of "
            f"{there[int(numbers.argmax())]}, {numbers.min()} of {least}; --train.class-weights "
            "balanced gives every class the same total weight",
            stacklevel=3,
        )


UNEQUAL = 10  # ratio of the class sizes from which the imbalance is noted


def note_alike(where: object, classes: Iterable[str]) -> None:
    """Warn of class names that probably mean the same class."""
    alike = _alike(classes)
    if alike:
        warnings.warn(
            f"{where}: classes that differ only in case, spaces or the form of a number or letter "
            f"are kept separate: {some([' and '.join(map(repr, group)) for group in alike])}",
            stacklevel=4,
        )


def _alike(classes: Iterable[str]) -> list[list[str]]:
    """Groups of names that probably mean one class: ``Cat`` and ``cat``, 1 and 01 and 1.0."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(classes):
        plain = re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name)).strip().casefold()
        number = re.fullmatch(r"([+-]?)0*([0-9]+?)(?:\.0*)?", plain)
        groups.setdefault(f"{number[1]}{number[2]}" if number else plain, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def warn_shared(where: Path, images: LabelledImages) -> None:
    """Warn of files that are in two parts, also through links or other spellings."""
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


def group_keys(
    where: Path | str, by: str, part: Split, classes: Sequence[str]
) -> Sequence[str | None]:
    """The group of each image of a part by its path.

    Raises:
        UserError: images without paths.
    """
    if isinstance(part.images, np.ndarray):
        raise UserError(
            f"{where}: --input.group-by {by} is not possible; the images have no file names"
        )
    return keys_of(_names(part), by, [named(label, classes) for label in part.labels])


def _names(part: Split) -> list[str]:
    if isinstance(part.images, PackedFiles):  # a shard is not a group
        return [part.images.member(i) for i in range(len(part))]
    return [part.names(i) for i in range(len(part))]


def warn_shared_groups(where: Path | str, by: str, images: LabelledImages) -> None:
    """Note groups with images in two parts."""
    named = {"training": images.train, "validation": images.val, "test": images.test}
    parts = {name: part for name, part in named.items() if part is not None and len(part)}
    keys = {name: group_keys(where, by, part, images.classes) for name, part in parts.items()}
    if images.validation != "train":  # else checked when the part was held out
        names = [name for part in parts.values() for name in _names(part)]
        check_keys(where, by, [key for own in keys.values() for key in own], names)
    note_shared(where, by, keys)


def held_out(
    part: Split, options: ReadOptions, *, classes: Sequence[str], where: Path | str
) -> tuple[Split, Split]:
    """(train, val) of a part: see ``split_of``."""
    train, val = split_of(part, options, classes=classes, where=where)
    return part.of(train), part.of(val)


def split_of(
    part: Split,
    options: ReadOptions,
    *,
    classes: Sequence[str],
    where: Path | str,
    keys: Keys | None = None,
) -> tuple[Labels, Labels]:
    """Sorted indices (train, val) of a part, by class and by group.

    Args:
        keys: group of each image, if it does not follow from the path.

    Raises:
        UserError: a class has fewer than two images, or there is only one group.
    """
    if options.group_by and keys is None and options.fraction:
        keys = group_keys(where, options.group_by, part, classes)
        check_keys(where, options.group_by, keys, _names(part))
    return stratified_split(part.labels, options, classes=classes, where=where, keys=keys)


def stratified_split(
    labels: Labels,
    options: ReadOptions,
    *,
    classes: Sequence[str],
    where: Path | str,
    keys: Keys | None = None,
) -> tuple[Labels, Labels]:
    """Sorted indices (train, val) with ``val_fraction`` of every class, at least one in each.

    A fraction of 0 holds nothing out. Each class is drawn separately from the seed, so new images
    of one class do not change the split of the others. With groups, a group is never divided, and a
    class in a single group stays in training.

    Raises:
        UserError: a class has fewer than two images, or all images are in one group.
    """
    from sklearn.model_selection import train_test_split

    if not options.fraction:
        return np.arange(len(labels)), np.arange(0)
    if labels.ndim == 2:
        chosen = hold_out([np.flatnonzero(row).tolist() for row in labels], options, keys)
        if not chosen:
            raise UserError(f"{where}: fewer than 2 images or groups; none can be held out")
        return np.setdiff1d(np.arange(len(labels)), chosen), np.array(chosen, np.int64)
    if keys is not None or options.fold:
        chosen = hold_out([[int(label)] for label in labels], options, keys)
        kept = np.setdiff1d(np.arange(len(labels)), chosen)
        lost = np.setdiff1d(labels[chosen], labels[kept])
        if not chosen or lost.size:
            raise one_group(where, options.group_by, [classes[k] for k in lost])
        return kept, np.array(chosen, np.int64)
    order = np.argsort(labels, kind="stable")  # indices, class by class
    members = np.split(order, np.cumsum(np.bincount(labels, minlength=len(classes)))[:-1])
    small = [name for name, own in zip(classes, members, strict=True) if len(own) < 2]
    if small:
        raise UserError(f"{where}: cannot be split; fewer than 2 images in class {some(small)}")
    train, val = [], []
    for own in members:
        count = min(max(round(options.fraction * len(own)), 1), len(own) - 1)
        parts = train_test_split(own, test_size=count, random_state=options.seed)
        train.append(parts[0])
        val.append(parts[1])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(val))
