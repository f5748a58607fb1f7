"""What the readers of the dense tasks return: images with boxes, masks, key-points, class maps.

Coordinates are continuous pixels from the upper left corner of the image: a box (0, 0, 2, 1) covers
two pixels. Legend: N objects · K key-points · H, W space
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from res2net.data.labelled import Validation

Pixels = npt.NDArray[np.uint8]  # (H, W, 3), or (H, W) of a map of classes
Polygons: TypeAlias = list[list[float]]  # each x1, y1, x2, y2, ...
RLE: TypeAlias = dict[str, Any]  # of COCO: size (H, W), counts as a list or packed
Colour: TypeAlias = tuple[int, int, int]  # red, green, blue
Segment: TypeAlias = Polygons | RLE | npt.NDArray[np.bool_]

IGNORED = 255  # class of pixels that count neither way


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Objects:
    """The N objects that are annotated in an image."""

    boxes: npt.NDArray[np.float64]  # (N, 4) left, top, right, bottom
    labels: npt.NDArray[np.int64]  # (N,) index into the classes, from 0
    ignored: npt.NDArray[np.bool_]  # (N,) crowds of COCO, difficult ones of VOC: neither asked for
    areas: npt.NDArray[np.float64]  # (N,) pixels of the object: of its mask, where it has one
    segments: tuple[Segment, ...] | None = None  # N outlines
    keypoints: npt.NDArray[np.float64] | None = None  # (N, K, 3) x, y, 0 absent 1 hidden 2 visible
    crowds: npt.NDArray[np.bool_] | None = None  # (N,) ignored ones that stand for many objects

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
        """Some of the objects, by a mask or by indices."""
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
        """Which are learnt from and asked for: (N,); of key-points, those with one annotated."""
        if self.keypoints is None:
            return ~self.ignored
        return np.asarray(~self.ignored & (self.keypoints[:, :, 2] > 0).any(axis=1))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """One image and what is known of it."""

    name: str  # for reports: its path within the data set
    image: Path | Pixels
    objects: Objects | None = None
    classes: Path | Pixels | None = None  # the class of each pixel: a file, or (H, W)
    salient: Path | Pixels | None = None  # what stands out: a file, or (H, W) of 0 and 255
    size: tuple[int, int] | None = None  # H, W where the annotation tells


@dataclass(frozen=True, kw_only=True, slots=True)
class Skeleton:
    """The key-points of a kind of object."""

    names: tuple[str, ...]  # K
    swaps: tuple[tuple[int, int], ...]  # left and right ones, which trade places in a mirror
    bones: tuple[tuple[int, int], ...]  # lines to draw
    sigmas: tuple[float, ...]  # (K,) of the object key-point similarity

    def mirrored(self) -> list[int]:
        """Index of the key-point that takes each place in a mirror: (K,)."""
        order = list(range(len(self.names)))
        for left, right in self.swaps:
            order[left], order[right] = right, left
        return order


@dataclass(frozen=True, kw_only=True, slots=True)
class Legend:
    """What the values of class maps mean, where they are not simply the classes' numbers."""

    void: tuple[int, ...] = ()  # values that do not count, beside 255
    binary: bool = False  # masks of 0 and 255: 255 is class 1
    colours: Mapping[Colour, int] = field(default_factory=dict)  # colour → class, 255: no class
    order: tuple[int, ...] = ()  # class in the maps → index into the classes, where they differ
    values: Mapping[int, int] = field(default_factory=dict)  # value → class, 255: no class


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenes:
    """A data set for the dense tasks."""

    name: str  # for reports
    classes: tuple[str, ...]  # label -> name
    train: Sequence[Scene]
    val: Sequence[Scene]
    test: Sequence[Scene] = ()  # for `evaluate --split test` alone
    validation: Validation = "given"  # where the validation part comes from
    skeleton: Skeleton | None = None
    palette: tuple[Colour, ...] = field(default=())  # colours of the classes
    legend: Legend = field(default_factory=Legend)  # of the class maps
    notes: tuple[str, ...] = ()  # what the reader noted, for the report
    voc_metric: bool = False  # reported with VOC's average precision beside COCO's

    @property
    def everything(self) -> Sequence[Scene]:
        """The images of all parts."""
        return (*self.train, *self.val, *self.test)

    def in_order_of(self, classes: tuple[str, ...]) -> Scenes:
        """The same scenes with their objects' classes numbered by name as in ``classes``.

        Raises:
            ValueError: objects are of a class that is not among them; its message is their names.
        """
        numbers = [classes.index(name) if name in classes else -1 for name in self.classes]
        order = np.array(numbers, np.int64)
        used = {int(label) for each in self.everything for label in _labels(each)}
        strange = sorted(self.classes[label] for label in used if order[label] < 0)
        if strange:
            raise ValueError(", ".join(strange[:5]))
        train, val, test = (
            tuple(_renumbered(each, order) for each in part)
            for part in (self.train, self.val, self.test)
        )
        return replace(self, classes=classes, train=train, val=val, test=test)

    def with_maps_in_order_of(self, classes: tuple[str, ...]) -> Scenes:
        """The same scenes with the classes of their maps numbered by name as in ``classes``.

        Raises:
            ValueError: the data list a class that is not among them; its message is their names.
        """
        strange = [name for name in self.classes if name not in classes]
        if strange:
            raise ValueError(", ".join(strange[:5]))
        order = tuple(classes.index(name) for name in self.classes)
        colours = dict(zip(order, self.palette, strict=False))
        palette = tuple(colours.get(k, (128, 128, 128)) for k in range(len(classes)))
        return replace(
            self, classes=classes, palette=palette, legend=replace(self.legend, order=order)
        )


def _labels(scene: Scene) -> npt.NDArray[np.int64]:
    return np.zeros(0, np.int64) if scene.objects is None else scene.objects.labels


def _renumbered(scene: Scene, order: npt.NDArray[np.int64]) -> Scene:
    if scene.objects is None:
        return scene
    return replace(scene, objects=replace(scene.objects, labels=order[scene.objects.labels]))


def no_objects() -> Objects:
    """Of an image in which nothing is annotated: a negative."""
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
