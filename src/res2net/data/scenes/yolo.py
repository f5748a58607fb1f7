"""YOLO data sets: ``data.yaml``, images, and a text file of annotations for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from res2net.data.files import PART_WORDS, PARTS, some, whether
from res2net.data.scene import Objects, Scene, Scenes, Skeleton, no_objects
from res2net.data.scenes.checks import (
    BOXES_ALONE,
    Corners,
    Tally,
    check_different,
    check_names,
    parted,
    scene_of,
    shown,
)
from res2net.data.scenes.forms import files_with
from res2net.data.scenes.lookup import (
    ImageNames,
    LabelFiles,
    find_path,
    images_below,
    read_list,
    spellings,
)
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.skeletons import make_skeleton, numbered
from res2net.errors import UserError

_MOST = 2.0  # larger coordinates are not normalised
CLASS_LISTS = ("classes.txt", ".names", "_darknet.labels")  # endings of class lists
_POINT_NAMES = ("kpt_names", "keypoint_names", "keypoints")
_QUAD = 8  # numbers of a rotated box or an outline of four corners

Values = npt.NDArray[np.float64]


def read(root: Path, options: SceneOptions) -> Scenes:
    """Read a YOLO data set; lines of more than five numbers are outlines.

    Classes come from ``data.yaml``, else from ``classes.txt``, ``obj.names`` or the like. With
    ``kpt_shape`` in ``data.yaml`` each line is a box with its key-points. Unnamed parts are
    searched for where YOLO tools put them; without a validation part, one is held out.

    Args:
        root: the folder, or its YAML file.

    Raises:
        UserError: no class names, a missing part, or an invalid line.
    """
    file, content = _settings(root)
    home = file.parent
    beside = content.get("path")
    if isinstance(beside, str) and whether((home / beside).is_dir):
        home = home / beside
    tally, corners, labels = Tally(), Corners(), LabelFiles()
    form = _form(file, content, options, tally)
    if root.is_dir():
        _note_lists(root, file, form.classes, tally)
    stated = {PARTS[word] for word in PARTS if content.get(word)}
    named = [part for part in PART_WORDS if part in stated or _usual(home, part) is not None]
    images = {part: _images(home, file, content, part, tally) for part in options.needed(named)}
    if all(found is None for found in images.values()):
        if any(content.get(word) for word in PARTS):
            raise UserError(f"{file}: has no train or val part")
        folder = next((each for each in (home / "images", home) if each.is_dir()), home)
        images["train"] = list(_in_folder(folder))
    parts = {
        part: _scenes(part, found, labels, form, tally, corners)
        for part, found in images.items()
        if found is not None
    }
    if options.measured is None:  # else labels of other parts would be counted
        rest = labels.unused()
        tally.add("label files belong to no image that is read", some(rest[:1]), len(rest))
    if options.marks == "masks":
        _check_outlines(root, [each for own in parts.values() for each in own], tally)
    tally.warn(root)
    corners.check(root, "centre x, centre y, width, height")
    return Scenes(
        name=file.parent.resolve().name,
        classes=form.classes,
        skeleton=form.skeleton,
        **parted(root, parts, options),
    )


def _check_outlines(root: Path, scenes: Sequence[Scene], tally: Tally) -> None:
    """Refuse labels without outlines.

    Raises:
        UserError: there is no outline.
    """
    number = sum(len(scene.objects) for scene in scenes if scene.objects is not None)
    if number and tally.faults.get(BOXES_ALONE, (0, ""))[0] >= number:
        raise UserError(f"{root}: its labels are boxes; this --task needs outlines (polygons)")


@dataclass(frozen=True, kw_only=True)
class _Form:
    """The format of the lines of a label file."""

    classes: tuple[str, ...]
    numbers: Mapping[int, int]  # class number in labels → index into the classes
    marks: str
    points: tuple[int, int] | None  # K key-points of 2 or 3 numbers
    skeleton: Skeleton | None


def _settings(root: Path) -> tuple[Path, dict[str, Any]]:
    """The file with the class names, and its entries for classes and parts."""
    files = [root]
    if root.is_dir():
        files = [each for ending in (".yaml", ".yml") for each in files_with(root, ending)]
    held = {}
    fault = f"{root}: no data.yaml with class names, and no classes.txt or obj.names"
    for file in files:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
        except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:200]
            fault = f"{file}: cannot be read as YAML ({reason})"
            continue
        if isinstance(content, dict):
            held[file] = {k.lower() if isinstance(k, str) else k: v for k, v in content.items()}
    named = [file for file, content in held.items() if content.get("names")]
    if named:
        file = min(named, key=_rank)
        rivals = [each for each in named if _rank(each) == _rank(file)]
        differing = [each for each in rivals if held[each]["names"] != held[file]["names"]]
        if differing:
            names = " and ".join(str(each.relative_to(root)) for each in (file, differing[0]))
            raise UserError(f"{root}: {names} have different classes; give one of them as path")
        return file, held[file]
    listed = _listed_classes(root) if root.is_dir() else None
    if listed is None:
        raise UserError(f"{next(iter(held))}: has no list of names" if held else fault)
    return root / listed[0].name, _darknet(root) | next(iter(held.values()), {}) | listed[1]


def _rank(file: Path) -> tuple[int, bool]:
    """Sort key: usual names first, then files in upper folders."""
    return len(file.parts), file.stem.lower() not in ("data", "dataset")


def _listed_classes(root: Path) -> tuple[Path, dict[str, Any]] | None:
    """A class list as written by darknet, LabelImg, Label Studio and Roboflow.

    Raises:
        UserError: there are several different lists.
    """
    files = [each for ending in CLASS_LISTS for each in files_with(root, ending)]
    if not files:
        return None
    names = {each: read_list(each) for each in files}
    for file in files:
        if names[file] != names[files[0]]:
            raise UserError(f"{root}: {files[0]} and {file} have different classes; remove one")
    return files[0], {"names": names[files[0]]}


def _note_lists(root: Path, used: Path, classes: Sequence[str], tally: Tally) -> None:
    for file in (each for ending in CLASS_LISTS for each in files_with(root, ending)):
        with suppress(UserError):  # unreadable, and not used
            if read_list(file) != list(classes):
                tally.add(f"lists of classes differ from {used.name} and are not used", str(file))


def _darknet(root: Path) -> dict[str, Any]:
    """Parts from darknet's ``obj.data``, else from lists of images named after parts."""
    for file in files_with(root, ".data"):
        pairs = (line.partition("=") for line in read_list(file))
        held = {key.strip().lower(): value.strip() for key, _, value in pairs}
        return {word: held[word] for word in PARTS if held.get(word)}
    return {word: f"{word}.txt" for word in PARTS if (root / f"{word}.txt").is_file()}


def _form(file: Path, content: dict[Any, Any], options: SceneOptions, tally: Tally) -> _Form:
    names = content["names"]
    if isinstance(names, str) and "," not in names:
        names = [names]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(map(_is_number, names)):
        raise UserError(f"{file}: names must be a list of names, or a mapping of numbers to names")
    named = dict(sorted((int(key), name) for key, name in names.items()))
    if len(named) < len(names):
        raise UserError(f"{file}: names has a number twice")
    check_names(file, list(named.values()))
    check_different(file, list(named.values()))
    counts = len(named), max(named) + 1
    if content.get("nc", counts[0]) not in (*counts, *map(str, counts)):
        raise UserError(f"{file}: nc differs from the number of names, {len(named)}")
    shape = content.get("kpt_shape")
    if shape is not None and not _is_shape(shape):
        raise UserError(f"{file}: kpt_shape must be the number of key-points and 2 or 3: [17, 3]")
    if (options.marks == "keypoints") != (shape is not None) and options.marks != "boxes":
        kind = "boxes with key-points" if shape is not None else "no key-points (no kpt_shape)"
        raise UserError(f"{file}: its labels are {kind}; this --task needs {options.marks}")
    pose = shape is not None and options.marks == "keypoints"
    skeleton = _skeleton(file, content, options.partners, tally) if pose else None
    return _Form(
        classes=tuple(map(str, named.values())),
        numbers={key: index for index, key in enumerate(named)},
        marks=options.marks,
        points=None if shape is None else (shape[0], shape[1]),
        skeleton=skeleton,
    )


def _is_number(key: object) -> bool:
    """A class number in YAML: 3, or "3" in quotes."""
    if isinstance(key, str):
        return key.isdecimal() and len(key) < 10
    return type(key) is int and 0 <= key < 10**9


def _is_shape(shape: object) -> bool:
    two = isinstance(shape, list) and len(shape) == 2 and all(type(each) is int for each in shape)
    return two and 0 < shape[0] < 10_000 and shape[1] in (2, 3)  # type: ignore[index]


def _skeleton(file: Path, content: dict[Any, Any], given: str, tally: Tally) -> Skeleton:
    """Names from ``kpt_names`` and partners from ``flip_idx``, if given."""
    count = content["kpt_shape"][0]
    names = next((content[key] for key in _POINT_NAMES if content.get(key)), None)
    if isinstance(names, dict) and names:  # one list per class
        names = next(iter(names.values()))
    if names is not None and not (isinstance(names, list) and len(names) == count):
        raise UserError(f"{file}: kpt_names are not {count} names, the number of kpt_shape")
    order = content.get("flip_idx")
    swaps = None
    if order is not None and order != []:
        whole = isinstance(order, list) and all(type(each) is int for each in order)
        if not whole or sorted(order) != list(range(count)):
            raise UserError(f"{file}: flip_idx is not a permutation of {count} key-points from 0")
        if any(order[order[i]] != i for i in range(count)):
            raise UserError(f"{file}: flip_idx does not pair its key-points")
        swaps = tuple((i, k) for i, k in enumerate(order) if i < k)
    return make_skeleton(file, names or numbered(count), tally, swaps=swaps, given=given)


def _usual(home: Path, part: str) -> Path | None:
    """The usual places of the images of an unnamed part."""
    usual = [
        form.format(key) for key in PART_WORDS[part] for form in ("images/{}", "{}/images", "{}")
    ]
    folder = next((path for each in usual if (path := find_path(home, each))), None)
    return folder if folder is not None and folder.is_dir() else None


def _images(
    home: Path, file: Path, content: dict[str, Any], part: str, tally: Tally
) -> list[tuple[Path, str]] | None:
    """(folder, path in it) of the images of a part; None if it is neither named nor found."""
    keys = PART_WORDS[part]
    stated = [content[key] for key in keys if content.get(key)]
    named = [text for each in stated for text in (each if isinstance(each, list) else [each])]
    if not named:
        folder = _usual(home, part)
        return None if folder is None else list(_in_folder(folder)) or None
    found: list[tuple[Path, str]] = []
    for text in named:
        if not isinstance(text, str):
            raise UserError(f"{file}: {part} must be a folder or a list, not {shown(text)}")
        place = _place(home, text, tally)
        if place is None and part == "test":  # exports may name one without including it
            tally.add("folders of test images do not exist", text)
            continue
        if place is None:
            raise UserError(
                f"{file}: its {part} images are at {text!r}, which does not exist "
                f"(searched for {home / text} and below {home}); correct the line"
            )
        found += _in_folder(place) if place.is_dir() else _in_list(home, place, tally)
    return list(dict.fromkeys(found))


def _place(home: Path, text: str, tally: Tally) -> Path | None:
    """The folder or list at a path: as written, else below ``home`` by its last folders.

    A match by the last folder alone does not count if that is just "images".
    """
    plain = home / text.replace("\\", "/")
    if whether(plain.exists):
        return plain
    words = next(spellings(text), ())
    for start in range(len(words)):
        rest = words[start:]
        if len(rest) == 1 and rest[0].lower() in ("images", "imgs"):
            break
        if path := find_path(home, "/".join(rest)):
            if start and words[0] != "data":
                tally.add("folders or lists of images are not at the stated path", text)
            return path
    return None


def _in_folder(folder: Path) -> Iterator[tuple[Path, str]]:
    return ((folder, str(path.relative_to(folder))) for path in images_below(folder))


def _in_list(home: Path, file: Path, tally: Tally) -> Iterator[tuple[Path, str]]:
    """The images listed in a text file, one path per line."""
    names = read_list(file)
    found = ImageNames(home).find_all(names, [home, file.parent], tally)
    for name in names:
        if name in found:
            yield found[name].parent, found[name].name
        else:
            tally.add("listed images do not exist", name)


def _scenes(
    part: str,
    images: Sequence[tuple[Path, str]],
    labels: LabelFiles,
    form: _Form,
    tally: Tally,
    corners: Corners,
) -> tuple[Scene, ...]:
    files = {each: labels.of(*each) for each in images}
    own = [file for file in files.values() if file is not None]
    labels.used.update(own)
    shared = [str(file) for file, count in Counter(own).items() if count > 1]
    fault = "images share their label file with another image"
    tally.add(fault, some(shared[:1]), len(own) - len({*own}))
    lone = [each for each, file in files.items() if file is None]
    where = [labels.places(folder, (folder / name).parent)[0] for folder, name in lone[:1]]
    fault = f"of the {len(images)} {part} images have no label file and count as empty"
    tally.add(fault, f"searched in {some([*map(str, where)])}", len(lone))
    return tuple(
        scene_of(name, folder / name, None, partial(_objects, file, form, tally, corners), tally)
        for (folder, name), file in files.items()
    )


def _objects(
    path: Path | None, form: _Form, tally: Tally, corners: Corners, size: tuple[int, int]
) -> Objects:
    """The objects of a label file, if any, in pixels of an image of (height, width)."""
    if path is None:
        return no_objects()
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
    quads = sum(len(words) == 1 + _QUAD for words in lines)
    quads *= form.points is None and form.marks == "boxes"  # masks keep the corners
    tally.add("lines of 8 numbers are replaced by the boxes around them", path.name, quads)
    if form.marks == "masks":
        tally.add(BOXES_ALONE, path.name, sum(len(words) == 5 for words in lines))
    labels, boxes, rest = zip(*found, strict=True)
    read = np.array(boxes)
    if all(len(words) == 5 for words in lines if words):
        sides = read[:, 2:] - read[:, :2]
        corners.add(np.concatenate([read[:, :2] + sides / 2, sides], 1), read, size)
    return Objects(
        boxes=read,
        labels=np.array(labels, np.int64),
        ignored=np.zeros(len(found), bool),
        areas=(read[:, 2:] - read[:, :2]).clip(0).prod(axis=1),
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
    if len(values) == 5:
        raise UserError(
            f"{where}: has a number after its box, as predictions with confidence or object ids "
            "have; remove it"
        )
    if len(values) < 6 or len(values) % 2:
        raise UserError(f"{where}: {len(values)} numbers are neither a box nor an outline")
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
            f"{where}: {len(values)} numbers are not a box with {count} key-points of {each}, "
            "the kpt_shape of data.yaml"
        )
    points = values[4:].reshape(count, each)
    _check_shares(np.concatenate([values[:4], points[:, :2].ravel()]), where)
    seen = points[:, 2:] if each == 3 else 2.0 * points.any(axis=1, keepdims=True)  # 0, 0: absent
    return _box(values[:4] * np.tile(scale, 2)), np.concatenate([points[:, :2] * scale, seen], 1)


def _check_shares(values: Values, where: str) -> None:
    if np.abs(values).max() > _MOST:
        raise UserError(
            f"{where}: has {np.abs(values).max():g} as a normalised coordinate, which is 0 to 1"
        )


def _box(values: Values) -> Values:
    x, y, w, h = values
    return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


def _like_keypoints(values: Values) -> bool:
    """Whether numbers look like a box followed by x, y and 0, 1 or 2, all within the box."""
    if (len(values) - 4) % 3:
        return False
    points = values[4:].reshape(-1, 3)
    left, top, right, bottom = _box(values[:4])
    seen = points[points[:, 2] > 0]
    inside = (seen[:, :2] >= (left, top)).all() and (seen[:, :2] <= (right, bottom)).all()
    return bool(np.isin(points[:, 2], (0, 1, 2)).all() and len(seen) and inside)
