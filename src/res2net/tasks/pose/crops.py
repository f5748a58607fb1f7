"""Objects with key-points: their boxes, how they are cropped, the heat maps to learn.

Legend: N objects · K key-points · S_h, S_w the network's input (4:3 upright) · h, w its heat maps,
a quarter of that · H, W a whole image
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from res2net.data.foreign import check_file
from res2net.data.preprocess import AS_RGB, Reading
from res2net.data.sampler import KeyedDataset
from res2net.data.scene import Objects, Scene, Skeleton
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.transforms import as_it_is
from res2net.errors import UserError
from res2net.metrics.detections import DetectionArrays

Floats = npt.NDArray[np.float64]
ASPECT = 3 / 4  # width over height of the network's input
MARGIN = 1.25  # side of the crop over that of the box


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A rotated rectangle around an object, in pixels of the image."""

    centre: tuple[float, float]  # x, y
    height: float
    turn: float = 0.0  # radians, clockwise as seen
    mirrored: bool = False

    def matrix(self, size: tuple[int, int]) -> Floats:
        """(2, 3): pixels of the network's input (x, y, 1) → pixels of the image.

        Args:
            size: S_h, S_w.
        """
        scale = self.height / size[0]
        cos, sin = scale * np.cos(self.turn), scale * np.sin(self.turn)
        turn = np.array([[cos, -sin], [sin, cos]])
        if self.mirrored:
            turn = turn @ np.diag([-1.0, 1.0])
        middle = np.array([size[1] / 2, size[0] / 2])
        return np.concatenate([turn, (np.array(self.centre) - turn @ middle)[:, None]], axis=1)

    def cut(self, image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """The network's input from (H, W, C): (S_h, S_w, C), black beyond the image."""
        data = tuple(self.matrix(size).ravel().tolist())
        parts = [image] if image.shape[2] == 3 else list(np.moveaxis(image, 2, 0))
        seen = [
            np.asarray(
                Image.fromarray(part).transform(size[::-1], Image.Transform.AFFINE, data, _BILINEAR)
            )
            for part in parts
        ]
        return np.dstack(seen) if len(seen) > 1 or seen[0].ndim == 2 else seen[0]

    def outward(self, points: Floats, size: tuple[int, int]) -> Floats:
        """Points (..., 2) of the network's input → of the image."""
        matrix = self.matrix(size)
        return points @ matrix[:, :2].T + matrix[:, 2]

    def inward(self, points: Floats, size: tuple[int, int]) -> Floats:
        """Points (..., 2) of the image → of the network's input."""
        matrix = self.matrix(size)
        return (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T


def around(box: npt.NDArray[np.float64]) -> Frame:
    """The upright frame of a box (4,): widened to 3:4, then by a quarter."""
    left, top, right, bottom = box.tolist()
    height = max(bottom - top, (right - left) / ASPECT, 1.0)
    return Frame(centre=((left + right) / 2, (top + bottom) / 2), height=height * MARGIN)


_BILINEAR = Image.Resampling.BILINEAR


Crop = tuple[Tensor, Tensor, Tensor, int]  # uint8 (C, S_h, S_w), maps (K, h, w), counts (K,), index
STRIDE = 4  # of the heat maps
SPREAD = 2.0  # σ of a key-point in its map, in cells
SCALE, TURN, TURNED = 0.3, np.deg2rad(40), 0.6  # augmentation: scale, angle, how often rotated


class CropDataset(KeyedDataset[Crop]):
    """Every object with an annotated key-point, one sample each.

    Args:
        scenes: with key-points.
        skeleton: which key-points.
        height: S_h.
        hflip: probability of a mirror image; None varies nothing.
        skip_bad: skip objects of images that cannot be decoded, with a warning.
        reading: channels C of an image, and range of its values.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        skeleton: Skeleton,
        height: int,
        *,
        hflip: float | None = None,
        skip_bad: bool = False,
        reading: Reading = AS_RGB,
    ) -> None:
        super().__init__(skip_bad=skip_bad)
        self.whole = SceneDataset(scenes, "keypoints", 1, as_it_is, reading=reading)
        self.skeleton, self.hflip = skeleton, hflip
        self.size = input_size(height)
        usable = [
            (number, i) for number, scene in enumerate(scenes) for i in _usable(scene.objects)
        ]
        self.objects = np.array(usable, np.int64).reshape(-1, 2)  # numbers of scene and object

    def __len__(self) -> int:
        return len(self.objects)

    def sample(self, index: int) -> Crop:
        """The object, its heat maps and which of them count in the loss."""
        number, i = self.objects[index].tolist()
        image, _ = self.whole.load(number)
        objects = self.whole.scenes[number].objects
        assert objects is not None
        assert objects.keypoints is not None
        frame = around(objects.boxes[i])
        points = objects.keypoints[i]
        if self.hflip is not None:
            frame = varied(frame, self.hflip)
        if frame.mirrored:
            points = points[self.skeleton.mirrored()]
        pixels = frame.cut(image.permute(1, 2, 0).contiguous().numpy(), self.size)
        inside = frame.inward(points[:, :2], self.size)
        maps, counts = heat_maps(inside, points[:, 2] > 0, self.size)
        seen = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
        return seen, torch.from_numpy(maps), torch.from_numpy(counts), index


def input_size(height: int) -> tuple[int, int]:
    """S_h, S_w for a height: 3:4, whole multiples of 32."""
    return height, max(32, round(height * ASPECT / 32) * 32)


def varied(frame: Frame, hflip: float) -> Frame:
    """Scaled by up to 30 %, rotated (6 of 10 times, by up to 80 degrees), mirrored."""
    size, turn = torch.randn(2).tolist()
    often, mirror = torch.rand(2).tolist()
    return replace(
        frame,
        height=frame.height * float(np.clip(1 + SCALE * size, 1 - SCALE, 1 + SCALE)),
        turn=float(np.clip(TURN * turn, -2 * TURN, 2 * TURN)) if often < TURNED else 0.0,
        mirrored=mirror < hflip,
    )


def heat_maps(
    points: Floats, marked: npt.NDArray[np.bool_], size: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A Gaussian of σ = 2 cells around each key-point (K, 2): maps (K, h, w), which count (K,).

    A key-point whose Gaussian lies beyond the map does not count.
    """
    h, w = size[0] // STRIDE, size[1] // STRIDE
    cells = np.floor(points / STRIDE + 0.5)  # the nearest cell
    reach = 3 * SPREAD
    inside = ((cells + reach >= 0) & (cells - reach < np.array([w, h]))).all(axis=1)
    counts = (marked & inside).astype(np.float32)
    x = np.exp(-((np.arange(w) - cells[:, :1]) ** 2) / (2 * SPREAD**2))  # (K, w)
    y = np.exp(-((np.arange(h) - cells[:, 1:]) ** 2) / (2 * SPREAD**2))  # (K, h)
    maps = y[:, :, None] * x[:, None, :] * counts[:, None, None]
    return maps.astype(np.float32), counts


def batched(samples: list[Crop]) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """uint8 (B, 3, S_h, S_w), maps (B, K, h, w), counts (B, K), indices."""
    images, maps, counts, indices = zip(*samples, strict=True)
    return torch.stack(images), torch.stack(maps), torch.stack(counts), list(indices)


def _usable(objects: Objects | None) -> list[int]:
    if objects is None or objects.keypoints is None:
        return []
    indices: list[int] = np.flatnonzero(objects.learnable()).tolist()
    return indices


PERSON = 1  # COCO's number of the class


class Row(NamedTuple):
    """A box."""

    image: str
    box: list[float]  # left, top, right, bottom
    score: float
    kind: str | None  # name of its class


@dataclass(frozen=True, kw_only=True, eq=False)
class Boxes:
    """Boxes by image."""

    origin: str
    rows: dict[str, list[Row]]  # name of the image without folders and suffix → its boxes

    def of(self, name: str, classes: Sequence[str]) -> DetectionArrays:
        """The boxes of these classes in an image; a box without a class is of the first."""
        own = [row for row in self.rows.get(key_of(name), []) if row.kind in (None, *classes)]
        return DetectionArrays(
            boxes=np.array([row.box for row in own], np.float64).reshape(-1, 4),
            scores=np.array([row.score for row in own], np.float64),
            labels=np.array([classes.index(row.kind) if row.kind else 0 for row in own], np.int64),
        )


def certain_boxes(boxes: Any) -> DetectionArrays:
    """Boxes (N, 4) with score 1, all of the first class.

    Raises:
        ValueError: another shape, or numbers that are not finite.
    """
    places = np.asarray(boxes, np.float64)
    if places.size == 0:
        places = places.reshape(0, 4)
    if places.ndim != 2 or places.shape[1] != 4 or not np.isfinite(places).all():
        raise ValueError(
            f"boxes of an image are finite numbers (N, 4): left, top, right, bottom in pixels; got "
            f"shape {places.shape}"
        )
    count = len(places)
    return DetectionArrays(boxes=places, scores=np.ones(count), labels=np.zeros(count, np.int64))


def places_from(boxes: Any) -> Callable[[int, Any, Sequence[str]], DetectionArrays]:
    """The ``boxes`` of ``predict``: a file, those of each image, or those of the only one.

    Raises:
        UserError: a file without boxes.
    """
    if isinstance(boxes, str | Path):
        boxes = read_boxes(Path(boxes))
    if isinstance(boxes, Boxes):
        return partial(_of_file, boxes)
    if (isinstance(boxes, np.ndarray) and boxes.ndim == 2) or hasattr(boxes, "detections"):
        boxes = [boxes]
    return partial(_of_list, boxes)


def _of_file(boxes: Boxes, number: int, image: Any, classes: Sequence[str]) -> DetectionArrays:
    del number
    if not isinstance(image, str | Path):
        raise UserError(
            f"--boxes: {boxes.origin} refers to image files, but an image was given as pixels; "
            "give the boxes of each image"
        )
    return boxes.of(Path(image).name, classes)


def _of_list(given: Any, number: int, image: Any, classes: Sequence[str]) -> DetectionArrays:
    """The boxes of one image: an array, or detections of another network (of these classes)."""
    del image
    if number >= len(given):
        raise UserError(f"--boxes holds boxes of {len(given)} images, and there are more images")
    own = given[number]
    if not hasattr(own, "detections"):
        return certain_boxes(own)
    names, found = own.names, own.detections
    kept = np.array([names[label] in classes for label in found.labels], dtype=bool)
    labels = [classes.index(names[label]) for label in found.labels[kept]]
    return DetectionArrays(
        boxes=found.boxes[kept], scores=found.scores[kept], labels=np.array(labels, np.int64)
    )


def key_of(name: str) -> str:
    """An image's name in both formats: COCO numbers its files."""
    stem = Path(name).stem
    return (stem.lstrip("0") or "0") if stem.isdecimal() else stem


def read_boxes(path: Path) -> Boxes:
    """The boxes of a file.

    COCO's result rows have ``image_id``, ``bbox``, ``score`` and ``category_id`` (persons count);
    ours have ``image`` and ``objects`` with ``box`` and ``score``.

    Raises:
        UserError: cannot be read, or neither of the two.
    """
    check_file(path)
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from None
    rows: dict[str, list[Row]] = defaultdict(list)
    try:
        for each in content:
            for row in _rows(each):
                if np.isfinite([*row.box, row.score]).all():
                    rows[key_of(row.image)].append(row)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise UserError(
            f"{path}: neither predictions of `res2net predict` nor COCO's results "
            "(image_id, bbox, score)"
        ) from None
    if not rows:
        raise UserError(f"{path}: holds no box")
    return Boxes(origin=path.name, rows=dict(rows))


def _rows(each: dict[str, Any]) -> list[Row]:
    if "objects" in each:
        return [
            Row(str(each["image"]), _four(own["box"]), float(own["score"]), str(own["class"]))
            for own in each["objects"]
        ]
    if int(each.get("category_id", PERSON)) != PERSON:
        return []
    left, top, width, height = _four(each["bbox"])
    box = [left, top, left + width, top + height]
    return [Row(str(each["image_id"]), box, float(each["score"]), None)]


def _four(values: Any) -> list[float]:
    left, top, right, bottom = map(float, values)
    return [left, top, right, bottom]
