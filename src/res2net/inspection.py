"""What a data set holds: parts, classes, sizes and faults, counted and drawn before a training.

Legend: N objects · H, W pixels of an image
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from res2net.config import ANNOTATIONS, TaskName, known_task
from res2net.data import photo
from res2net.data.convert import convert
from res2net.data.files import some, spread
from res2net.data.labelled import LabelledImages, Split
from res2net.data.outlines import to_mask
from res2net.data.readers import read
from res2net.data.scene import IGNORED, Objects, Scene, Scenes
from res2net.data.scenes.checks import check_objects
from res2net.data.scenes.mapfile import map_of
from res2net.data.scenes.maps import check_maps
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.source import HOLDS, LABELS, Source, parse_source
from res2net.drawing.marks import colour_of, draw_boxes, draw_legend, draw_skeleton, tint
from res2net.errors import UserError, arguments_named
from res2net.files import make_folder
from res2net.metrics.sizes import LARGE, SIZES, SMALL, size_index

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)
T = TypeVar("T")
Track = Callable[[Iterable[Any], int, str], Iterable[Any]]  # (things, count, label)

UNEQUAL = 10  # times as many images of one class as of another: worth a note
SHOWN = 12  # images on the sheet
RANGED = 32  # images whose values are read


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
        unreadable: image files that cannot be decoded, with the reason.
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
        return [*_draw_sheet(self, self._found, folder), *_draw_counts(self, folder)]

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
    val_fraction: float = 0.2,
    seed: int = 0,
    track: Track | None = None,
) -> Inspection:
    """What a data set holds, read as a training would read it, as ``res2net data`` prints it.

    Args:
        path: FORMAT:PATH, or a path that is recognised.
        task: what would be trained on it; None takes the usual one of its format.
        val_fraction, seed: of the validation part, where the data have none.
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
    with arguments_named():
        holds = None if task is None else ANNOTATIONS[known_task(task)]
        source = parse_source(str(path), holds)
        return inspect(
            source,
            holds or HOLDS[source.format][0],
            val_fraction=val_fraction,
            seed=seed,
            track=track,
        )


def inspect(
    source: Source,
    holds: str,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    track: Track | None = None,
) -> Inspection:
    """Read a data set as a training would, look at every image file, and count.

    Args:
        source: from ``parse_source``.
        holds: the annotations to read: "labels" of whole images, or ``SceneOptions.marks``.
        val_fraction, seed: of the validation part, where the data have none.
        track: wraps long loops, for progress.

    Returns:
        What was found; data that a training would refuse have a ``fault``.
    """
    track = track or _untracked
    marks = None if holds == LABELS else cast(Marks, holds)
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
                found = read(source, val_fraction=val_fraction, seed=seed, skip_bad=False)
            else:
                options = SceneOptions(marks=marks, val_fraction=val_fraction, seed=seed)
                found = read_scenes(source, options)
        except UserError as error:
            return Inspection(**about, notes=tuple(notes), fault=str(error))
        looks = _look_at_all(_images_of(found), track)
        parts = _count(found, marks, looks, track)
        fault = _unreadable_fault(source, looks) or _training_fault(source, found, marks)
        if fault is None:
            _note_unequal(source, parts, marks)
    return Inspection(
        **about,
        name=found.name,
        classes=found.classes,
        parts=tuple(parts),
        validation=found.validation,
        **_facts(looks),
        notes=tuple(dict.fromkeys(notes)),
        fault=fault,
        _found=found,
    )


def _why(source: Source) -> str:
    """How the format was found, in words."""
    if source.guessed:
        return f"taken for {source.format} data ({source.why or 'a folder'})"
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


# The image files


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """What an image file shows."""

    name: str
    part: str
    size: tuple[int, int] | None = None  # width, height
    mode: str = ""
    digest: bytes = b""  # of its bytes, where another file has as many
    fault: str | None = None
    path: Path | None = None


def _images_of(found: LabelledImages | Scenes) -> list[tuple[str, str, Path | Pixels]]:
    """(part, name, image) of all images."""
    out: list[tuple[str, str, Path | Pixels]] = []
    for part, images in _parts_of(found):
        if isinstance(images, Split):
            out += [(part, images.names(i), images.images[i]) for i in range(len(images))]
        else:
            out += [(part, scene.name, scene.image) for scene in images]
    return out


def _parts_of(found: LabelledImages | Scenes) -> list[tuple[str, Split | Sequence[Scene]]]:
    named = {"training": found.train, "validation": found.val, "test": found.test}
    return [(name, part) for name, part in named.items() if part is not None and len(part)]


def _look_at_all(images: Sequence[tuple[str, str, Path | Pixels]], track: Track) -> list[_Look]:
    lengths = Counter(_bytes(image) for _, _, image in images)

    def look(each: tuple[str, str, Path | Pixels]) -> _Look:
        part, name, image = each
        digest = _digest(image) if lengths[_bytes(image)] > 1 else b""
        if not isinstance(image, Path):
            height, width = image.shape[:2]
            return _Look(name=name, part=part, size=(width, height), mode="RGB", digest=digest)
        try:
            size, mode = _header(image)
        except UserError as error:
            return _Look(name=name, part=part, digest=digest, fault=str(error), path=image)
        return _Look(name=name, part=part, size=size, mode=mode, digest=digest, path=image)

    with ThreadPoolExecutor() as pool:
        return list(track(pool.map(look, images), len(images), "images"))


def _bytes(image: Path | Pixels) -> int:
    if not isinstance(image, Path):
        return image.nbytes
    try:
        return image.stat().st_size
    except OSError:
        return -1


def _digest(image: Path | Pixels) -> bytes:
    if not isinstance(image, Path):
        return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
    try:
        with image.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError:
        return b""


def _header(path: Path) -> tuple[tuple[int, int], str]:
    """Width and height, and how pixels are stored; the whole file is checked.

    Raises:
        UserError: an image that cannot be decoded.
    """
    photo.probe(path)
    with photo.faults_named(path), path.open("rb") as file:
        image = photo.open_image(file)
        mode = _MODES.get(image.mode, image.mode)
        deep = ";16" in photo.raw_mode(image) and image.mode in ("RGB", "RGBA", "LA")
        return image.size, f"{mode}, 16 bits" if deep else mode


_MODES = {
    "1": "1 bit",
    "L": "grey",
    "P": "palette",
    "LA": "grey with alpha",
    "RGBA": "RGB with alpha",
    "I;16": "grey, 16 bits",
    "I;16B": "grey, 16 bits",
    "I": "grey, 32 bits",
    "F": "float",
}


def _facts(looks: Sequence[_Look]) -> dict[str, Any]:
    """Sizes, modes, values, faults and duplicates."""
    good = [look for look in looks if look.size is not None]
    sizes = np.array([look.size for look in good] or np.zeros((0, 2)), np.int64)
    groups: dict[bytes, list[_Look]] = {}
    for look in looks:
        if look.digest:
            groups.setdefault(look.digest, []).append(look)
    same = [group for group in groups.values() if len(group) > 1]
    return {
        "widths": _span(sizes[:, 0]),
        "heights": _span(sizes[:, 1]),
        "modes": dict(Counter(look.mode for look in good).most_common()),
        "values": _values(good),
        "unreadable": tuple((look.name, look.fault) for look in looks if look.fault),
        "duplicates": tuple(tuple(look.name for look in group) for group in same),
        "leaks": tuple(
            tuple(f"{name} ({part})" for part, name in one.items())
            for group in same
            if len(one := {look.part: look.name for look in reversed(group)}) > 1
        ),
    }


def _span(numbers: npt.NDArray[np.int64]) -> tuple[int, int, int] | None:
    if not numbers.size:
        return None
    return int(numbers.min()), int(np.median(numbers)), int(numbers.max())


def _values(looks: Sequence[_Look]) -> dict[str, tuple[float, float]]:
    """Least and greatest stored value in up to 32 images of each mode."""
    out = {}
    for mode in dict.fromkeys(look.mode for look in looks):
        spans = [
            _stored_span(look.path)
            for look in spread([look for look in looks if look.mode == mode], RANGED)
            if look.path is not None
        ]
        if spans:
            out[mode] = min(low for low, _ in spans), max(high for _, high in spans)
    return out


def _stored_span(path: Path) -> tuple[float, float]:
    with photo.faults_named(path), path.open("rb") as file:
        values = np.asarray(photo.open_image(file))
    return float(values.min()), float(values.max())


# Classes and objects


def _count(
    found: LabelledImages | Scenes, marks: Marks | None, looks: Sequence[_Look], track: Track
) -> list[Part]:
    sizes = {(look.part, look.name): look.size for look in looks}
    parts = []
    for name, images in _parts_of(found):
        if isinstance(images, Split):
            parts.append(_count_labels(name, images, found.classes))
        elif marks in ("classes", "salient"):
            assert isinstance(found, Scenes)
            parts.append(_count_maps(name, images, found, marks, sizes, track))
        else:
            parts.append(_count_objects(name, images, found.classes))
    return parts


def _count_labels(name: str, images: Split, classes: Sequence[str]) -> Part:
    counts = np.bincount(images.labels, minlength=len(classes)).tolist()
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
) -> Part:
    def count(scene: Scene) -> npt.NDArray[np.int64]:
        image, size = scene.image, sizes[name, scene.name]
        try:
            if isinstance(image, Path):
                shape = photo.read_rgb(image).shape[:2] if size is None else _upright(image, size)
            else:
                shape = image.shape[:2]
            values = map_of(scene, marks, shape, len(found.classes), found.legend)
        except UserError:  # the guard before the first step names it
            return np.zeros(256, np.int64)
        return np.bincount(values.ravel(), minlength=256)

    with ThreadPoolExecutor() as pool:
        counts = list(track(pool.map(count, images), len(images), f"{name} maps"))
    pixels = np.array(counts).reshape(-1, 256)
    return Part(
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


def _upright(path: Path, size: tuple[int, int]) -> tuple[int, int]:
    """H, W of an image as it is shown, from its stored width and height."""
    from res2net.data.scenes.voc import image_size

    return image_size(path) if path.suffix.lower() in (".jpg", ".jpeg", ".tif") else size[::-1]


# What a training would refuse or note


def _unreadable_fault(source: Source, looks: Sequence[_Look]) -> str | None:
    bad = [look for look in looks if look.fault]
    if not bad:
        return None
    return (
        f"{source}: {len(bad)} of {len(looks)} images cannot be read: "
        f"{some([look.name for look in bad])} (the first: {bad[0].fault})"
    )


def _training_fault(
    source: Source, found: LabelledImages | Scenes, marks: Marks | None
) -> str | None:
    if not len(found.train):
        return f"{source}: no images to train on; as it is, this set is for `res2net evaluate`"
    if not len(found.val):
        return f"{source}: no images to validate on; add a val part"
    if marks is None or isinstance(found, LabelledImages):
        return None
    try:
        if source.path is not None:
            check_objects(str(source), found, marks)
        check_maps(str(source), found, marks)
    except UserError as error:
        return str(error)
    return None


def _note_unequal(source: Source, parts: Sequence[Part], marks: Marks | None) -> None:
    """Note classes of which there are many times more than of others."""
    rows = [row for row in parts[0].classes if row.images]
    if marks in ("classes", "salient") or len(rows) < 2:
        return
    number: Callable[[ClassCount], int] = (lambda r: r.objects) if marks else (lambda r: r.images)
    most, least = max(rows, key=number), min(rows, key=number)
    if number(most) >= UNEQUAL * number(least):
        hint = "" if marks else "; --train.class-weights balanced weighs them alike"
        warnings.warn(
            f"{source}: very unequal classes: {number(most)} {'objects' if marks else 'images'} of "
            f"{most.name}, {number(least)} of {least.name}{hint}",
            stacklevel=3,
        )


# Pictures


def annotated(image: Pixels, scene: Scene, found: Scenes, marks: Marks) -> Pixels:
    """The image (H, W, 3) with its annotations: boxes, outlines, key-points, or its map."""
    if marks in ("classes", "salient"):
        values = map_of(scene, marks, image.shape[:2], len(found.classes), found.legend)
        shown = [k for k in np.unique(values).tolist() if 0 < k < len(found.classes)]
        names = [found.classes[k] for k in shown]
        palette = found.palette or tuple(colour_of(k) for k in range(len(found.classes)))
        colours = [palette[k] if any(palette[k]) else colour_of(k) for k in shown]
        for k, colour in zip(shown, colours, strict=True):
            image = tint(image, values == k, colour)
        return draw_legend(image, names, colours) if marks == "classes" else image
    objects = scene.objects
    if objects is None or not len(objects):
        return image
    bones = found.skeleton.bones if found.skeleton else ()
    for i in range(len(objects)):
        colour = colour_of(int(objects.labels[i]))
        if objects.segments is not None and marks == "masks":
            image = tint(image, to_mask(objects.segments[i], *image.shape[:2]).astype(bool), colour)
        if objects.keypoints is not None:
            image = draw_skeleton(image, objects.keypoints[i], bones, colour, least=1)
    return draw_boxes(image, objects.boxes, _words(objects, found.classes), _colours(objects))


def _words(objects: Objects, classes: Sequence[str]) -> list[str]:
    """A class name an object; none of one that does not count."""
    pairs = zip(objects.labels, objects.ignored, strict=True)
    return ["" if ignored else classes[label] for label, ignored in pairs]


def _colours(objects: Objects) -> list[tuple[int, int, int]]:
    return [colour_of(int(label)) for label in objects.labels]


def _draw_sheet(
    inspection: Inspection, found: LabelledImages | Scenes, folder: Path
) -> Iterator[Path]:
    from res2net.drawing.canvas import (
        MARGIN,
        TOP,
        WIDTH,
        add_picture,
        counted,
        fit,
        headed_figure,
        write,
    )

    tiles: list[tuple[Pixels, str]] = []
    parts = _parts_of(found)
    for k, (_, images) in enumerate(parts):
        many = SHOWN // len(parts) + (k < SHOWN % len(parts))
        for i in spread(range(len(images)), many):
            tile = _tile(images, i, found, inspection.marks)
            if tile is not None:
                tiles.append(tile)
    if not tiles:
        return
    path, columns, gap = folder / "sheet.png", 4, 16
    side = (WIDTH - 2 * MARGIN - gap * (columns - 1)) // columns
    rows = -(-len(tiles) // columns)
    subtitle = f"{counted(len(tiles), 'image')} of {sum(p.images for p in inspection.parts):,}"
    height = TOP + rows * (side + 40) + MARGIN
    with headed_figure(path, height, f"Annotations of {inspection.name}", subtitle) as figure:
        for k, (picture, name) in enumerate(tiles):
            left = MARGIN + (k % columns) * (side + gap)
            top = TOP + (k // columns) * (side + 40)
            add_picture(figure, picture, left, top, side)
            write(figure, fit(name, side, 7), left, top + side + 16, size=7)
    yield path


def _tile(
    images: Split | Sequence[Scene], i: int, found: LabelledImages | Scenes, holds: str
) -> tuple[Pixels, str] | None:
    """An annotated image and its caption; None of one that cannot be read."""
    try:
        if isinstance(images, Split):
            image = images.images[i]
            pixels = photo.read_rgb(image) if isinstance(image, Path) else image
            return pixels, f"{found.classes[images.labels[i]]} · {images.names(i)}"
        assert isinstance(found, Scenes)
        scene = images[i]
        pixels = photo.read_rgb(scene.image) if isinstance(scene.image, Path) else scene.image
        return annotated(pixels, scene, found, cast(Marks, holds)), scene.name
    except UserError:
        return None


def _draw_counts(inspection: Inspection, folder: Path) -> Iterator[Path]:
    from res2net.drawing.canvas import BLUE, GREEN, MARGIN, ORANGE, TOP, add_axes, headed_figure

    colours = (BLUE, ORANGE, GREEN)
    counted = {p.name: [r.objects or r.images for r in p.classes] for p in inspection.parts}
    order = sorted(
        range(len(inspection.classes)), key=lambda k: -sum(n[k] for n in counted.values())
    )[:40]
    path, tall = folder / "classes.png", max(26 * len(order), 160)
    things = "objects" if any(p.sizes for p in inspection.parts) else "images"
    title = f"Classes of {inspection.name}"
    with headed_figure(path, TOP + tall + 120, title, f"{things} of each class") as figure:
        axes = add_axes(figure, MARGIN + 180, TOP + 20, 900, tall)
        start = np.zeros(len(order))
        for (name, numbers), colour in zip(counted.items(), colours, strict=False):
            values = np.array([numbers[k] for k in order])
            axes.barh(range(len(order)), values, left=start, color=colour, label=name)
            start += values
        axes.set_yticks(range(len(order)), [inspection.classes[k] for k in order])
        axes.invert_yaxis()
        axes.set_xlabel(things)
        axes.legend()
    yield path
    lengths = np.concatenate([np.zeros(0), *(part.lengths for part in inspection.parts)])
    if not lengths.size:
        return
    path = folder / "sizes.png"
    edges = np.geomspace(max(lengths.min(), 0.5), max(lengths.max(), 1) * 1.01, 31)
    title = f"Sizes of the objects in {inspection.name}"
    subtitle = f"square root of the area in pixels; median {np.median(lengths):.0f}"
    with headed_figure(path, TOP + 400, title, subtitle) as figure:
        axes = add_axes(figure, MARGIN + 60, TOP + 20, 1040, 260)
        named = [part for part in inspection.parts if part.lengths.size]
        axes.hist(
            [part.lengths for part in named],
            bins=edges.tolist(),
            stacked=True,
            color=colours[: len(named)],
            label=[part.name for part in named],
        )
        for limit in (SMALL, LARGE):
            axes.axvline(limit**0.5, color="black", linestyle=":", linewidth=1)
        axes.set(xscale="log", xlabel="pixels", ylabel="objects")
        axes.legend()
    yield path
