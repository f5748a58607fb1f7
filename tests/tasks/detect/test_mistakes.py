"""Tables and pictures of a detector's mistakes, also of many classes and of nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.metrics.mistakes import Mistakes
from res2net.tasks.detect.scores import write_mistakes


@pytest.mark.parametrize(("classes", "detections"), [(1, 0), (2, 40), (30, 400), (120, 400)])
def test_tables_and_pictures(tmp_path: Path, classes: int, detections: int) -> None:
    chance = np.random.default_rng(0)
    matched = np.where(chance.random(detections) < 0.5, np.arange(detections), -1)
    truth = chance.integers(0, classes, max(detections, 3))
    found = Mistakes(
        classes=tuple(f"$class$ {k} of a long name {'x' * k}" for k in range(classes)),
        labels=truth[:detections],
        scores=np.sort(chance.random(detections))[::-1],
        matched=matched,
        kinds=np.where(matched < 0, 4, -1),
        aims=np.full(detections, -1),
        truth=truth,
    )
    write_mistakes(found, tmp_path)
    for name in ("thresholds.png", "errors.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width == 1200
    tables = {}
    for name in ("thresholds", "confusion", "errors"):
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert len(tables["thresholds"]) == classes
    total = sum(int(v) for row in tables["confusion"] for v in list(row.values())[1:-1])
    sure = found.scores >= found.threshold[0]
    assert total == sure.sum()
    missed = {row["error"]: int(row["count"]) for row in tables["errors"]}["missed"]
    assert missed == len(truth) - (sure & (matched >= 0)).sum()
