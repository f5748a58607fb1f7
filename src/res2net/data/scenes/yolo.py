"""The folders that YOLO tools write: ``data.yaml``, images, and a text file of marks for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from res2net.data import photo
from res2net.data.files import Listing, list_images, subfolders, whether
from res2net.data.scene import Objects, Scene, Scenes, Skeleton, no_objects
from res2net.data.scenes.checks import (
    Tally,
    check_different,
    check_names,
    parted,
    shown,
    sound,
)
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.skeletons import make_skeleton, numbered
from res2net.errors import UserError

_PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_MOST = 2.0  # a coordinate beyond is no share of the image
_QUAD = 8  # numbers of a rotated box, or of an outline of four corners

Values = npt.NDArray[np.float64]


def read(root: Path, options: SceneOptions) -> Scenes:
    """Boxes of a YOLO data set; lines of more than five numbers are outlines.

    With ``kpt_shape`` in ``data.yaml`` each line is a box with its key-points. A part that is not
    named is looked for where YOLO tools put it; without a validation part, one is held out.

    Args:
        root: the folder, or its YAML file.

    Raises:
        UserError: no YAML file with names, a part that is not where it says, a line that is no box.
    """
    file, content = _settings(root)
    home = file.parent
    beside = content.get("path")
    if isinstance(beside, str) and whether((home / beside).is_dir):
        home = home / beside
    tally = Tally()
    form = _form(file, content, options, tally)
    parts: dict[str, tuple[Scene, ...]] = {}
    named = [part for part, keys in _PARTS.items() if _is_named(home, content, keys)]
    for part, keys in ((part, _PARTS[part]) for part in named if part in options.needed(named)):
        images = _images(home, file, content, keys, tally)
        if images is not None:
            parts[part] = _scenes(part, images, form, tally)
    if not parts:
        raise UserError(f"{file}: names no train or val part")
    tally.warn(root)
    return Scenes(
        name=file.parent.resolve().name,
        classes=form.classes,
        skeleton=form.skeleton,
        **parted(root, parts, options),
    )


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What a line of a label file means."""

    classes: tuple[str, ...]
    numbers: Mapping[int, int]  # as the labels have them → index into the classes
    marks: str
    points: tuple[int, int] | None  # K key-points of 2 or 3 numbers
    skeleton: Skeleton | None


def _settings(root: Path) -> tuple[Path, dict[Any, Any]]:
    """The YAML file that names the classes, and what it holds."""
    files = [root] if root.is_file() else [root / "data.yaml", root / "dataset.yaml"]
    if root.is_dir():
        files += sorted((*root.glob("*.yaml"), *root.glob("*.yml")))
    fault = f"{root}: no data.yaml that names the classes"
    for file in dict.fromkeys(each for each in files if each.is_file()):
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
        except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:200]
            fault = f"{file}: cannot be read as YAML ({reason})"
            continue
        if isinstance(content, dict) and content.get("names"):
            return file, content
        fault = f"{file}: no list of names in it"
    raise UserError(fault)


def _form(file: Path, content: dict[Any, Any], options: SceneOptions, tally: Tally) -> _Form:
    names = content["names"]
    if isinstance(names, str):
        names = [names]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(map(_is_number, names)):
        raise UserError(f"{file}: names is a list of names, or a mapping of numbers to names")
    named = dict(sorted((int(key), name) for key, name in names.items()))
    if len(named) < len(names):
        raise UserError(f"{file}: names has a number twice")
    check_names(file, list(named.values()))
    check_different(file, list(named.values()))
    if content.get("nc", len(named)) not in (len(named), max(named) + 1):
        raise UserError(f"{file}: nc is not the number of names, which is {len(named)}")
    shape = content.get("kpt_shape")
    if shape is not None and not _is_shape(shape):
        raise UserError(f"{file}: kpt_shape is the number of key-points and 2 or 3: [17, 3]")
    if (options.marks == "keypoints") != (shape is not None) and options.marks != "boxes":
        kind = "boxes with key-points" if shape is not None else "no key-points (no kpt_shape)"
        raise UserError(f"{file}: its labels are {kind}; this --task needs {options.marks}")
    skeleton = None
    if shape is not None and options.marks == "keypoints":
        skeleton = _skeleton(file, content, shape[0], tally)
    return _Form(
        classes=tuple(map(str, named.values())),
        numbers={key: index for index, key in enumerate(named)},
        marks=options.marks,
        points=None if shape is None else (shape[0], shape[1]),
        skeleton=skeleton,
    )


def _is_number(key: object) -> bool:
    """A class number as YAML has it: 3, or "3" in quotes."""
    if isinstance(key, str):
        return key.isdecimal() and len(key) < 10
    return type(key) is int and 0 <= key < 10**9


def _is_shape(shape: object) -> bool:
    two = isinstance(shape, list) and len(shape) == 2 and all(type(each) is int for each in shape)
    return two and 0 < shape[0] < 10_000 and shape[1] in (2, 3)  # type: ignore[index]


def _skeleton(file: Path, content: dict[Any, Any], count: int, tally: Tally) -> Skeleton:
    """Names of ``kpt_names``, partners of ``flip_idx``, where they are given."""
    names = content.get("kpt_names")
    if isinstance(names, dict) and names:  # one list a class
        names = next(iter(names.values()))
    if names is not None and not (isinstance(names, list) and len(names) == count):
        raise UserError(f"{file}: kpt_names are not {count} names, the number of kpt_shape")
    order = content.get("flip_idx")
    swaps = None
    if order is not None:
        whole = isinstance(order, list) and all(type(each) is int for each in order)
        if not whole or sorted(order) != list(range(count)):
            raise UserError(f"{file}: flip_idx is not an order of {count} key-points from 0")
        if any(order[order[i]] != i for i in range(count)):
            raise UserError(f"{file}: flip_idx does not pair its key-points")
        swaps = tuple((i, k) for i, k in enumerate(order) if i < k)
    return make_skeleton(file, names or numbered(count), tally, swaps=swaps)


def _usual(home: Path, keys: Sequence[str]) -> Path | None:
    """Where YOLO tools put the images of a part that is not named."""
    usual = [home / form for key in keys for form in (f"images/{key}", f"{key}/images")]
    return next((folder for folder in usual if folder.is_dir()), None)


def _is_named(home: Path, content: dict[Any, Any], keys: Sequence[str]) -> bool:
    return any(content.get(key) for key in keys) or _usual(home, keys) is not None


def _images(
    home: Path, file: Path, content: dict[Any, Any], keys: Sequence[str], tally: Tally
) -> list[tuple[Path, str]] | None:
    """(folder, path in it) of the images of a part; None of one that is not named nor there."""
    named = [text for key in keys if content.get(key) for text in _texts(content[key])]
    if not named:
        folder = _usual(home, keys)
        return None if folder is None else list(_in_folder(folder))
    found: list[tuple[Path, str]] = []
    for text in named:
        if not isinstance(text, str):
            raise UserError(f"{file}: {keys[0]} names a folder or a list, not {shown(text)}")
        plain = text.replace("\\", "/")
        tries = [home / plain, home / plain.removeprefix("../")]  # as Roboflow writes them
        place = next((path for path in tries if whether(path.exists)), None)
        if place is None and keys == _PARTS["test"]:  # exports name one that they do not hold
            tally.add("folders of test images are not there", text)
            continue
        if place is None:
            raise UserError(
                f"{file}: its {keys[0]} images are at {text!r}, which is not there "
                f"(looked for {tries[0]}); mend the line"
            )
        found += _in_folder(place) if place.is_dir() else _in_list(home, place, tally)
    return list(dict.fromkeys(found))


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _in_folder(folder: Path) -> Iterator[tuple[Path, str]]:
    listing = Listing()
    list_images(folder, "", listing, find_empty=False)
    return ((folder, name) for name in listing.names)


def _in_list(home: Path, file: Path, tally: Tally) -> Iterator[tuple[Path, str]]:
    """The images that a text file lists, a path a line."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: the list of images cannot be read ({error})") from None
    for line in filter(None, map(str.strip, lines)):
        plain = line.replace("\\", "/")
        tries = (home / plain, file.parent / plain)
        path = next((path for path in tries if whether(path.is_file)), None)
        if path is None:
            tally.add("listed images are not there", line)
        else:
            yield path.parent, path.name


def _scenes(
    part: str, images: Sequence[tuple[Path, str]], form: _Form, tally: Tally
) -> tuple[Scene, ...]:
    places = {folder: _labels_of(folder) for folder, _ in images}
    scenes, without = [], []
    for folder, name in images:
        image = folder / name
        inside = Path(name).with_suffix(".txt")
        labels = next((p for p in (at / inside for at in places[folder]) if p.is_file()), None)
        size, objects = photo.image_size(image), no_objects()
        if labels is None:
            without.append(places[folder][0])
        else:
            objects = _objects(labels, size, form, tally)
        objects = sound(objects, size, name, tally)
        scenes.append(Scene(name=name, image=image, objects=objects, size=size))
    fault = f"of the {len(images)} {part} images have no label file and count as empty"
    tally.add(fault, f"looked for in {without[0]}" if without else "", len(without))
    return tuple(scenes)


def _labels_of(folder: Path) -> list[Path]:
    """Where the labels of a folder of images may be: the folder ``labels`` that goes with it first.

    ``labels`` stands in the place of the last ``images``, both in letters of any case.
    """
    parts = folder.parts
    at = max((i for i, part in enumerate(parts) if part.lower() == "images"), default=None)
    tries = [folder, folder.parent / "labels" / folder.name, folder.parent / "labels"]
    if at is not None:
        above = Path(*parts[:at])
        names = [name for name in subfolders(above) if name.lower() == "labels"]
        tries = [*(above.joinpath(name, *parts[at + 1 :]) for name in names or ["labels"]), folder]
    return tries


def _objects(path: Path, size: tuple[int, int], form: _Form, tally: Tally) -> Objects:
    """The objects of a label file, in pixels of an image of (height, width)."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    lines = [line.split() for line in text.splitlines()]
    scale = np.array(size[::-1], np.float64)
    found = [
        _object(words, f"{path}, line {line}", scale, form)
        for line, words in enumerate(lines, 1)
        if words
    ]
    if not found:
        return no_objects()
    quads = sum(len(words) == 1 + _QUAD for words in lines) if form.points is None else 0
    tally.add("lines of 8 numbers are rotated boxes or outlines: boxes around", path.name, quads)
    labels, boxes, rest = zip(*found, strict=True)
    corners = np.array(boxes)
    return Objects(
        boxes=corners,
        labels=np.array(labels, np.int64),
        ignored=np.zeros(len(found), bool),
        areas=(corners[:, 2:] - corners[:, :2]).clip(0).prod(axis=1),
        segments=tuple([each.ravel().tolist()] for each in rest) if form.marks == "masks" else None,
        keypoints=np.stack(rest) if form.skeleton is not None else None,
    )


def _object(
    words: Sequence[str], where: str, scale: Values, form: _Form
) -> tuple[int, Values, Values]:
    """Class, box (4,) and corners of the outline (n, 2) or key-points (K, 3), in pixels."""
    try:
        label, *numbers = map(float, words)
        values = np.array(numbers)
        if not label.is_integer() or not np.isfinite(values).all():
            raise ValueError(words)
    except ValueError:
        raise UserError(f"{where}: not a class and numbers: {' '.join(words)!r:.80}") from None
    if int(label) not in form.numbers:
        raise UserError(f"{where}: class {int(label)} is not in data.yaml")
    if form.points is not None:
        return form.numbers[int(label)], *_with_points(values, where, scale, *form.points)
    if len(values) == 4:
        _check_shares(values, where)
        left, top, right, bottom = box = _box(values * np.tile(scale, 2))
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return form.numbers[int(label)], box, corners
    if len(values) < 6 or len(values) % 2:
        raise UserError(f"{where}: {len(values)} numbers are no box or outline")
    if _like_keypoints(values):
        raise UserError(f"{where}: looks like a box with key-points; give kpt_shape in data.yaml")
    _check_shares(values, where)
    points = values.reshape(-1, 2) * scale
    return form.numbers[int(label)], np.concatenate([points.min(0), points.max(0)]), points


def _with_points(
    values: Values, where: str, scale: Values, count: int, each: int
) -> tuple[Values, Values]:
    """Box (4,) and key-points (K, 3) of a line with K key-points of 2 or 3 numbers."""
    if len(values) != 4 + count * each:
        raise UserError(
            f"{where}: {len(values)} numbers are no box with {count} key-points of {each}, "
            "the kpt_shape of data.yaml"
        )
    points = values[4:].reshape(count, each)
    _check_shares(np.concatenate([values[:4], points[:, :2].ravel()]), where)
    seen = points[:, 2:] if each == 3 else 2.0 * points.any(axis=1, keepdims=True)  # 0, 0: absent
    return _box(values[:4] * np.tile(scale, 2)), np.concatenate([points[:, :2] * scale, seen], 1)


def _check_shares(values: Values, where: str) -> None:
    if np.abs(values).max() > _MOST:
        raise UserError(
            f"{where}: has {np.abs(values).max():g} for a share of the image, which is 0 to 1"
        )


def _box(values: Values) -> Values:
    x, y, w, h = values
    return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


def _like_keypoints(values: Values) -> bool:
    """A box, then x, y and 0, 1 or 2 in turns, all within the box."""
    if (len(values) - 4) % 3:
        return False
    points = values[4:].reshape(-1, 3)
    left, top, right, bottom = _box(values[:4])
    seen = points[points[:, 2] > 0]
    inside = (seen[:, :2] >= (left, top)).all() and (seen[:, :2] <= (right, bottom)).all()
    return bool(np.isin(points[:, 2], (0, 1, 2)).all() and len(seen) and inside)
