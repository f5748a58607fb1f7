"""Annotated images for the dense tasks: boxes, masks, key-points, class maps.

Coordinates are continuous pixels from the upper left corner of the image: a box (0, 0, 2, 1) covers
two pixels. Legend: N objects · K key-points · H, W space
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from res2net.data.files import Texts
from res2net.data.labelled import Validation

Pixels = npt.NDArray[np.uint8]  # (H, W, 3), or (H, W) for a class map
Polygons: TypeAlias = list[list[float]]  # each x1, y1, x2, y2, ...
RLE: TypeAlias = dict[str, Any]  # COCO's: size (H, W), counts as a list or compressed
Colour: TypeAlias = tuple[int, int, int]  # red, green, blue
Segment: TypeAlias = Polygons | RLE | npt.NDArray[np.bool_]

IGNORED = 255  # class of ignored pixels


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Objects:
    """The N annotated objects of an image."""

    boxes: npt.NDArray[np.float64]  # (N, 4) left, top, right, bottom
    labels: npt.NDArray[np.int64]  # (N,) index into the classes, from 0
    ignored: npt.NDArray[np.bool_]  # (N,) crowds, VOC's difficult, COCO's "ignore"
    areas: npt.NDArray[np.float64]  # (N,) pixels of the object, of its mask if it has one
    segments: Sequence[Segment] | None = None  # N outlines
    keypoints: npt.NDArray[np.float64] | None = None  # (N, K, 3) x, y, 0 absent 1 hidden 2 visible
    crowds: npt.NDArray[np.bool_] | None = None  # (N,) ignored objects that stand for many

    def __post_init__(self) -> None:
        n = len(self.labels)
        assert self.boxes.shape == (n, 4)
        assert len(self.ignored) == len(self.areas) == n
        assert self.segments is None or len(self.segments) == n
        assert self.keypoints is None or self.keypoints.shape[::2] == (n, 3)
        assert self.crowds is None or len(self.crowds) == n

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, chosen: npt.NDArray[Any]) -> Objects:
        """The objects selected by a mask or indices."""
        indices = np.arange(len(self))[chosen]
        return Objects(
            boxes=self.boxes[indices],
            labels=self.labels[indices],
            ignored=self.ignored[indices],
            areas=self.areas[indices],
            segments=None if self.segments is None else tuple(self.segments[i] for i in indices),
            keypoints=None if self.keypoints is None else self.keypoints[indices],
            crowds=None if self.crowds is None else self.crowds[indices],
        )

    def learnable(self) -> npt.NDArray[np.bool_]:
        """Objects used for training and evaluation: (N,); with key-points if they are annotated."""
        if self.keypoints is None:
            return ~self.ignored
        return np.asarray(~self.ignored & (self.keypoints[:, :, 2] > 0).any(axis=1))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """One image and its annotations."""

    name: str  # for reports: its path within the data set
    image: Path | Pixels
    objects: Objects | None = None
    classes: Path | Pixels | None = None  # the class of each pixel: a file, or (H, W)
    salient: Path | Pixels | None = None  # saliency map: a file, or (H, W) of 0 and 255
    size: tuple[int, int] | None = None  # H, W if the annotation states it


@dataclass(frozen=True, kw_only=True, slots=True)
class Skeleton:
    """The key-points of a kind of object."""

    names: tuple[str, ...]  # K
    swaps: tuple[tuple[int, int], ...]  # left and right pairs, swapped by a horizontal flip
    bones: tuple[tuple[int, int], ...]  # lines to draw
    sigmas: tuple[float, ...]  # (K,) of the object key-point similarity

    def mirrored(self) -> list[int]:
        """Order of the key-points after a horizontal flip: (K,)."""
        order = list(range(len(self.names)))
        for left, right in self.swaps:
            order[left], order[right] = right, left
        return order


@dataclass(frozen=True, kw_only=True, slots=True)
class Legend:
    """Meaning of the values of class maps, if they are not simply class indices."""

    void: tuple[int, ...] = ()  # ignored values besides 255
    binary: bool = False  # masks of 0 and 255: 255 is class 1
    colours: Mapping[Colour, int] = field(default_factory=dict)  # colour → class, 255: no class
    order: tuple[int, ...] = ()  # class in the maps → index into the classes, if different
    values: Mapping[int, int] = field(default_factory=dict)  # value → class, 255: no class


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenes:
    """A data set for the dense tasks."""

    name: str  # for reports
    classes: tuple[str, ...]  # label -> name
    train: Sequence[Scene]
    val: Sequence[Scene]
    test: Sequence[Scene] = ()  # only for `evaluate --split test`
    validation: Validation = "given"  # source of the validation part
    skeleton: Skeleton | None = None
    palette: tuple[Colour, ...] = field(default=())  # colours of the classes
    legend: Legend = field(default_factory=Legend)  # legend of the class maps
    notes: tuple[str, ...] = ()  # notes of the reader, for the report
    voc_metric: bool = False  # also report VOC's average precision

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself, so that a network and its moving average share the data set."""
        return self

    @property
    def everything(self) -> Sequence[Scene]:
        """The images of all parts."""
        return stored((*self.train, *self.val, *self.test))

    def stored(self) -> Scenes:
        """The same scenes in a few flat arrays, if they are files."""
        train, val, test = map(stored, (self.train, self.val, self.test))
        return replace(self, train=train, val=val, test=test)

    def in_order_of(self, classes: tuple[str, ...]) -> Scenes:
        """The same scenes with their objects' classes numbered by name as in ``classes``.

        Raises:
            ValueError: objects have other classes; the message is the names.
        """
        numbers = {name: label for label, name in enumerate(classes)}
        order = np.array([numbers.get(name, -1) for name in self.classes], np.int64)
        parts = (self.train, self.val, self.test)
        used = np.unique(np.concatenate([_labels(part) for part in parts]))
        strange = sorted(self.classes[label] for label in used if order[label] < 0)
        if strange:
            raise ValueError(", ".join(strange[:5]))
        train, val, test = (_renumbered(part, order) for part in parts)
        return replace(self, classes=classes, train=train, val=val, test=test)

    def with_maps_in_order_of(self, classes: tuple[str, ...]) -> Scenes:
        """The same scenes with the classes of their maps numbered by name as in ``classes``.

        Raises:
            ValueError: the data list other classes; the message is the names.
        """
        numbers = {name: label for label, name in enumerate(classes)}
        strange = [name for name in self.classes if name not in numbers]
        if strange:
            raise ValueError(", ".join(strange[:5]))
        order = tuple(numbers[name] for name in self.classes)
        colours = dict(zip(order, self.palette, strict=False))
        palette = tuple(colours.get(k, (128, 128, 128)) for k in range(len(classes)))
        return replace(
            self, classes=classes, palette=palette, legend=replace(self.legend, order=order)
        )


def _labels(part: Sequence[Scene]) -> npt.NDArray[np.int64]:
    """The classes of all objects: (number of objects,)."""
    if isinstance(part, StoredScenes):
        return part.columns.labels
    own = [scene.objects.labels for scene in part if scene.objects is not None]
    return np.concatenate([np.zeros(0, np.int64), *own])


def _renumbered(part: Sequence[Scene], order: npt.NDArray[np.int64]) -> Sequence[Scene]:
    if isinstance(part, StoredScenes):
        columns = replace(part.columns, labels=order[part.columns.labels])
        return StoredScenes(columns, part.rows)
    return tuple(
        scene
        if scene.objects is None
        else replace(scene, objects=replace(scene.objects, labels=order[scene.objects.labels]))
        for scene in part
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Columns:
    """N scenes with M objects; every ``ends`` has one more entry than its items."""

    names: Texts  # N
    images: Texts  # N paths
    classes: Texts  # N paths; "": no map
    salient: Texts  # N
    sizes: npt.NDArray[np.int32]  # (N, 2) H, W; -1 if not stated
    holds: npt.NDArray[np.bool_]  # (N, 4) whether there are objects, segments, key-points, crowds
    ends: npt.NDArray[np.int64]  # (N + 1,) of the objects of each scene
    boxes: npt.NDArray[np.float64]  # (M, 4)
    labels: npt.NDArray[np.int64]  # (M,)
    flags: npt.NDArray[np.bool_]  # (M, 2) ignored, crowds
    areas: npt.NDArray[np.float64]  # (M,)
    keypoints: npt.NDArray[np.float64]  # (M, K, 3); (0, K, 3) without key-points
    parts: npt.NDArray[np.int64]  # (M + 1,) ends of the polygons of each outline
    corners: npt.NDArray[np.int64]  # (number of polygons + 1,) ends of the numbers of each
    numbers: npt.NDArray[Any]  # of all polygons: float64, or hundredths of a pixel, whole
    run_lengths: Texts  # M outlines other than polygons, as JSON; "": polygons


class StoredScenes(Sequence[Scene]):
    """Scenes with images in files, stored in a few flat arrays; scenes are created on access.

    Python objects are copied in every loader process as their reference counts change: about 2 KB
    per outline. Pixel masks are returned as run lengths, whole numbers as floats.
    """

    def __init__(self, columns: _Columns, rows: npt.NDArray[np.int64]) -> None:
        self.columns, self.rows = columns, rows

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, chosen: npt.NDArray[Any] | slice) -> StoredScenes:
        """The scenes selected by a mask or indices."""
        return StoredScenes(self.columns, self.rows[chosen])

    @overload
    def __getitem__(self, i: int) -> Scene: ...
    @overload
    def __getitem__(self, i: slice) -> StoredScenes: ...
    def __getitem__(self, i: int | slice) -> Scene | StoredScenes:
        if isinstance(i, slice):
            return self.of(i)
        own, row = self.columns, int(self.rows[i])
        classes, salient = own.classes[row], own.salient[row]
        height, width = own.sizes[row].tolist()
        return Scene(
            name=own.names[row],
            image=Path(own.images[row]),
            objects=self._objects(row),
            classes=Path(classes) if classes else None,
            salient=Path(salient) if salient else None,
            size=None if height < 0 else (height, width),
        )

    def _objects(self, row: int) -> Objects | None:
        own = self.columns
        objects, segments, points, crowds = own.holds[row].tolist()
        if not objects:
            return None
        first, end = own.ends[row : row + 2].tolist()
        return Objects(
            boxes=own.boxes[first:end].copy(),
            labels=own.labels[first:end].copy(),
            ignored=own.flags[first:end, 0].copy(),
            areas=own.areas[first:end].copy(),
            segments=_Outlines(own, range(first, end)) if segments else None,
            keypoints=own.keypoints[first:end].copy() if points else None,
            crowds=own.flags[first:end, 1].copy() if crowds else None,
        )


class _Outlines(Sequence[Segment]):
    """Outlines of stored scenes, created on access."""

    def __init__(self, columns: _Columns, rows: range) -> None:
        self.columns, self.rows = columns, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, i: int) -> Segment: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Segment]: ...
    def __getitem__(self, i: int | slice) -> Segment | Sequence[Segment]:
        if isinstance(i, slice):
            return _Outlines(self.columns, self.rows[i])
        own, row = self.columns, self.rows[i]
        if text := own.run_lengths[row]:
            rle: RLE = json.loads(text)
            return rle
        first, end = own.parts[row : row + 2].tolist()
        ends = own.corners[first : end + 1].tolist()
        numbers = own.numbers[ends[0] : ends[-1]]
        if numbers.dtype != np.float64:
            numbers = numbers / 100
        values = numbers.tolist()
        return [values[a - ends[0] : b - ends[0]] for a, b in pairwise(ends)]


def stored(scenes: Sequence[Scene]) -> Sequence[Scene]:
    """The same scenes in a few flat arrays, unchanged if images or maps are pixels."""
    held = [each for scene in scenes for each in (scene.image, scene.classes, scene.salient)]
    points = [scene.objects.keypoints for scene in scenes if scene.objects is not None]
    kinds = {each.shape[1] for each in points if each is not None}  # numbers K of key-points
    if (
        not scenes
        or len(kinds) > 1
        or not all(each is None or isinstance(each, Path) for each in held)
    ):
        return scenes
    return StoredScenes(_columns(scenes, *kinds), np.arange(len(scenes)))


def _columns(scenes: Sequence[Scene], points: int = 0) -> _Columns:
    objects = [no_objects() if each.objects is None else each.objects for each in scenes]
    holds = [
        (scene.objects is not None, *(each is not None for each in _optional(own)))
        for scene, own in zip(scenes, objects, strict=True)
    ]
    parts, corners, numbers = array("q", [0]), array("q", [0]), array("d")
    texts: list[str] = []
    for own in objects:
        for segment in own.segments if own.segments is not None else [[]] * len(own):
            if isinstance(segment, list):
                for part in segment:
                    numbers.extend(part)
                    corners.append(len(numbers))
            parts.append(len(corners) - 1)
            texts.append("" if isinstance(segment, list) else _as_text(segment))
    return _Columns(
        names=Texts(each.name for each in scenes),
        images=Texts(str(each.image) for each in scenes),
        classes=Texts(str(each.classes or "") for each in scenes),
        salient=Texts(str(each.salient or "") for each in scenes),
        sizes=np.array([each.size or (-1, -1) for each in scenes], np.int32).reshape(-1, 2),
        holds=np.array(holds, bool).reshape(-1, 4),
        ends=np.cumsum([0, *map(len, objects)], dtype=np.int64),
        boxes=_joined([each.boxes for each in objects], (4,)),
        labels=_joined([each.labels for each in objects], (), np.int64),
        flags=_joined([_flags(each) for each in objects], (2,), np.bool_),
        areas=_joined([each.areas for each in objects], ()),
        keypoints=_joined([_points(each, points) for each in objects], (points, 3)),
        parts=np.frombuffer(parts, np.int64),
        corners=np.frombuffer(corners, np.int64),
        numbers=_hundredths(np.frombuffer(numbers)),
        run_lengths=Texts(texts),
    )


def _optional(objects: Objects) -> tuple[object, object, object]:
    return objects.segments, objects.keypoints, objects.crowds


def _flags(objects: Objects) -> npt.NDArray[np.bool_]:
    crowds = np.zeros_like(objects.ignored) if objects.crowds is None else objects.crowds
    return np.stack([objects.ignored, crowds], 1)


def _points(objects: Objects, count: int) -> npt.NDArray[np.float64]:
    none = np.zeros((len(objects), count, 3))
    return none if objects.keypoints is None else objects.keypoints


def _joined(parts: list[Any], shape: tuple[int, ...], kind: Any = np.float64) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros((0, *shape), kind), *parts])


def _hundredths(numbers: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Store as whole hundredths if lossless, as for most annotations: a quarter of the bytes."""
    held = [np.zeros(0, np.int32)]
    for part in np.array_split(numbers, len(numbers) // _AT_ONCE + 1):
        whole = np.rint(part * 100).clip(-(2**31), 2**31 - 1)
        if (whole / 100 != part).any():
            return numbers.copy()
        held.append(whole.astype(np.int32))
    small = all(each.min(initial=0) >= 0 and each.max(initial=0) < 1 << 16 for each in held)
    return np.concatenate(held, dtype=np.uint16 if small else np.int32, casting="unsafe")


_AT_ONCE = 1 << 20  # numbers checked at a time


def _as_text(segment: RLE | npt.NDArray[np.bool_]) -> str:
    from res2net.data.outlines import pack  # needs the types above

    rle = segment if isinstance(segment, dict) else pack(segment)
    counts = rle["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    return json.dumps({"size": [int(side) for side in rle["size"]], "counts": text})


def no_objects() -> Objects:
    """The objects of an image without annotations: a negative."""
    return Objects(
        boxes=np.zeros((0, 4)),
        labels=np.zeros(0, np.int64),
        ignored=np.zeros(0, bool),
        areas=np.zeros(0),
    )


COCO_PERSON = Skeleton(
    names=(
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
        *("left_wrist", "right_wrist", "left_hip", "right_hip"),
        *("left_knee", "right_knee", "left_ankle", "right_ankle"),
    ),
    swaps=tuple((left, left + 1) for left in range(1, 17, 2)),
    bones=(
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7)),
        *((6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
)
