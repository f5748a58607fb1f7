"""Boxes of a detector, from a file: what ``res2net predict`` writes, or COCO's result format."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from res2net.data.foreign import check_file
from res2net.errors import UserError
from res2net.metrics.detections import DetectionArrays

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
        """The boxes of these classes in an image; where they name no class, it is the first."""
        own = [row for row in self.rows.get(key_of(name), []) if row.kind in (None, *classes)]
        return DetectionArrays(
            boxes=np.array([row.box for row in own], np.float64).reshape(-1, 4),
            scores=np.array([row.score for row in own], np.float64),
            labels=np.array([classes.index(row.kind) if row.kind else 0 for row in own], np.int64),
        )


def marked(boxes: Any) -> DetectionArrays:
    """Boxes (N, 4) that are certain, all of the first class.

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
    """Boxes as ``predict`` takes them: a file, those of each image, or those of the only one.

    Raises:
        UserError: a file that is not one of boxes.
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
            f"--boxes: {boxes.origin} names files of images, and an image was given as pixels; "
            "give the boxes of each image"
        )
    return boxes.of(Path(image).name, classes)


def _of_list(given: Any, number: int, image: Any, classes: Sequence[str]) -> DetectionArrays:
    """The boxes of one image: an array, or what another network detected (of these classes)."""
    del image
    if number >= len(given):
        raise UserError(f"--boxes holds boxes of {len(given)} images, and there are more images")
    own = given[number]
    if not hasattr(own, "detections"):
        return marked(own)
    names, found = own.names, own.detections
    kept = np.array([names[label] in classes for label in found.labels], dtype=bool)
    labels = [classes.index(names[label]) for label in found.labels[kept]]
    return DetectionArrays(
        boxes=found.boxes[kept], scores=found.scores[kept], labels=np.array(labels, np.int64)
    )


def key_of(name: str) -> str:
    """What an image is called in both formats: COCO numbers its files."""
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
