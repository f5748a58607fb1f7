"""Which images are held out: of every class, and a group on one side."""

from __future__ import annotations

import random
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from res2net.data.split import (
    Holdout,
    check_grouping,
    check_keys,
    hold_out,
    keys_of,
    note_shared,
)
from res2net.errors import UserError


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 100),
)
def test_the_share_of_each_class_is_held_out(counts: list[int], fraction: float, seed: int) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    random.Random(seed).shuffle(labels)
    options = Holdout(val_fraction=fraction, seed=seed)
    val = hold_out([[label] for label in labels], options)
    for label, count in enumerate(counts):
        held_out = sum(labels[i] == label for i in val)
        assert 1 <= held_out <= count - 1
        assert abs(held_out - fraction * count) <= 1.01


def many(seed: int, images: int = 100, classes: int = 20) -> list[set[int]]:
    """Images of several classes each, of which some are rare and some hold none."""
    chance = random.Random(seed)
    often = [1 / (label + 1) for label in range(classes)]
    return [
        set(chance.choices(range(classes), often, k=chance.randint(0, 4))) for _ in range(images)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_each_class_of_two_images_or_more_is_in_both_parts(seed: int) -> None:
    held = many(seed)
    val = set(hold_out(held, Holdout(seed=seed)))
    assert 15 <= len(val) <= 30, "20 of 100 were asked for"
    for label in range(20):
        own = {i for i, labels in enumerate(held) if label in labels}
        if len(own) > 1:
            assert own & val, label
            assert own - val, label


def test_a_seed_decides_and_another_differs() -> None:
    held = many(0)
    assert hold_out(held, Holdout(seed=1)) == hold_out(held, Holdout(seed=1))
    assert hold_out(held, Holdout(seed=1)) != hold_out(held, Holdout(seed=2))
    # as it has to stay: runs are resumed and evaluated by it
    assert hold_out(held[:20], Holdout(seed=3)) == WANTED


WANTED = [2, 5, 8, 17, 18]


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_on_one_side(seed: int) -> None:
    held = many(seed, images=300)
    keys = [f"video {i // 6}" for i in range(300)]
    val = hold_out(held, Holdout(seed=seed), keys)
    assert 45 <= len(val) <= 90
    assert {keys[i] for i in val}.isdisjoint(keys[i] for i in range(300) if i not in set(val))


def test_a_class_of_one_group_is_trained_on() -> None:
    keys = ["a", "a", "b", "c", "d", "d"]
    held = [[0], [0], [1], [1], [1], [1]]
    for seed in range(10):
        val = hold_out(held, Holdout(seed=seed), keys)
        assert val
        assert not {0, 1} & set(val)


def test_a_large_group_is_not_taken_for_a_small_share() -> None:
    keys = ["most"] * 60 + [str(i) for i in range(40)]
    for seed in range(10):
        assert len(hold_out([[0]] * 100, Holdout(seed=seed), keys)) == 20


def test_nothing_is_held_out_of_one_image_one_group_or_for_no_share() -> None:
    assert hold_out([[0]], Holdout()) == []
    assert hold_out([[0]] * 9, Holdout(), ["a"] * 9) == []
    assert hold_out([[0]] * 9, Holdout(val_fraction=0)) == []
    assert len(hold_out([[0], [1]], Holdout())) == 1


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("patient", "it can be folder, column:NAME"),
        ("column:", "it can be folder"),
        ("pattern:", "it can be folder"),
        ("pattern:(", "not a regular expression"),
        ("pattern:p[0-9]+", "has 0 groups"),
        ("pattern:(p)([0-9]+)", "has 2 groups"),
    ],
)
def test_what_names_no_groups_is_told(by: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_grouping(by)


@pytest.mark.parametrize("by", ["", "folder", "column:patient", r"pattern:(?:a|b)/(p\d+)_"])
def test_ways_of_grouping(by: str) -> None:
    check_grouping(by)


def test_groups_of_paths() -> None:
    paths = ["train/cat/p1/a.jpg", "val2017/p1/b.jpg", "images/c.jpg", "x\\y\\d.jpg", "cat/e.jpg"]
    assert keys_of(paths, "folder", ["cat"] * 5) == ["p1", "p1", None, "x/y", None]
    assert keys_of(["a/p1_3.png", "a/x.png"], r"pattern:(p\d+)_") == ["p1", None]


def test_images_without_a_group_are_counted_and_none_with_one_is_refused() -> None:
    with pytest.warns(UserWarning, match=r"set: --input.group-by pattern:\(x\): 1 of 2 images do"):
        check_keys("set", "pattern:(x)", ["x", None], ["a", "b"])
    with pytest.raises(UserError, match="all 2 images are in no group folder; the first: a"):
        check_keys("set", "folder", [None, None], ["a", "b"])
    with pytest.warns(UserWarning, match="1 of 2 images have no value in that column"):
        check_keys("set", "column:x", ["x", None], ["a", "b"])


def test_groups_in_two_parts_are_counted() -> None:
    parts = {"training": ["a", "a", "b", None], "validation": ["a", None], "test": ["c"]}
    with pytest.warns(UserWarning, match=r"1 groups are in both parts, training \(2 images\) and"):
        note_shared("set", "folder", parts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        note_shared("set", "folder", {"training": ["a"], "validation": ["b", None]})


@pytest.mark.parametrize("fraction", [1, -0.1, float("nan")])
def test_a_share_out_of_range(fraction: float) -> None:
    with pytest.raises(UserError, match="must lie between 0 and 1"):
        Holdout(val_fraction=fraction)


@settings(deadline=None, max_examples=50)
@given(
    counts=st.lists(st.integers(6, 30), min_size=1, max_size=5),
    folds=st.integers(2, 6),
    seed=st.integers(0, 100),
    grouped=st.booleans(),
)
@example(counts=[6, 6], folds=6, seed=99, grouped=True)  # groups of very different sizes
def test_folds_part_the_images_evenly(
    counts: list[int], folds: int, seed: int, grouped: bool
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    random.Random(seed).shuffle(labels)
    keys = [f"{label}-{i % 8}" for i, label in enumerate(labels)] if grouped else None
    parts = [
        hold_out(
            [[label] for label in labels],
            Holdout(val_fraction=1 / folds, fold=f"{k}/{folds}", seed=seed),
            keys,
        )
        for k in range(1, folds + 1)
    ]
    assert sorted(i for part in parts for i in part) == list(range(len(labels)))
    if keys is not None:
        homes = [{keys[i] for i in part} for part in parts]
        assert sum(map(len, homes)) == len(set(keys))
        return
    for label, count in enumerate(counts):
        shares = [sum(labels[i] == label for i in part) for part in parts]
        assert max(shares) - min(shares) <= 1 + count // folds // 2


@pytest.mark.parametrize("fold", ["0/3", "4/3", "1/1", "x", "1", "-1/2", "1/99999"])
def test_what_is_no_fold_is_refused(fold: str) -> None:
    with pytest.raises(UserError, match="must be k/K"):
        Holdout(fold=fold)
