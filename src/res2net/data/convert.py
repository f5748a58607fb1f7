"""Write a data set in another layout; reading it back gives the same annotations.

Legend: N objects · K key-points · H, W pixels of an image
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml
from PIL import Image

from res2net.data import photo
from res2net.data.labelled import LabelledImages, Split
from res2net.data.outlines import pack
from res2net.data.packed import File, Packed
from res2net.data.scene import Objects, Pixels, Scene, Scenes
from res2net.data.scenes.mapfile import map_of
from res2net.data.scenes.options import Marks
from res2net.data.source import HOLDS
from res2net.errors import UserError
from res2net.files import new_folder, write_error

PARTS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class _Image:
    """An image of a part, with its name in the new data set."""

    name: str  # with its suffix
    image: File | Pixels
    label: int = 0
    scene: Scene | None = None

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    def size(self) -> tuple[int, int]:
        """H, W."""
        return (
            photo.image_size(self.image) if isinstance(self.image, File) else self.image.shape[:2]
        )


@dataclass(frozen=True, kw_only=True)
class _Out:
    """The folder that a layout is written to, and how images get there."""

    folder: Path
    copy: bool

    def place(self, image: _Image, below: str) -> None:
        """Link or copy an image; pixels are written as PNG."""
        target = self.folder / below / image.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(image.image, Packed):
            image.image.read().tofile(target)
        elif not isinstance(image.image, Path):
            Image.fromarray(image.image).save(target)
        elif self.copy:
            shutil.copyfile(image.image, target)
        else:
            try:
                target.symlink_to(image.image.resolve())
            except (OSError, NotImplementedError):  # exFAT; Windows without the right
                shutil.copyfile(image.image, target)
                warnings.warn("images are copied, since links are not possible here", stacklevel=2)

    def text(self, below: str, text: str) -> None:
        """Write a text file."""
        target = self.folder / below
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def convert(
    found: LabelledImages | Scenes, holds: str, folder: Path, layout: str, *, copy: bool = False
) -> None:
    """Write a data set in a layout that can hold its annotations.

    The parts are written as read; a held-out validation part becomes ``val``.

    Args:
        found: the data set, from a reader.
        holds: its kind of annotations: "labels", or one of ``SceneOptions.marks``.
        folder: to write; it must not exist.
        layout: "folder", "coco", "yolo", "voc" or "pairs".
        copy: copy the images instead of linking to them.

    Raises:
        UserError: the layout cannot hold the annotations, or the folder exists or cannot be
            written; no partial output is left behind.
    """
    fitting = [name for name in WRITERS if holds in HOLDS[name]]
    if layout not in fitting:
        raise UserError(
            f"--format {layout} cannot hold {holds}; choose from {', '.join(fitting) or 'none'}"
        )
    with new_folder(folder, "--write") as beside:
        try:
            WRITERS[layout](found, holds, _Out(folder=beside, copy=copy))
        except OSError as error:
            raise write_error(error, folder) from error


def _parts(found: LabelledImages | Scenes) -> Iterator[tuple[str, list[_Image]]]:
    """(part, its images) under names that are unique in the data set."""
    taken: set[str] = set()
    for part, images in zip(PARTS, (found.train, found.val, found.test), strict=True):
        if images is None or not len(images):
            continue
        if isinstance(images, Split):
            if images.labels.ndim == 2:
                raise UserError("--write supports one class per image; these images have several")
            rows = [
                _Image(
                    name=_free(images.names(i), images.images[i], taken),
                    image=images.images[i],
                    label=int(images.labels[i]),
                )
                for i in range(len(images))
            ]
        else:
            rows = [
                _Image(name=_free(s.name, s.image, taken), image=s.image, scene=s) for s in images
            ]
        yield part, rows


def _free(name: str, image: File | Pixels, taken: set[str]) -> str:
    """A unique file name: the image's own, prefixed with its folders if it is taken."""
    path = Path(name.replace("#", ""))
    ending = path.suffix if isinstance(image, File) else ".png"
    stems = [path.stem, "_".join([*path.parent.parts, path.stem]).strip("/")]
    stems += [f"{stems[-1]}_{number}" for number in range(1, len(taken) + 2)]
    stem = next(each for each in stems if each.lower() not in taken)
    taken.add(stem.lower())
    return f"{stem}{ending}"


def _write_folder(found: LabelledImages | Scenes, holds: str, out: _Out) -> None:
    """One folder per part, with one folder per class."""
    del holds
    odd = [name for name in found.classes if "/" in name or name in (".", "..") or "\0" in name]
    if odd:
        raise UserError(f"the class {odd[0]!r} is not a valid folder name; rename it first")
    for part, images in _parts(found):
        for each in images:
            out.place(each, f"{part}/{found.classes[each.label]}")


def _write_coco(found: LabelledImages | Scenes, holds: str, out: _Out) -> None:
    """``annotations/instances_PART.json``, or ``person_keypoints_PART.json`` for key-points."""
    assert isinstance(found, Scenes)
    kind = "person_keypoints" if holds == "keypoints" else "instances"
    categories: list[dict[str, Any]] = [
        {"id": number, "name": name} for number, name in enumerate(found.classes, 1)
    ]
    if found.skeleton is not None:
        for category in categories:
            category["keypoints"] = list(found.skeleton.names)
            category["skeleton"] = [[a + 1, b + 1] for a, b in found.skeleton.bones]
            category["sigmas"] = list(found.skeleton.sigmas)
    for part, images in _parts(found):
        rows: list[dict[str, Any]] = []
        files: list[dict[str, Any]] = []
        for number, each in enumerate(images, 1):
            height, width = each.size()
            files.append({"id": number, "file_name": each.name, "height": height, "width": width})
            out.place(each, part)
            for row in _coco_rows(_objects(each)):
                rows.append({"id": len(rows) + 1, "image_id": number, **row})
        content = {"images": files, "annotations": rows, "categories": categories}
        out.text(f"annotations/{kind}_{part}.json", json.dumps(content, ensure_ascii=False))


def _coco_rows(objects: Objects) -> Iterator[dict[str, Any]]:
    for i in range(len(objects)):
        left, top, right, bottom = objects.boxes[i].tolist()
        row: dict[str, Any] = {
            "category_id": int(objects.labels[i]) + 1,
            "bbox": [left, top, right - left, bottom - top],
            "area": float(objects.areas[i]),
            "iscrowd": int(objects.ignored[i]),
        }
        if objects.segments is not None:
            outline = objects.segments[i]
            row["segmentation"] = pack(outline) if isinstance(outline, np.ndarray) else outline
            if isinstance(outline, dict) and isinstance(outline["counts"], bytes):
                row["segmentation"] = {**outline, "counts": outline["counts"].decode()}
        if objects.keypoints is not None:
            points = objects.keypoints[i]
            row["keypoints"] = points.ravel().tolist()
            row["num_keypoints"] = int((points[:, 2] > 0).sum())
        yield row


def _write_yolo(found: LabelledImages | Scenes, holds: str, out: _Out) -> None:
    """``data.yaml``, ``images/PART`` and ``labels/PART``; ignored objects are left out."""
    assert isinstance(found, Scenes)
    settings: dict[str, Any] = {"path": ".", "names": dict(enumerate(found.classes))}
    if found.skeleton is not None:
        settings["kpt_shape"] = [len(found.skeleton.names), 3]
        settings["flip_idx"] = found.skeleton.mirrored()
    for part, images in _parts(found):
        settings[part] = f"images/{part}"
        for each in images:
            out.place(each, f"images/{part}")
            height, width = each.size()
            lines = _yolo_lines(_objects(each), holds, (height, width), each.name)
            out.text(f"labels/{part}/{each.stem}.txt", "".join(f"{line}\n" for line in lines))
    out.text("data.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))


def _yolo_lines(objects: Objects, holds: str, size: tuple[int, int], name: str) -> Iterator[str]:
    scale = np.array([size[1], size[0]], np.float64)  # width, height
    for i in np.flatnonzero(~objects.ignored).tolist():
        corners = objects.boxes[i].reshape(2, 2) / scale
        numbers = [*corners.mean(axis=0), *(corners[1] - corners[0])]
        if holds == "masks":
            outline = (objects.segments or ())[i]
            if not isinstance(outline, list) or len(outline) != 1:
                raise UserError(
                    f"{name}: an object has {_kind(outline)}, and a YOLO label holds one "
                    "polygon; --format coco keeps all"
                )
            numbers = (np.array(outline[0]).reshape(-1, 2) / scale).ravel().tolist()
        if objects.keypoints is not None:
            points = objects.keypoints[i].copy()
            points[:, :2] /= scale
            numbers += points.ravel().tolist()
        yield " ".join([str(int(objects.labels[i])), *(f"{number:.12g}" for number in numbers)])


def _kind(outline: object) -> str:
    return f"{len(outline)} parts" if isinstance(outline, list) else "a pixel mask"


def _write_voc(found: LabelledImages | Scenes, holds: str, out: _Out) -> None:
    """``JPEGImages``, ``Annotations`` and ``ImageSets/Main``, and a list of classes."""
    del holds
    assert isinstance(found, Scenes)
    for part, images in _parts(found):
        for each in images:
            out.place(each, "JPEGImages")
            out.text(f"Annotations/{each.stem}.xml", _voc_xml(each, found.classes))
        out.text(f"ImageSets/Main/{part}.txt", "".join(f"{each.stem}\n" for each in images))
    out.text("classes.txt", "".join(f"{name}\n" for name in found.classes))


def _voc_xml(image: _Image, classes: Sequence[str]) -> str:
    height, width = image.size()
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = image.name
    size = ElementTree.SubElement(root, "size")
    for key, number in (("width", width), ("height", height), ("depth", 3)):
        ElementTree.SubElement(size, key).text = str(number)
    objects = _objects(image)
    for i in range(len(objects)):
        entry = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(entry, "name").text = classes[int(objects.labels[i])]
        ElementTree.SubElement(entry, "difficult").text = str(int(objects.ignored[i]))
        box = ElementTree.SubElement(entry, "bndbox")
        left, top, right, bottom = objects.boxes[i].tolist()
        corners = {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}
        for key, value in corners.items():  # the first pixel is 1, the last is inside
            ElementTree.SubElement(box, key).text = f"{value:.12g}"
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def _write_pairs(found: LabelledImages | Scenes, holds: str, out: _Out) -> None:
    """``PART/images`` and ``PART/masks`` (PNG), and a list of classes for class maps."""
    assert isinstance(found, Scenes)
    marks: Marks = "classes" if holds == "classes" else "salient"
    for part, images in _parts(found):
        for each in images:
            assert each.scene is not None
            values = map_of(each.scene, marks, each.size(), len(found.classes), found.legend)
            out.place(each, f"{part}/images")
            target = out.folder / part / "masks" / f"{each.stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values * np.uint8(255) if marks == "salient" else values).save(target)
    if marks == "classes":
        out.text("classes.txt", "".join(f"{name}\n" for name in found.classes))


def _objects(image: _Image) -> Objects:
    assert image.scene is not None
    assert image.scene.objects is not None
    return image.scene.objects


Writer = Callable[[LabelledImages | Scenes, str, _Out], None]
WRITERS: Mapping[str, Writer] = MappingProxyType(
    {
        "folder": _write_folder,
        "coco": _write_coco,
        "yolo": _write_yolo,
        "voc": _write_voc,
        "pairs": _write_pairs,
    }
)
