"""Shares of heat by hand, and where a classifier's square lies in the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from res2net.data.preprocess import Preprocess
from res2net.data.transforms import eval_transform
from res2net.explain.concentration import box_mask, concentration, half_area
from res2net.explain.subject import placed, seen_part


def test_shares_of_a_map_by_hand() -> None:
    heat = np.zeros((4, 6))
    heat[1, 2], heat[3, 5] = 1.0, 0.25
    found = concentration(heat, box_mask((2, 1, 4, 2), 4, 6), (0, 0, 6, 4))
    assert found is not None
    assert (found.energy, found.area, found.hit) == (0.8, 2 / 24, True)
    assert half_area(heat, (0, 0, 6, 4)) == 1 / 24
    other = concentration(heat, box_mask((5, 3, 6, 4), 4, 6), (0, 0, 6, 4))
    assert other is not None
    assert (other.energy, other.hit) == (0.2, False)


def test_only_what_is_seen_counts() -> None:
    heat = np.ones((4, 6))
    found = concentration(heat, box_mask((0, 0, 3, 4), 4, 6), (1, 0, 5, 4))
    assert found is not None
    assert found.area == found.energy == 0.5


def test_an_even_map_has_no_more_than_the_area() -> None:
    heat = np.full((8, 8), 0.3)
    found = concentration(heat, box_mask((2, 2, 5, 7), 8, 8), (0, 0, 8, 8))
    assert found is not None
    assert found.energy == pytest.approx(found.area)
    assert half_area(heat, (0, 0, 8, 8)) == pytest.approx(0.5, abs=1 / 64)


@pytest.mark.parametrize(
    ("heat", "box"),
    [
        (np.zeros((4, 4)), (0, 0, 2, 2)),  # no heat
        (np.ones((4, 4)), (0, 0, 4, 4)),  # all of it marked
        (np.ones((4, 4)), (2, 2, 2, 2)),  # nothing marked
    ],
)
def test_nothing_to_measure(heat: np.ndarray, box: tuple[int, int, int, int]) -> None:
    assert concentration(heat, box_mask(box, 4, 4), (0, 0, 4, 4)) is None


@given(st.integers(20, 300), st.integers(20, 300), st.integers(16, 64), st.integers(0, 32))
def test_the_seen_part_is_what_the_preprocessing_keeps(
    height: int, width: int, size: int, margin: int
) -> None:
    """Rows and columns as numbers, preprocessed, end where the part says."""
    left, top, right, bottom = seen_part(height, width, size + margin, size)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    preprocess = Preprocess(size=size, resize=size + margin, mean=(0, 0, 0), std=(1, 1, 1))
    rows = torch.arange(height)[:, None].expand(height, width) * 255 / height
    columns = torch.arange(width)[None].expand(height, width) * 255 / width
    ramp = torch.stack([rows, columns, columns]).round().to(torch.uint8)
    seen = eval_transform(preprocess)(ramp).float()
    pixel = max(height, width) / size + 2  # of the square, and rounding to bytes and pixels
    for length, first, last, channel in ((height, top, bottom, 0), (width, left, right, 1)):
        values = seen[channel] * length / 255
        slack = pixel + length / 255
        assert float(values.min()) == pytest.approx(first, abs=slack)
        assert float(values.max()) == pytest.approx(last, abs=slack)


def test_a_map_lies_where_it_is_seen_and_its_highest_is_one() -> None:
    whole = placed(torch.tensor([[[0.1, 0.4], [0.2, 0.3]]]), (2, 1, 6, 5), 8, 9)
    assert whole.shape == (8, 9)
    assert whole.max() == 1
    assert whole[1:5, 2:6].min() > 0
    assert whole.sum() == pytest.approx(whole[1:5, 2:6].sum())
    assert placed(torch.zeros(1, 2, 2), (0, 0, 3, 3), 3, 3).max() == 0
