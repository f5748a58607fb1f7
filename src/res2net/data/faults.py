"""Find all faulty files of a data set before the first training step.

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

NAMED = 10  # faulty files listed in a message


def usable_images(
    where: str,
    images: Images,
    marks: Marks | None,
    *,
    skip_bad: bool,
    option: str,
    say: Say | None = None,
) -> Images:
    """The training and validation images whose files are usable.

    Args:
        where: the data as FORMAT:PATH.
        images: from a reader.
        marks: the annotations in use; None: labels of whole images.
        skip_bad: leave out faulty files, with a warning that counts and names them.
        option: the option of this command that leaves them out, as typed.
        say: callback for lines of progress.

    Raises:
        UserError: faulty files: their number, the first ten, and the reason for the first.
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
    """The images of one part whose files are usable: see ``usable_images``."""
    faults: dict[str, str] = {}
    good, _ = _good(where, part, images, marks, faults, say)
    _tell(where, faults, len(part), skip_bad=skip_bad, option=option)
    return good


def sentence(where: str, faults: Sequence[tuple[str, str]], count: int) -> str:
    """A sentence on the faulty ones of ``count`` images; ``faults`` are (name, reason) pairs."""
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
        UserError: a map that is unreadable, of another size or has values that are not classes;
            objects annotated in an image of another size.
    """
    if marks in ("classes", "salient") and isinstance(images, Scenes):
        map_of(scene, marks, size, len(images.classes), images.legend)
    elif scene.size is not None and scene.size != size:
        turned = " after its EXIF rotation" if scene.size == size[::-1] else ""
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
    """The part without its faulty images, and whether it has none; adds their names."""
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
        if isinstance(scene.image, Path):  # others are generated
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
            f"{text}; fix or delete them, or leave them out: {option} "
            f"(`res2net data {where} --json` lists all)"
        )
    if len(faults) == count:
        raise UserError(f"{text}; no image is left")
    warnings.warn(f"{text}; they are left out", stacklevel=4)
