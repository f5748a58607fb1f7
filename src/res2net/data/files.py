"""List image files: fast for a million files, independent of the file system's order."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
import numpy.typing as npt

from res2net.data import levels, photo
from res2net.data.bands import ENDING as ARRAY
from res2net.data.looked import faults_of, identity
from res2net.data.packed import File
from res2net.errors import UserError, no_such_path

# Folders that tools leave behind; hidden ones (.ipynb_checkpoints, .git) are skipped anyway.
SKIPPED_FOLDERS = frozenset({"__MACOSX", "__pycache__", "@eaDir"})

# Lower-case words for the parts of a data set in names of folders, lists and columns.
PART_WORDS: Mapping[str, tuple[str, ...]] = {  # in names of folders, files and columns
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing", "tst"),
}
PARTS = {word: part for part, words in PART_WORDS.items() for word in words}

T = TypeVar("T")
Identity = tuple[int, int]  # device and inode: the same for all links to a file


class Texts:
    """N strings in two flat arrays, which processes can share."""

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [os.fsencode(text) for text in texts]
        self.bytes = np.frombuffer(b"".join(encoded), np.uint8)
        self.ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)  # (N + 1,)

    @classmethod
    def of(cls, bytes_: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> Texts:
        """The strings of another object's two arrays."""
        found = cls(())
        found.bytes, found.ends = bytes_, ends
        return found

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> str:
        count = len(self)
        if not -count <= i < count:
            raise IndexError(i)
        i %= count
        start, end = self.ends[i : i + 2].tolist()
        return os.fsdecode(self.bytes[start:end].tobytes())


class Files(Sequence[Path]):
    """Paths under one folder, held in two flat arrays.

    A list of a million ``Path`` objects takes almost a gigabyte, and every loader worker would
    copy it as reference counts change. This takes only the bytes of the names.
    """

    def __init__(self, root: Path, names: Iterable[str] | Texts) -> None:
        self.root = root
        self.names = names if isinstance(names, Texts) else Texts(names)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """Path ``i`` relative to the root."""
        return self.names[i]

    @overload
    def __getitem__(self, i: int) -> Path: ...
    @overload
    def __getitem__(self, i: slice) -> Files: ...
    def __getitem__(self, i: int | slice) -> Path | Files:
        if isinstance(i, slice):
            return Files(self.root, [self.name(j) for j in range(*i.indices(len(self)))])
        return self.root / self.name(i)


@dataclass(kw_only=True)
class Listing:
    """Result of a walk over folders."""

    names: list[str] = field(default_factory=list)  # images, relative to the root walked from
    empty: list[str] = field(default_factory=list)  # files of 0 bytes, on request
    ignored: Counter[str] = field(default_factory=Counter)  # suffix -> number of other files
    linked: bool = False  # a link was found, so a file may have two names

    def warn_ignored(self, where: Path) -> None:
        """Issue one warning that counts the files with other suffixes, if any."""
        if self.ignored:
            counts = ", ".join(f"{end or 'none'}: {n}" for end, n in self.ignored.most_common(5))
            warnings.warn(
                f"{where}: {self.ignored.total()} files ignored, whose suffixes are not of images "
                f"({counts})",
                stacklevel=2,
            )


def subfolders(folder: Path) -> list[str]:
    """The visible folders in ``folder``, sorted, without links to its own parents."""
    with _opened(folder) as entries:
        above = _ancestors(folder)
        return sorted(e.name for e in entries if _is_folder(e) and _identity(e.path) not in above)


def folders_below(folder: Path) -> list[Path]:
    """A folder and all visible folders below it."""
    return [folder, *(each for name in subfolders(folder) for each in folders_below(folder / name))]


def list_images(root: Path, folder: str, listing: Listing, *, find_empty: bool) -> int:
    """Add the images under ``root/folder``, sorted, to ``listing``; return their number.

    ``find_empty`` reads each file's size: some seconds for a million files.
    """
    start = len(listing.names)
    path = root / folder
    listing.linked |= path.resolve() != root.resolve() / folder
    _walk(str(path), folder, _ancestors(path), listing, find_empty)
    listing.names[start:] = sorted(_without_arrays(listing.names[start:], listing))
    return len(listing.names) - start


def image_names(folder: Path) -> list[str]:
    """The images of a folder, at any depth, relative to it."""
    listing = Listing()
    list_images(folder, "", listing, find_empty=False)
    return listing.names


def images_in(path: Path) -> list[Path]:
    """The file, or the images under the folder, at any depth, sorted.

    Raises:
        UserError: nothing there.
    """
    if path.is_dir():
        if not (names := image_names(path)):
            raise UserError(f"{path}: no images in this folder")
        return [path / name for name in names]
    if not path.exists():
        raise no_such_path(path)
    return [path]


def with_folders(images: Iterable[T]) -> Iterator[T | Path]:
    """The same images, with each folder replaced by the images in it.

    Raises:
        UserError: a folder without images.
    """
    for image in images:
        if isinstance(image, str | Path) and whether(Path(image).is_dir):
            yield from images_in(Path(image))
        else:
            yield image


def _without_arrays(names: Sequence[str], listing: Listing) -> Sequence[str]:
    """Take array files as images only in a folder without photos."""
    is_array = [name.lower().endswith(ARRAY) for name in names]
    if not any(is_array):
        return names
    folders = [name.rpartition("/")[0] for name in names]
    of_photos = {folder for folder, array in zip(folders, is_array, strict=True) if not array}
    kept = [
        name
        for name, folder, array in zip(names, folders, is_array, strict=True)
        if not (array and folder in of_photos)
    ]
    if len(kept) < len(names):
        listing.ignored[ARRAY] += len(names) - len(kept)
    return kept


def usable(
    root: Path, names: Sequence[str], *, skip_bad: bool, empty: Sequence[str]
) -> npt.NDArray[np.bool_]:
    """Mask of the ``names`` to keep: bool (N,).

    With ``skip_bad`` every file is probed (``photo.probe``) and one warning counts and names those
    left out. Otherwise only the ``empty`` files of the listing are refused.

    Raises:
        UserError: there are empty files, without ``skip_bad``.
    """
    if not skip_bad:
        if empty:
            raise UserError(
                f"{root}: {len(empty)} empty or missing file(s): {some(empty)}; "
                "delete them, or leave them out (--input.skip-bad true; --skip-bad of evaluate)"
            )
        return np.ones(len(names), dtype=np.bool_)
    faults = faults_of(root, Files(root, names), identity, photo.probe)
    if faults:
        warnings.warn(
            f"{root}: {len(faults)} unreadable file(s) skipped: {some([names[i] for i in faults])} "
            f"(the first: {next(iter(faults.values()))})",
            stacklevel=2,
        )
    kept = np.ones(len(names), dtype=np.bool_)
    kept[list(faults)] = False
    return kept


def spread(things: Sequence[T], most: int) -> list[T]:
    """Up to ``most`` of them, evenly."""
    count = min(len(things), most)
    return [things[i * len(things) // count] for i in range(count)]


def warn_rescaled(where: object, paths: Sequence[File]) -> None:
    """Warn of images with more than 8 bits that are scaled by their own range."""
    looked = spread(paths, 64)
    found = [path for path in looked if photo.is_rescaled(path)]
    if found:
        levels.told.set()
        warnings.warn(
            f"{where}: {len(found)} of {len(looked)} sampled images ({found[0]} is the "
            f"first): {levels.RESCALED}",
            stacklevel=3,
        )


def some(names: Sequence[str]) -> str:
    """Up to five names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def composed(name: str) -> str:
    """A file's name with composed letters: macOS and its archives write é as e and an accent."""
    return unicodedata.normalize("NFC", name)


def whether(check: Callable[[], bool]) -> bool:
    """The result of ``path.is_file`` or the like; False for an invalid path (too long, NUL)."""
    try:
        return check()
    except (OSError, ValueError):
        return False


def _walk(
    path: str, prefix: str, above: frozenset[Identity], listing: Listing, find_empty: bool
) -> None:
    with _opened(path) as entries:
        for entry in entries:
            name = f"{prefix}/{entry.name}" if prefix else entry.name
            listing.linked |= entry.is_symlink()
            if _is_folder(entry):
                own = _identity(entry.path)
                if own not in above:
                    _walk(entry.path, name, above | {own}, listing, find_empty)
            elif entry.name.startswith(".") or entry.is_dir():
                continue
            elif (ending := _ending(entry.name)) in photo.EXTENSIONS:
                listing.names.append(name)
                if find_empty:
                    size, names = _size(entry)
                    listing.linked |= names > 1
                    if not size:
                        listing.empty.append(name)
            else:
                listing.ignored[ending] += 1


def _opened(folder: Path | str) -> os._ScandirIterator[str]:
    try:
        return os.scandir(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot list this folder ({error.strerror})") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    hidden = entry.name.startswith(".") or entry.name in SKIPPED_FOLDERS
    return not hidden and entry.is_dir()


def _ending(name: str) -> str:
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def _size(entry: os.DirEntry[str]) -> tuple[int, int]:
    """Size in bytes and number of hard links; 0 bytes for a dangling link."""
    try:
        found = entry.stat()
    except OSError:
        return 0, 1
    return found.st_size, found.st_nlink


def _identity(path: Path | str) -> Identity:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


def _ancestors(folder: Path) -> frozenset[Identity]:
    real = folder.resolve()
    return frozenset(_identity(p) for p in (real, *real.parents))
