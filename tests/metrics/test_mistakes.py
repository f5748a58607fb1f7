"""Precision, recall, confusions and kinds of errors: by hand, and beside COCO's AP50."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from res2net.data.scene import Objects, Scene
from res2net.data.scenes.generated import SHAPES, SceneRules, generate
from res2net.metrics.coco import coco_scores
from res2net.metrics.detections import DetectionArrays
from res2net.metrics.mistakes import KINDS, Mistakes, mistakes

CAT, DOG = 0, 1
Box = tuple[float, float, float, float]


def scene(*objects: tuple[int, Box], ignored: tuple[int, ...] = ()) -> Scene:
    boxes = np.array([box for _, box in objects], np.float64).reshape(-1, 4)
    marks = np.isin(np.arange(len(objects)), ignored)
    return Scene(
        name="x",
        image=np.zeros((100, 100, 3), np.uint8),
        size=(100, 100),
        objects=Objects(
            boxes=boxes,
            labels=np.array([label for label, _ in objects], np.int64),
            ignored=marks,
            areas=(boxes[:, 2:] - boxes[:, :2]).prod(1),
            crowds=marks,
        ),
    )


def found(*rows: tuple[int, float, Box]) -> DetectionArrays:
    return DetectionArrays(
        boxes=np.array([box for *_, box in rows], np.float64).reshape(-1, 4),
        scores=np.array([score for _, score, _ in rows]),
        labels=np.array([label for label, *_ in rows], np.int64),
    )


A: Box = (0, 0, 10, 10)
B: Box = (50, 0, 60, 10)
C: Box = (0, 50, 10, 60)
D: Box = (50, 50, 60, 60)
HALF_A: Box = (0, 0, 10, 4)  # IoU 0.4
HALF_B: Box = (50, 0, 60, 4)
NOWHERE: Box = (80, 80, 90, 90)


def example() -> Mistakes:
    """An error of each kind."""
    scenes = [scene((CAT, A), (DOG, B), (CAT, C), (DOG, D)), scene((CAT, A))]
    guesses = [
        found(
            (CAT, 0.9, A),  # found
            (CAT, 0.8, A),  # double
            (CAT, 0.7, B),  # the dog: class
            (DOG, 0.6, HALF_A),  # both
            (CAT, 0.5, (0, 50, 10, 54)),  # localisation of C
            (DOG, 0.4, NOWHERE),  # background
        ),
        found(),
    ]
    return mistakes(scenes, guesses, ("cat", "dog"))


def test_an_error_of_each_kind_is_counted_once() -> None:
    ours = example()
    assert ours.counts(0.0) == {
        "double": 1,
        "class": 1,
        "localisation": 1,
        "both": 1,
        "background": 1,
        "missed": 2,  # dog D, and the cat of the second image; B and C are aimed at
    }
    assert ours.counts(0.65) == {
        "double": 1,
        "class": 1,
        "localisation": 0,
        "both": 0,
        "background": 0,
        "missed": 3,
    }
    assert tuple(ours.counts(0)) == tuple(KINDS)


def test_the_confusion_matrix_has_the_background() -> None:
    ours = example()
    # rows cat, dog, background are the truth; columns the prediction
    assert ours.confusion(0.0).tolist() == [[1, 0, 2], [1, 0, 1], [2, 2, 0]]
    assert ours.confusion(0.85).tolist() == [[1, 0, 2], [0, 0, 2], [0, 0, 0]]
    assert ours.confusion(0.95).tolist() == [[0, 0, 3], [0, 0, 2], [0, 0, 0]]


def test_curves_and_best_score_of_a_class() -> None:
    scenes = [scene((CAT, A), (CAT, B), (CAT, C), (CAT, D))]
    rows = (CAT, 0.9, A), (CAT, 0.8, NOWHERE), (CAT, 0.8, B), (CAT, 0.6, C), (CAT, 0.3, NOWHERE)
    ours = mistakes(scenes, [found(*rows)], ("cat", "dog"))
    scores, precision, recall = ours.curve(CAT)
    assert scores.tolist() == [0.9, 0.8, 0.6, 0.3]  # equal scores are one step
    assert precision.tolist() == pytest.approx([1, 2 / 3, 3 / 4, 3 / 5])
    assert recall.tolist() == [0.25, 0.5, 0.75, 0.75]
    best = ours.best(CAT)
    assert best == pytest.approx((0.6, 0.75, 0.75, 0.75))
    assert ours.best(DOG) is None
    assert ours.threshold == (0.6, pytest.approx(0.75))


def test_what_takes_an_ignored_object_is_no_error() -> None:
    scenes = [scene((CAT, A), (CAT, (40, 40, 80, 80)), ignored=(1,))]
    inside = (CAT, 0.9, (40.0, 40.0, 60.0, 60.0))  # a crowd is taken any number of times
    ours = mistakes(scenes, [found(inside, inside, (CAT, 0.5, A))], ("cat",))
    assert len(ours.labels) == 1
    assert ours.confusion(0).tolist() == [[1, 0], [0, 0]]
    assert sum(ours.counts(0).values()) == 0


@pytest.mark.parametrize("guesses", [[], [found()], [found((CAT, 0.5, A))]])
def test_nothing_annotated_or_found(guesses: list[DetectionArrays]) -> None:
    ours = mistakes([scene()][: len(guesses)], guesses, ("cat",))
    assert ours.threshold == (0.0, 0.0)
    assert ours.counts(0)["background"] == sum(map(len, guesses))


def ap50(ours: Mistakes) -> float:
    """COCO's average over 101 recalls, of what was matched."""
    each = []
    for label in np.flatnonzero(ours.objects):
        hits = np.cumsum(ours.matched[ours.labels == label] >= 0)
        precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
        at = np.searchsorted(hits / ours.objects[label], np.linspace(0, 1, 101))
        each.append(np.append(precision, 0.0)[at].mean())
    return 100 * float(np.mean(each))


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_same_matches_as_coco(kind: Any) -> None:
    """Moved, doubled, misnamed, some on crowds and difficult objects: AP50 is COCO's."""
    from res2net.data.outlines import pack, to_mask

    chance = np.random.default_rng(3)
    scenes, guesses = [], []
    for number in range(40):
        each = generate(number, 0, SceneRules(side=200, most=5, smallest=10))
        objects = each.objects
        assert objects is not None
        assert objects.segments is not None
        n = len(objects)
        ignored = chance.random(n) < 0.2
        crowds = ignored & (chance.random(n) < 0.5)
        objects = replace(objects, ignored=ignored, crowds=crowds, keypoints=None)
        scenes.append(replace(each, objects=objects))
        index = chance.integers(0, max(n, 1), 2 * n)
        shift = chance.integers(-9, 10, (2 * n, 2))
        masks = [np.roll(to_mask(objects.segments[i], 200, 200), tuple(s[::-1]), (0, 1))
                 for i, s in zip(index, shift, strict=True)]  # fmt: skip
        wrong = chance.random(2 * n) < 0.2
        labels = np.where(wrong, chance.integers(0, len(SHAPES), 2 * n), objects.labels[index])
        guesses.append(
            DetectionArrays(
                boxes=objects.boxes[index] + np.tile(shift, 2),
                scores=chance.random(2 * n).round(1),  # many are equal
                labels=labels,
                masks=tuple(map(pack, masks)),
            )
        )
    ours = mistakes(scenes, guesses, tuple(SHAPES), kind=kind)
    theirs = coco_scores(scenes, guesses, tuple(SHAPES), kind=kind)
    assert ap50(ours) == pytest.approx(theirs.stats["ap50"], abs=1e-9)
    assert tuple(ours.objects.tolist()) == theirs.objects
    assert 5 < ap50(ours) < 95
    assert ours.counts(0)["class"] > 0
