"""Masks out of activation maps, and their IoU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.explain.pseudo import THRESHOLDS, PseudoMasks
from res2net.explain.study import Mark
from res2net.explain.subject import Explained


def shown(heat: np.ndarray) -> Explained:
    height, width = heat.shape
    return Explained(
        heat=heat.astype(np.float32), seen=(0, 0, width, height), label="x", score=1.0, level="c5"
    )


def square(left: int, right: int, value: float = 1.0) -> np.ndarray:
    heat = np.zeros((10, 20))
    heat[:, left:right] = value
    return heat


def test_iou_is_over_the_background_and_the_classes_that_are_there(tmp_path: Path) -> None:
    pseudo = PseudoMasks(["good", "late"], ["cat", "dog", "fox"], folder=tmp_path, threshold=0.5)
    cat, dog = square(0, 5) > 0, square(10, 15) > 0
    pseudo.add(
        "folder/a.jpg",
        [
            (Mark(name="cat", masks=(cat,)), (shown(square(0, 5)), shown(square(0, 10, 0.3)))),
            (Mark(name="dog", masks=(dog,)), (shown(square(10, 15)), shown(square(10, 15)))),
        ],
    )
    rows = pseudo.rows()
    assert len(rows) == 2 * len(THRESHOLDS)
    assert all(row.mean_iou == 100 for row in rows[: len(THRESHOLDS)])
    late = {row.threshold: row for row in rows[len(THRESHOLDS) :]}
    # cat 5 of 10 columns, dog all, background 5 of 10; from 0.35 on no cat: 0, 1, 10 of 15
    assert late[0.2].mean_iou == pytest.approx(100 * (0.5 + 1 + 0.5) / 3)
    assert late[0.5].mean_iou == pytest.approx(100 * (0 + 1 + 10 / 15) / 3)
    assert [row.threshold for row in rows if row.best] == [0.05, 0.05]
    with Image.open(tmp_path / "good" / "a.png") as mask:
        assert mask.mode == "P"
        assert sorted(np.unique(np.asarray(mask)).tolist()) == [0, 1, 2]
    with Image.open(tmp_path / "late" / "a.png") as mask:
        assert sorted(np.unique(np.asarray(mask)).tolist()) == [0, 2]


def test_data_without_names_of_classes_have_one(tmp_path: Path) -> None:
    pseudo = PseudoMasks(["n"], [])
    mark = Mark(name=None, masks=(square(0, 10) > 0,))
    pseudo.add("a", [(mark, (shown(square(5, 15)),))])
    assert pseudo.rows()[0].mean_iou == pytest.approx(100 * (5 / 15 + 5 / 15) / 2)
    assert not list(tmp_path.iterdir())
