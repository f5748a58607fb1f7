"""What is looked at before the first step."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from res2net.data.scene import Objects, Scene, Scenes, no_objects
from res2net.data.scenes.checks import Tally, check_objects, shown, sound
from res2net.errors import UserError


def scene(labels: list[int], *, ignored: bool = False) -> Scene:
    n = len(labels)
    objects = Objects(
        boxes=np.tile([0.0, 0, 5, 5], (n, 1)),
        labels=np.array(labels, np.int64),
        ignored=np.full(n, ignored),
        areas=np.full(n, 25.0),
    )
    return Scene(name="a", image=np.zeros((9, 9, 3), np.uint8), objects=objects)


def data(train: list[Scene], val: list[Scene]) -> Scenes:
    return Scenes(name="x", classes=("ant", "bee"), train=train, val=val)


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        ([scene([])], [scene([0])], "the 1 training images have no object .* 1 are without annot"),
        ([scene([0])], [scene([1], ignored=True)], "1 validation images .* 1 objects are crowds"),
    ],
)
def test_nothing_to_learn_or_to_validate_on_is_refused(
    train: list[Scene], val: list[Scene], message: str
) -> None:
    with warnings.catch_warnings(), pytest.raises(UserError, match=message):
        warnings.simplefilter("ignore")  # a class that is absent from a part
        check_objects("pets", data(train, val), "boxes")


def test_key_points_need_one_that_is_annotated() -> None:
    absent = scene([0, 1])
    objects = absent.objects
    assert objects is not None
    without = Objects(
        boxes=objects.boxes,
        labels=objects.labels,
        ignored=objects.ignored,
        areas=objects.areas,
        keypoints=np.zeros((2, 3, 3)),
    )
    part = [Scene(name="a", image=absent.image, objects=without)]
    with pytest.raises(UserError, match="2 objects are crowds, difficult or without key-points"):
        check_objects("pets", data(part, part), "keypoints")


def test_classes_that_do_not_occur_are_noted() -> None:
    with (
        pytest.warns(UserWarning, match="1 of 2 classes have no object in the training .*: bee"),
        pytest.warns(UserWarning, match="1 of 2 classes have no object in the validation .*: ant"),
    ):
        check_objects("pets", data([scene([0, 0])], [scene([1])]), "boxes")
    check_objects("pets", data([scene([0, 1])], [scene([1, 0])]), "boxes")


def test_no_arithmetic_of_huge_numbers_is_heard() -> None:
    tally = Tally()
    objects = Objects(
        boxes=np.array([[-1e308, 0, 1e308, 5], [0, 0, 1e-9, 5], [0, 0, 0.5, 5]]),
        labels=np.zeros(3, np.int64),
        ignored=np.zeros(3, bool),
        areas=np.zeros(3),
    )
    assert sound(objects, (9, 9), "a", tally).boxes.tolist() == [[0, 0, 9, 5], [0, 0, 0.5, 5]]
    assert {fault: number for fault, (number, _) in tally.faults.items()} == {
        "boxes left out that have no area": 1,
        "boxes cut that reach beyond their image": 1,
        "boxes are less than a pixel wide or high": 1,
    }
    assert not len(sound(no_objects(), (9, 9), "a", tally))


def test_foreign_values_are_cut_short() -> None:
    bomb: list[object] = ["lol"]
    for _ in range(40):
        bomb = [bomb, bomb, bomb]
    assert len(shown(bomb)) < 100_000
    assert shown(16**9999) == "such a int"
