"""COCO's JSON: boxes, outlines (polygons, run lengths, crowds) and key-points."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from res2net.data.scene import COCO_PERSON, Objects, Scene, Scenes, Skeleton, no_objects
from res2net.data.scenes.checks import Tally, check_parts, sound
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.voc import image_size
from res2net.errors import UserError

_KINDS = {"boxes": "instances", "masks": "instances", "keypoints": "person_keypoints"}
_SIGMA = 0.05  # of key-points that are not COCO's own


def read(root: Path, options: SceneOptions) -> Scenes:
    """``annotations/KIND_train*.json`` and ``..._val*.json`` with their folders of images.

    The whole file is held while it is read: about 3 KB an annotation with polygons.

    Raises:
        UserError: no such files, not COCO's JSON, a category that is not listed.
    """
    if options.marks not in _KINDS:
        raise UserError(f"{root}: COCO's layout has no {options.marks}")
    kind = _KINDS[options.marks]
    files = {part: _annotations(root, kind, part) for part in ("train", "val")}
    tally = Tally()
    held = {part: _load(file) for part, file in files.items()}
    categories = sorted(held["val"]["categories"], key=lambda each: int(each["id"]))
    numbers = {each["id"]: label for label, each in enumerate(categories)}
    if {each["id"] for each in held["train"]["categories"]} - numbers.keys():
        raise UserError(f"{files['train']}: has categories that {files['val'].name} lacks")
    skeleton = _skeleton(categories) if options.marks == "keypoints" else None
    parts = {}
    for part, content in held.items():
        folder = _images(root, files[part])
        parts[part] = _scenes(content, folder, files[part], numbers, options, tally)
    tally.warn(root)
    check_parts(root, parts["train"], parts["val"])
    return Scenes(
        name=root.resolve().name,
        classes=tuple(str(each["name"]) for each in categories),
        train=parts["train"],
        val=parts["val"],
        skeleton=skeleton,
    )


def _annotations(root: Path, kind: str, part: str) -> Path:
    for pattern in (
        f"annotations/{kind}_{part}*.json",
        f"annotations/*{part}*.json",
        f"{part}*/_annotations.coco.json",
        f"*{part}*.json",
    ):
        if found := sorted(root.glob(pattern)):
            return found[0]
    raise UserError(f"{root}: no annotations/{kind}_{part}*.json")


def _images(root: Path, annotations: Path) -> Path:
    part = annotations.stem.rpartition("_")[2]
    for folder in (part, f"images/{part}", part.rstrip("0123456789"), "images"):
        if (root / folder).is_dir():
            return root / folder
    return annotations.parent if annotations.parent != root / "annotations" else root


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= set(content):
        raise UserError(f"{path}: not COCO's form (images, annotations, categories)")
    for part, needed in _NEEDED.items():
        for number, row in enumerate(content[part]):
            if not isinstance(row, dict) or not needed <= row.keys():
                raise UserError(
                    f"{path}: row {number} of its {part} must have {' and '.join(sorted(needed))}"
                )
    return content


_NEEDED = {"images": {"id", "file_name"}, "annotations": {"image_id"}, "categories": {"id", "name"}}


def _scenes(
    content: dict[str, Any],
    folder: Path,
    file: Path,
    numbers: dict[int, int],
    options: SceneOptions,
    tally: Tally,
) -> tuple[Scene, ...]:
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for each in content["annotations"]:
        by_image[each.get("image_id")].append(each)
    scenes = []
    for image in content["images"]:
        rows = by_image.pop(image["id"], [])
        path = folder / str(image["file_name"])
        if not path.is_file():
            tally.add("images of the annotations are not there", str(image["file_name"]))
            continue
        size = int(image.get("height") or 0), int(image.get("width") or 0)
        if 0 in size:
            size = image_size(path)
        try:
            objects = _objects(rows, numbers, options, f"{file.name}: {image['file_name']}")
        except UserError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{file}: annotation of {image['file_name']} is damaged ({error!r})"
            ) from None
        objects = sound(objects, size, str(image["file_name"]), tally)
        scenes.append(Scene(name=path.name, image=path, objects=objects, size=size))
    lost = sum(map(len, by_image.values()))
    tally.add("annotations belong to images that are not listed", file.name, lost)
    return tuple(scenes)


def _objects(
    rows: list[dict[str, Any]], numbers: dict[int, int], options: SceneOptions, where: str
) -> Objects:
    if not rows:
        return no_objects()
    for row in rows:
        _check(row, numbers, options, where)
    boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    keypoints = None
    if options.marks == "keypoints":
        keypoints = np.array([row["keypoints"] for row in rows], np.float64)
        keypoints = keypoints.reshape(len(rows), -1, 3)
    return Objects(
        boxes=boxes,
        labels=np.array([numbers[row["category_id"]] for row in rows], np.int64),
        ignored=np.array([bool(row.get("iscrowd", 0)) for row in rows]),
        areas=np.array([_area(row) for row in rows]),
        segments=tuple(row["segmentation"] for row in rows) if options.marks == "masks" else None,
        keypoints=keypoints,
    )


def _check(row: dict[str, Any], numbers: dict[int, int], options: SceneOptions, where: str) -> None:
    if row["category_id"] not in numbers:
        raise UserError(f"{where}: category {row['category_id']} is not in the list")
    if not isinstance(row["bbox"], list) or len(row["bbox"]) != 4:
        raise UserError(f"{where}: a bbox is four numbers, not {row['bbox']!r}")
    for marks, name in (("masks", "segmentation"), ("keypoints", "keypoints")):
        if options.marks == marks and name not in row:
            raise UserError(f"{where}: an annotation has no {name}, which this --task needs")


def _area(row: dict[str, Any]) -> float:
    """As it is stated; of the box where it is not."""
    stated = row.get("area")
    if isinstance(stated, int | float) and math.isfinite(stated) and stated > 0:
        return float(stated)
    return float(row["bbox"][2]) * float(row["bbox"][3])


def _skeleton(categories: list[dict[str, Any]]) -> Skeleton:
    with_points = [each for each in categories if each.get("keypoints")]
    if not with_points or len(with_points[0]["keypoints"]) == len(COCO_PERSON.names):
        return COCO_PERSON
    names = tuple(map(str, with_points[0]["keypoints"]))
    swaps = tuple(
        (i, names.index(other))
        for i, name in enumerate(names)
        if "left" in name and (other := name.replace("left", "right")) in names
    )
    bones = tuple((a - 1, b - 1) for a, b in with_points[0].get("skeleton", ()))
    return Skeleton(names=names, swaps=swaps, bones=bones, sigmas=(_SIGMA,) * len(names))
