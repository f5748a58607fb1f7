"""Recognise the tool that wrote an annotation file, by its first bytes and its suffix."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from res2net.data.files import SKIPPED_FOLDERS, whether

_HEAD = 65_536  # bytes at either end of a file that are searched for keys
_DEPTH = 3  # depth of folders searched for annotations
_BROAD = 100  # folders searched per depth; more are taken as classes
_BLANK = b"\xef\xbb\xbf\xff\xfe \t\r\n"  # bytes allowed before JSON
# format of a JSON file → sets of keys, one of which must be present; the first match counts
_KEYS = {
    "labelme": ({"shapes", "imagePath"}, {"shapes", "imageData"}, {"shapes", "version"}),
    "via": ({"_via_img_metadata"}, {"filename", "regions"}, {"data_format_version", "vid_list"}),
    "labelstudio": (
        *({"rectanglelabels"}, {"polygonlabels"}, {"ellipselabels"}, {"brushlabels"}),
        *({"keypointlabels"}, {"original_width"}, {"file_upload"}, {"completed_by", "result"}),
    ),
    "createml": ({"image", "coordinates"}, {"imagefilename", "annotation"}),
    "Datumaro": ({"dm_format_version"}, {"items", "categories", "info"}),
    "Supervisely": ({"classTitle"}, {"geometryType"}),
    "SuperAnnotate": ({"___sa_version___"}, {"instances", "metadata"}, {"className", "classId"}),
    "COCO's captions": ({"caption", "image_id"},),
    "COCO's panoptic maps": ({"segments_info"},),
    "coco": (
        *({"images", "annotations"}, {"images", "categories"}, {"annotations", "categories"}),
        *({"file_name"}, {"image_id", "category_id"}),
    ),
    "Supervisely ": ({"tags", "size", "objects"},),  # for an image without objects
    "Darwin (V7)": ({"schema_ref", "annotations"}, {"workview_url"}, {"slot_name"}),
    "Encord": ({"label_hash"}, {"data_units"}),
    "Labelbox": ({"data_row"}, {"External ID", "Label"}),
    "Scale": ({"task_id", "response"}, {"task_id", "params"}),
    "BDD100K": ({"box2d"}, {"poly2d"}),
    "VoTT": ({"assets", "tags"}, {"asset", "regions"}),
    "MPII": ({"joints", "joints_vis"},),
}
_OTHERS = {  # suffix → description
    ".tfrecord": "a TFRecord file",
    ".tfrecords": "a TFRecord file",
    ".parquet": "a Parquet file",
    **dict.fromkeys((".ndjson", ".jsonl", ".odgt", ".manifest"), "a JSON Lines file"),
    ".pkl": "a Python pickle",
    "_bbx_gt.txt": "WIDER FACE's list",
    ".zip": "an archive (unpack it)",
    ".gz": "a compressed file (unpack it)",
    ".tar": "an archive (unpack it)",
    ".mat": "a MATLAB file",
}
_LINES = {  # a first line of labels → description
    r"(-?[\d.]+ ){8}\D\S*( \d+)?": "DOTA's format",
    r"(-?\d+,){7}-?\d+,?": "VisDrone's format",
    r"\D\S* [\d.]+ \d( -?[\d.]+){12,13}": "KITTI's format",
}
_FOLDERS = {"label_2": "KITTI's layout", "labeltxt": "DOTA's layout", "gt": "MOT's layout"}
VIA_COLUMNS = ("region_shape_attributes", "region_attributes")


def form_of(path: Path) -> str:
    """The format of a JSON file: "coco", "labelme", ...; empty if unknown."""
    text = _ends(path)
    fits = (
        form
        for form, sets in _KEYS.items()
        if any(all(f'"{key}"'.encode() in text for key in keys) for keys in sets)
    )
    form = next(fits, "").strip()
    if form == "coco" and text.lstrip(_BLANK)[:1] == b"[":
        return "COCO results (predictions)" if b'"score"' in text else ""
    return form


def is_via_table(path: Path) -> bool:
    """Whether a CSV file lists the regions of the VGG Image Annotator."""
    return path.suffix.lower() == ".csv" and VIA_COLUMNS[0].encode() in _ends(path)[:1000]


def lists_objects(path: Path) -> bool:
    """Whether a file of JSON lines holds boxes of images, as Hugging Face's metadata.jsonl."""
    text = _ends(path) if path.suffix.lower() == ".jsonl" else b""
    return b'"file_name"' in text and b'"objects"' in text


def is_cvat(path: Path) -> bool:
    """Whether an XML file is CVAT's own: all images within ``<annotations>``."""
    return b"<annotations>" in _ends(path)[:2000]


def is_voc(path: Path) -> bool:
    """Whether an XML file holds the annotation of one image, as in VOC."""
    return re.search(rb"<annotation[\s/>]", _ends(path)) is not None


def _ends(path: Path) -> bytes:
    """The first and the last bytes of a file; for UTF-16 without every other byte."""
    if not whether(path.is_file):  # reading a pipe may block
        return b""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(max(file.seek(0, os.SEEK_END) - _HEAD, len(head)))
            return (head + file.read(_HEAD)).replace(b"\0", b"")
    except OSError:
        return b""


def files_with(root: Path, ending: str) -> Iterator[Path]:
    """Files with a suffix (any case) in a folder and some below it, upper folders first."""
    level = [root]
    for _ in range(_DEPTH + 1):
        below: list[Path] = []
        for folder in level[:_BROAD]:
            with os.scandir(folder) as entries:
                seen = [each for each in entries if not each.name.startswith(".")]
            fitting = [each for each in seen if each.name.lower().endswith(ending)]
            yield from sorted(Path(each.path) for each in fitting if not each.is_dir())
            folders = [each for each in seen if each.is_dir()]
            below += sorted(Path(e.path) for e in folders if e.name not in SKIPPED_FOLDERS)
        level = below


def files_below(root: Path, ending: str) -> list[Path]:
    """All files with a suffix (any case) below a folder, except hidden ones."""
    found = (path for path in root.rglob("*") if path.suffix.lower() == ending)
    own = ((path, path.relative_to(root).parts) for path in found)
    return sorted(
        path
        for path, words in own
        if not SKIPPED_FOLDERS & set(words) and not any(word.startswith(".") for word in words)
    )


def other_tool(path: Path) -> str:
    """Describe an unsupported format at a path; empty if none is recognised."""
    for file in islice(_files_of(path, ".json"), 20):
        form = form_of(file)
        if form[:1].isupper():
            kind = "holds" if form.startswith("COCO's") else "is an export of"
            return f"{_shown(file, path)} {kind} {form}"
    for ending, kind in _OTHERS.items():
        for file in islice(_files_of(path, ending), 1):
            return f"{_shown(file, path)} is {kind}"
    for file in islice(_files_of(path, ".txt"), 1000):
        if what := _FOLDERS.get(file.parent.name.lower()):
            return f"{_shown(file.parent, path)} is {what}"
        first = _ends(file)[:500].decode("latin-1").strip().partition("\n")[0].strip()
        if what := next((each for form, each in _LINES.items() if re.fullmatch(form, first)), None):
            return f"{_shown(file, path)} is in {what}"
    for file in islice(_files_of(path, ".csv"), 1):
        first = _ends(file)[:500].decode("utf-8", "replace").strip("\ufeff").partition("\n")[0]
        return (
            f"{_shown(file, path)} begins with {first.strip()[:80]!r}; CSV needs the columns "
            "filename, class and xmin, ymin, xmax, ymax (or x, y, width, height) in pixels"
        )
    return ""


def _files_of(path: Path, ending: str) -> Iterator[Path]:
    if path.is_dir():
        yield from files_with(path, ending)
    elif path.name.lower().endswith(ending):
        yield path


def _shown(file: Path, root: Path) -> str:
    return file.name if file == root else str(file.relative_to(root))
