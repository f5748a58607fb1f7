"""The guard against faulty files: all of a data set are found before the first step.

Legend: H, W pixels of an image
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from res2net.data import photo
from res2net.data.labelled import LabelledImages, Split
from res2net.data.looked import Say, faults_of, identity
from res2net.data.scene import Scene, Scenes, StoredScenes
from res2net.data.scenes.mapfile import map_of
from res2net.data.scenes.options import Marks
from res2net.errors import UserError

Part = TypeVar("Part", Split, Sequence[Scene])
Images = TypeVar("Images", LabelledImages, Scenes)

NAMED = 10  # faulty files that a message names


def usable_images(
    where: str,
    images: Images,
    marks: Marks | None,
    *,
    skip_bad: bool,
    option: str,
    say: Say | None = None,
) -> Images:
    """The images to train on and to validate on whose files can be used.

    Args:
        where: the data as FORMAT:PATH.
        images: of a reader.
        marks: the annotations that are used; None: labels of whole images.
        skip_bad: leave out faulty files, with a warning that counts and names them.
        option: what leaves them out, as it is typed for this command.
        say: takes lines of progress.

    Raises:
        UserError: faulty files, all at once: their number, the first ten and why the first is one.
    """
    faults: dict[str, str] = {}
    train, good_train = _good(where, images.train, images, marks, faults, say)
    val, good_val = _good(where, images.val, images, marks, faults, say)
    _tell(where, faults, len(images.train) + len(images.val), skip_bad=skip_bad, option=option)
    if good_train and good_val:
        return images
    return replace(images, train=train, val=val)


def usable_part(
    where: str,
    part: Part,
    images: LabelledImages | Scenes,
    marks: Marks | None,
    *,
    skip_bad: bool,
    option: str,
    say: Say | None = None,
) -> Part:
    """The images of one part whose files can be used: see ``usable_images``."""
    faults: dict[str, str] = {}
    good, _ = _good(where, part, images, marks, faults, say)
    _tell(where, faults, len(part), skip_bad=skip_bad, option=option)
    return good


def sentence(where: str, faults: Sequence[tuple[str, str]], count: int) -> str:
    """How many of ``count`` images are faulty, which, and why: (name, reason) each."""
    names = ", ".join(name for name, _ in faults[:NAMED])
    more = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    name, fault = faults[0]
    reason = fault.rpartition(f"{name}: ")[2].removesuffix("; replace it")
    first = f"(the first: {reason})" if len(faults) > 1 else f"({reason})"
    return f"{where}: {len(faults):,} of {count:,} images cannot be used: {names}{more} {first}"


def check_scene(
    scene: Scene, size: tuple[int, int], images: LabelledImages | Scenes, marks: Marks | None
) -> None:
    """Refuse annotations that do not fit the image.

    Args:
        size: H, W of the image.

    Raises:
        UserError: a map that cannot be read, of another size or with values that are no classes;
            objects that were annotated in an image of another size.
    """
    if marks in ("classes", "salient") and isinstance(images, Scenes):
        map_of(scene, marks, size, len(images.classes), images.legend)
    elif scene.size is not None and scene.size != size:
        turned = ", turned as its EXIF orientation says" if scene.size == size[::-1] else ""
        raise UserError(
            f"{scene.name}: is {size}{turned}, its annotations are for {scene.size} (H, W)"
        )


def _good(
    where: str,
    part: Split | Sequence[Scene],
    images: LabelledImages | Scenes,
    marks: Marks | None,
    faults: dict[str, str],
    say: Say | None,
) -> tuple[Any, bool]:
    """The part without its faulty images, and whether it has none; their names are added."""
    if isinstance(part, Split):
        files = part.images
        if isinstance(files, np.ndarray):
            return part, True
        found = faults_of(where, files, identity, photo.probe, say)
        faults.update({part.names(i): why for i, why in found.items()})
        return (_without(part, found), False) if found else (part, True)

    legend = images.legend if isinstance(images, Scenes) else None

    def identify(scene: Scene) -> str:
        mapped = scene.classes if marks == "classes" else scene.salient
        words = [identity(each) for each in (scene.image, mapped) if isinstance(each, Path)]
        return f"{words} {marks} {scene.size} {len(images.classes)} {legend}" if all(words) else ""

    def check(scene: Scene) -> None:
        if isinstance(scene.image, Path):  # others are drawn here
            check_scene(scene, photo.probe(scene.image).size, images, marks)

    found = faults_of(where, part, identify, check, say)
    faults.update({part[i].name: why for i, why in found.items()})
    if not found:
        return part, True
    kept = np.array([i for i in range(len(part)) if i not in found], np.int64)
    return (part.of(kept) if isinstance(part, StoredScenes) else [part[i] for i in kept]), False


def _without(split: Split, faults: dict[int, str]) -> Split:
    return split.of(np.array([i for i in range(len(split)) if i not in faults], np.int64))


def _tell(where: str, faults: dict[str, str], count: int, *, skip_bad: bool, option: str) -> None:
    if not faults:
        return
    text = sentence(where, list(faults.items()), count)
    if not skip_bad:
        raise UserError(
            f"{text}; mend or delete them, or leave them out: {option} "
            f"(`res2net data {where} --json` lists all)"
        )
    if len(faults) == count:
        raise UserError(f"{text}; nothing is left")
    warnings.warn(f"{text}; they are left out", stacklevel=4)
