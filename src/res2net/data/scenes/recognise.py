"""Which dense format a folder has, by its content."""

from __future__ import annotations

from pathlib import Path

from res2net.data.scenes import maps

_COCO = ("annotations/*.json", "train/_annotations.coco.json", "*train*.json")


def recognise(path: Path) -> str | None:
    """The format of a folder with marks in its images; None for any other."""
    if any((home / "ImageSets").is_dir() for home in (path, *path.iterdir())):
        return "voc"
    if (path / "VOCdevkit").is_dir():
        return "voc"
    if any(next(path.glob(pattern), None) for pattern in _COCO):
        return "coco"
    if (path / "trainannot").is_dir():
        return "camvid"
    if _holds_yolo(path):
        return "yolo"
    return maps.recognise(path)


def _holds_yolo(path: Path) -> bool:
    files = sorted(path.glob("*.yaml"))[:8]
    return any("names" in file.read_text(encoding="utf-8", errors="replace") for file in files)
