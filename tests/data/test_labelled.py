"""Splits and their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from res2net.data.labelled import (
    LabelledImages,
    ReadOptions,
    Split,
    check_labelled,
    stratified_split,
)
from res2net.errors import UserError


def test_images_of_two_arrays_have_different_names_together() -> None:
    pixels, labels = np.zeros((3, 2, 2, 3), np.uint8), np.zeros(3, np.int64)
    part = Split(images=pixels, labels=labels)
    images = LabelledImages(name="x", classes=("a",), train=part, val=part, native_size=2)
    assert [images.everything.names(i) for i in range(6)] == [f"#{i}" for i in range(6)]


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


def labelled(train: list[int], val: list[int]) -> LabelledImages:
    def part(labels: list[int]) -> Split:
        return Split(
            images=np.zeros((len(labels), 4, 4, 3), np.uint8), labels=np.array(labels, np.int64)
        )

    return LabelledImages(
        name="x", classes=("ant", "bee", "cat"), train=part(train), val=part(val), native_size=4
    )


def test_one_class_to_learn_or_nothing_to_validate_on_is_refused() -> None:
    with pytest.raises(UserError, match="the 2 training images have one class only"):
        check_labelled("pets", labelled([1, 1], [0]))
    with pytest.raises(UserError, match="no images to validate on"):
        check_labelled("pets", labelled([0, 1], []))


def test_absent_and_unequal_classes_are_noted() -> None:
    with pytest.warns(UserWarning, match="1 of 3 classes have no training image: cat"):
        check_labelled("pets", labelled([0, 1], [0, 1, 2]))
    with pytest.warns(UserWarning, match="1 of 3 classes have no validation image: bee"):
        check_labelled("pets", labelled([0, 1, 2], [0, 2]))
    unequal = labelled([0] * 80 + [1] * 3 + [2] * 9, [0, 1, 2])
    with pytest.warns(UserWarning, match="80 .* of ant, 3 of bee; --train.class-weights balanced"):
        check_labelled("pets", unequal)
    check_labelled("pets", unequal, weighted=True)
    check_labelled("pets", labelled([0, 1, 2] * 9 + [0], [0, 1, 2]))
