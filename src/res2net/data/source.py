"""``--data FORMAT:PATH``: a string becomes a :class:`Source`, once. No torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from res2net.data import cifar, imagenet
from res2net.errors import UserError, did_you_mean

FORMATS = (
    *("folder", "csv", "imagenet", "cifar10", "cifar100", "digits"),
    *("voc", "coco", "yolo", "camvid", "pairs", "msra-b", "ecssd", "scenes"),
)
PATHLESS = {"digits": "it ships inside scikit-learn", "scenes": "they are generated"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the images are and how they are laid out."""

    format: str  # one of FORMATS
    path: Path | None  # None for what needs no files (PATHLESS)
    guessed: bool  # the format was recognised by the content, not given

    def __str__(self) -> str:
        return self.format if self.path is None else f"{self.format}:{self.path}"


def parse_source(text: str) -> Source:
    """The source that ``text`` names: ``FORMAT:PATH``, ``digits``, or a bare path.

    A bare path is recognised by its content: a ``.csv`` file; COCO's ``.json``; an archive or
    folder of CIFAR in the official python layout; an ImageNet (ILSVRC) layout with its devkit or
    Kaggle files; the layouts of VOC, COCO, CamVid and YOLO, and images with maps beside them; any
    other folder is a folder of class folders. A path of ``cifar10:`` or ``cifar100:`` need not
    exist yet, as it may be downloaded into.

    Raises:
        UserError: an unknown format or a missing path (names the nearest), or a file that no
            reader takes.
    """
    prefix, colon, rest = text.partition(":")
    if colon and prefix in FORMATS:
        return _given(prefix, rest)
    path = Path(text).expanduser()
    if not colon and text in FORMATS and (text in PATHLESS or not path.exists()):
        return _given(text, "")
    if path.exists():
        return Source(format=_recognise(path), path=path, guessed=True)
    if colon and re.fullmatch(r"[\w-]{2,}", prefix):
        raise UserError(
            f"unknown data format {prefix!r}; formats are {', '.join(FORMATS)}."
            f"{did_you_mean(prefix, FORMATS)}"
        )
    raise _missing(path)


def _given(name: str, rest: str) -> Source:
    if name in PATHLESS:
        if rest:
            raise UserError(f"{name} takes no path, got {rest!r}: {PATHLESS[name]}")
        return Source(format=name, path=None, guessed=False)
    if not rest:
        raise UserError(f"data format {name!r} needs a path: {name}:PATH")
    path = Path(rest).expanduser()
    if not path.exists() and name not in cifar.LAYOUTS:
        raise _missing(path)
    return Source(format=name, path=path, guessed=False)


def _missing(path: Path) -> UserError:
    near = ""
    if path.parent.is_dir():
        near = did_you_mean(path.name, [entry.name for entry in path.parent.iterdir()])
    return UserError(f"{path}: no such file or folder.{near}")


def _recognise(path: Path) -> str:
    """The format of an existing path, by its content."""
    found = cifar.recognise(path)
    if len(found) > 1:
        either = " or ".join(f"{name}:{path}" for name in found)
        raise UserError(f"{path}: holds more than one data set; say which: {either}")
    if found:
        return found[0]
    from res2net.data.scenes.recognise import recognise

    if path.is_dir():
        return "imagenet" if imagenet.recognise(path) else recognise(path) or "folder"
    if path.suffix.lower() == ".csv":
        return "csv"
    if named := recognise(path):
        return named
    raise UserError(
        f"{path}: not a data set; give a folder of class folders, a .csv of path,label "
        "or a CIFAR archive"
    )
