"""Splits and their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from res2net.data.labelled import ReadOptions, Split, stratified_split
from res2net.errors import UserError


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 100),
)
def test_every_class_is_in_both_parts(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    options = ReadOptions(val_fraction=fraction, seed=seed)
    names = [str(i) for i in range(len(counts))]
    train, val = stratified_split(labels, options, classes=names, where="x")
    assert sorted([*train, *val]) == list(range(len(labels)))
    for part in (train, val):
        assert (np.diff(part) > 0).all()
        assert set(labels[part]) == set(range(len(counts)))
    held_out = np.bincount(labels[val], minlength=len(counts))
    assert np.abs(held_out - fraction * np.array(counts)).max() <= 1


def test_new_images_of_one_class_leave_the_others_split() -> None:
    labels = np.repeat([0, 1], [20, 20])
    more = np.repeat([0, 1], [20, 25])
    options = ReadOptions()
    before = stratified_split(labels, options, classes=["a", "b"], where="x")[1]
    after = stratified_split(more, options, classes=["a", "b"], where="x")[1]
    assert before[labels[before] == 0].tolist() == after[more[after] == 0].tolist()


@pytest.mark.parametrize("fraction", [1, -0.1, 1.5, float("nan")])
def test_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(UserError, match="must lie between 0 and 1"):
        ReadOptions(val_fraction=fraction)


def test_names() -> None:
    labels = np.zeros(2, dtype=np.int64)
    assert Split(images=np.zeros((2, 4, 4, 3), np.uint8), labels=labels).names(1) == "#1"
    assert Split(images=[Path("a.png"), Path("b.png")], labels=labels).names(1) == "b.png"
