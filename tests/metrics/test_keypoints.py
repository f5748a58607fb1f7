"""Similarity against pycocotools' own, and suppression."""

from __future__ import annotations

import numpy as np
import pytest

from res2net.data.scene import COCO_PERSON
from res2net.metrics.keypoints import oks, oks_nms, pck

SIGMAS = COCO_PERSON.sigmas


def pose(seed: int) -> np.ndarray:
    xy = np.random.default_rng(seed).uniform(0, 100, (17, 2))
    return np.concatenate([xy, np.full((17, 1), 2.0)], axis=1)


def test_similarity_equals_pycocotools() -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, guess = pose(0), pose(0)
    guess[:, :2] += np.random.default_rng(1).normal(0, 3, (17, 2))
    truth[3:6, 2] = 0
    box = [0.0, 0.0, 100.0, 100.0]
    row = {"image_id": 1, "category_id": 1, "bbox": box, "area": 5000.0}
    marked = {**row, "id": 1, "iscrowd": 0, "keypoints": truth.ravel().tolist()}
    marked["num_keypoints"] = 14
    gt = COCO()
    gt.dataset = {
        "info": {},
        "images": [{"id": 1}],
        "annotations": [marked],
        "categories": [{"id": 1, "name": "person"}],
    }
    gt.createIndex()
    job = COCOeval(
        gt, gt.loadRes([{**row, "score": 1.0, "keypoints": guess.ravel().tolist()}]), "keypoints"
    )
    job.evaluate()
    theirs = job.computeOks(1, 1)[0, 0]
    ours = oks(guess[None], truth, 5000.0, SIGMAS, visible=truth[:, 2])[0]
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_the_same_place_is_one_and_far_away_is_zero() -> None:
    poses = np.stack([pose(0), pose(0) + 1000])
    alike = oks(poses, pose(0), 900.0, SIGMAS, visible=None)
    assert alike[0] == 1
    assert alike[1] < 1e-9
    nothing_seen = np.zeros(17)
    assert oks(poses, pose(0), 900.0, SIGMAS, visible=nothing_seen).tolist() == [0, 0]


def test_the_surer_of_two_alike_stays() -> None:
    poses = np.stack([pose(0), pose(0) + 0.1, pose(5)])
    kept = oks_nms(poses, np.array([0.5, 0.9, 0.1]), np.full(3, 4000.0), SIGMAS)
    assert kept.tolist() == [1, 2]


def test_each_pose_may_have_its_own_area() -> None:
    chance = np.random.default_rng(3)
    poses, areas = chance.uniform(0, 50, (5, 4, 3)), chance.uniform(10, 900, 5)
    together = oks(poses, poses[0], areas, SIGMAS[:4], visible=None)
    for i in range(5):
        (alone,) = oks(poses[i : i + 1], poses[0], float(areas[i]), SIGMAS[:4], visible=None)
        assert together[i] == pytest.approx(alone, rel=1e-12)


def test_pck_and_its_area_by_hand() -> None:
    """At 0.2 sides 3 of 5 are near; the area is the mean of 1, 0.5, 0, 0 and 0."""
    far = np.array([[0.0, 0.1, np.nan], [0.2, 0.4, np.inf]])
    assert pck(far) == (5, pytest.approx(60.0), pytest.approx(30.0))
    assert pck(far[:, 0]) == (2, 100.0, pytest.approx(50.0))
    assert pck(far[:1, 2]) == (0, None, None)
