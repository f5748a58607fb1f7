"""The layout of PASCAL VOC: boxes in XML files, or class maps as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from res2net.data.foreign import check_file
from res2net.data.scene import Objects, Scene, Scenes, no_objects
from res2net.data.scenes.checks import Tally, check_parts, sound
from res2net.data.scenes.legend import Classes, find_classes
from res2net.data.scenes.mapfile import settle
from res2net.data.scenes.options import SceneOptions
from res2net.errors import UserError

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_IMAGES = (".jpg", ".jpeg", ".png", ".JPG")
_MAPS = (  # folder, list of training images; the first that is there
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
            raise UserError(f"{root}: holds several VOC sets; name one: {names}")
        if found:
            return found[0]
    return None


def read(root: Path, options: SceneOptions) -> Scenes:
    """Boxes (``marks="boxes"``) or class maps (``"classes"``) in the devkit's layout.

    Training on ``trainval`` and validating on ``test`` where both are listed (VOC07, the paper's
    Table 5), else on ``train`` and ``val``.

    Raises:
        UserError: no such layout, a list without images, XML that cannot be read.
    """
    home = find(root)
    if home is None:
        raise UserError(f"{root}: not in VOC's layout (JPEGImages, Annotations, ImageSets)")
    if options.marks == "classes":
        return _maps(root, home)
    if options.marks != "boxes":
        raise UserError(f"{root}: VOC's layout has no {options.marks}")
    lists = home / "ImageSets" / "Main"
    parts = ("trainval", "test") if (lists / "test.txt").is_file() else ("train", "val")
    tally = Tally()
    rows = [_rows(home, lists / f"{part}.txt", tally) for part in parts]
    names = {name for part in rows for _, _, labels, *_ in part for name in labels}
    classes = CLASSES if names <= set(CLASSES) else tuple(sorted(names))
    if not names:
        raise UserError(f"{home}: no object is marked in any image")
    train, val = (tuple(_scene(home, row, classes, tally) for row in part) for part in rows)
    tally.warn(root)
    check_parts(root, train, val)
    return Scenes(name=home.name, classes=classes, train=train, val=val, voc_metric=True)


_Row = tuple[Path, tuple[int, int], list[str], list[list[float]], list[bool]]


def _rows(home: Path, listed: Path, tally: Tally) -> list[_Row]:
    rows = []
    for name in read_list(listed):
        image = _image(home, name)
        if image is None:
            tally.add("listed images are not there", f"JPEGImages/{name}")
            continue
        rows.append(_read_xml(home / "Annotations" / f"{name}.xml", image, tally))
    return rows


def read_list(path: Path) -> list[str]:
    """The first word of each line.

    Raises:
        UserError: the list cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the list of images cannot be read ({error})") from None
    return [line.split()[0] for line in lines if line.strip()]


def _image(home: Path, name: str) -> Path | None:
    files = (home / "JPEGImages" / f"{name}{ending}" for ending in _IMAGES)
    return next((file for file in files if file.is_file()), None)


def _read_xml(path: Path, image: Path, tally: Tally) -> _Row:
    if not path.is_file():
        tally.add("images have no annotation and are taken for empty", path.name)
        return image, (0, 0), [], [], []
    try:
        text = path.read_text(encoding="utf-8")
        if "<!ENTITY" in text or "<!DOCTYPE" in text:
            raise UserError(f"{path}: XML with its own entities is not read")
        tree = ElementTree.fromstring(text)
        size = int(tree.findtext("size/height", "0")), int(tree.findtext("size/width", "0"))
        labels, boxes, difficult = [], [], []
        for each in tree.iter("object"):
            corners = [float(each.findtext(f"bndbox/{k}", "nan")) for k in _CORNERS]
            if corners[0] >= corners[2] or corners[1] >= corners[3]:
                tally.add("boxes left out that have no area", path.name)
                continue
            labels.append((each.findtext("name") or "").strip())
            boxes.append([corners[0] - 1, corners[1] - 1, corners[2], corners[3]])
            difficult.append(each.findtext("difficult", "0").strip() == "1")
    except (ElementTree.ParseError, ValueError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: not an annotation in VOC's XML ({error})") from None
    return image, size, labels, boxes, difficult


_CORNERS = ("xmin", "ymin", "xmax", "ymax")  # the first pixel is 1, the last is inside


def _scene(home: Path, row: _Row, classes: tuple[str, ...], tally: Tally) -> Scene:
    image, size, labels, boxes, difficult = row
    name = str(image.relative_to(home))
    if 0 in size:
        size = image_size(image)
    objects = no_objects()
    if labels:
        corners = np.array(boxes, np.float64)
        objects = Objects(
            boxes=corners,
            labels=np.array([classes.index(label) for label in labels], np.int64),
            ignored=np.array(difficult, bool),
            areas=(corners[:, 2:] - corners[:, :2]).prod(axis=1),
        )
        objects = sound(objects, size, name, tally)
    return Scene(name=name, image=image, objects=objects, size=size)


def image_size(path: Path) -> tuple[int, int]:
    """H, W from the file's head, upright.

    Raises:
        UserError: not an image.
    """
    from res2net.data import photo

    check_file(path)
    with photo.faults_named(path), path.open("rb") as file:
        image = photo.open_image(file)
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        width, height = image.size[::-1] if turned else image.size
    return height, width


def _maps(root: Path, home: Path) -> Scenes:
    lists = home / "ImageSets" / "Segmentation"
    found = next(
        (
            (home / f, lists / f"{t}.txt")
            for f, t in _MAPS
            if (home / f).is_dir() and (lists / f"{t}.txt").is_file()
        ),
        None,
    )
    if found is None:
        raise UserError(f"{home}: no class maps (SegmentationClass, ImageSets/Segmentation)")
    folder, train_list = found
    tally = Tally()
    train, val = (
        tuple(_maps_of(home, folder, listed, tally)) for listed in (train_list, lists / "val.txt")
    )
    tally.warn(root)
    check_parts(root, train, val)
    own = find_classes(home, root)
    if own is not None:
        return with_classes(home, own, train, val)
    return Scenes(
        name=home.name, classes=("background", *CLASSES), train=train, val=val, palette=palette(21)
    )


def with_classes(
    root: Path, listed: Classes, train: Sequence[Scene], val: Sequence[Scene]
) -> Scenes:
    """Scenes with class maps and the classes of a list; what the values mean is found out here.

    Raises:
        UserError: maps that are none of classes, or in colours that are not known.
    """
    maps = [scene.classes for scene in (*train, *val) if isinstance(scene.classes, Path)]
    return Scenes(
        name=root.resolve().name,
        classes=listed.names,
        train=train,
        val=val,
        palette=listed.colours or palette(len(listed.names)),
        legend=settle(root, maps, len(listed.names), listed.table()),
    )


def _maps_of(home: Path, folder: Path, listed: Path, tally: Tally) -> list[Scene]:
    scenes = []
    for name in read_list(listed):
        image, classes = _image(home, name), folder / f"{name}.png"
        if image is None or not classes.is_file():
            tally.add("listed images have no file or no class map", name)
            continue
        scenes.append(Scene(name=str(image.relative_to(home)), image=image, classes=classes))
    return scenes


def palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """VOC's colours of classes: the bits of the index spread over red, green and blue."""
    colours = []
    for index in range(count):
        rgb = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                rgb[channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
        colours.append((rgb[0], rgb[1], rgb[2]))
    return tuple(colours)
