"""A folder of class folders: ``train/`` and ``val/``, or one that is split here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from res2net.data.files import Files, Listing, list_images, some, subfolders, usable
from res2net.data.labelled import (
    LabelledImages,
    ReadOptions,
    Split,
    check_classes,
    stratified_split,
)
from res2net.errors import UserError

VAL_NAMES = ("val", "valid", "validation", "test")  # the first that is there is taken


def read(root: Path, options: ReadOptions) -> LabelledImages:
    """The images of a folder; every visible folder of a split is a class, at any depth below.

    Files are sorted by name, so the automatic split does not depend on the file system. Hidden
    files, folders that tools leave behind and looping links are passed over; files whose endings
    are not of images are counted in a warning.

    Raises:
        UserError: no class folders, one class only, an empty class, classes that differ between
            train and val, or empty files (unless ``skip_bad``).
    """
    if not root.is_dir():
        raise UserError(f"{root}: not a folder")
    train_folder, val_folder = find_splits(root)
    classes = class_folders(root, train_folder)
    listing = Listing()
    if val_folder is not None:
        check_classes(root, classes, class_folders(root, val_folder))
    else:
        _check_several(root, train_folder, classes)
    parts = [
        read_split(root, folder, classes, listing, options)
        for folder in (train_folder, val_folder)
        if folder is not None
    ]
    listing.warn_ignored(root)
    train, val = parts if len(parts) == 2 else _split_in_two(root, parts[0], classes, options)
    return LabelledImages(
        name=root.resolve().name, classes=tuple(classes), train=train, val=val, native_size=None
    )


def find_splits(root: Path) -> tuple[str, str | None]:
    """Names of the training and validation folders, relative to ``root``: ``""`` is itself."""
    names = subfolders(root)
    by_lower = {name.lower(): name for name in names}
    train = by_lower.get("train")
    val = next((by_lower[name] for name in VAL_NAMES if name in by_lower), None)
    if train is not None and (val is not None or subfolders(root / train)):
        return train, val
    if names and all(name.lower() in VAL_NAMES for name in names):
        raise UserError(f"{root}: holds {some(names)}/ but no train/")
    return "", None


def class_folders(root: Path, split: str) -> list[str]:
    """The class names of a split, sorted."""
    classes = subfolders(root / split)
    if not classes:
        flat = Listing()
        count = list_images(root, split, flat, find_empty=False)
        held = f"holds {count} image(s) but no class folders" if count else "holds no images"
        raise UserError(
            f"{root / split}: {held}; put the images of each class in a folder of its name, "
            "or list them in a .csv of path,label"
        )
    return classes


def read_split(
    root: Path, split: str, classes: Sequence[str], listing: Listing, options: ReadOptions
) -> Split:
    """The images of one split; what was ignored is added to ``listing``."""
    own = Listing(ignored=listing.ignored)
    prefix = f"{split}/" if split else ""
    counts = [list_images(root, prefix + name, own, find_empty=True) for name in classes]
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), counts)
    keep = usable(root, own.names, skip_bad=options.skip_bad, empty=own.empty)
    left = np.bincount(labels[keep], minlength=len(classes))
    if not left.all():
        without = [name for name, count in zip(classes, left, strict=True) if not count]
        raise UserError(f"{root / split}: no images in class {some(without)}")
    names = [own.names[i] for i in np.flatnonzero(keep)]
    return Split(images=Files(root, names), labels=labels[keep])


def _check_several(root: Path, train: str, classes: Sequence[str]) -> None:
    """Refuse one class; a single folder around the class folders is a common slip of unpacking."""
    inner = root / train / classes[0]
    if len(classes) == 1 and len(subfolders(inner)) > 1:
        raise UserError(f"{root / train}: holds one folder only; did you mean {inner}?")
    check_classes(root, classes, classes)


def _split_in_two(
    root: Path, whole: Split, classes: Sequence[str], options: ReadOptions
) -> tuple[Split, Split]:
    halves = stratified_split(whole.labels, options, classes=classes, where=root)
    train, val = (
        Split(
            images=Files(root, [whole.names(int(i)) for i in indices]),
            labels=whole.labels[indices],
        )
        for indices in halves
    )
    return train, val
