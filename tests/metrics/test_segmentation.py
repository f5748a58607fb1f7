"""Mean IoU against a confusion matrix by hand and torchmetrics; regions by size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from res2net.metrics.segmentation import SegmentationMetric
from res2net.metrics.sizes import size_index


def test_mean_iou_equals_numpy_and_torchmetrics() -> None:
    chance = np.random.default_rng(0)
    metric = SegmentationMetric(5, by_size=False)
    peer = MulticlassJaccardIndex(5, ignore_index=255)
    matrix = np.zeros((5, 5), np.int64)
    for _ in range(4):
        true = chance.integers(0, 5, (33, 47)).astype(np.uint8)
        guess = np.where(chance.random(true.shape) < 0.6, true, chance.integers(0, 5, true.shape))
        true[chance.random(true.shape) < 0.1] = 255
        metric.update(guess, true)
        peer.update(torch.from_numpy(guess.astype(np.int64)), torch.from_numpy(true).long())
        for t, g in zip(true.ravel(), guess.ravel(), strict=True):
            if t != 255:
                matrix[t, g] += 1
    scores = metric.compute()
    assert (scores.confusion == matrix).all()
    iou = matrix.diagonal() / (matrix.sum(0) + matrix.sum(1) - matrix.diagonal())
    assert scores.mean_iou == pytest.approx(100 * iou.mean(), abs=1e-9)
    assert scores.mean_iou == pytest.approx(100 * float(peer.compute()), abs=1e-4)


def test_a_class_that_is_nowhere_has_no_score() -> None:
    metric = SegmentationMetric(3)
    metric.update(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8))
    scores = metric.compute()
    assert scores.per_class == (100, None, None)
    assert scores.mean_iou == 100


def test_regions_are_followed_by_their_size() -> None:
    true = np.zeros((200, 200), np.uint8)
    true[:10, :10] = 1  # small: found half
    true[100:150, 100:150] = 1  # medium: found whole
    guess = true.copy()
    guess[:5, :10] = 0
    metric = SegmentationMetric(2)
    metric.update(guess, true)
    scores = metric.compute()
    assert scores.regions == {"small": 1, "medium": 1, "large": 1}
    assert scores.region_recall["small"] == 50
    assert scores.region_recall["medium"] == 100
    assert scores.region_recall["large"] == 100  # the ground, none of which was taken for another


def test_limits_of_sizes_are_cocos() -> None:
    areas = np.array([32.0**2 - 1, 32.0**2, 96.0**2 - 1, 96.0**2])
    assert size_index(areas).tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("guess", "true", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "predicted is"),
        (np.full((2, 2), 7), np.zeros((2, 2), int), "classes lie in 0..2, not 7"),
        (np.zeros((2, 2), int), np.full((2, 2), 9), "classes lie in 0..2, not 9"),
    ],
)
def test_maps_that_do_not_fit_are_refused(
    guess: np.ndarray, true: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentationMetric(3).update(guess, true)


def test_nothing_to_measure_is_refused() -> None:
    metric = SegmentationMetric(2)
    metric.update(np.zeros((2, 2), int), np.full((2, 2), 255))
    with pytest.raises(ValueError, match="no pixel"):
        metric.compute()
