"""What a data set holds: parts, classes, sizes and faults, counted and drawn before a training.

Legend: N objects · H, W pixels of an image
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from res2net.config import ANNOTATIONS, known_task
from res2net.data import levels
from res2net.data.convert import convert
from res2net.data.faults import check_scene, sentence
from res2net.data.labelled import (
    UNEQUAL,
    LabelledImages,
    ReadOptions,
    Split,
    check_labelled,
    counts_of,
)
from res2net.data.preprocess import SMALL, default_preprocess
from res2net.data.readers import read
from res2net.data.scene import IGNORED, Scene, Scenes
from res2net.data.scenes.legend import FILES
from res2net.data.scenes.mapfile import map_of
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.scenes.readers import check_trainable, read_scenes
from res2net.data.source import HOLDS, LABELS, NONE, Source, parse_source
from res2net.data.split import Holdout, check_grouping
from res2net.data.values import fit_to_values, training_images
from res2net.errors import UserError
from res2net.files import make_folder
from res2net.inspection.images import Look, Track, facts, images_of, look_at_all, parts_of
from res2net.metrics.sizes import SIZES, size_index
from res2net.paper.tasks import TaskName

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """How often a class occurs in a part."""

    name: str
    images: int
    objects: int = 0  # that count; crowds and difficult ones do not
    pixels: int = 0  # of maps, or of the objects' masks or boxes


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a data set.

    Attributes:
        name: "training", "validation" or "test".
        images: how many it lists.
        annotated: how many of them hold a label, an object or a map with a class.
        ignored: objects that count neither way (crowds, difficult ones).
        classes: a row a class, in the order of the labels.
        sizes: objects that count, by COCO's "small", "medium" and "large".
        lengths: square roots of the areas of all these objects, in pixels.
    """

    name: str
    images: int
    annotated: int
    ignored: int = 0
    classes: tuple[ClassCount, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)
    lengths: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0), repr=False)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in a data set.

    Attributes:
        data: as ``--data`` takes it.
        marks: what it was read for: "labels" of whole images, or "boxes", "masks", "keypoints",
            "classes" or "salient".
        why: how its format was found.
        others: formats that its content also fits.
        name, classes: of the data set.
        parts: those that have images.
        validation: "given", "train" (held out of the training part) or "test" (the test part of a
            published protocol).
        widths, heights: least, median and greatest, in pixels.
        modes: how pixels are stored → number of images.
        values: least and greatest value of a sample of the images, by mode.
        unreadable: images that cannot be decoded, or whose map cannot be used, with the reason.
        duplicates: groups of files with equal bytes.
        leaks: of those that lie in more than one part, a file of each.
        notes: what a training would note.
        fault: why a training would refuse the data; None where it would not.
    """

    data: str
    marks: str
    why: str = ""
    others: tuple[str, ...] = ()
    name: str = ""
    classes: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    validation: str = "given"
    widths: tuple[int, int, int] | None = None
    heights: tuple[int, int, int] | None = None
    modes: dict[str, int] = field(default_factory=dict)
    values: dict[str, tuple[float, float]] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    leaks: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    fault: str | None = None
    _found: LabelledImages | Scenes | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain types for JSON; without the lengths of single objects."""
        out = asdict(replace(self, _found=None))  # which would be copied
        del out["_found"]
        for part in out["parts"]:
            del part["lengths"]
        return out

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``sheet.png`` (images with their annotations), ``classes.png`` and ``sizes.png``.

        Returns:
            The files; none of data that could not be read.

        Raises:
            UserError: the folder cannot be written.
        """
        if self._found is None:
            return []
        folder = Path(folder)
        make_folder(folder, "--out")
        from res2net.inspection.pictures import draw_counts, draw_sheet

        return [*draw_sheet(self, self._found, folder), *draw_counts(self, folder)]

    def write(self, folder: str | Path, layout: str, *, copy: bool = False) -> None:
        """Write the data set in another layout: see :func:`res2net.data.convert.convert`.

        Raises:
            UserError: data that could not be read, a layout that cannot hold its annotations, or a
                folder that exists or cannot be written.
        """
        if self._found is None:
            raise UserError(self.fault or f"{self.data}: nothing was read")
        convert(self._found, self.marks, Path(folder), layout, copy=copy)


def inspect_data(
    path: str | Path,
    *,
    task: TaskName | None = None,
    val_fraction: float | None = None,
    seed: int = 0,
    group_by: str = "",
    multi_label: bool = False,
    track: Track | None = None,
) -> Inspection:
    """What a data set holds, read as a training would read it, as ``res2net data`` prints it.

    Args:
        path: FORMAT:PATH, or a path that is recognised.
        task: what would be trained on it; None takes the usual one of its format.
        val_fraction, seed, group_by: of the validation part, where the data have none; see
            ``input.group_by`` of ``train``.
        multi_label: of tables: an image has any number of labels.
        track: wraps long loops, for progress: (things, their number, a label) to the things.

    Returns:
        Parts, classes, sizes, unreadable and duplicate files; ``fault`` says why a training would
        refuse the data, ``notes`` what it would note. ``save(folder)`` draws.

    Raises:
        UserError: no such path, an unknown format, or a path that fits several.

    Example:
        >>> found = res2net.inspect_data("digits")
        >>> found.fault is None, [part.images for part in found.parts]
        (True, [1437, 360])
    """
    holds = None if task is None else ANNOTATIONS[known_task(task)]
    source = parse_source(str(path), holds)
    if source.format == "pairs" and source.guessed and not _lists_classes(source):
        holds = holds or "salient"
    check_grouping(group_by, "--group-by")
    holds = holds or HOLDS[source.format][0]
    if multi_label and holds != LABELS:
        raise UserError(f"{source}: read for {holds}; several labels are of whole images")
    holdout = Holdout(
        val_fraction=val_fraction, seed=seed, group_by=group_by, multi_label=multi_label
    )
    return inspect(source, holds, holdout, track=track)


def inspect(
    source: Source,
    holds: str,
    holdout: Holdout | None = None,
    *,
    track: Track | None = None,
) -> Inspection:
    """Read a data set as a training would, look at every image file, and count.

    Args:
        source: from ``parse_source``.
        holds: the annotations to read: "labels" of whole images, or ``SceneOptions.marks``.
        holdout: how the validation part is drawn, where the data have none.
        track: wraps long loops, for progress.

    Returns:
        What was found; data that a training would refuse have a ``fault``.
    """
    track, holdout = track or _untracked, holdout or Holdout()
    marks = None if holds in (LABELS, NONE) else cast(Marks, holds)
    about: dict[str, Any] = {
        "data": str(source),
        "marks": holds,
        "why": _why(source),
        "others": source.others,
    }
    found: LabelledImages | Scenes
    with _noted() as notes:
        try:
            if marks is None:
                found = read(source, ReadOptions(**vars(holdout)))
            else:
                found = read_scenes(source, SceneOptions(marks=marks, **vars(holdout)))
        except UserError as error:
            return Inspection(**about, notes=tuple(notes), fault=str(error))
        levels.told.set()  # of single images: a training has one range for all
        looks = look_at_all(images_of(found), track)
        parts, faults = _count(found, marks, looks, track)
        fault = _training_fault(source, found, marks)
        if faults:
            fault = f"{sentence(str(source), faults, len(looks))}; mend or delete them"
        if fault is None:
            _note_unequal(source, parts, marks)
    return Inspection(
        **about,
        name=found.name,
        classes=found.classes,
        parts=tuple(parts),
        validation=found.validation,
        **facts(looks),
        unreadable=tuple(faults),
        notes=tuple(dict.fromkeys(notes)),
        fault=fault,
        _found=found,
    )


def _lists_classes(source: Source) -> bool:
    """Whether a list names the classes of the maps; else they show what is salient."""
    assert source.path is not None
    return any(each.name in FILES for each in source.path.rglob("*.*"))


def _why(source: Source) -> str:
    """How the format was found, in words."""
    if source.guessed:
        return f"recognised as {source.format} data ({source.why or 'a folder'})"
    return f"read as {source.format} data"


def _untracked(things: Iterable[T], count: int, label: str) -> Iterable[T]:
    """No progress; ``count`` and ``label`` are what one would show."""
    del count, label
    return things


@contextmanager
def _noted() -> Iterator[list[str]]:
    """Warnings become a list."""
    notes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: notes.append(str(message))
        yield notes


# Classes and objects


def _count(
    found: LabelledImages | Scenes, marks: Marks | None, looks: Sequence[Look], track: Track
) -> tuple[list[Part], list[tuple[str, str]]]:
    """The parts, and the faulty images: name and reason."""
    sizes = {(look.part, look.name): look.size for look in looks}
    faults = [(look.name, look.fault) for look in looks if look.fault]
    parts = []
    for name, images in parts_of(found):
        if isinstance(images, Split):
            parts.append(_count_labels(name, images, found.classes))
        elif marks in ("classes", "salient"):
            assert isinstance(found, Scenes)
            part, wrong = _count_maps(name, images, found, marks, sizes, track)
            parts.append(part)
            faults += wrong
        else:
            parts.append(_count_objects(name, images, found.classes))
            for scene in images:
                size = sizes[name, scene.name]
                if size is not None and (why := _misfit(scene, size, found, marks)):
                    faults.append((scene.name, why))
    return parts, faults


def _misfit(
    scene: Scene, size: tuple[int, int], found: LabelledImages | Scenes, marks: Marks | None
) -> str | None:
    try:
        check_scene(scene, size, found, marks)
    except UserError as error:
        return str(error)
    return None


def _count_labels(name: str, images: Split, classes: Sequence[str]) -> Part:
    counts = counts_of(images.labels, len(classes)).tolist()
    rows = (ClassCount(name=each, images=n) for each, n in zip(classes, counts, strict=True))
    return Part(name=name, images=len(images), annotated=len(images), classes=tuple(rows))


def _count_objects(name: str, images: Sequence[Scene], classes: Sequence[str]) -> Part:
    objects = [scene.objects for scene in images if scene.objects is not None]
    held = np.zeros(len(classes), np.int64)
    labels, areas = [np.zeros(0, np.int64)], [np.zeros(0)]
    for each in objects:
        counting = each.learnable()
        labels.append(each.labels[counting])
        areas.append(each.areas[counting])
        held[np.unique(labels[-1])] += 1
    label, area = np.concatenate(labels), np.concatenate(areas)
    numbers = np.bincount(label, minlength=len(classes))
    pixels = np.bincount(label, area, minlength=len(classes))
    rows = zip(classes, held.tolist(), numbers.tolist(), pixels.tolist(), strict=True)
    by_size = np.bincount(size_index(area), minlength=len(SIZES)).tolist()
    return Part(
        name=name,
        images=len(images),
        annotated=sum(len(each) > 0 for each in objects),
        ignored=sum(map(len, objects)) - len(label),
        classes=tuple(
            ClassCount(name=each, images=i, objects=n, pixels=round(p)) for each, i, n, p in rows
        ),
        sizes=dict(zip(SIZES, by_size, strict=True)),
        lengths=np.sqrt(area),
    )


def _count_maps(
    name: str,
    images: Sequence[Scene],
    found: Scenes,
    marks: Marks,
    sizes: dict[tuple[str, str], tuple[int, int] | None],
    track: Track,
) -> tuple[Part, list[tuple[str, str]]]:
    """The part, and its images whose map cannot be used: name and reason."""

    def count(scene: Scene) -> npt.NDArray[np.int64] | UserError | None:
        size = sizes[name, scene.name]
        if size is None:  # the image is faulty itself
            return None
        try:
            values = map_of(scene, marks, size, len(found.classes), found.legend)
        except UserError as error:
            return error
        return np.bincount(values.ravel(), minlength=256)

    with ThreadPoolExecutor() as pool:
        counts = list(track(pool.map(count, images), len(images), f"{name} maps"))
    pairs = list(zip(images, counts, strict=True))
    faults = [(scene.name, str(each)) for scene, each in pairs if isinstance(each, UserError)]
    pixels = np.array([each for each in counts if isinstance(each, np.ndarray)]).reshape(-1, 256)
    part = Part(
        name=name,
        images=len(images),
        annotated=int((pixels[:, :IGNORED] > 0).any(axis=1).sum()),
        classes=tuple(
            ClassCount(
                name=each, images=int((pixels[:, k] > 0).sum()), pixels=int(pixels[:, k].sum())
            )
            for k, each in enumerate(found.classes)
        ),
    )
    return part, faults


# What a training would refuse or note


def _training_fault(
    source: Source, found: LabelledImages | Scenes, marks: Marks | None
) -> str | None:
    try:
        if isinstance(found, Scenes) and marks is not None:
            check_trainable(source, found, marks)
        elif isinstance(found, LabelledImages) and found.classes:
            check_labelled(str(source), found)
        _note_values(source, found)
    except UserError as error:
        return str(error)
    return None


def _note_values(source: Source, found: LabelledImages | Scenes) -> None:
    """Note a range of values and channels that are not those of usual photos.

    Raises:
        UserError: images of different numbers of bands.
    """
    fitted = fit_to_values(default_preprocess(SMALL), training_images(found), str(source))
    if fitted.range is not None:
        low, high = fitted.range
        warnings.warn(
            f"{source}: values {low:g}..{high:g} of images of more than 8 bits become 0..255; "
            "--input.range sets others",
            stacklevel=3,
        )
    if fitted.channels != 3:
        warnings.warn(f"{source}: images of {fitted.channels} channel(s)", stacklevel=3)


def _note_unequal(source: Source, parts: Sequence[Part], marks: Marks | None) -> None:
    """Note classes of which there are many times more than of others."""
    rows = [row for row in parts[0].classes if row.images]
    if marks in (None, "classes", "salient") or len(rows) < 2:
        return
    most, least = max(rows, key=lambda r: r.objects), min(rows, key=lambda r: r.objects)
    if most.objects >= UNEQUAL * least.objects:
        warnings.warn(
            f"{source}: very unequal classes: {most.objects} objects of {most.name}, "
            f"{least.objects} of {least.name}",
            stacklevel=3,
        )
