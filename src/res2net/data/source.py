"""Parse ``--data FORMAT:PATH`` to a :class:`Source`. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from res2net.errors import UserError, did_you_mean, no_such_path
from res2net.files import at_home

LABELS = "labels"  # labels of whole images; other annotations: ``SceneOptions.marks``
NONE = "none"  # images alone
# format → the annotations that it supports, the usual one first
HOLDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("folder", "csv", "shards", "imagenet"), (LABELS,)),
    **dict.fromkeys(("cifar10", "cifar100", "digits"), (LABELS,)),
    "images": (NONE,),
    "voc": ("boxes", "classes"),
    "coco": ("boxes", "masks", "keypoints"),
    "yolo": ("boxes", "masks", "keypoints"),
    **dict.fromkeys(("cvat", "labelme", "labelstudio"), ("boxes", "masks", "keypoints")),
    "via": ("boxes", "masks"),
    **dict.fromkeys(("createml", "csv-boxes"), ("boxes",)),
    "instance-maps": ("boxes", "masks"),
    "camvid": ("classes",),
    "pairs": ("classes", "salient"),
    "msra-b": ("salient",),
    "ecssd": ("salient",),
    "scenes": (LABELS, "boxes", "masks", "keypoints", "classes", "salient"),
}
FORMATS = tuple(HOLDS)
PATHLESS = {"digits": "it ships inside scikit-learn", "scenes": "they are generated"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Place and layout of the images."""

    format: str  # one of FORMATS
    path: Path | None  # None for formats without files (PATHLESS)
    guessed: bool  # the format was recognised by the content, not given
    why: str = field(default="", compare=False)  # evidence for a guessed format
    others: tuple[str, ...] = field(default=(), compare=False)  # other formats that fit

    def __str__(self) -> str:
        return self.format if self.path is None else f"{self.format}:{self.path}"


def parse_source(text: str, holds: str | None = None) -> Source:
    """Parse ``text``: ``FORMAT:PATH``, ``digits``, or a bare path.

    The format of a bare path is recognised by its content (``data/recognise.py``), among those with
    the requested annotations. A path of ``cifar10:`` or ``cifar100:`` need not exist, since it can
    be a download target; one of ``shards:`` may have braces.

    Args:
        text: the value of the option.
        holds: required annotations: "labels", or one of ``SceneOptions.marks``; "none": labels are
            used if there are any; None: any.

    Raises:
        UserError: an unknown format or a missing path (suggests the nearest), a file that no
            reader supports, or a path that fits several formats.
    """
    prefix, colon, rest = text.partition(":")
    if colon and prefix in FORMATS:
        return _given(prefix, rest)
    path = at_home(text)
    if not colon and text in FORMATS and (text in PATHLESS or not path.exists()):
        return _given(text, "")
    if path.exists():
        return _recognise(path, holds)
    if colon and re.fullmatch(r"[\w-]{2,}", prefix):
        raise UserError(
            f"unknown data format {prefix!r}; formats are {', '.join(FORMATS)}."
            f"{did_you_mean(prefix, FORMATS)}"
        )
    raise no_such_path(path)


def _given(name: str, rest: str) -> Source:
    if name in PATHLESS:
        if rest:
            raise UserError(f"{name} takes no path, got {rest!r}: {PATHLESS[name]}")
        return Source(format=name, path=None, guessed=False)
    if not rest:
        raise UserError(f"data format {name!r} needs a path: {name}:PATH")
    from res2net.data import cifar  # imports Pillow, which help texts do not need

    path = at_home(rest)
    braces = name == "shards" and "{" in rest  # several files
    if not path.exists() and name not in cifar.LAYOUTS and not braces:
        raise no_such_path(path)
    return Source(format=name, path=path, guessed=False)


def _recognise(path: Path, holds: str | None) -> Source:
    """The source of an existing path, by its content."""
    from res2net.data.photo import EXTENSIONS
    from res2net.data.recognise import BOXES_ALONE, candidates
    from res2net.data.scenes.forms import other_tool

    found = candidates(path)
    fitting = [name for name in found if holds is None or holds in HOLDS[name]]
    if holds == NONE and path.is_dir():
        if any(each.suffix.lower() in EXTENSIONS for each in path.iterdir()):
            found.pop("folder", None)  # which would leave these images out
        fitting = [name for name in found if LABELS in HOLDS[name]]
        if not found:
            return Source(format="images", path=path, guessed=True, why="photos without labels")
    if holds == "classes" and found.get("voc", "").endswith(BOXES_ALONE):
        fitting.remove("voc")
    if not fitting and path.is_dir() and holds in HOLDS["pairs"]:
        fitting = ["pairs"]  # its reader reports what is missing
    objects = holds in ("boxes", "masks", "keypoints")
    if (
        not fitting
        and objects
        and (other := other_tool(path) or (path.is_dir() and found.keys() <= {"csv"}))
    ):
        told = f": {other}" if isinstance(other, str) else ""
        raise UserError(
            f"{path}: holds no object annotations in a supported format{told}; export them "
            "as COCO, YOLO or VOC"
        )
    from res2net.data import cifar

    fitting = fitting or list(found)[: 1 if holds == LABELS else None]
    if len(fitting) > 1 and (holds is not None or fitting[0] in cifar.LAYOUTS):
        either = " or ".join(f"{name}:{path} ({found[name]})" for name in fitting)
        raise UserError(f"{path}: fits more than one format; choose one: {either}")
    if fitting:
        others = tuple(name for name in found if name != fitting[0])
        first = fitting[0]
        return Source(
            format=first, path=path, guessed=True, why=found.get(first, ""), others=others
        )
    if path.is_dir():
        return Source(format="folder", path=path, guessed=True)
    ending = path.suffix.lower()
    if ending in (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"):
        raise UserError(f"{path}: an archive, not of CIFAR; unpack it and give its folder")
    text = ending == ".txt"
    lines = (
        ", a .txt of lines with the path of an image (with its suffix) and a label" if text else ""
    )
    raise UserError(
        f"{path}: not a data set; give a folder of class folders, a .csv of path,label{lines} "
        "or a CIFAR archive"
    )
