"""What other programs read of detections: COCO's results, YOLO's labels, CSV."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from res2net.data.foreign import check_file
from res2net.errors import UserError, counted

COLUMNS = ("image", "class", "score", "left", "top", "right", "bottom")


class CocoResults:
    """Rows of COCO's result format, with the ids of images and categories of an annotation file.

    Args:
        path: the file; annotations in it are not looked at, as a server keeps them.
        classes: of the network, which must be among its categories.
        files: the images, which must be among its own.

    Raises:
        UserError: names what is not in the file.
    """

    def __init__(self, path: Path, classes: Sequence[str], files: Sequence[Path]) -> None:
        check_file(path)
        try:
            content = json.loads(path.read_bytes())
            images = [(_parts(row["file_name"]), row["id"]) for row in content["images"]]
            numbers = {str(row["name"]): row["id"] for row in content["categories"]}
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"--coco {path}: cannot be read as JSON ({error})") from None
        except (KeyError, TypeError, AttributeError):
            raise UserError(
                f"--coco {path}: not COCO's form (images with id and file_name, categories with id "
                "and name)"
            ) from None
        if missing := [name for name in classes if name not in numbers]:
            raise UserError(
                f"--coco {path}: {counted(len(missing), 'class')} of the network, the first is "
                f"{missing[0]!r}, not among its categories {', '.join(list(numbers)[:5])}"
            )
        self.categories = [numbers[name] for name in classes]
        by_name: dict[str, list[tuple[tuple[str, ...], Any]]] = {}
        for parts, number in images:
            by_name.setdefault(parts[-1], []).append((parts, number))
        self.images = [_id(file, by_name.get(file.name, []), path) for file in files]
        twice = [number for number, n in Counter(map(str, self.images)).items() if n > 1]
        if twice:
            raise UserError(f"--coco {path}: two of the images are both its image {twice[0]}")

    def rows(self, number: int, found: Any) -> list[dict[str, Any]]:
        """Those of an image, by its place among the files."""
        rows: list[dict[str, Any]] = found.to_coco(self.images[number], self.categories)
        return rows


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def _id(file: Path, named: Sequence[tuple[tuple[str, ...], Any]], path: Path) -> Any:
    """The id of the image whose name ends the file's; else the one that shares most folders."""
    own = file.absolute().parts[::-1]
    shared: list[tuple[bool, int]] = []
    for parts, _ in named:
        same = (a == b for a, b in zip(own, parts[::-1], strict=False))
        count = sum(1 for _ in takewhile(bool, same))
        shared.append((count == len(parts), count))
    best = [i for i, each in enumerate(shared) if each == max(shared)]
    if len(best) != 1:
        wrong = "several images have this name" if best else "no image has this name"
        raise UserError(f"--coco {path}: {wrong}: {file.name}")
    return named[best[0]][1]


def label_files(files: Sequence[tuple[Path, Path]]) -> list[Path]:
    """YOLO's file of each image: its path below the folder that was given, as ``.txt``.

    Args:
        files: images, and their paths below that folder.

    Raises:
        UserError: two images would have the same.
    """
    names = [below.with_suffix(".txt") for _, below in files]
    taken: dict[Path, Path] = {}
    for name, (file, _) in zip(names, files, strict=True):
        if name in taken:
            raise UserError(f"--yolo: {taken[name]} and {file} would have the same file, {name}")
        taken[name] = file
    return names


def yolo_text(found: Any) -> str:
    """A line a box: class from 0, centre, width and height as shares of the image, confidence."""
    height, width = found.image.shape[-2:]
    lines = []
    for (left, top, right, bottom), label, score in zip(
        found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True
    ):
        box = ((left + right) / 2 / width, (top + bottom) / 2 / height)
        sides = ((right - left) / width, (bottom - top) / height)
        lines.append(" ".join([str(label), *(f"{v:.6f}" for v in (*box, *sides, score))]))
    return "".join(line + "\n" for line in lines)


def table_rows(image: str, found: Any) -> list[list[Any]]:
    """A row a box, under ``COLUMNS``."""
    return [
        [image, found.names[label], f"{score:.6f}", *(f"{side:.2f}" for side in box)]
        for box, label, score in zip(
            found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True
        )
    ]
