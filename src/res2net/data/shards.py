"""WebDataset shards: tar files of samples, ``KEY.jpg`` with ``KEY.cls``, ``.txt`` or ``.json``."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from res2net.data.faults import sentence
from res2net.data.files import PARTS, some, subfolders
from res2net.data.folder import part_named
from res2net.data.labelled import (
    LabelledImages,
    ReadOptions,
    Split,
    check_classes,
    held_out,
    one_part,
)
from res2net.data.packed import PackedFiles
from res2net.data.scenes.legend import read_classes
from res2net.data.shardindex import index_of, is_shard
from res2net.errors import UserError

LISTS = ("classes.txt", "classes.json", "class_names.txt", "classnames.txt", "labels.txt")
_PACKED = re.compile(r".*\.(tgz|tbz2?|txz|tar\.\w+)", re.IGNORECASE)
_MOST = 1_000_000  # largest number of shards in a brace expression


def read(path: Path, options: ReadOptions) -> LabelledImages:
    """The images of a folder of shards, of one shard, or of shards in a brace expression.

    The words train, val and test in the names of shards or of their folders give the parts. Labels
    are names or numbers; a list of classes next to the shards can name the numbers.

    Raises:
        UserError: no shards; compressed, truncated or damaged shards; samples without a label or
            with two images (unless ``skip_bad``); labels that are not in the list.
    """
    root, files = find_shards(path)
    needed = options.needed(files)
    alone = needed == [options.measured]
    if "train" not in needed and not alone:
        raise UserError(f"{path}: holds shards of {some(needed)}, but none for training")
    files = {part: files[part] for part in needed}
    whole = _Whole.of(root, [(part, file) for part, own in files.items() for file in own])
    _tell(path, whole, options)
    if not len(whole.images):
        raise UserError(f"{path}: holds no samples")
    _note_keys(path, whole)
    listed = _listed(path, root, [file for own in files.values() for file in own], whole)
    if not listed and not alone:
        whole = _without_strange_tests(path, whole)
    classes, labels = listed or _as_found(path, whole)
    splits = {part: whole.split(part, labels) for part in needed}
    if alone:
        return one_part(root.resolve().name, classes, needed[0], splits[needed[0]])
    train, val, test = (splits.get(part) for part in ("train", "val", "test"))
    assert train is not None
    used = [
        [classes[k] for k in np.unique(each.labels)] for each in (train, val) if each is not None
    ]
    check_classes(path, used[0], used[0] if listed else used[-1])
    if val is None:
        train, held = held_out(train, options, classes=classes, where=path)
    return LabelledImages(
        name=path.stem if path.is_file() else root.resolve().name,
        classes=classes,
        train=train,
        val=held if val is None else val,
        native_size=None,
        validation="train" if val is None else "given",
        test=test if test is not None and len(test) else None,
    )


# ---------------------------------------------------------------- which files


def find_shards(path: Path) -> tuple[Path, dict[str, list[Path]]]:
    """The folder, and the shards of each part, sorted by name.

    Raises:
        UserError: no shards, compressed or missing ones, or names that give no part.
    """
    if path.is_dir():
        root, files = path, _in_folder(path)
    elif path.exists():
        root, files = path.parent, [path]
    else:
        files = [Path(each) for each in _expanded(str(path))]
        root = Path(os.path.commonpath([each.parent for each in files]))
        if missing := [str(each) for each in files if not each.is_file()]:
            raise UserError(
                f"{path}: {len(missing)} of {len(files)} shards do not exist: {some(missing)}"
            )
    if packed := [each.name for each in files if _PACKED.fullmatch(each.name)]:
        raise UserError(
            f"{path}: {len(packed)} shards are compressed ({some(packed)}), which does not "
            "allow random access; unpack them to .tar (gunzip)"
        )
    parts: dict[str, list[Path]] = {}
    for file in sorted(set(files)):
        parts.setdefault(_part_of(file, root), []).append(file)
    if not parts:
        raise UserError(f"{path}: no .tar files there or in its folders train, val and test")
    unnamed = parts.pop("", [])
    if unnamed and parts:
        raise UserError(
            f"{path}: the names of {len(unnamed)} shards give no part ({some(names_of(unnamed))}), "
            f"others do ({', '.join(parts)}); put train, val or test into every name"
        )
    return root, parts or {"train": unnamed}


def names_of(files: Iterable[Path]) -> list[str]:
    """Their names without folders."""
    return [file.name for file in files]


def _in_folder(path: Path) -> list[Path]:
    homes = [path, *(path / name for name in subfolders(path) if part_named(name))]
    inside = [each for home in homes for each in home.iterdir() if not each.name.startswith(".")]
    return [each for each in inside if each.suffix.lower() == ".tar" or _PACKED.match(each.name)]


def _part_of(file: Path, root: Path) -> str:
    """The part in the name of the folder or the file; "" if neither has one.

    Raises:
        UserError: the file name contains two parts.
    """
    if file.parent != root and (part := part_named(file.parent.name)):
        return part
    words = re.split(r"[\W_\d]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", file.stem).lower())
    named = {PARTS[word] for word in words if word in PARTS}
    if len(named) > 1:
        raise UserError(f"{file}: its name has more than one part ({', '.join(sorted(named))})")
    return named.pop() if named else ""


def _expanded(text: str) -> list[str]:
    """``{000..009}`` and ``{a,b}`` as shells and WebDataset expand them.

    Raises:
        UserError: any other brace expression.
    """
    found = re.search(r"\{([^{}]*)\}", text)
    if found is None:
        return [text]
    ends = re.fullmatch(r"(\d{1,12})\.\.(\d{1,12})", found[1])
    if ends is not None:
        first, last = int(ends[1]), int(ends[2])
        width = len(ends[1]) if ends[1].startswith("0") else 1
        words = [f"{number:0{width}}" for number in range(first, min(last + 1, first + _MOST))]
    else:
        words = found[1].split(",") if "," in found[1] else []
    if not words:
        raise UserError(f"{text}: braces name shards as {{000..009}} or {{a,b}}")
    return [
        each
        for word in words
        for each in _expanded(f"{text[: found.start()]}{word}{text[found.end() :]}")
    ]


def first_shard(path: Path) -> Path | None:
    """A shard in a folder without a named format; None if none of the first three files is."""
    with suppress(UserError, OSError):
        files = sorted(each for each in _in_folder(path) if each.suffix.lower() == ".tar")
        return next((file for file in files[:3] if is_shard(file)), None)
    return None


# ---------------------------------------------------------------- all of them


@dataclass(frozen=True, kw_only=True, eq=False)
class _Whole:
    """Samples of all shards."""

    images: PackedFiles
    parts: npt.NDArray[np.str_]  # (N,)
    keys: npt.NDArray[np.uint64]  # (N,)
    codes: npt.NDArray[np.int64]  # (N,) index into ``labels``
    labels: list[str]
    faults: list[tuple[str, str]]

    @classmethod
    def of(cls, root: Path, files: Sequence[tuple[str, Path]]) -> _Whole:
        shards, names, rows, parts, keys, codes = [], [], [], [], [], []
        numbers: dict[str, int] = {}
        faults: list[tuple[str, str]] = []
        start = 0
        for number, (part, file) in enumerate(files):
            shard, index = index_of(file)
            own = index.rows.copy()
            own["shard"], own["start"] = number, own["start"] + start
            start += len(index.names)
            order = np.array(
                [numbers.setdefault(label, len(numbers)) for label in index.labels], np.int64
            )
            shards.append(shard)
            names.append(index.names)
            rows.append(own)
            parts.append(np.full(len(own), part, "U5"))
            keys.append(index.keys)
            codes.append(order[index.codes])
            place = file.relative_to(root).as_posix()
            faults += [(f"{place}: {key}" if key else place, why) for key, why in index.faults]
        return cls(
            images=PackedFiles(root, tuple(shards), b"".join(names), np.concatenate(rows)),
            parts=np.concatenate(parts),
            keys=np.concatenate(keys),
            codes=np.concatenate(codes),
            labels=list(numbers),
            faults=faults,
        )

    def used(self, *parts: str) -> list[str]:
        """Labels that occur in these parts."""
        return [self.labels[k] for k in np.unique(self.codes[np.isin(self.parts, parts)])]

    def split(self, part: str, labels: npt.NDArray[np.int64]) -> Split:
        """A part, with the class of each label."""
        own = np.flatnonzero(self.parts == part)
        return Split(images=self.images.of(self.images.rows[own]), labels=labels[self.codes[own]])


def _tell(path: Path, whole: _Whole, options: ReadOptions) -> None:
    """Refuse unusable samples, or warn if they are left out."""
    if not whole.faults:
        return
    text = sentence(str(path), whole.faults, len(whole.images) + len(whole.faults))
    if not options.skip_bad:
        raise UserError(
            f"{text}; fix or delete them, or leave them out (--input.skip-bad true; --skip-bad of "
            "evaluate)"
        )
    warnings.warn(f"{text}; they are left out", stacklevel=4)


def _note_keys(path: Path, whole: _Whole) -> None:
    """Warn of keys in several shards of a part: numbering restarts, or duplicate samples."""
    for part in np.unique(whole.parts):
        own = np.flatnonzero(whole.parts == part)
        kept, counts = np.unique(whole.keys[own], return_counts=True)
        if several := int((counts > 1).sum()):
            first = own[whole.keys[own] == kept[counts > 1][0]][:2].tolist()
            warnings.warn(
                f"{path}: {several} keys of {part} occur more than once, such as "
                f"{' and '.join(whole.images.name(i) for i in first)}; all are used as separate "
                "samples (`res2net data` finds equal images)",
                stacklevel=4,
            )


def _listed(
    path: Path, root: Path, files: Sequence[Path], whole: _Whole
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]] | None:
    """(classes, class of each label) from a list of names for numeric labels.

    Raises:
        UserError: an unreadable list, or a number that is not in it.
    """
    if not all(label.isdecimal() for label in whole.labels):
        return None
    homes = dict.fromkeys([root, *(file.parent for file in files)])
    there = [home / name for name in LISTS for home in homes if (home / name).is_file()]
    if not there:
        return None
    found = read_classes(there[0])
    known = {value: k for k, value in enumerate(found.values or range(len(found.names)))}
    strange = [label for label in whole.labels if int(label) not in known]
    if strange:
        strange.sort(key=int)
        raise UserError(
            f"{path}: {len(strange)} labels are not in {there[0]}, which has {len(known)} "
            f"classes ({min(known, default=0)}..{max(known, default=0)}): {some(strange)}"
        )
    return found.names, np.array([known[int(label)] for label in whole.labels], np.int64)


def _as_found(path: Path, whole: _Whole) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """(classes, class of each label) sorted by number or by name.

    Raises:
        UserError: labels are both numbers and names.
    """
    used = whole.used(*np.unique(whole.parts).tolist())
    numbers = [label for label in used if label.isdecimal()]
    if numbers and len(numbers) < len(used):
        names = sorted(set(used) - set(numbers))
        raise UserError(
            f"{path}: {len(numbers)} labels are numbers ({some(numbers)}) and {len(names)} are "
            f"names ({some(names)}); they must be of one kind"
        )
    classes = sorted(used, key=int) if numbers else sorted(used)
    number_of = {label: k for k, label in enumerate(classes)}
    return tuple(classes), np.array([number_of.get(each, -1) for each in whole.labels], np.int64)


def _without_strange_tests(path: Path, whole: _Whole) -> _Whole:
    """Drop, with a note, a test part with labels that do not occur in the others."""
    strange = sorted(set(whole.used("test")) - set(whole.used("train", "val")))
    if not strange:
        return whole
    warnings.warn(
        f"{path}: the test shards are not used (classes without training images: {some(strange)})",
        stacklevel=4,
    )
    kept = np.flatnonzero(whole.parts != "test")
    return _Whole(
        images=whole.images.of(whole.images.rows[kept]),
        parts=whole.parts[kept],
        keys=whole.keys[kept],
        codes=whole.codes[kept],
        labels=whole.labels,
        faults=whole.faults,
    )
