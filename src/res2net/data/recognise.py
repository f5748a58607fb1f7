"""Recognise the possible formats of a path without ``FORMAT:``, with reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from res2net.data import cifar, imagenet, photo, shards
from res2net.data.csvfile import list_tables
from res2net.data.files import PARTS, SKIPPED_FOLDERS
from res2net.data.scenes.boxlists import box_columns
from res2net.data.scenes.checks import Tally
from res2net.data.scenes.forms import (
    files_with,
    form_of,
    is_cvat,
    is_via_table,
    is_voc,
    lists_objects,
)
from res2net.data.scenes.instances import numbers_objects, of_each
from res2net.data.scenes.legend import FILES, read_classes
from res2net.data.scenes.pairing import OF_CITYSCAPES, Found, find_pairs, of_folder
from res2net.data.shardindex import is_shard
from res2net.data.table import is_json_table, is_list
from res2net.errors import UserError

_SNIFFED = 50  # files of which the first bytes are read
_LABEL = re.compile(r"\d+(\.0+)?([\s,]+-?[\d.]+(e-?\d+)?){4,}")  # a line of YOLO labels
_FEW = 50  # entries of a folder that are inspected
_FOLDERS, _DEEP = 200, 4  # folders that are inspected, and their depth
_EVALUATED = ("ground_truth_mask", "pixelwisegt", "dut-omron")  # sets for evaluation only
BOXES_ALONE = "annotates an image"  # an XML file: VOC's layout without its lists and maps
SCENE_JSON = ("coco", "labelme", "labelstudio", "via", "createml")  # formats of JSON files


def candidates(path: Path) -> dict[str, str]:
    """Format → evidence for it at an existing file or folder, the most specific first."""
    found = dict.fromkeys(cifar.recognise(path), "it holds its batches")
    if path.is_file():
        if name := _of_file(path):
            found[name] = f"a {path.suffix.lower()} file"
        return found
    if imagenet.recognise(path):
        found["imagenet"] = "folders of WordNet ids, and the devkit's or Kaggle's files"
    found |= _lists(path)
    checks = {"yolo": _yolo, "voc": _voc, "camvid": _camvid, "instance-maps": of_each}
    found |= {name: why for name, check in checks.items() if (why := check(path))}
    if "camvid" not in found and found.get("voc", BOXES_ALONE).endswith(BOXES_ALONE):
        found |= _pairs(path)
    if shard := shards.first_shard(path):
        found["shards"] = f"{shard.relative_to(path)} holds images and their labels"
    if "imagenet" not in found and (why := _class_folders(path)):
        found["folder"] = why
    elif not {"csv-boxes", "via"} & found.keys() and (why := _table(path)):
        found["csv"] = why
    return found


def _of_file(path: Path) -> str:
    ending = path.suffix.lower()
    if ending == ".json":
        form = form_of(path)
        return "csv" if not form and is_json_table(path) else form if form in SCENE_JSON else "coco"
    if is_via_table(path):
        return "via"
    if ending == ".xml" and is_cvat(path):
        return "cvat"
    if ending in (".csv", ".tsv"):
        return "csv-boxes" if box_columns(path) else "csv"
    if lists_objects(path):
        return "csv-boxes"
    if (ending in (".jsonl", ".ndjson") and is_json_table(path)) or is_list(path):
        return "csv"
    if ending == ".tar" and is_shard(path):
        return "shards"
    return {".yaml": "yolo", ".yml": "yolo"}.get(ending, "")


def _lists(path: Path) -> dict[str, str]:
    """Formats of the JSON, XML and CSV files of annotations."""
    found: dict[str, str] = {}
    for file in islice(files_with(path, ".json"), _SNIFFED):
        form = form_of(file)
        if not form and file.parent.name.lower() == "annotations":  # the reader gives the reason
            form = "coco"
        if form in SCENE_JSON:
            found.setdefault(form, f"{file.relative_to(path)} has this format")
    for file in islice(files_with(path, ".xml"), _SNIFFED):
        if is_cvat(file):
            found.setdefault("cvat", f"{file.relative_to(path)} is CVAT's own XML")
    for file in islice(files_with(path, ".csv"), _FEW):
        if box_columns(file):
            found.setdefault("csv-boxes", f"{file.relative_to(path)} lists boxes")
        if is_via_table(file):
            found.setdefault("via", f"{file.relative_to(path)} lists regions")
    for file in islice(files_with(path, ".jsonl"), _FEW):
        if lists_objects(file):
            found.setdefault("csv-boxes", f"{file.relative_to(path)} lists objects")
    return found


def _yolo(path: Path) -> str:
    for file in islice(chain(files_with(path, ".yaml"), files_with(path, ".yml")), _SNIFFED):
        if re.search(r"^\s*names\s*:", file.read_text(encoding="utf-8", errors="replace"), re.M):
            return f"{file.relative_to(path)} has names"
    for file in islice(files_with(path, ".txt"), _SNIFFED):
        if _LABEL.fullmatch(_first_line(file)) and _is_beside(path, file):
            return f"{file.relative_to(path)} holds labels"
    return ""


def _is_beside(path: Path, labels: Path) -> bool:
    """Whether a label file is in a folder of labels, or has an image beside it."""
    images = (labels.with_suffix(ending) for ending in photo.EXTENSIONS)
    folders = labels.relative_to(path).parts[:-1]
    return any("label" in each.lower() for each in folders) or any(e.is_file() for e in images)


def _first_line(file: Path) -> str:
    with file.open(encoding="utf-8-sig", errors="replace") as opened:
        return opened.readline(1000).strip()


def _voc(path: Path) -> str:
    for home in (path, *_folders(path)):
        if (home / "ImageSets").is_dir():
            return f"{(home / 'ImageSets').relative_to(path)} lists images"
    if (path / "VOCdevkit").is_dir():
        return "VOCdevkit"
    for file in islice(files_with(path, ".xml"), _SNIFFED):
        if is_voc(file):
            return f"{file.relative_to(path)} {BOXES_ALONE}"
    return ""


def _camvid(path: Path) -> str:
    return "trainannot" if (path / "trainannot").is_dir() else ""


def _pairs(path: Path) -> dict[str, str]:
    """Photos and maps with matching names, in separate folders or distinguished by a suffix."""
    names = sorted(_sample(path))
    objects = _numbered(path, names)
    try:
        found = find_pairs(names, Tally())
    except UserError:  # two maps of an image: the reader reports them
        found = Found(pairs={"": [("images", "maps")]})
    if not found.pairs:
        return objects
    image, mapped = next(iter(found.pairs.values()))[0]
    why = f"{mapped} is a map of {image}"
    if objects or _class_lists(path, mapped):
        return objects | {"pairs": why}
    # saliency sets: published with a training and a test part, or for evaluation only
    published = found.pairs.keys() - {""} or any(each in mapped.lower() for each in _EVALUATED)
    return {"ecssd" if published else "pairs": why}


def _numbered(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Maps whose values number objects, without a list of several classes."""
    try:
        found = find_pairs(names, Tally(), of_objects=True)
        maps = [each for own in found.pairs.values() for _, each in own]
        if any(len(read_classes(each).names) > 2 for each in _class_lists(path, *maps[:1])):
            return {}
    except UserError:  # the reader of pairs reports it
        return {}
    if maps and OF_CITYSCAPES.search(Path(maps[0]).stem):
        return {"instance-maps": f"{maps[0]} holds Cityscapes' numbers of objects"}
    if not numbers_objects([path / each for each in maps]):
        return {}
    return {"instance-maps": f"the values of {maps[0]} number objects"}


def _class_lists(path: Path, *maps: str) -> list[Path]:
    """Lists of classes in a folder, or beside or above one of its maps."""
    homes = dict.fromkeys(path / above for each in maps for above in Path(each).parents)
    return [home / name for home in (homes or [path]) for name in FILES if (home / name).is_file()]


def _sample(path: Path) -> Iterator[str]:
    """The first names of images in the first folders below a folder, relative to it."""
    queue, looked = [path], 0
    while queue and looked < _FOLDERS:
        folder = queue.pop(0)
        looked += 1
        files = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
        images = [name for name in files if Path(name).suffix.lower() in photo.EXTENSIONS]
        prefix = "" if folder == path else f"{folder.relative_to(path).as_posix()}/"
        yield from (prefix + name for name in images[:_FEW])
        if len(folder.relative_to(path).parts) < _DEEP:
            queue += _folders(folder)


def _class_folders(path: Path) -> str:
    """At least two folders with images, at the top or in ``train``, none of them with maps."""
    train = [each for each in _folders(path) if PARTS.get(each.name.lower()) == "train"]
    for home in (*train, path):
        names = [each.name for each in _folders(home) if _has_images(each)]
        classes = [name for name in names if of_folder(name).place]
        maps = any(of_folder(name).role == "map" and not of_folder(name).place for name in names)
        if len(classes) > 1 and not maps:
            return f"folders of images: {', '.join(sorted(names)[:3])}"
    return ""


def _table(path: Path) -> str:
    """A table next to images, at the top or in the folder of a part."""
    for home in (path, *(each for each in _folders(path) if each.name.lower() in PARTS)):
        for table in list_tables(home):
            if _has_images(home):
                return f"{table.relative_to(path)} beside images"
    return ""


def _folders(path: Path) -> list[Path]:
    hidden = (*SKIPPED_FOLDERS,)
    inside = (each for each in path.iterdir() if not each.name.startswith("."))
    return sorted(each for each in inside if each.is_dir() and each.name not in hidden)


def _has_images(folder: Path) -> bool:
    """Whether a folder or one below it has an image."""
    inside: Iterator[Path] = chain(
        islice(folder.iterdir(), _FEW),
        islice(folder.glob("*/*"), _FEW),
        islice(folder.rglob("*"), _FEW),
    )
    return any(each.suffix.lower() in photo.EXTENSIONS for each in inside)
