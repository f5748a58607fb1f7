"""Annotations on an image: a colour for each class, or for each masked object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from res2net.data.pictures import annotated, draw_objects
from res2net.data.scene import COCO_PERSON, Objects, Scene, Scenes
from res2net.drawing.marks import SIDES, colour_of

GREY = np.full((80, 120, 3), 128, np.uint8)
BOXES = np.array([[10, 20, 50, 70], [50, 20, 90, 70]], np.float64)


def objects(**more: Any) -> Objects:
    """Two neighbours of class 1."""
    labels = np.array([1, 1])
    return Objects(
        boxes=BOXES, labels=labels, ignored=np.zeros(2, bool), areas=np.full(2, 2000.0), **more
    )


def masks() -> list[np.ndarray]:
    found = np.zeros((2, 80, 120), bool)
    found[0, 20:70, 10:50], found[1, 20:70, 50:90] = True, True
    return list(found)


def test_boxes_have_the_colour_of_their_class() -> None:
    drawn = draw_objects(GREY, objects(), ("cat", "dog"))
    assert tuple(drawn[69, 30]) == tuple(drawn[69, 70]) == colour_of(1)
    assert (drawn[45, 30] == 128).all()


def test_masked_objects_have_a_colour_each() -> None:
    drawn = draw_objects(GREY, objects(segments=masks()), ("cat", "dog"))
    assert tuple(drawn[69, 30]) == tuple(drawn[45, 49]) == colour_of(0)
    assert tuple(drawn[69, 70]) == tuple(drawn[45, 50]) == colour_of(1)
    inner = [drawn[45, x].astype(int) for x in (30, 70)]
    for number, found in enumerate(inner):
        assert found == pytest.approx(0.6 * 128 + 0.4 * np.array(colour_of(number)), abs=1)


def test_every_class_of_a_map_has_its_colour() -> None:
    values = np.zeros((80, 120), np.uint8)
    values[:, 60:] = 1
    for classes, colours in (
        (("sky", "road"), (colour_of(0), colour_of(1))),
        (("background", "road"), (None, colour_of(0))),
    ):
        scene = Scene(name="a", image=GREY, classes=values)
        found = Scenes(name="s", classes=classes, train=(scene,), val=())
        drawn = annotated(GREY, scene, found, "classes")
        for place, colour in zip((50, 110), colours, strict=True):
            wanted = (128,) * 3 if colour is None else tuple((128 + v) // 2 for v in colour)
            assert tuple(drawn[75, place]) == wanted


def test_left_and_right_of_a_skeleton_differ() -> None:
    points = np.zeros((2, 17, 3))
    points[0, 5], points[0, 7] = (20, 25, 2), (20, 60, 2)  # left shoulder, left elbow
    points[0, 6], points[0, 8] = (40, 25, 2), (40, 60, 2)
    scene = Scene(name="a", image=GREY, objects=objects(keypoints=points))
    found = Scenes(name="s", classes=("cat", "dog"), train=(scene,), val=(), skeleton=COCO_PERSON)
    drawn = annotated(GREY, scene, found, "keypoints")
    assert tuple(drawn[45, 20]) == SIDES["left"]
    assert tuple(drawn[45, 40]) == SIDES["right"]
    plain = annotated(GREY, scene, replace(found, skeleton=None), "keypoints")
    assert tuple(plain[45, 20]) == (128,) * 3, "no bones are known"
