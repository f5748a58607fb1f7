"""COCO's figures against pycocotools: drawn scenes and real annotations, disturbed guesses."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from res2net.data.outlines import pack, to_mask
from res2net.data.scene import Objects, Scene, Scenes, no_objects
from res2net.data.scenes.generated import SHAPES, SceneRules, generate
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.source import Source
from res2net.metrics.coco import coco_scores, ground_truth, resampled, results
from res2net.metrics.detections import DetectionArrays

MARKS = {"bbox": "boxes", "segm": "masks", "keypoints": "keypoints"}


def disturbed(scene: Scene, classes: int, chance: np.random.Generator) -> DetectionArrays:
    """Objects moved, lost, doubled and misnamed, with scores; some from nowhere."""
    objects = scene.objects
    assert objects is not None
    assert scene.size is not None
    height, width = scene.size
    boxes, labels, masks, points = [], [], [], []
    for i in range(len(objects)):
        for _ in range(int(chance.integers(0, 3))):
            box = objects.boxes[i]
            side = np.tile(box[2:] - box[:2], 2)
            boxes.append(box + chance.normal(0, 0.08, 4) * side)
            wrong = chance.random() < 0.1
            labels.append(int(chance.integers(classes)) if wrong else int(objects.labels[i]))
            if objects.segments is not None:
                mask = to_mask(objects.segments[i], height, width)
                masks.append(pack(np.roll(mask, tuple(chance.integers(-6, 7, 2)), (0, 1))))
            if objects.keypoints is not None:
                noise = chance.normal(0, 4, objects.keypoints[i].shape) * (1, 1, 0)
                points.append(objects.keypoints[i] + noise)
    n = len(boxes)
    return DetectionArrays(
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        scores=chance.random(n),
        labels=np.array(labels, np.int64),
        masks=tuple(masks) if objects.segments is not None or not len(objects) else None,
        keypoints=np.array(points) if points else None,
    )


def by_pycocotools(
    scenes: list[Scene], found: list[DetectionArrays], classes: tuple[str, ...], kind: Any
) -> np.ndarray:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"info": {}, **ground_truth(scenes, classes, kind)}
        truth.createIndex()
        job = COCOeval(truth, truth.loadRes(results(found, kind)), kind)
        job.evaluate()
        job.accumulate()
        job.summarize()
    return np.asarray(job.stats)


def drawn(number: int, kind: str, chance: np.random.Generator) -> Scene:
    """Some objects are crowds; of key-points all are people, of 17 points here and there."""
    people = kind == "keypoints"
    scene = generate(number, 0, SceneRules(side=240, most=4, smallest=100 if people else 8))
    objects = scene.objects
    assert objects is not None
    n = len(objects)
    if not people:
        crowds = chance.random(n) < 0.1
        return replace(scene, objects=replace(objects, ignored=crowds, keypoints=None))
    corner, end = objects.boxes[:, None, :2], objects.boxes[:, None, 2:]
    places = corner + (end - corner) * chance.random((n, 17, 2))
    points = np.concatenate((places, chance.integers(0, 3, (n, 17, 1))), axis=2)
    objects = replace(objects, labels=np.zeros(n, np.int64), keypoints=points)
    return replace(scene, objects=objects)


@pytest.mark.parametrize("kind", ["bbox", "segm", "keypoints"])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_figure_equals_pycocotools(kind: Any, seed: int) -> None:
    chance = np.random.default_rng(seed)
    scenes = [drawn(number, kind, chance) for number in range(60)]
    check_every_figure(scenes, ("person",) if kind == "keypoints" else tuple(SHAPES), kind, seed)


@pytest.mark.parametrize("kind", ["bbox", "segm", "keypoints"])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_figure_of_real_scenes_equals_pycocotools(
    shared_data: Path, kind: Any, seed: int
) -> None:
    source = Source(format="coco", path=shared_data / "coco", guessed=False)
    data: Scenes = read_scenes(source, SceneOptions(marks=MARKS[kind]))  # type: ignore[arg-type]
    check_every_figure([*data.train, *data.val], data.classes, kind, seed)


def check_every_figure(scenes: list[Scene], classes: tuple[str, ...], kind: Any, seed: int) -> None:
    chance = np.random.default_rng(seed)
    found = [disturbed(scene, len(classes), chance) for scene in scenes]
    ours = coco_scores(scenes, found, classes, kind=kind)
    theirs = by_pycocotools(scenes, found, classes, kind)
    values = [-1.0 if v is None else v / 100 for v in ours.stats.values()]
    assert values == pytest.approx(theirs.tolist(), abs=1e-6)
    assert ours.stats["ap"] is not None
    assert 5 < ours.stats["ap"] < 95


def scene(boxes: list[list[float]]) -> Scene:
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    objects = Objects(
        boxes=corners,
        labels=np.zeros(len(boxes), np.int64),
        ignored=np.zeros(len(boxes), bool),
        areas=(corners[:, 2:] - corners[:, :2]).prod(axis=1),
    )
    return Scene(name="a.jpg", image=np.zeros((9, 9, 3), np.uint8), objects=objects, size=(9, 9))


def guess(boxes: list[list[float]]) -> DetectionArrays:
    n = len(boxes)
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return DetectionArrays(boxes=corners, scores=np.ones(n), labels=np.zeros(n, np.int64))


def test_exact_guesses_score_100_and_none_score_0() -> None:
    scenes = [scene([[0, 0, 5, 5]]), scene([])]
    assert coco_scores(scenes, [guess([[0, 0, 5, 5]]), guess([])], ["a"]).stats["ap"] == 100
    none = coco_scores(scenes, [guess([]), guess([])], ["a", "b"])
    assert none.stats["ap"] == 0
    assert none.stats["ap_large"] is None
    assert none.per_class == (0, None)
    assert none.objects == (1, 0)


def test_another_number_of_images_is_refused() -> None:
    with pytest.raises(ValueError, match="0 lists of detections for 1 images"):
        coco_scores([scene([])], [], ["a"])


def test_an_image_without_marks_is_a_negative() -> None:
    assert len(no_objects()) == 0


BIG, ONE = [0.0, 0, 80, 80], [85.0, 85, 95, 95]
PIECES = [[10.0 * i, 10.0 * j, 10.0 * i + 10, 10.0 * j + 10] for i in range(5) for j in range(5)]


def ignored(crowds: list[bool] | None) -> Scene:
    """A large object that is ignored, and a small one that is asked for."""
    corners = np.array([BIG, ONE])
    objects = Objects(
        boxes=corners,
        labels=np.zeros(2, np.int64),
        ignored=np.array([True, False]),
        areas=(corners[:, 2:] - corners[:, :2]).prod(axis=1),
        crowds=None if crowds is None else np.array(crowds),
    )
    return Scene(name="a", image=np.zeros((9, 9, 3), np.uint8), objects=objects, size=(99, 99))


@pytest.mark.parametrize(
    ("crowds", "boxes", "right"),
    [
        (None, PIECES, 100 / 26),  # 25 wrong ones before the right one, each a part of BIG
        ([True, False], PIECES, 100),  # a crowd takes all that lies in it
        (None, [BIG], 100),  # a difficult object takes one that overlaps it
        (None, [BIG, BIG], 50),  # and no second one
    ],
)
def test_a_difficult_object_is_ignored_by_plain_overlap(
    crowds: list[bool] | None, boxes: list[list[float]], right: float
) -> None:
    found = DetectionArrays(
        boxes=np.array([*boxes, ONE]),
        scores=np.array([0.9] * len(boxes) + [0.5]),
        labels=np.zeros(len(boxes) + 1, np.int64),
    )
    scenes = [ignored(crowds)]
    ours = coco_scores(scenes, [found], ["a"])
    assert ours.stats["ap50"] == pytest.approx(right)
    assert ours.objects == (1,)
    theirs = by_pycocotools(scenes, [found], ("a",), "bbox")
    assert theirs[1] == pytest.approx(right / 100)


@pytest.mark.parametrize("marks", [[], [[0.0, 0, 5, 5]]])
def test_without_an_object_that_counts_there_is_no_figure(marks: list[list[float]]) -> None:
    image = scene(marks)
    assert image.objects is not None
    image.objects.ignored[:] = True
    scores = coco_scores([image], [guess([[0, 0, 5, 5]])], ["a"])
    assert set(scores.stats.values()) == {None}
    assert scores.per_class == (None,)


@pytest.mark.parametrize("kind", ["bbox", "segm", "keypoints"])
def test_figures_of_images_drawn_with_replacement_are_those_of_the_repeated_images(
    kind: Any,
) -> None:
    chance = np.random.default_rng(3)
    scenes = [drawn(i, kind, chance) for i in range(12)]
    found = [disturbed(each, len(SHAPES), chance) for each in scenes]
    over = resampled(scenes, found, SHAPES, kind=kind)
    for chosen in (np.arange(12), chance.integers(0, 12, 12), np.array([5]), np.array([1, 1, 2])):
        stats, per_class = over(chosen)
        right = coco_scores(
            [scenes[i] for i in chosen], [found[i] for i in chosen], SHAPES, kind=kind
        )
        assert stats == right.stats
        assert per_class == right.per_class
