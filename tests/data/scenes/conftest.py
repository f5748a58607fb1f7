"""small sets of annotated images on disk, and how a reader takes them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from res2net.data.scene import Scenes
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import READERS
from res2net.errors import UserError


def _draw(path: Path, size: tuple[int, int] = (128, 96)) -> None:
    """A grey photo of (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "grey").save(path)


def _coco_file(
    path: Path,
    annotations: list[Any],
    *,
    names: Mapping[Any, Any] | None = None,
    files: Mapping[Any, Any] | None = None,
    **category: Any,
) -> None:
    """An annotation file: ids of categories → names, ids of images → file names."""
    content = {
        "images": [{"id": k, "file_name": v} for k, v in (files or {1: "a.png"}).items()],
        "annotations": annotations,
        "categories": [{"id": k, "name": v, **category} for k, v in (names or {1: "cat"}).items()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _xml(*objects: tuple[str, tuple[float, float, float, float]], head: str = "") -> str:
    """An annotation in VOC's XML: names and corners."""
    rows = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax>"
        f"<ymax>{d}</ymax></bndbox></object>"
        for name, (a, b, c, d) in objects
    )
    return f"{head}<annotation>{rows}</annotation>"


def _boxes(scenes: Any) -> list[list[tuple[int, list[float]]]]:
    """Labels and rounded boxes of each scene."""
    return [
        [
            (int(label), [round(float(v), 3) for v in box])
            for label, box in zip(each.objects.labels, each.objects.boxes, strict=True)
        ]
        for each in scenes
    ]


Reads = Callable[..., Scenes]


@pytest.fixture
def reads() -> Reads:
    """``reads("coco", path, "boxes")``: the scenes; a warning is a failure."""

    def read(form: str, path: Path, marks: Any = "boxes", **options: Any) -> Scenes:
        return READERS[form](path, SceneOptions(marks=marks, **options))

    return read


def _told(form: str, path: Path, marks: Any = "boxes") -> str | Scenes:
    """What a reader makes of a foreign file: scenes, or the one line that it ends with."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error")
        warnings.filterwarnings("ignore", category=UserWarning)  # the counted faults
        try:
            return READERS[form](path, SceneOptions(marks=marks))
        except UserError as error:
            line = str(error)
    assert "\n" not in line
    return line


@pytest.fixture
def draw() -> Callable[..., None]:
    """``draw(path, (width, height))``: a grey photo."""
    return _draw


@pytest.fixture
def coco_file() -> Callable[..., None]:
    """``coco_file(path, annotations, names={1: "cat"}, files={1: "a.png"})``."""
    return _coco_file


@pytest.fixture
def xml() -> Callable[..., str]:
    """``xml(("cat", (11, 11, 40, 40)), head="")``: an annotation in VOC's XML."""
    return _xml


@pytest.fixture
def boxes() -> Callable[..., Any]:
    """``boxes(data.train)``: (label, rounded box) of the objects in each scene."""
    return _boxes


@pytest.fixture
def told() -> Callable[..., str | Scenes]:
    """``told("coco", path, "boxes")``: what is read, or the one line that it ends with."""
    return _told
