"""How near poses come to annotated key-points, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from res2net.data.scene import Objects, Scene, Skeleton
from res2net.metrics.detections import DetectionArrays
from res2net.tasks.pose.scores import best_oks

SKELETON = Skeleton(names=("a", "b", "c"), swaps=(), bones=(), sigmas=(0.1, 0.1, 0.1))


def test_distances_are_of_the_best_pose_in_longer_sides_of_the_box() -> None:
    points = np.array([[[10.0, 10, 2], [20, 10, 1], [0, 0, 0]]])
    objects = Objects(
        boxes=np.array([[0.0, 0, 50, 100]]),
        labels=np.zeros(1, np.int64),
        ignored=np.zeros(1, bool),
        areas=np.array([5000.0]),
        keypoints=points,
    )
    scene = Scene(name="a", image=Path("a.png"), objects=objects)
    near = np.array([[13.0, 14, 1], [20, 30, 1], [7, 7, 1]])
    found = DetectionArrays(
        boxes=np.zeros((2, 4)),
        scores=np.array([0.9, 0.1]),
        labels=np.zeros(2, np.int64),
        keypoints=np.stack([near + 500, near]),
    )
    ((_, _, far),) = best_oks(scene, found, SKELETON)
    assert far == pytest.approx([0.05, 0.2, np.nan], nan_ok=True)
    ((_, alike, lost),) = best_oks(scene, found.of(np.zeros(2, bool)), SKELETON)
    assert alike == 0
    assert lost == pytest.approx([np.inf, np.inf, np.nan], nan_ok=True)
