"""A study of seconds: two tiny networks on the scanned digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.experiments.study import Point, Study

TINY = Study(
    name="tiny",
    question="Does it run?",
    points=(
        Point(label="plain", network="resnet29_small"),
        Point(label="split", network="res2net29_small", group="scale"),
    ),
    seeds=1,
    data="digits",
    images=144,
    classes=10,
    pixels=32,
    recipe="digits",
    settings={
        "train.epochs": 2,
        "train.batch": 64,
        "input.val_fraction": 0.9,
        "train.val_batches": 1,
        "train.threads": 1,
        "input.workers": 0,
        "net.depth": 11,
    },
)


@pytest.fixture
def tiny_study() -> Study:
    return TINY


@pytest.fixture
def rows() -> list[dict[str, str]]:
    """Two seeds of the first point, one of the second."""
    from res2net.experiments.results import written

    made = []
    for point, seed, error in (("plain", 0, 40.0), ("split", 0, 38.0), ("plain", 1, 42.0)):
        settings = written(TINY, TINY.find_point(point))
        row = {"study": "tiny", "point": point, "seed": seed, "params": 100_000, "seconds": 60}
        row |= {"last_error": error, "settings": settings, "macs": 1}
        made.append({name: str(value) for name, value in row.items()})
    return made


@pytest.fixture
def ink() -> Callable[[Path], float]:
    """The share of a picture that is drawn on; nothing of it is cut at the sides."""

    def share(path: Path) -> float:
        with Image.open(path) as picture:
            assert picture.width == 1200
            pixels = np.asarray(picture.convert("RGB"))
        dark = (pixels < 250).any(axis=2)
        assert not dark[:, :8].any()
        assert not dark[:, -8:].any()
        return float(dark.mean())

    return share
