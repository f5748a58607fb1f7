"""The boundary F-measure by hand."""

from __future__ import annotations

import numpy as np
import pytest

from res2net.metrics.boundary import boundary_f
from res2net.metrics.saliency import SaliencyMetric
from res2net.metrics.segmentation import SegmentationMetric

ALL = np.ones((40, 40), np.bool_)


def square(left: int = 10, top: int = 10, side: int = 10) -> np.ndarray:
    """A square of class 1 on class 0; its outline has 4 · (side - 1) pixels."""
    found = np.zeros((40, 40), np.int64)
    found[top : top + side, left : left + side] = 1
    return found


def test_a_shift_within_the_tolerance_costs_nothing():
    assert boundary_f(square(), square(), ALL) == {0: 1, 1: 1}
    assert boundary_f(square(11), square(), ALL) == {0: 1, 1: 1}  # 0.75 % of 56 pixels is below 1


def test_a_shift_of_two_pixels_by_hand():
    """Of 36 pixels of the outline 20 lie within 1 of the other: 8 + 8 in the rows above and below
    that both share, and 4 that are next to the ends of those.
    """
    found = boundary_f(square(12), square(), ALL)
    assert found[1] == pytest.approx(20 / 36)


def test_the_tolerance_grows_with_the_diagonal():
    one, other = (np.kron(square(left), np.ones((10, 10), np.int64)) for left in (10, 10))
    other = np.roll(other, 4, axis=1)  # 0.75 % of 565.7 pixels is 4.2
    counting = np.ones(one.shape, np.bool_)
    assert boundary_f(one, other, counting) == {0: 1, 1: 1}
    assert boundary_f(one, np.roll(other, 1, axis=1), counting)[1] < 1


def test_a_class_in_one_map_alone_has_none_right():
    assert boundary_f(np.zeros((40, 40), np.int64), square(), ALL) == {0: 0, 1: 0}
    assert boundary_f(square() * 2, square(), ALL) == {0: 1, 1: 0, 2: 0}
    assert boundary_f(ALL * 1, ALL * 1, ALL) == {}  # no outline in either


def test_there_is_no_outline_towards_what_does_not_count():
    counting = ALL.copy()
    counting[:, 15:] = False  # half of the square
    half = square()
    half[:, 15:] = 0
    assert boundary_f(half, square(), counting) == {0: 1, 1: 1}


def test_the_metrics_average_over_images_and_classes():
    metric = SegmentationMetric(3)
    metric.update(square(), square())
    metric.update(square() * 2, square())
    scores = metric.compute()
    assert scores.boundary_per_class == (100, 50, 0)
    assert scores.boundary_f == 50
    assert metric.compute([0]).boundary_per_class == (100, 100, None)
    flat = SegmentationMetric(3)
    flat.update(square() * 0, square() * 0)
    assert flat.compute().boundary_f is None
    salient = SaliencyMetric()
    for found in (square(), square(30), square() * 0):
        truth = (square() * 255).astype(np.uint8)
        salient.update((found * 200).astype(np.uint8), truth)
    assert salient.compute().boundary_f == pytest.approx(1 / 3)
    assert salient.compute(np.array([0, 0])).boundary_f == 1
