"""A folder of class folders, in ``train/``, ``val/`` and ``test/`` or to be split here."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from res2net.data.files import PARTS, Files, Listing, list_images, some, subfolders, usable
from res2net.data.labelled import (
    LabelledImages,
    ReadOptions,
    Split,
    check_classes,
    held_out,
    one_part,
    warn_shared,
)
from res2net.data.photo import EXTENSIONS
from res2net.errors import UserError, counted

# words allowed next to the name of a part
_BESIDE = frozenset(
    {*("set", "data", "dataset", "images", "imgs", "img", "seg", "split"), "list", "labels"}
)


def read(root: Path, options: ReadOptions) -> LabelledImages:
    """Read a folder; every visible folder in a part is a class, with images at any depth.

    Without a validation folder, part of the training images is held out; a test folder is never
    used for training. Files are sorted by name, so the automatic split does not depend on the file
    system. Hidden files, folders left behind by tools and looping links are skipped; files with
    other suffixes than those of images are counted in a warning.

    Raises:
        UserError: no class folders, one class only, an empty class, classes that differ between
            train and val, or empty files (unless ``skip_bad``).
    """
    if not root.is_dir():
        raise UserError(f"{root}: not a folder")
    folders = find_splits(root, options.measured)
    named = {"train": folders.train, "val": folders.val, "test": folders.test}
    needed = options.needed([part for part, own in named.items() if own is not None])
    if "train" not in needed:
        return _read_one(root, {part: named[part] or "" for part in needed}, options)
    classes = class_folders(root, folders.train)
    listing = Listing()
    if folders.val is not None:
        check_classes(root, classes, class_folders(root, folders.val))
    else:
        _check_several(root, folders.train, classes)
    train = read_split(root, folders.train, classes, listing, options)
    if folders.val is not None:
        val = read_split(root, folders.val, classes, listing, options)
    else:
        train, val = held_out(train, options, classes=classes, where=root)
    test = _read_test(root, folders.test, classes, listing, options)
    listing.warn_ignored(root)
    if folders.val is None:
        _warn_tables(root)
    if folders.train:
        _warn_beside(root, folders.train, folders)
    if not options.group_by:
        _warn_nested(root, train, len(folders.train) and folders.train.count("/") + 1)
    found = LabelledImages(
        name=root.resolve().name,
        classes=tuple(classes),
        train=train,
        val=val,
        native_size=None,
        validation="train" if folders.val is None else "given",
        test=test,
    )
    if listing.linked:
        warn_shared(root, found)
    return found


def read_unlabelled(root: Path, options: ReadOptions) -> LabelledImages:
    """All images below a folder, at any depth, without classes.

    One in twenty is held out, unless a share is given.

    Raises:
        UserError: not a folder, fewer than two images, or empty files (unless ``skip_bad``).
    """
    if not root.is_dir():
        raise UserError(f"{root}: not a folder")
    listing = Listing()
    list_images(root, "", listing, find_empty=True)
    listing.warn_ignored(root)
    if not listing.names:
        raise UserError(f"{root}: holds no images")
    keep = usable(root, listing.names, skip_bad=options.skip_bad, empty=listing.empty)
    names = [listing.names[i] for i in np.flatnonzero(keep)]
    images = Split(images=Files(root, names), labels=np.zeros((len(names), 0), np.int64))
    if options.val_fraction is None:
        options = replace(options, val_fraction=0.05)
    train, val = held_out(images, options, classes=(), where=root)
    return LabelledImages(
        name=root.resolve().name,
        classes=(),
        train=train,
        val=val,
        native_size=None,
        validation="train",
    )


class Splits(NamedTuple):
    """Folders of each part, relative to the root: ``""`` is the root itself."""

    train: str
    val: str | None
    test: str | None


def find_splits(root: Path, measured: str | None = None) -> Splits:
    """The folders of the parts; a folder without ``train/`` is one part.

    Args:
        measured: the part to evaluate, if any; then no other part is needed.

    Raises:
        UserError: there are folders of other parts, but none for training.
    """
    names = subfolders(root)
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (name.lower() not in PARTS, name)):
        found.setdefault(part_named(name), name)
    train, val, test = (found.get(part) for part in ("train", "val", "test"))
    if train is not None and (val is not None or test is not None or subfolders(root / train)):
        return Splits(train, val, test)
    if names and all(part_named(name) in ("val", "test") for name in names):
        if (measured == "val" and val) or (measured == "test" and test):
            return Splits("", val, test)
        raise UserError(f"{root}: holds {some(names)}/ but no train/")
    return Splits("", None, None)


def _read_one(root: Path, named: Mapping[str, str], options: ReadOptions) -> LabelledImages:
    """The part to evaluate, with the classes of its own folders."""
    [(part, folder)] = named.items()
    classes = class_folders(root, folder)
    listing = Listing()
    images = read_split(root, folder, classes, listing, options, every_class=False)
    listing.warn_ignored(root)
    return one_part(root.resolve().name, classes, part, images)


def part_named(folder: str) -> str:
    """The part that a folder's or file's name gives: ``Training_set`` is "train"; "" if none."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder)
    plain = [word for word in re.split(r"[\W_\d]+", words.lower()) if word]
    named = {PARTS[word] for word in plain if word in PARTS}
    beside = [word for word in plain if word not in PARTS]
    return named.pop() if len(named) == 1 and set(beside) <= _BESIDE else ""


def _read_test(
    root: Path, folder: str | None, classes: Sequence[str], listing: Listing, options: ReadOptions
) -> Split | None:
    """The labelled images of a test folder; None, with a warning, if it cannot be evaluated."""
    if folder is None:
        return None
    held = subfolders(root / folder)
    strange = sorted(set(held) - set(classes))
    if held and not strange:
        return read_split(root, folder, classes, listing, options, every_class=False)
    reason = f"classes without training images: {some(strange)}" if held else "no class folders"
    warnings.warn(f"{root / folder}: not used as a test part ({reason})", stacklevel=3)
    return None


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
    root: Path,
    split: str,
    classes: Sequence[str],
    listing: Listing,
    options: ReadOptions,
    *,
    every_class: bool = True,
) -> Split:
    """The images of one split; adds ignored files to ``listing``.

    Raises:
        UserError: a class has no images and every class must have some.
    """
    own = Listing(ignored=listing.ignored)
    prefix = f"{split}/" if split else ""
    counts = [
        list_images(root, prefix + name, own, find_empty=True)
        if (root / split / name).is_dir()
        else 0
        for name in classes
    ]
    listing.linked |= own.linked
    _note_loose(root / split)
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), counts)
    keep = usable(root, own.names, skip_bad=options.skip_bad, empty=own.empty)
    left = np.bincount(labels[keep], minlength=len(classes))
    if every_class and not left.all():
        without = [name for name, count in zip(classes, left, strict=True) if not count]
        full = [root / split / name for name in classes if name not in without]
        inside = len(full) == 1 and len(subfolders(full[0])) > 1
        hint = f"; did you mean {full[0]}, whose folders may be the classes?" if inside else ""
        raise UserError(f"{root / split}: no images in class {some(without)}{hint}")
    names = [own.names[i] for i in np.flatnonzero(keep)]
    return Split(images=Files(root, names), labels=labels[keep])


def _note_loose(folder: Path) -> None:
    """Warn of images beside the class folders, which have no class."""
    files = (each for each in folder.iterdir() if each.suffix.lower() in EXTENSIONS)
    loose = sorted(each.name for each in files if each.name[0] != "." and each.is_file())
    if loose:
        warnings.warn(
            f"{folder}: {counted(len(loose), 'image')} beside the class folders, without a class; "
            f"left out: {some(loose)}",
            stacklevel=3,
        )


def _check_several(root: Path, train: str, classes: Sequence[str]) -> None:
    """Refuse a single class, often caused by an extra folder level from unpacking."""
    inner = root / train / classes[0]
    if len(classes) == 1 and len(subfolders(inner)) > 1:
        raise UserError(f"{root / train}: holds one folder only; did you mean {inner}?")
    check_classes(root, classes, classes)


def _warn_beside(root: Path, train: str, used: Sequence[str | None]) -> None:
    """Warn of unused folders of images next to ``train/``: they may be classes."""
    others = [name for name in subfolders(root) if name not in used]
    counts = {name: list_images(root, name, Listing(), find_empty=False) for name in others}
    unused = [f"{name}/ ({count} images)" for name, count in counts.items() if count]
    if unused:
        warnings.warn(
            f"{root}: not used: {some(unused)}; {train}/ is taken as the training part, and its "
            f"folders as the classes. Rename {train}/ if it is a class itself",
            stacklevel=3,
        )


def _warn_tables(root: Path) -> None:
    """Warn of tables beside the folders that may list the parts."""
    files = (each for each in root.iterdir() if each.suffix.lower() in (".csv", ".txt"))
    named = sorted(each.name for each in files if part_named(each.stem))
    if len(named) > 1:
        warnings.warn(
            f"{root}: {some(named)} may list the parts, but are not read, since the classes are "
            f"folders; csv:{root} reads tables of path and label",
            stacklevel=3,
        )


def _warn_nested(root: Path, train: Split, depth: int) -> None:
    """Warn that folders inside class folders are not separate classes."""
    below: dict[str, set[str]] = {}
    for i in range(len(train)):
        folders = train.names(i).split("/")[depth:-1]
        if len(folders) > 1:
            below.setdefault(folders[0], set()).add(folders[1])
    several = {name: sorted(inside) for name, inside in below.items() if len(inside) > 1}
    if several:
        name, inside = next(iter(several.items()))
        warnings.warn(
            f"{root}: {counted(len(several), 'class folder')} with subfolders, whose images all "
            f"belong to the class: {name} holds {some(inside)}",
            stacklevel=3,
        )
