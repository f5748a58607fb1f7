"""Images with maps of objects: pixels numbered by object, or a mask for each object."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt

from res2net.data import photo
from res2net.data.files import image_names, spread
from res2net.data.outlines import pack, placed
from res2net.data.scene import RLE, Objects, Scene, Scenes, no_objects
from res2net.data.scenes.checks import Tally, parted, scene_of
from res2net.data.scenes.legend import CITYSCAPES_OBJECTS, FILES, read_classes
from res2net.data.scenes.mapfile import FOREGROUND, at_once, object_map, salient_map
from res2net.data.scenes.maps import in_parts
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.pairing import OF_CITYSCAPES, of_folder
from res2net.errors import UserError

OBJECT = "object"  # the class if no list names it
_LOOKED = 32  # maps that show whether values are numbers of objects
_DAMAGED = 2  # of them that may be unreadable; maps in colours are unreadable too
_FEW = 50  # subfolders that are inspected
_DENSE = 20  # objects of an image
_BORDER = 255  # value between objects in 8-bit maps, as in VOC
_CLASS = 1000  # in Cityscapes' maps: 1000 * class + number of the object; below: class alone


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    image: Path
    maps: tuple[Path, ...]  # the map of all objects, or the mask of each
    kind: Literal["numbers", "masks", "cityscapes"]


def read(root: Path, options: SceneOptions) -> Scenes:
    """Maps whose values number the objects (0: none), or a folder per image with a mask for each.

    Maps and images are matched as for ``pairs``. In folders per image, one folder has the image
    (``images``) and another the masks (``masks``). All objects have one class: the one in
    ``classes.txt``, else "object". In Cityscapes' ``instanceIds``, numbers hold the class too.

    Raises:
        UserError: another layout, maps that cannot be read or mark no separate objects, or a list
            of several classes.
    """
    tally = Tally()
    rows = _by_folder(root, tally)
    if rows is None:
        pairs = in_parts(root, replace(options, marks="classes"), of_objects=True)
        rows = {part or "train": [*map(_pair, scenes)] for part, scenes in pairs.items()}
    rows = {part: rows[part] for part in options.needed(rows)}
    every = [row for own in rows.values() for row in own]
    decoded = at_once(partial(_decoded, outlined=options.marks == "masks"), every)
    if faults := [each for each in decoded if isinstance(each, UserError)]:
        text = f"{root}: {len(faults)} of {len(every)} maps cannot be used; the first: {faults[0]}"
        if len(faults) == len(every):
            raise UserError(text)
        if not options.skip_bad:
            raise UserError(
                f"{text}; to leave such images out, give --input.skip-bad true (--skip-bad of "
                "evaluate)"
            )
        warnings.warn(f"{text}; their images are left out", stacklevel=2)
    found = {row: own for row, own in zip(every, decoded, strict=True) if isinstance(own, Objects)}
    kinds = {row.kind for row in found}
    numbered = options.measured is None and kinds == {"numbers"}
    if numbered and max(map(len, found.values())) < 2:
        raise UserError(
            f"{root}: none of {len(found)} maps has two values besides 0, so they mark pixels, not "
            "objects; number the objects of each map 1, 2, 3 ..."
        )
    classes = (*CITYSCAPES_OBJECTS.values(),)
    if "cityscapes" not in kinds:
        classes = (_class_of(root),)
    elif len(kinds) > 1:
        raise UserError(f"{root}: only some maps are Cityscapes' instanceIds; give them alone")
    parts = {
        part: [_scene(row, found[row], tally) for row in own if row in found]
        for part, own in rows.items()
    }
    tally.warn(root)
    return Scenes(name=root.resolve().name, classes=classes, **parted(root, parts, options))


def numbers_objects(maps: Sequence[Path]) -> bool:
    """Whether the values of maps look like numbers of objects.

    Up to 32 of them hold 0, 1, 2 ... without a gap, up to at least three different numbers, or up
    to more than 20 each. Class maps would lack a class somewhere.
    """
    most, damaged = set(), 0
    for each in map(_values, spread(maps, _LOOKED)):  # most maps end this at the first few
        if each is None:
            damaged += 1
        elif _is_counted(each):
            most.add(each[-1])
        else:
            return False
        if damaged > _DAMAGED:
            return False
    return len(most) > 2 or min(most, default=0) > _DENSE


def of_each(path: Path) -> str:
    """Evidence for a folder per image with a mask for each object; "" if there is none."""
    children = _inside(path)
    for home in (*children, *(below for each in children[:8] for below in _inside(each))):
        own = _inside(home)
        images = [each for each in own if of_folder(each.name).role == "image"]
        masks = [each for each in own if of_folder(each.name).role in ("map", "object")]
        if len(images) == len(masks) == 1:
            numbers = [len(image_names(each)) for each in (*images, *masks)]
            if numbers[0] == 1 and numbers[1] > 1:
                return f"{masks[0].relative_to(path)} has a mask for each object"
    return ""


def _inside(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())
    return [folder / name for name in names[:_FEW]]


def _by_folder(root: Path, tally: Tally) -> dict[str, list[_Row]] | None:
    """Part → its images with a mask for each object; None in another layout."""
    rooms: dict[str, dict[str, list[str]]] = {}
    for name in image_names(root):
        folder = PurePosixPath(name).parent
        role = of_folder(folder.name).role
        rooms.setdefault(str(folder.parent), {}).setdefault(
            {"image": "image", "map": "map", "object": "map"}.get(role, ""), []
        ).append(name)
    held = {room: own for room, own in rooms.items() if "image" in own}
    if not any(len(own.get("map", ())) > 1 for own in held.values()):
        return None
    if any(len(own["image"]) > 1 for own in held.values()):
        return None
    rows: dict[str, list[_Row]] = {}
    for room, own in held.items():
        image, masks = own["image"][0], own.get("map", [])
        if not masks:
            tally.add("images without masks are left out", image)
            continue
        part = of_folder(room).part or "train"
        row = _Row(image, root / image, tuple(root / each for each in masks), "masks")
        rows.setdefault(part, []).append(row)
    return rows


def _pair(scene: Scene) -> _Row:
    assert isinstance(scene.image, Path)
    assert isinstance(scene.classes, Path)
    cityscapes = OF_CITYSCAPES.search(scene.classes.stem)
    return _Row(
        scene.name, scene.image, (scene.classes,), "cityscapes" if cityscapes else "numbers"
    )


def _class_of(root: Path) -> str:
    """The class of the objects: the one in a list, else "object", with a warning.

    Raises:
        UserError: the list has more than a background and a class.
    """
    file = next((root / name for name in FILES if (root / name).is_file()), None)
    if file is None:
        text = f"maps of objects without a list of classes: all objects are {OBJECT!r}"
        warnings.warn(f"{root}: {text}; write another name to classes.txt", stacklevel=3)
        return OBJECT
    names = read_classes(file).names
    if len(names) > 2:
        raise UserError(
            f"{file}: lists {len(names)} classes, but maps of objects have one: they do not hold "
            "the class of an object"
        )
    return names[-1]


def _scene(row: _Row, objects: Objects, tally: Tally) -> Scene:
    return scene_of(row.name, row.image, None, lambda _: objects, tally)


def _decoded(row: _Row, *, outlined: bool) -> Objects | UserError:
    """The objects of an image, or why its maps cannot be used."""
    try:
        size = photo.image_size(row.image)
    except UserError:  # reported by the check of all images
        return no_objects()
    try:
        found = [*_OF[row.kind](row.maps, size)]
    except UserError as error:
        return error
    if not found:
        return no_objects()
    crowds, labels, pixels = zip(*found, strict=True)
    ends = [(x.min(), y.min(), x.max() + 1, y.max() + 1) for y, x in pixels]
    return Objects(
        boxes=np.array(ends, np.float64),
        labels=np.array(labels, np.int64),
        ignored=np.array(crowds, bool),
        crowds=np.array(crowds, bool),
        areas=np.array([len(y) for y, _ in pixels], np.float64),
        segments=tuple(_outline(y, x, size) for y, x in pixels) if outlined else None,
    )


_Indices = npt.NDArray[np.int64]
_Object = tuple[bool, int, tuple[_Indices, _Indices]]  # a crowd?, class, pixels y, x


def _of_numbers(maps: Sequence[Path], size: tuple[int, int]) -> Iterator[_Object]:
    """The objects of a map, by number; beside 1, 2 ... to less than 254, 255 is a border."""
    values = object_map(maps[0])
    _check_size(values.shape, size, maps[0])
    present = np.unique(values).tolist()
    others = [each for each in present if 0 < each < _BORDER]
    if present[-1] == _BORDER and others == [*range(1, len(others) + 1)] and 0 < len(others) < 254:
        values[values == _BORDER] = 0
    for _, pixels in _split(values):
        yield False, 0, pixels


def _of_cityscapes(maps: Sequence[Path], size: tuple[int, int]) -> Iterator[_Object]:
    """The objects of a map of Cityscapes; a class without a number is a group of objects."""
    values = object_map(maps[0])
    _check_size(values.shape, size, maps[0])
    numbers = [*CITYSCAPES_OBJECTS]
    values[~np.isin(np.where(values < _CLASS, values, values // _CLASS), numbers)] = 0
    for value, pixels in _split(values):
        yield value < _CLASS, numbers.index(value // _CLASS or value), pixels


def _split(values: _Indices) -> Iterator[tuple[int, tuple[_Indices, _Indices]]]:
    """Each value but 0, with its pixels."""
    y, x = np.nonzero(values)
    number = values[y, x]
    order = np.argsort(number, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        if len(own):
            yield int(number[own[0]]), (y[own], x[own])


def _of_masks(maps: Sequence[Path], size: tuple[int, int]) -> Iterator[_Object]:
    """The objects of masks that each have one; an empty mask has none."""
    for path in maps:
        mask = salient_map(path) > FOREGROUND
        _check_size(mask.shape, size, path)
        y, x = np.nonzero(mask)
        if len(y):
            yield False, 0, (y, x)


_OF = {"numbers": _of_numbers, "masks": _of_masks, "cityscapes": _of_cityscapes}


def _outline(y: _Indices, x: _Indices, size: tuple[int, int]) -> RLE:
    top, left = y.min(), x.min()
    inside = np.zeros((y.max() + 1 - top, x.max() + 1 - left), np.uint8)
    inside[y - top, x - left] = 1
    return placed(pack(inside), (int(left), int(top)), size)


def _check_size(found: tuple[int, ...], size: tuple[int, int], path: Path) -> None:
    if found != size:
        raise UserError(f"{path}: is {found} (H, W), its image {size}")


def _values(path: Path) -> list[int] | None:
    try:
        return [int(each) for each in np.unique(object_map(path))]
    except UserError:
        return None


def _is_counted(present: Sequence[int]) -> bool:
    """Whether sorted values are 0, 1, 2 ... without a gap, or 1, 2 ... in a map without 0."""
    return bool(present) and present[0] in (0, 1) and present[-1] - present[0] + 1 == len(present)
