"""Detections in formats of other programs: COCO results, YOLO labels, CSV."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from res2net.data.foreign import check_file
from res2net.errors import UserError, counted

COLUMNS = ("image", "class", "score", "left", "top", "right", "bottom")


def coco_ids(
    path: Path, classes: Sequence[str], files: Sequence[Path]
) -> tuple[list[Any], list[Any]]:
    """The ids of images and of categories in an annotation file; its annotations are not read.

    Args:
        classes: the network's, which must be among its categories.
        files: the images, which must be among its own.

    Raises:
        UserError: names what is not in the file.
    """
    check_file(path)
    try:
        content = json.loads(path.read_bytes())
        images = [(_parts(row["file_name"]), row["id"]) for row in content["images"]]
        numbers = {str(row["name"]): row["id"] for row in content["categories"]}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"--coco {path}: cannot be read as JSON ({error})") from None
    except (KeyError, TypeError, AttributeError):
        raise UserError(
            f"--coco {path}: not COCO's format (images with id and file_name, categories with id "
            "and name)"
        ) from None
    if missing := [name for name in classes if name not in numbers]:
        raise UserError(
            f"--coco {path}: {counted(len(missing), 'class')} of the network, the first is "
            f"{missing[0]!r}, not among its categories {', '.join(list(numbers)[:5])}"
        )
    by_name: dict[str, list[tuple[tuple[str, ...], Any]]] = {}
    for parts, number in images:
        by_name.setdefault(parts[-1], []).append((parts, number))
    ids = [_id(file, by_name.get(file.name, []), path) for file in files]
    if twice := [number for number, n in Counter(map(str, ids)).items() if n > 1]:
        raise UserError(f"--coco {path}: two of the images are both its image {twice[0]}")
    return ids, [numbers[name] for name in classes]


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def _id(file: Path, named: Sequence[tuple[tuple[str, ...], Any]], path: Path) -> Any:
    """The id of the only image of this name; if several, of the longest that ends the path."""
    if len(named) > 1:
        own = file.absolute().parts
        ends = [len(parts) * (own[-len(parts) :] == parts) for parts, _ in named]
        named = [each for each, end in zip(named, ends, strict=True) if end == max(ends)]
    if len(named) != 1:
        wrong = "several images have this name" if named else "no image has this name"
        raise UserError(f"--coco {path}: {wrong}: {file.name}")
    return named[0][1]


def label_files(below: Sequence[tuple[Path, Path]]) -> list[Path]:
    """YOLO's file for each image: its path relative to the given folder, as ``.txt``.

    Args:
        below: images, and their paths relative to that folder.

    Raises:
        UserError: two images would have the same.
    """
    taken: dict[Path, Path] = {}
    for file, name in below:
        text = name.with_suffix(".txt")
        if text in taken:
            raise UserError(f"--yolo: {taken[text]} and {file} would have the same file, {text}")
        taken[text] = file
    return list(taken)


def yolo_text(found: Any) -> str:
    """One line per box: class from 0, centre, width and height as shares of the image, score."""
    height, width = found.image.shape[-2:]
    lines = []
    for (left, top, right, bottom), label, score in zip(
        found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True
    ):
        box = ((left + right) / 2 / width, (top + bottom) / 2 / height)
        sides = ((right - left) / width, (bottom - top) / height)
        lines.append(" ".join([str(label), *(f"{v:.6f}" for v in (*box, *sides, score))]))
    return "".join(line + "\n" for line in lines)


def table_rows(rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """One row per box, under ``COLUMNS``, for images as predictions.json has them."""
    return [
        [row["image"], each["class"], each["score"], *each["box"]]
        for row in rows
        for each in row["objects"]
    ]
