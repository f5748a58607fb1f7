"""COCO's JSON: boxes, outlines (polygons, run lengths, crowds) and key-points."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from res2net.data.files import PART_WORDS, PARTS, some, whether
from res2net.data.outlines import bounds, with_packed_outline
from res2net.data.scene import Objects, Scene, Scenes, Skeleton, no_objects
from res2net.data.scenes.checks import (
    Corners,
    Tally,
    check_names,
    check_scale,
    parted,
    scene_of,
    shown,
)
from res2net.data.scenes.forms import files_with, form_of, other_tool
from res2net.data.scenes.lookup import ImageNames, part_named
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.shapes import ROTATED, around_turned, load
from res2net.data.scenes.skeletons import make_skeleton, numbered
from res2net.errors import UserError

_KINDS = {"boxes": "instances", "masks": "instances", "keypoints": "person_keypoints"}
_NEEDED = {"images": {"id", "file_name"}, "annotations": {"image_id"}, "categories": {"id", "name"}}
_SIGMAS = ("sigmas", "keypoint_sigmas", "oks_sigmas")
_IGNORE = 'objects with "ignore": 1 are neither learned nor scored, unlike in pycocotools'
_FLAGS = {0: False, 1: True, "0": False, "1": True, "": False, None: False}  # True == 1


def read(root: Path, options: SceneOptions) -> Scenes:
    """COCO's JSON in the layouts of common tools, with images anywhere below the folder.

    The part of a file is given by its name or its folder's. Files of a part that list different
    images are merged. A single file that names no part, or a JSON file given as the path, is split
    by ``options.val_fraction``. Classes are matched by name, since parts may number them
    differently. Reading takes about 3 KB of memory per annotation with polygons.

    Raises:
        UserError: no such files, not COCO's JSON, a duplicate id, an unlisted category.
    """
    tally = Tally()
    files = _files(root, _KINDS[options.marks], tally)
    needed = options.needed(dict(files))
    held = _held([each for each in files if each[0] in needed], tally)
    if not held:
        raise UserError(f"{root}: its {' and '.join(needed)} images have no annotations")
    classes = _classes(held, tally)
    skeleton = _skeleton(held, tally, options) if options.marks == "keypoints" else None
    home = root.parent if root.is_file() else root
    names, corners = ImageNames(home), Corners()
    parts: dict[str, tuple[Scene, ...]] = {}
    for file in held:
        scenes = _scenes(file, names, classes, skeleton, options, tally, corners)
        parts[file.part] = (*parts.get(file.part, ()), *scenes)
    if not any(parts.values()):
        listed = [row["file_name"] for file in held for row in file.content["images"]]
        raise UserError(
            f"{held[0].path}: none of its {len(listed)} images exists (searched for "
            f"{some(listed[:1])} in {home} and the folders below it)"
        )
    tally.warn(root)
    check_scale(root, [scene for part in parts.values() for scene in part])
    corners.check(root, "left, top, width, height")
    name = home.resolve().name
    return Scenes(name=name, classes=classes, skeleton=skeleton, **parted(root, parts, options))


@dataclass(frozen=True, kw_only=True)
class _File:
    part: str
    path: Path
    content: dict[str, Any]
    names: dict[str, str]  # category id → name


def _files(root: Path, kind: str, tally: Tally) -> list[tuple[str, Path]]:
    """(part, file); a single file that names no part is ``train``."""
    if root.is_file():
        return [("train", root)]
    forms = {path: form_of(path) for path in files_with(root, ".json")}
    found = [path for path, form in forms.items() if form == "coco"]
    found = found or [path for path, form in forms.items() if not form]  # reading reports why
    found = [path for path in found if path.name.startswith(kind)] or found
    parts = [(_part(path, root), path) for path in found]
    named = [(part, path) for part, path in parts if part is not None]
    if named:
        rest = [path for part, path in parts if part is None]
        tally.add(
            "annotation files without a part (train, val, test) in their name are left out",
            *((rest[0].name, len(rest)) if rest else ("", 0)),
        )
        order = [*PART_WORDS]
        return sorted(named, key=lambda each: order.index(each[0]))
    if len(found) == 1:
        return [("train", found[0])]
    if found:
        names = some([str(path.relative_to(root)) for path in found])
        raise UserError(f"{root}: no file name contains train or val ({names}); give one as path")
    other = other_tool(root)
    raise UserError(
        f"{root}: no annotations/{kind}_train*.json, nor another COCO JSON file"
        + f" ({other})" * bool(other)
    )


def _part(path: Path, root: Path) -> str | None:
    """The part in the file's name, else in its nearest folder."""
    words = (path.stem, *reversed(path.relative_to(root).parts[:-1]))
    return next((part for word in words if (part := part_named(word))), None)


def _held(files: Sequence[tuple[str, Path]], tally: Tally) -> list[_File]:
    """The files to read: for each part those that list new images."""
    held: list[_File] = []
    listed: dict[str, set[str]] = defaultdict(set)
    for part, path in files:
        file = _load(part, path)
        if file is None:
            tally.add("files of test images without annotations are left out", path.name)
            continue
        names = {row["file_name"] for row in file.content["images"]}
        if names & listed[part]:
            tally.add(f"files repeat images of the {part} part and are left out", path.name)
            continue
        listed[part] |= names
        held.append(file)
    return held


def _load(part: str, path: Path) -> _File | None:
    """A checked file; None for test images without annotations."""
    content = load(path, with_packed_outline)
    if part == "test" and isinstance(content, dict) and content.get("annotations") is None:
        return None
    if not isinstance(content, dict) or not _NEEDED.keys() <= content.keys():
        raise UserError(f"{path}: not COCO's format (images, annotations, categories)")
    for name, needed in _NEEDED.items():
        rows = content[name]
        if not isinstance(rows, list):
            raise UserError(f"{path}: its {name} are not a list")
        for number, row in enumerate(rows):
            if isinstance(row, dict) and name == "images" and "coco_url" in row:  # LVIS
                row.setdefault("file_name", "/".join(str(row["coco_url"]).split("/")[-2:]))
            if not isinstance(row, dict) or not needed <= row.keys():
                raise UserError(
                    f"{path}: row {number} of its {name} must have {' and '.join(sorted(needed))}"
                )
    for image in content["images"]:
        if not isinstance(image["file_name"], str):
            raise UserError(f"{path}: a file_name is a string, not {shown(image['file_name'])}")
    check_names(path, [each["name"] for each in content["categories"]])
    for kind in ("images", "categories"):
        counts = Counter(_id(each["id"], path) for each in content[kind])
        twice = [key for key, count in counts.items() if count > 1]
        if twice:
            raise UserError(
                f"{path}: {len(twice)} ids of its {kind} are used more than once, the first: "
                f"{twice[0]}; ids must be unique"
            )
    names = {_id(each["id"], path): str(each["name"]) for each in content["categories"]}
    return _File(part=part, path=path, content=content, names=names)


def _id(value: object, path: Path) -> str:
    """Normalise an id, a number or a name; 7, 7.0 and "7" are equal.

    Raises:
        UserError: any other value.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | str) and not isinstance(value, bool):
        return str(value)
    raise UserError(f"{path}: an id must be a number or a name, not {shown(value)}")


def _classes(held: Sequence[_File], tally: Tally) -> tuple[str, ...]:
    """The unique names of all categories, by id, or per file if the files' ids differ.

    A supercategory without objects is not a class.
    """
    groups = _groups(held)
    for name in sorted(groups):
        tally.add("supercategories without objects are not classes", name)
    orders = [sorted(file.names.items(), key=lambda each: _by_number(each[0])) for file in held]
    orders = [[each for each in order if each[1] not in groups] for order in orders]
    pairs = {pair for order in orders for pair in order}
    if len({key for key, _ in pairs}) < len(pairs):
        tally.add("files number their categories differently: matched by name", held[-1].path.name)
    else:
        orders = [sorted(pairs, key=lambda each: _by_number(each[0]))]
    for file in held:
        shared = len(file.names) - len(set(file.names.values()))
        tally.add("categories with the name of another are merged with it", file.path.name, shared)
    return tuple(dict.fromkeys(name for order in orders for _, name in order))


def _groups(held: Sequence[_File]) -> set[str]:
    rows = [row for file in held for row in file.content["categories"]]
    stated = ((str(row.get("supercategory")), str(row["name"])) for row in rows)
    above = {group for group, name in stated if group != name}
    groups = above & {str(row["name"]) for row in rows}
    for file in held if groups else ():
        for row in file.content["annotations"]:
            groups.discard(file.names.get(_category(row), ""))
    return groups


def _by_number(key: str) -> tuple[bool, int, str]:
    number = bool(re.fullmatch(r"-?[0-9]{1,18}", key))
    return not number, int(key) if number else 0, key


def _scenes(
    file: _File,
    names: ImageNames,
    classes: Sequence[str],
    skeleton: Skeleton | None,
    options: SceneOptions,
    tally: Tally,
    corners: Corners,
) -> list[Scene]:
    images = file.content["images"]
    by_image: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in file.content["annotations"]:
        by_image[_id(row["image_id"], file.path)].append(row)
    listed = [image["file_name"] for image in images]
    folder = _folder(names.root, file.path, listed)
    stated = _part(file.path, names.root)
    there = names.find_all(listed, [folder], tally, part=stated)
    known = {name: number for number, name in enumerate(classes)}
    numbers = {key: known[name] for key, name in file.names.items() if name in known}
    rows: dict[Path, list[dict[str, Any]]] = {}
    of_image: dict[Path, dict[str, Any]] = {}
    for image in images:
        name, own = image["file_name"], by_image.pop(_id(image["id"], file.path), [])
        path = there.get(name)
        if path is None:
            tally.add("annotated images do not exist", name)
            continue
        if str(image.get("split")).lower() in PARTS and stated is None:
            tally.add("images state a split, which is not read: give each part a file", name)
        if path in rows:
            tally.add("images are listed under several ids: merged", name)
        rows[path] = rows.get(path, []) + own
        of_image[path] = image
    lost = sum(map(len, by_image.values()))
    tally.add("annotations refer to images that are not listed", file.path.name, lost)
    scenes = []
    for path, image in of_image.items():
        where = f"{file.path.name}: {image['file_name']}"
        objects = partial(_objects, rows[path], numbers, skeleton, options, where, corners)
        tally.add(ROTATED, path.name, sum(_rotation(row) > 0 for row in rows[path]))
        scene = scene_of(path.name, path, _size(image), objects, tally)
        scenes.append(scene)
        if (found := scene.objects) is not None and found.crowds is not None:
            spared = int((found.ignored & ~found.crowds).sum())
            tally.add(_IGNORE, path.name, spared)
    return scenes


def _folder(home: Path, annotations: Path, names: Sequence[str]) -> Path:
    """The folder of the images: the one where most of about twenty listed paths exist."""
    part = annotations.stem.rpartition("_")[2]
    beside = annotations.parent
    above = [beside, *beside.parents]
    bases = above[: above.index(home) + 1] if home in above else [home]  # nearest first
    folders = [
        each
        for base in dict.fromkeys((home, *bases))
        for each in (
            *(base / part, base / "images" / part, base / part.rstrip("0123456789")),
            *((base,) if base not in (home, home / "annotations") else ()),
            *(base / "images", base / "data"),
        )
    ]
    looked = names[:: max(1, len(names) // 20)]

    def found(folder: Path) -> int:
        paths = [folder / name.replace("\\", "/") for name in looked]
        return sum(whether(path.is_file) for path in paths)

    return max((*folders, home), key=found)  # the first of ties


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """H, W as stated; None unless they are whole numbers."""
    height, width = (_number(image.get(name)) for name in ("height", "width"))
    whole = all(
        side is not None and 0 < side < math.inf and side == int(side) for side in (height, width)
    )
    return (int(height), int(width)) if whole else None  # type: ignore[arg-type]


def _number(value: object) -> float | None:
    """A JSON number, also in quotes, infinite if it is too large; None for anything else."""
    if isinstance(value, str) and len(value) < 40:
        try:
            return float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _numbers(value: object) -> list[float] | None:
    found = [_number(each) for each in value] if isinstance(value, list) else [None]
    return None if None in found else found  # type: ignore[return-value]


def _objects(
    rows: list[dict[str, Any]],
    numbers: Mapping[str, int],
    skeleton: Skeleton | None,
    options: SceneOptions,
    where: str,
    corners: Corners,
    size: tuple[int, int],
) -> Objects:
    if not rows:
        return no_objects()
    boxes = np.array([_box(row, size, where) for row in rows], np.float64)
    corners.add(np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1), boxes, size)
    points = None
    if skeleton is not None:
        count = len(skeleton.names)
        points = np.array([_points(row, count, where) for row in rows], np.float64)
    crowds = np.array([_flag(row, "iscrowd", where) for row in rows])
    return Objects(
        boxes=boxes,
        labels=np.array([_label(row, numbers, where) for row in rows], np.int64),
        ignored=crowds | np.array([_flag(row, "ignore", where) for row in rows]),
        crowds=crowds,
        areas=np.array([_area(row, box) for row, box in zip(rows, boxes, strict=True)]),
        segments=_outlines(rows, where) if options.marks == "masks" else None,
        keypoints=points,
    )


def _box(row: Mapping[str, Any], size: tuple[int, int], where: str) -> list[float]:
    """Left, top, right, bottom; from the outline if no box is given."""
    stated = row.get("bbox")
    if not stated and (around := bounds(row.get("segmentation"), size)):
        return around
    box = _numbers(stated)
    if box is None or len(box) != 4:
        fault = f"a bbox must be four numbers, not {shown(stated)}"
        raise UserError(
            f"{where}: {fault if stated else 'an annotation has no bbox and no valid outline'}"
        )
    left, top, width, height = box
    corners = [left, top, left + width, top + height]
    return around_turned(corners, degrees) if (degrees := _rotation(row)) else corners


def _rotation(row: Mapping[str, Any]) -> float:
    """Degrees in CVAT's attribute of a rectangle; 0 if the outline is stated."""
    held = row.get("attributes")
    degrees = _number(held.get("rotation")) if isinstance(held, dict) else None
    if degrees is None or not math.isfinite(degrees) or row.get("segmentation"):
        return 0.0
    return degrees % 360


def _label(row: Mapping[str, Any], numbers: Mapping[str, int], where: str) -> int:
    number = numbers.get(_category(row))
    if number is None:
        raise UserError(f"{where}: category {shown(row.get('category_id'))} is not in the list")
    return number


def _category(row: Mapping[str, Any]) -> str:
    key = row.get("category_id")
    return str(int(key)) if isinstance(key, float) and key == key // 1 else str(key)


def _flag(row: Mapping[str, Any], name: str, where: str) -> bool:
    value = row.get(name, 0)
    if isinstance(value, list | dict) or value not in _FLAGS:
        raise UserError(f"{where}: {name} must be 0 or 1, not {shown(value)}")
    return _FLAGS[value]


def _outlines(rows: list[dict[str, Any]], where: str) -> tuple[Any, ...]:
    for row in rows:
        if "segmentation" not in row:
            raise UserError(f"{where}: an annotation has no segmentation, which this --task needs")
    return tuple(row["segmentation"] for row in rows)


def _points(row: Mapping[str, Any], count: int, where: str) -> Any:
    """(K, 3): x, y, 0 absent 1 hidden 2 visible."""
    if "keypoints" not in row:
        raise UserError(f"{where}: an annotation has no keypoints, which this --task needs")
    stated: Any = row["keypoints"] or [0] * 3 * count
    if isinstance(stated, list) and all(isinstance(each, list) for each in stated):
        stated = [number for point in stated for number in point]
    values = _numbers(stated)
    if values is None or len(values) != 3 * count:
        many = f"{len(values)} numbers" if values else "no numbers"
        raise UserError(
            f"{where}: an annotation has {many} for its key-points; expected x, y and visibility "
            f"of {count} key-points"
        )
    return np.array(values).reshape(count, 3)


def _area(row: Mapping[str, Any], box: Any) -> float:
    """The area as stated, else that of the box."""
    stated = _number(row.get("area"))
    if stated is not None and math.isfinite(stated) and stated > 0:
        return stated
    with np.errstate(all="ignore"):
        return float((box[2] - box[0]) * (box[3] - box[1]))


def _skeleton(held: Sequence[_File], tally: Tally, options: SceneOptions) -> Skeleton:
    """The key-points named by the categories; numbered if they name none."""
    file, lists = held[0], []
    for each in held:
        named = [row for row in each.content["categories"] if row.get("keypoints")]
        lists += [row["keypoints"] for row in named]
    if not lists:
        names = numbered(_count(held))
        return make_skeleton(file.path, names, tally, given=options.partners)
    if any(not isinstance(names, list) or names != lists[0] for names in lists):
        raise UserError(f"{file.path}: its categories have different lists of key-points")
    row = next(row for row in file.content["categories"] if row.get("keypoints"))
    sigmas = next((row[name] for name in _SIGMAS if row.get(name)), None)
    return make_skeleton(
        *(file.path, lists[0], tally),
        bones=row.get("skeleton"),
        sigmas=sigmas,
        given=options.partners,
    )


def _count(held: Sequence[_File]) -> int:
    """Number of key-points of the first annotation with any."""
    for file in held:
        for row in file.content["annotations"]:
            if isinstance(row.get("keypoints"), list) and row["keypoints"]:
                return len(row["keypoints"]) // 3
    raise UserError(f"{held[0].path}: no annotation has key-points, which this --task needs")
