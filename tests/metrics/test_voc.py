"""VOC's average precision: by hand, and against a plain reading of the devkit's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from res2net.data.scene import Objects, Scene
from res2net.data.scenes.generated import SHAPES, SceneRules, generate
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.scenes.voc import CLASSES
from res2net.data.source import Source
from res2net.metrics.detections import DetectionArrays
from res2net.metrics.voc import area_under, eleven_point, voc_scores


def marked(boxes: list[list[float]], ignored: list[bool] | None = None) -> Scene:
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    n = len(boxes)
    objects = Objects(
        boxes=corners,
        labels=np.zeros(n, np.int64),
        ignored=np.array(ignored or [False] * n, bool),
        areas=np.ones(n),
    )
    return Scene(name="a", image=np.zeros((9, 9, 3), np.uint8), objects=objects)


def guessed(boxes: list[list[float]], scores: list[float]) -> DetectionArrays:
    return DetectionArrays(
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        scores=np.array(scores),
        labels=np.zeros(len(boxes), np.int64),
    )


ONE, TWO, ELSEWHERE = [0.0, 0, 10, 10], [20.0, 0, 30, 10], [50.0, 50, 60, 60]


def test_right_wrong_right_by_hand() -> None:
    scores = voc_scores(
        [marked([ONE, TWO])], [guessed([ONE, ELSEWHERE, TWO], [0.9, 0.8, 0.7])], ["a"]
    )
    # precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: six points at 1, five at 2/3
    assert scores.eleven_points[0] == pytest.approx(100 * (6 + 5 * 2 / 3) / 11)
    assert scores.area[0] == pytest.approx(100 * (0.5 + 0.5 * 2 / 3))


def test_a_second_detection_of_one_object_is_wrong() -> None:
    scores = voc_scores([marked([ONE])], [guessed([ONE, ONE], [0.9, 0.8])], ["a"])
    assert scores.area == (100,)
    scores = voc_scores([marked([ONE, TWO])], [guessed([ONE, ONE, TWO], [0.9, 0.8, 0.7])], ["a"])
    assert scores.area[0] == pytest.approx(100 * (0.5 + 0.5 * 2 / 3))


def test_difficult_objects_count_neither_way() -> None:
    scores = voc_scores(
        [marked([ONE, TWO], [True, False])], [guessed([ONE, TWO], [0.9, 0.8])], ["a"]
    )
    assert scores.map_area == 100
    assert voc_scores([marked([ONE], [True])], [guessed([ONE], [0.9])], ["a"]).map_area is None


def test_drawn_detections_agree_with_a_plain_reading_of_the_rules() -> None:
    """Whole pixels, as in the devkit's files; objects found twice, badly, or as something else."""
    chance = np.random.default_rng(0)
    scenes, found = [], []
    for number in range(40):
        scene = generate(number, 0, SceneRules(side=240, most=5, smallest=24))
        assert scene.objects is not None
        n = len(scene.objects)
        boxes = np.rint(scene.objects.boxes)
        ignored = chance.random(n) < 0.2
        scenes.append(replace(scene, objects=replace(scene.objects, boxes=boxes, ignored=ignored)))
        again = np.concatenate((np.arange(n), chance.integers(0, n, 3)))
        labels = scene.objects.labels[again]
        wrong = chance.random(len(again)) < 0.1
        found.append(
            DetectionArrays(
                boxes=boxes[again] + np.rint(chance.normal(0, 4, (len(again), 4))),
                scores=chance.random(len(again)),
                labels=np.where(wrong, chance.integers(0, 4, len(again)), labels),
            )
        )
    check_against_the_book(scenes, found, tuple(SHAPES))


def test_real_detections_agree_with_a_plain_reading_of_the_rules(shared_data: Path) -> None:
    root = shared_data / "voc"
    source = Source(format="voc", path=root / "VOCdevkit", guessed=False)
    data = read_scenes(source, SceneOptions(marks="boxes"))
    names = (root / "detections_yolo" / "classes.txt").read_text().splitlines()
    spelt = {"airplane": "aeroplane", "motorcycle": "motorbike", "tv": "tvmonitor"}
    scenes = [*data.train, *data.val]
    found = []
    for scene in scenes:
        assert isinstance(scene.image, Path)
        file = root / "detections_yolo" / f"{scene.image.stem}.txt"
        rows = [line.split() for line in file.read_text().splitlines()] if file.is_file() else []
        labelled = []
        for row in rows:
            name = names[int(row[0])]
            name = spelt.get(name, name).replace(" ", "")
            if name in CLASSES:
                labelled.append((CLASSES.index(name), *map(float, row[1:])))
        table = np.array(labelled, np.float64).reshape(-1, 6)
        found.append(
            DetectionArrays(
                boxes=table[:, 2:] - (1, 1, 0, 0),
                scores=table[:, 1],
                labels=table[:, 0].astype(np.int64),
            )
        )
    check_against_the_book(scenes, found, CLASSES)


def check_against_the_book(
    scenes: list[Scene], found: list[DetectionArrays], classes: Sequence[str]
) -> None:
    assert sum(map(len, found)) > 100
    ours = voc_scores(scenes, found, classes)
    plain = [by_the_book(scenes, found, label) for label in range(len(classes))]
    for mine, other in zip(ours.area, plain, strict=True):
        assert (mine is None) == (other is None)
        if other is not None:
            assert mine == pytest.approx(100 * other, abs=1e-9)
    assert ours.map_area is not None
    assert ours.map_area > 40


def by_the_book(scenes: list[Scene], found: list[DetectionArrays], label: int) -> float | None:
    """The devkit's loop, one detection at a time, in its own whole pixels."""
    everything = sorted(
        (-float(s), i, j)
        for i, each in enumerate(found)
        for j, s in enumerate(each.scores)
        if each.labels[j] == label
    )
    used: set[tuple[int, int]] = set()
    tp, fp, wanted = [], [], 0
    for scene in scenes:
        assert scene.objects is not None
        wanted += int(((scene.objects.labels == label) & ~scene.objects.ignored).sum())
    if not wanted:
        return None
    for _, i, j in everything:
        objects = scenes[i].objects
        assert objects is not None
        x1, y1, x2, y2 = found[i].boxes[j] + (1, 1, 0, 0)
        best, where = -1.0, -1
        for k in range(len(objects)):
            if objects.labels[k] != label:
                continue
            a1, b1, a2, b2 = objects.boxes[k] + (1, 1, 0, 0)
            w, h = min(x2, a2) - max(x1, a1) + 1, min(y2, b2) - max(y1, b1) + 1
            if w <= 0 or h <= 0:
                continue
            union = (x2 - x1 + 1) * (y2 - y1 + 1) + (a2 - a1 + 1) * (b2 - b1 + 1) - w * h
            if w * h / union > best:
                best, where = w * h / union, k
        if best >= 0.5 and objects.ignored[where]:
            continue
        right = best >= 0.5 and (i, where) not in used
        if right:
            used.add((i, where))
        tp.append(float(right))
        fp.append(float(not right))
    hits, misses = np.cumsum(tp), np.cumsum(fp)
    precision, recall = hits / (hits + misses), hits / wanted
    area, before = 0.0, 0.0
    for k in range(len(recall)):
        area += (recall[k] - before) * precision[k:].max()
        before = recall[k]
    return area


def test_curves_of_nothing() -> None:
    none = np.zeros(0)
    assert eleven_point(none, none) == 0
    assert area_under(none, none) == 0
