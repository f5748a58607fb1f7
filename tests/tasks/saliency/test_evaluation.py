"""The truth against which maps are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from res2net.data.scene import Scene
from res2net.tasks.saliency.evaluation import grey_truth


def test_grey_values_of_a_truth_are_kept(tmp_path: Path) -> None:
    grey = np.array([[0, 100, 129, 200, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    cut = np.array([[0, 0, 255, 255, 255]], np.uint8)
    for source in (tmp_path / "a.png", grey):
        scene = Scene(name="a", image=np.zeros((1, 5, 3), np.uint8), salient=source)
        assert grey_truth(scene, cut).tolist() == grey.tolist()


def test_values_that_are_no_grey_are_not() -> None:
    cut = np.array([[0, 255]], np.uint8)
    scene = Scene(
        name="a", image=np.zeros((1, 2, 3), np.uint8), salient=np.array([[0, 1]], np.uint8)
    )
    assert grey_truth(scene, cut).tolist() == [[0, 255]]
