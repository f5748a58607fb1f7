"""ImageNet (ILSVRC 2012), from its unpacked archives or from Kaggle."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from res2net.data.files import Files, Listing, list_images, some, subfolders
from res2net.data.labelled import LabelledImages, ReadOptions, Split, check_classes, one_part
from res2net.errors import UserError

WNID = re.compile(r"n\d{8}")
BASES = ("", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC", "ILSVRC")  # possible places of train/ and val/
VAL_CSV = "LOC_val_solution.csv"
NAMES = "LOC_synset_mapping.txt"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
DEVKIT = "ILSVRC2012_devkit_t12/data"


def read(root: Path, options: ReadOptions) -> LabelledImages:
    """Read ImageNet, with classes sorted by wnid, the order of all published networks.

    ``train/`` has one folder per wnid. ``val/`` has the same, or is flat with its labels in
    ``LOC_val_solution.csv`` (Kaggle) or in the devkit's ground truth and ``meta.mat``. Classes are
    named by ``LOC_synset_mapping.txt`` if it is found, else by wnid.

    Raises:
        UserError: another layout, or validation images without labels.
    """
    base = _base(root)
    if base is None:
        raise UserError(
            f"{root}: no ImageNet layout; expected train/<wnid>/ and val/ there or in "
            f"{BASES[1]}/, wnids as n01440764"
        )
    wnids = [name for name in subfolders(base / "train") if WNID.fullmatch(name)]
    classes = _class_names(base, wnids)
    alone = options.needed(("train", "val")) == ["val"]  # listing the training part takes minutes
    val_wnids = subfolders(base / "val")
    if val_wnids:
        check_classes(base, wnids, val_wnids)
        val = _by_folder(base, "val", wnids)
    else:
        val = _flat_val(base, wnids)
    if alone:
        return one_part(root.resolve().name, classes, "val", val)
    return LabelledImages(
        name=root.resolve().name,
        classes=classes,
        train=_by_folder(base, "train", wnids),
        val=val,
        native_size=None,
    )


def recognise(path: Path) -> bool:
    """Whether a folder of wnids is ImageNet itself, judged by a devkit or Kaggle file."""
    base = _base(path)
    return base is not None and any(_companion(base, name) for name in (VAL_CSV, NAMES, TRUTH))


def _base(root: Path) -> Path | None:
    """The folder that holds ``train/<wnid>/`` and ``val/``."""
    for base in (root / name for name in BASES):
        if (base / "train").is_dir() and (base / "val").is_dir():
            wnids = subfolders(base / "train")
            if wnids and all(WNID.fullmatch(name) for name in wnids):
                return base
    return None


def _companion(base: Path, name: str) -> Path | None:
    """A companion file of the images: beside them, in the devkit, or up to 3 folders above."""
    real = base.resolve()
    for folder in (real, *real.parents[:3]):
        for file in (folder / name, folder / DEVKIT / name):
            if file.is_file():
                return file
    return None


def _by_folder(base: Path, split: str, wnids: Sequence[str]) -> Split:
    listing = Listing()
    counts = [list_images(base, f"{split}/{wnid}", listing, find_empty=False) for wnid in wnids]
    if not all(counts):
        without = [wnid for wnid, count in zip(wnids, counts, strict=True) if not count]
        raise UserError(f"{base / split}: no images in class {some(without)}")
    listing.warn_ignored(base / split)
    return Split(
        images=Files(base, listing.names),
        labels=np.repeat(np.arange(len(wnids), dtype=np.int64), counts),
    )


def _flat_val(base: Path, wnids: Sequence[str]) -> Split:
    """Validation images in one folder, labelled by a companion file."""
    listing = Listing()
    if not list_images(base, "val", listing, find_empty=False):
        raise UserError(f"{base / 'val'}: holds no images")
    wnid_of = _val_wnids(base)
    stems = [Path(name).stem for name in listing.names]
    label_of = {wnid: i for i, wnid in enumerate(wnids)}
    unknown = [stem for stem in stems if wnid_of.get(stem) not in label_of]
    if unknown:
        raise UserError(f"{base / 'val'}: {len(unknown)} image(s) without label: {some(unknown)}")
    labels = np.array([label_of[wnid_of[stem]] for stem in stems], dtype=np.int64)
    return Split(images=Files(base, listing.names), labels=labels)


def _val_wnids(base: Path) -> Mapping[str, str]:
    """Stem of a validation image -> wnid."""
    table = _companion(base, VAL_CSV)
    if table is not None:
        with _named(table), table.open(encoding="utf-8-sig", newline="") as file:
            return {
                row["ImageId"]: row["PredictionString"].split(maxsplit=1)[0]
                for row in csv.DictReader(file)
            }
    truth, meta = _companion(base, TRUTH), _companion(base, META)
    if truth is None or meta is None:
        raise UserError(
            f"{base / 'val'}: labels not found; put {VAL_CSV}, or {TRUTH} and {META} of the "
            f"devkit, beside train/ and val/"
        )
    wnid_of = _devkit_wnids(meta)
    with _named(truth):
        numbers = truth.read_text(encoding="ascii").split()
        return {
            f"ILSVRC2012_val_{i:08d}": wnid_of[int(number)]
            for i, number in enumerate(numbers, start=1)
        }


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn any exception from a damaged companion file into a one-line error that names it."""
    try:
        yield
    except Exception as error:  # loadmat of a damaged file raises nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: damaged, or not the file of this name ({reason})") from error


def _devkit_wnids(meta: Path) -> dict[int, str]:
    """The devkit's class number -> wnid; the numbers do not follow the order of wnids."""
    from scipy.io import loadmat

    with _named(meta):
        synsets: Any = loadmat(meta, squeeze_me=True)["synsets"]
        return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in np.atleast_1d(synsets)}


def _class_names(base: Path, wnids: Sequence[str]) -> tuple[str, ...]:
    """The first name of each class; classes that share a name (crane) have their wnid added."""
    table = _companion(base, NAMES)
    if table is None:
        return tuple(wnids)
    with _named(table):
        lines = table.read_text(encoding="utf-8").splitlines()
    words = dict(line.split(" ", maxsplit=1) for line in lines if " " in line)
    first = [words.get(wnid, wnid).split(",")[0].strip() for wnid in wnids]
    times = Counter(first)
    return tuple(
        name if times[name] == 1 else f"{name} ({wnid})"
        for name, wnid in zip(first, wnids, strict=True)
    )
