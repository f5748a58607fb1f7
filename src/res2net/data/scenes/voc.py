"""The PASCAL VOC layout: boxes in XML files, or class maps as PNG."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np

from res2net.data.files import PARTS, some
from res2net.data.foreign import read_xml
from res2net.data.photo import EXTENSIONS
from res2net.data.scene import Objects, Scene, Scenes, no_objects
from res2net.data.scenes.checks import (
    Tally,
    check_different,
    check_names,
    check_scale,
    parted,
    scene_of,
)
from res2net.data.scenes.forms import files_below, is_cvat
from res2net.data.scenes.legend import Classes, find_classes
from res2net.data.scenes.lookup import by_part, find_path, images_below, part_of, read_list
from res2net.data.scenes.mapfile import choose_legend
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.pairing import photos
from res2net.data.scenes.shapes import ROTATED, around_turned
from res2net.drawing.marks import class_colours
from res2net.errors import UserError

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_MAPS = (  # folder, list of training images; the first that exists
    ("SegmentationClassAug", "train_aug"),  # VOC12 with SBD: 10,582 and 1,449
    ("SegmentationClassAug", "trainaug"),
    ("SegmentationClass", "train_aug"),
    ("SegmentationClass", "train"),
)


def find(root: Path) -> Path | None:
    """The folder with JPEGImages and ImageSets: ``root`` itself or one below it."""
    for places in ([root], root.glob("*"), root.glob("*/*")):
        found = sorted(p for p in places if (p / "ImageSets").is_dir())
        if len(found) > 1:
            names = ", ".join(str(p) for p in found[:4])
            raise UserError(f"{root}: has several VOC sets; give one: {names}")
        if found:
            return found[0]
    return None


def read(root: Path, options: SceneOptions) -> Scenes:
    """Boxes (``marks="boxes"``) or class maps (``"classes"``) in the devkit's layout.

    Training uses ``trainval`` and validation ``test`` if both are listed and the classes are VOC's
    (VOC07, the paper's Table 5), else ``train`` and ``val``; without ``val``, a part is held out.
    Without lists, XML files beside the images (or in ``Annotations``) are read, inside ``train``
    and ``valid`` or alone.

    Raises:
        UserError: another layout, a list without images, unreadable XML.
    """
    home = find(root)
    if options.marks == "classes":
        if home is None:
            raise UserError(f"{root}: not the VOC layout (JPEGImages, Annotations, ImageSets)")
        return _maps(root, home, options)
    tally = Tally()
    voc07 = False
    home = home or (root if _lists(root) else None)
    if home:
        rows, voc07 = _listed(home, tally, options)
    else:
        rows = _unlisted(root, tally, options)
    names = {name for part in rows.values() for row in part for name in row.labels}
    if not names:
        tally.warn(root)  # the reason
    classes = _classes(home or root, names, CLASSES if home else ())
    first = _first_pixel(home or root, rows, tally)
    parts = {
        part: [_scene(home or root, row, classes, first, tally) for row in own]
        for part, own in rows.items()
    }
    tally.warn(root)
    check_scale(root, [scene for part in parts.values() for scene in part])
    found = parted(root, parts, options)
    if voc07:
        found["validation"] = "test"
    name = (home or root).resolve().name
    return Scenes(name=name, classes=classes, voc_metric=True, **found)


@dataclass(frozen=True, kw_only=True)
class _Row:
    image: Path
    size: tuple[int, int]  # H, W; 0 if not stated
    labels: list[str]
    boxes: list[list[float]]  # as in the file
    difficult: list[bool]
    file: Path | None = None  # the annotation's file


def _first_pixel(home: Path, rows: Mapping[str, Sequence[_Row]], tally: Tally) -> int:
    """The coordinate of the first pixel: 1 as in VOC, or 0 if any box in the data starts at 0.

    Files of unused parts are inspected too, so that every command gets the same result.
    """
    read = [row for own in rows.values() for row in own]
    zero: list[Path | None] = [row.file for row in read if any(0 in box[:2] for box in row.boxes)]
    if not zero:
        seen = {row.file for row in read}
        rest = (file for file in files_below(home, ".xml") if file not in seen)
        zero += [file for file in rest if _ZERO.search(_bytes(file))][:1]
    if zero:
        fault = "files have boxes that start at 0: coordinates are taken as 0-based, not"
        tally.add(f"{fault} 1-based as in VOC", zero[0].name if zero[0] else "", len(zero))
    return 0 if zero else 1


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""  # reading a pipe may block
    except OSError:
        return b""


def _classes(home: Path, names: set[str], known: Sequence[str]) -> tuple[str, ...]:
    """The classes of a list beside the data, else VOC's if sufficient, else those annotated."""
    file = next((home / name for name in _LISTS if (home / name).is_file()), None)
    if file is None:
        found = tuple(known) if names <= set(known) else tuple(sorted(names))
    else:  # a line of a label map is name:colour:parts:actions
        lines = [line.partition(":")[0].strip() for line in read_list(file) if line[0] != "#"]
        found = tuple(line for line in lines if line.strip("_").lower() != "background")
        if strange := sorted(names - set(found)):
            raise UserError(f"{file}: lacks annotated classes: {some(strange)}")
    check_names(file or home, found)
    check_different(file or home, found)
    if not names:
        raise UserError(f"{home}: no object is annotated in any image")
    return found


def _lists(home: Path) -> dict[str, Path]:
    """Lists of images by lower-case name, in ``ImageSets`` or beside the images."""
    folders = [home / "ImageSets" / "Main", home / "ImageSets"]
    if (home / "JPEGImages").is_dir() and (home / "Annotations").is_dir():
        folders.append(home)
    folder = next((each for each in folders if each.is_dir()), None)
    there = {} if folder is None else {p.stem.lower(): p for p in sorted(folder.glob("*.txt"))}
    for name in _LISTS:
        there.pop(name.removesuffix(".txt"), None)
    return there


def _listed(home: Path, tally: Tally, options: SceneOptions) -> tuple[dict[str, list[_Row]], bool]:
    """Part → the rows of its list, and whether this is the VOC07 protocol."""
    there = _lists(home)
    images = _images(_image_folder(home), tally)
    if {"trainval", "test"} <= there.keys():
        faults = Tally()
        named = {"train": there["trainval"], "val": there["test"]}
        rows = {part: _rows(home, named[part], images, faults) for part in options.needed(named)}
        labels = {label for own in rows.values() for row in own for label in row.labels}
        if labels <= set(CLASSES):
            tally.faults.update(faults.faults)
            return rows, True
    named = {PARTS[word]: there[word] for word in PARTS if word in there}
    if not {"train", "val"} & named.keys():
        rest = [there[word] for word in ("trainval", "default") if word in there]
        rest = rest or ([*there.values()] if len(there) == 1 else [])
        if rest and rest[0] not in named.values():
            named["train"] = rest[0]
    if not named:
        lists = some([path.name for path in there.values()]) or "none"
        raise UserError(
            f"{home / 'ImageSets'}: no train.txt, val.txt or trainval.txt among its lists ({lists})"
        )
    return {part: _rows(home, named[part], images, tally) for part in options.needed(named)}, False


def _image_folder(home: Path) -> Path:
    for name in ("JPEGImages", "images"):
        if folder := find_path(home, name):
            return folder
    raise UserError(f"{home}: no folder JPEGImages with the images")


def _rows(home: Path, listed: Path, images: Mapping[str, Path], tally: Tally) -> list[_Row]:
    rows = []
    folder = find_path(home, "Annotations") or home / "Annotations"
    for line in read_list(listed):
        name = next((name for name in _names_in(line) if name in images), None)
        if name is None:
            tally.add("listed images do not exist", f"JPEGImages/{line}")
            continue
        rows.append(_read_xml(folder / f"{name}.xml", images[name], tally))
    return rows


def _names_in(line: str) -> Iterator[str]:
    """Possible names in a line: all of it or its first word, also without suffix or folder."""
    for text in (line, line.split()[0]):
        path = PurePosixPath(text.replace("\\", "/"))
        for each in (path, PurePosixPath(path.name)):
            yield str(each)
            if each.suffix.lower() in EXTENSIONS:
                yield str(each.with_suffix(""))


def _images(folder: Path, tally: Tally) -> dict[str, Path]:
    """Name without suffix → image; the first of several suffixes."""
    found: dict[str, Path] = {}
    for path in images_below(folder):
        name = str(PurePosixPath(path.relative_to(folder)).with_suffix(""))
        if name in found:
            tally.add("images that differ from another only in suffix are left out", str(path))
        found.setdefault(name, path)
    return found


def _unlisted(root: Path, tally: Tally, options: SceneOptions) -> dict[str, list[_Row]]:
    """Part → its images with their XML files, with parts given by folders."""
    images = by_part(root, photos(root, [*_images(root, tally).values()], tally), tally)
    needed = {part: images[part] for part in options.needed(images)}
    files = files_below(root, ".xml")
    if len(needed) < len(images):
        files = [each for each in files if part_of(each.relative_to(root)) in (None, *needed)]
    if not files or is_cvat(files[0]):
        other = f"; {files[0].name} is CVAT's own XML: use cvat:{root}" if files else ""
        raise UserError(f"{root}: not the VOC layout (JPEGImages, Annotations, ImageSets){other}")
    read = [image for paths in needed.values() for image in paths]
    own = _matched(root, read, files)
    rest = sorted(set(files) - set(own.values()))
    own |= _by_content([image for image in read if image not in own], rest, tally)
    return {
        part: [_read_xml(own.get(each, each.with_suffix(".xml")), each, tally) for each in paths]
        for part, paths in needed.items()
    }


def _matched(root: Path, images: Sequence[Path], files: Sequence[Path]) -> dict[Path, Path]:
    """Image → the XML file of its name: in matching folders, else the only one anywhere."""
    own: dict[Path, Path] = {}
    for key in (_place, _stem):
        taken = set(own.values())
        left, there = (
            _grouped(root, paths, key)
            for paths in (set(images) - own.keys(), [each for each in files if each not in taken])
        )
        pairs = ((left[name], there.get(name, [])) for name in left)
        own |= {a[0]: b[0] for a, b in pairs if len(a) == len(b) == 1}
    return own


def _grouped(
    root: Path, paths: Iterable[Path], key: Callable[[Path], object]
) -> dict[object, list[Path]]:
    groups: dict[object, list[Path]] = defaultdict(list)
    for path in paths:
        groups[key(path.relative_to(root))].append(path)
    return groups


def _place(path: Path) -> object:
    """A file's folders and name, without folders for all images or all annotations."""
    return (*(each for each in path.parts[:-1] if each.lower() not in _KINDS), path.stem)


def _stem(path: Path) -> object:
    return path.stem


def _by_content(images: Sequence[Path], files: Sequence[Path], tally: Tally) -> dict[Path, Path]:
    """Image → the XML file that refers to it under another file name."""
    names: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        names[image.name].append(image)
    own: dict[Path, Path] = {}
    for file in files:
        try:
            stated = (read_xml(file, *_XML).findtext("filename") or "").strip()
        except UserError:  # of another tool
            continue
        fitting = names.get(PurePosixPath(stated.replace("\\", "/")).name, [])
        if len(fitting) == 1 and fitting[0] not in own:
            own[fitting[0]] = file
        else:
            tally.add("XML files annotate an image that does not exist", str(file))
    return own


def _read_xml(path: Path, image: Path, tally: Tally) -> _Row:
    if not path.is_file():
        tally.add("images have no annotation and count as empty", path.name)
        return _Row(image=image, size=(0, 0), labels=[], boxes=[], difficult=[])
    tree = read_xml(path, *_XML)
    try:
        size = _whole(tree.findtext("size/height")), _whole(tree.findtext("size/width"))
        row = _Row(image=image, size=size, labels=[], boxes=[], difficult=[], file=path)
        for each in tree.iter("object"):
            if each.find("bndbox") is None:
                tally.add("objects without a box (bndbox) are left out", path.name)
                continue
            several = any(len(each.findall(tag)) > 1 for tag in ("bndbox", "name"))
            tally.add("objects have several boxes or names; the first is read", path.name, several)
            corners = [float(each.findtext(f"bndbox/{k}") or "nan") for k in _CORNERS]
            if corners[0] > corners[2] or corners[1] > corners[3]:
                tally.add("boxes without area left out", path.name)
                continue
            if corners[:2] == corners[2:]:  # VOC's ends are inclusive, so one equal pair is a pixel
                tally.add("boxes of a single pixel left out", path.name)
                continue
            degrees = _rotation(each)
            tally.add(ROTATED, path.name, int(degrees > 0))
            corners = around_turned(corners, degrees) if degrees else corners
            name = (each.findtext("name") or "").strip()
            if not name:
                raise ValueError("an object has no name")
            row.labels.append(name)
            row.boxes.append(corners)
            row.difficult.append((each.findtext("difficult") or "").strip().lower() in _YES)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path}: not a VOC XML annotation ({error})") from None
    return row


def _rotation(element: ElementTree.Element) -> float:
    """Degrees in CVAT's attribute of an object; 0 without."""
    rows = element.iterfind("attributes/attribute")
    stated = (each.findtext("value") for each in rows if each.findtext("name") == "rotation")
    return float(next(stated, None) or 0) % 360


def _whole(text: str | None) -> int:
    """A number of pixels; 0 if none is stated."""
    number = float(text) if text and text.strip() else 0.0
    return int(number) if 0 < number < 1e9 else 0


_XML = ("annotation", "a VOC XML annotation")  # root element, what the file is
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ZERO = re.compile(rb"<[xy]min>\s*0+(\.0*)?\s*</")
_KINDS = frozenset(  # folders for all images or all annotations
    {*("jpegimages", "images", "image", "imgs", "img", "data"), *("annotations", "annotation")}
    | {"labels", "label", "xmls", "xml"}
)
_YES = ("1", "true", "yes")
_LISTS = ("classes.txt", "labels.txt", "labelmap.txt", "class_names.txt", "predefined_classes.txt")


def _scene(home: Path, row: _Row, classes: tuple[str, ...], first: int, tally: Tally) -> Scene:
    name = str(row.image.relative_to(home))

    def objects(_: tuple[int, int]) -> Objects:
        if not row.labels:
            return no_objects()
        corners = np.array(row.boxes, np.float64) - [first, first, 0, 0]
        with np.errstate(all="ignore"):
            areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
        return Objects(
            boxes=corners,
            labels=np.array([classes.index(label) for label in row.labels], np.int64),
            ignored=np.array(row.difficult, bool),
            areas=areas,
        )

    return scene_of(name, row.image, None if 0 in row.size else row.size, objects, tally)


def _maps(root: Path, home: Path, options: SceneOptions) -> Scenes:
    folder, named = _map_lists(home)
    tally = Tally()
    images = _images(home / "JPEGImages", tally) if (home / "JPEGImages").is_dir() else {}
    parts = {
        part: _maps_of(home, folder, named[part], images, tally) for part in options.needed(named)
    }
    if not parts.get("test"):  # VOC's own test list, whose maps are not public
        parts.pop("test", None)
    tally.warn(root)
    shared = parted(root, parts, options)
    own = find_classes(home, root)
    if own is not None:
        return with_classes(home, own, shared)
    classes = ("background", *CLASSES)
    return Scenes(name=home.name, classes=classes, palette=class_colours(classes), **shared)


def with_classes(root: Path, listed: Classes, parts: dict[str, Any]) -> Scenes:
    """Scenes with class maps and the classes of a list; determines the meaning of the values.

    Args:
        parts: from ``checks.parted``.

    Raises:
        UserError: maps that are not class maps, or are in unknown colours.
    """
    scenes = [scene for part in ("train", "val", "test") for scene in parts[part]]
    maps = [scene.classes for scene in scenes if isinstance(scene.classes, Path)]
    return Scenes(
        name=root.resolve().name,
        classes=listed.names,
        palette=listed.colours or class_colours(listed.names),
        legend=choose_legend(
            root, maps, len(listed.names), listed.table(), values=listed.by_value()
        ),
        **parts,
    )


def _map_lists(home: Path) -> tuple[Path, dict[str, Path]]:
    """The folder of class maps, and part → its list."""
    lists = home / "ImageSets" / "Segmentation"
    there = {path.stem: path for path in sorted(lists.glob("*.txt"))}
    for name, train in _MAPS:
        if (home / name).is_dir() and train in there:
            named = {"train": there[train]}
            named |= {part: there[part] for part in ("val", "test") if part in there}
            return home / name, named
    named = {PARTS[name.lower()]: path for name, path in there.items() if name.lower() in PARTS}
    if "train" not in named:  # CVAT's is default.txt
        rest = [path for name, path in there.items() if name.lower() not in PARTS]
        whole = [there["trainval"]] if "trainval" in there else rest
        named.update(zip(("train",), whole, strict=False))
        if len(whole) > 1:
            names = ", ".join(path.name for path in whole[:5])
            raise UserError(f"{lists}: the training list must be named train.txt ({names})")
    folder = home / "SegmentationClass"
    if not named or not folder.is_dir():
        raise UserError(f"{home}: no class maps (SegmentationClass, ImageSets/Segmentation)")
    return folder, named


def _maps_of(
    home: Path, folder: Path, listed: Path, images: Mapping[str, Path], tally: Tally
) -> list[Scene]:
    scenes = []
    for line in read_list(listed):
        name = next((name for name in _names_in(line) if name in images), None)
        classes = folder / f"{name}.png"
        if name is None or not classes.is_file():
            tally.add("listed images have no file or no class map", line)
            continue
        image = images[name]
        scenes.append(Scene(name=str(image.relative_to(home)), image=image, classes=classes))
    return scenes
