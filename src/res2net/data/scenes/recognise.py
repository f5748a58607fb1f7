"""Which dense format a folder has, by its content."""

from __future__ import annotations

from pathlib import Path

from res2net.data.scenes import maps

_COCO = (
    *("annotations/*.json", "train/_annotations.coco.json", "valid/_annotations.coco.json"),
    "*train*.json",
)
_HEAD = 65_536  # bytes in which a JSON file shows its keys


def recognise(path: Path) -> str | None:
    """The format of a folder with marks in its images, or of COCO's or YOLO's one file."""
    if path.is_file():
        return {".json": "coco", ".yaml": "yolo", ".yml": "yolo"}.get(path.suffix.lower())
    if any((home / "ImageSets").is_dir() for home in (path, *path.iterdir())):
        return "voc"
    if (path / "VOCdevkit").is_dir():
        return "voc"
    if any(next(path.glob(pattern), None) for pattern in _COCO) or _holds_coco(path):
        return "coco"
    if (path / "trainannot").is_dir():
        return "camvid"
    if _holds_yolo(path):
        return "yolo"
    if any(_holds_xml(home) for home in (path, path / "train")):
        return "voc"
    return maps.recognise(path)


def _holds_coco(path: Path) -> bool:
    for file in sorted(path.glob("*.json"))[:8]:
        with file.open("rb") as opened:
            if b'"file_name"' in opened.read(_HEAD):
                return True
    return False


def _holds_yolo(path: Path) -> bool:
    files = sorted((*path.glob("*.yaml"), *path.glob("*.yml")))[:8]
    return any("names" in file.read_text(encoding="utf-8", errors="replace") for file in files)


def _holds_xml(path: Path) -> bool:
    """XML beside the images, or in a folder of their own."""
    return any(next(path.glob(form), None) for form in ("*.xml", "[Aa]nnotations/*.xml"))
