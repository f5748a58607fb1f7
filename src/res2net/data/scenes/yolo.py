"""The folders that YOLO tools write: ``data.yaml``, images, and a text file of boxes for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from res2net.data.files import Listing, list_images
from res2net.data.scene import Objects, Scene, Scenes, no_objects
from res2net.data.scenes.checks import Tally, check_parts, sound
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.voc import image_size
from res2net.errors import UserError


def read(root: Path, options: SceneOptions) -> Scenes:
    """Boxes of a YOLO data set; lines of more than five numbers are outlines.

    Raises:
        UserError: no ``data.yaml`` with names, a folder that is not there, a line that is no box.
    """
    if options.marks not in ("boxes", "masks"):
        raise UserError(f"{root}: YOLO's layout has no {options.marks}")
    file = next((p for p in (*root.glob("data.yaml"), *sorted(root.glob("*.yaml")))), None)
    if file is None:
        raise UserError(f"{root}: no data.yaml that names the classes")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        names = content["names"]
        pairs = sorted(names.items()) if isinstance(names, dict) else enumerate(names)
        classes = tuple(str(name) for _, name in pairs)
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{file}: no list of names in it ({error})") from None
    home = root / str(content.get("path") or "") if (content.get("path") or "") else root
    home = home if home.is_dir() else root
    tally = Tally()
    train, val = (_part(home, content, keys, file, classes, options, tally) for keys in _PARTS)
    tally.warn(root)
    check_parts(root, train, val)
    return Scenes(name=root.resolve().name, classes=classes, train=train, val=val)


_PARTS = (("train",), ("val", "valid", "validation", "test"))


def _part(
    home: Path,
    content: dict[str, object],
    keys: tuple[str, ...],
    file: Path,
    classes: tuple[str, ...],
    options: SceneOptions,
    tally: Tally,
) -> tuple[Scene, ...]:
    named = [str(content[key]) for key in keys if content.get(key)]
    usual = [form for key in keys for form in (f"images/{key}", f"{key}/images")]
    inside = [text.removeprefix("../") for text in named]  # as Roboflow writes them
    for text in (*named, *inside, *usual):
        folder = home / text
        if folder.is_dir():
            break
    else:
        raise UserError(f"{file}: the folder of {keys[0]} images is not there")
    listing = Listing()
    list_images(folder, "", listing, find_empty=False)
    return tuple(_scene(folder / name, folder, classes, options, tally) for name in listing.names)


def _scene(
    image: Path, folder: Path, classes: tuple[str, ...], options: SceneOptions, tally: Tally
) -> Scene:
    inside = image.relative_to(folder)
    parts = list(folder.parts)
    where = max((i for i, part in enumerate(parts) if part == "images"), default=len(parts) - 1)
    parts[where] = "labels"
    labels = Path(*parts) / inside.with_suffix(".txt")
    size = image_size(image)
    objects = no_objects()
    if labels.is_file():
        objects = _objects(labels, size, classes, options)
    return Scene(
        name=str(inside),
        image=image,
        objects=sound(objects, size, str(inside), tally),
        size=size,
    )


def _objects(
    path: Path, size: tuple[int, int], classes: tuple[str, ...], options: SceneOptions
) -> Objects:
    height, width = size
    numbers, boxes, outlines = [], [], []
    for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = text.split()
        if not words:
            continue
        try:
            label, values = int(float(words[0])), np.array([float(word) for word in words[1:]])
        except ValueError:
            raise UserError(f"{path}, line {line}: not a class and numbers: {text!r}") from None
        if not 0 <= label < len(classes):
            raise UserError(f"{path}, line {line}: class {label} is not in data.yaml")
        if len(values) == 4:
            x, y, w, h = values * (width, height, width, height)
            boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
            left, top, right, bottom = boxes[-1]
            outlines.append([[left, top, right, top, right, bottom, left, bottom]])
        elif len(values) >= 6 and len(values) % 2 == 0:
            points = values.reshape(-1, 2) * (width, height)
            boxes.append([*points.min(0), *points.max(0)])
            outlines.append([points.ravel().tolist()])
        else:
            raise UserError(f"{path}, line {line}: {len(values)} numbers are no box or outline")
        numbers.append(label)
    if not numbers:
        return no_objects()
    corners = np.array(boxes, np.float64)
    return Objects(
        boxes=corners,
        labels=np.array(numbers, np.int64),
        ignored=np.zeros(len(numbers), bool),
        areas=(corners[:, 2:] - corners[:, :2]).clip(0).prod(axis=1),
        segments=tuple(outlines) if options.marks == "masks" else None,
    )
