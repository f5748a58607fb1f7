"""List any number of images one by one: folders, archives, list files, single files.

Only the names of one folder are in memory at a time. The order is fixed, so that a stopped run can
resume.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from res2net.data import photo
from res2net.data.archive import members
from res2net.data.bands import ENDING as ARRAY
from res2net.data.files import SKIPPED_FOLDERS, Listing
from res2net.data.foreign import check_file
from res2net.data.preprocess import AS_RGB, Reading
from res2net.errors import UserError, no_such_path

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
LISTS = (".txt", ".lst")
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Source:
    """One image to read."""

    name: str  # as the results name it
    data: bytes | None = None  # of a member of an archive; None: the name is a file's
    fault: str = ""  # why a member of an archive cannot be read

    def read(self, min_side: int, reading: Reading = AS_RGB) -> photo.Pixels:
        """The image, upright: uint8 (H, W, C).

        Raises:
            UserError: it cannot be read; names it.
        """
        path = Path(self.name)
        if self.fault:
            raise UserError(f"{self.name}: {self.fault}")
        if self.data is None:
            return photo.read_pixels(path, min_side=min_side, reading=reading)
        if not self.data:
            raise UserError(f"{self.name}: the file is empty (0 bytes)")
        with photo.faults_named(path):
            data = np.frombuffer(self.data, np.uint8)
            return photo.decoded(data, min_side=min_side, reading=reading)


def sources(given: Iterable[str]) -> Iterator[Source]:
    """All given images, in a fixed order.

    Args:
        given: image files, folders, archives (zip, tar), list files (a path a line), or "-" for a
            list on standard input.

    Raises:
        UserError: nothing there, or an archive or a list that cannot be read.
    """
    for item in given:
        path = Path(item)
        if item == STDIN:
            yield from _listed(sys.stdin, None)
        elif path.is_dir():
            yield from _folder(str(path))
        elif not path.exists():
            raise no_such_path(path)
        elif not path.is_file():
            check_file(path)  # reports its kind
        elif item.lower().endswith(ARCHIVES):
            yield from _archive(path)
        elif path.suffix.lower() in LISTS:
            with path.open(encoding="utf-8", errors="surrogateescape") as lines:
                yield from _listed(lines, path.parent)
        else:
            yield Source(item)


def _folder(folder: str) -> Iterator[Source]:
    """Images in it, then those of its folders, each sorted; links to folders are not followed."""
    try:
        with os.scandir(folder) as entries:
            inside = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.name.startswith(".") and entry.name not in SKIPPED_FOLDERS
            )
    except OSError as error:
        raise UserError(f"{folder}: cannot list this folder ({error.strerror})") from error
    images = [name for name, is_folder in inside if not is_folder and _is_image(name)]
    photos = [name for name in images if not name.lower().endswith(ARRAY)]
    for name in photos or images:  # arrays beside photos hold something else
        yield Source(f"{folder}{os.sep}{name}")
    for name, is_folder in inside:
        if is_folder:
            yield from _folder(f"{folder}{os.sep}{name}")


def _listed(lines: Iterable[str], folder: Path | None) -> Iterator[Source]:
    """A path a line; relative ones count from the list's folder."""
    for line in lines:
        name = line.strip()
        if name and not name.startswith("#"):
            yield Source(str(folder / name) if folder else name)


def _archive(path: Path) -> Iterator[Source]:
    """Images in a zip or tar, in the order of the archive; other files are counted in a warning."""
    others = Listing()

    def wanted(name: str) -> bool:
        ending = Path(name).suffix.lower()
        if ending not in photo.EXTENSIONS:
            others.ignored[ending] += 1
        return _is_image(name)

    for member in members(path, wanted):
        yield Source(f"{path}/{member.name}", member.data, member.fault)
    others.warn_ignored(path)


def _is_image(name: str) -> bool:
    base = name.rpartition("/")[2]
    return not base.startswith(".") and Path(base).suffix.lower() in photo.EXTENSIONS
