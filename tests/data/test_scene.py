"""Scenes in flat arrays: the same as they were, little to copy, numbered anew in one step."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from res2net.data.labelled import LabelledImages, Split
from res2net.data.outlines import pack, to_mask
from res2net.data.scene import Objects, Scene, Scenes, StoredScenes, no_objects, stored

ROOT = Path("/photos")
TRIANGLE = [[1.5, 2.25, 30.0, 2.25, 1.5, 20.01]]
TWO_PARTS = [*TRIANGLE, [40.0, 40.0, 44.0, 40.0, 44.0, 44.0, 40.0, 44.0]]
COUNTED = {"size": [48, 64], "counts": [100, 20, 48 * 64 - 120]}


def objects(count: int, *, seed: int = 0, **more: Any) -> Objects:
    rng = np.random.default_rng(seed)
    return Objects(
        boxes=rng.uniform(0, 40, (count, 4)),
        labels=rng.integers(0, 3, count),
        ignored=rng.random(count) < 0.5,
        areas=rng.uniform(1, 100, count),
        **more,
    )


SCENES = (
    Scene(name="plain", image=ROOT / "a.jpg", objects=objects(2)),
    Scene(name="nothing annotated", image=ROOT / "b.jpg", objects=no_objects(), size=(48, 64)),
    Scene(name="no objects", image=ROOT / "c.jpg", classes=ROOT / "c.png"),
    Scene(name="salient", image=ROOT / "d.jpg", salient=ROOT / "d.png", size=(1, 70000)),
    Scene(
        name="outlines é",
        image=ROOT / "e\udce9.jpg",
        objects=objects(4, segments=(TRIANGLE, COUNTED, TWO_PARTS, TRIANGLE), seed=1),
        size=(48, 64),
    ),
    Scene(
        name="crowds and points",
        image=ROOT / "f.jpg",
        objects=objects(
            3,
            seed=2,
            keypoints=np.random.default_rng(3).uniform(0, 40, (3, 5, 3)),
            crowds=np.array([True, False, True]),
        ),
    ),
    Scene(name="empty outlines", image=ROOT / "g.jpg", objects=objects(0, segments=())),
)


def same(one: Any, other: Any) -> bool:
    """Of every field, in its type."""
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and np.array_equal(one, other))
    if isinstance(one, Objects):
        return all(same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    return bool(list(one) == list(other) if isinstance(one, tuple) else one == other)


def check_same(found: Any, right: Any) -> None:
    assert len(found) == len(right)
    for one, other in zip(right, found, strict=True):
        for each in fields(Scene):
            assert same(getattr(one, each.name), getattr(other, each.name)), (one.name, each.name)


def test_stored_scenes_are_what_they_were() -> None:
    found = stored(SCENES)
    assert isinstance(found, StoredScenes)
    check_same(found, SCENES)
    check_same(found[2:5], SCENES[2:5])
    check_same(found.of(np.array([4, 0])), [SCENES[4], SCENES[0]])
    check_same(stored(found), SCENES)
    check_same(pickle.loads(pickle.dumps(found)), SCENES)
    assert found[-1].name == SCENES[-1].name
    with pytest.raises(IndexError):
        found[len(SCENES)]


@pytest.mark.parametrize("number", [0.001, -700.01, 1e12, 655.35, 21474836.48])
def test_an_outline_keeps_its_numbers_to_the_last_bit(number: float) -> None:
    outline = [[number, 2.0, 3.25, 4.0, 5.1, 6.0]]
    scene = Scene(name="a", image=ROOT / "a.jpg", objects=objects(1, segments=(outline,)))
    (found,) = stored([scene])
    assert found.objects is not None
    assert list(found.objects.segments or ()) == [outline]


def test_masks_of_pixels_and_packed_run_lengths_fill_the_same_pixels() -> None:
    pixels = np.zeros((48, 64), bool)
    pixels[10:20, 5:9] = True
    text = pack(pixels.T.reshape(48, 64))
    packed = {"size": (48, 64), "counts": text["counts"].encode()}
    scene = Scene(name="a", image=ROOT / "a.jpg", objects=objects(2, segments=(pixels, packed)))
    (found,) = stored([scene])
    assert found.objects is not None
    masks = [to_mask(each, 48, 64) for each in found.objects.segments or ()]
    assert np.array_equal(masks[0], pixels)
    assert np.array_equal(masks[1], to_mask(packed, 48, 64))


@pytest.mark.parametrize(
    "odd",
    [
        Scene(name="pixels", image=np.zeros((4, 4, 3), np.uint8)),
        Scene(name="a map of pixels", image=ROOT / "a", classes=np.zeros((4, 4), np.uint8)),
        Scene(
            name="other points", image=ROOT / "a", objects=objects(1, keypoints=np.ones((1, 4, 3)))
        ),
    ],
)
def test_scenes_that_are_drawn_or_differ_in_their_key_points_stay_as_they_are(odd: Scene) -> None:
    scenes = (*SCENES, odd)
    assert stored(scenes) is scenes


def test_an_outline_of_24_corners_takes_less_than_200_bytes() -> None:
    rng = np.random.default_rng(0)

    def outline(_: int) -> list[list[float]]:
        return [rng.uniform(0, 600, 48).round(2).tolist()]

    scenes = [
        Scene(
            name=f"{i}.jpg",
            image=ROOT / f"{i}.jpg",
            objects=objects(7, segments=tuple(map(outline, range(7)))),
        )
        for i in range(100)
    ]
    assert len(pickle.dumps(stored(scenes))) < 700 * 200


def test_classes_are_numbered_anew_in_stored_scenes() -> None:
    plain = Scenes(name="s", classes=("a", "b", "c"), train=SCENES, val=SCENES[:1])
    for data in (plain, plain.stored()):
        found = data.in_order_of(("c", "x", "a", "b"))
        assert found.classes == ("c", "x", "a", "b")
        order: npt.NDArray[np.int64] = np.array([2, 3, 0])
        right = [
            scene
            if scene.objects is None
            else replace(scene, objects=replace(scene.objects, labels=order[scene.objects.labels]))
            for scene in SCENES
        ]
        check_same(found.train, right)
        with pytest.raises(ValueError, match="^b, c$"):
            data.in_order_of(("a",))
    check_same(plain.stored().everything, (*SCENES, SCENES[0]))


def test_a_copied_network_holds_the_data_set_once() -> None:
    data = Scenes(name="s", classes=("a", "b", "c"), train=SCENES, val=SCENES[:1])
    assert copy.deepcopy([data])[0] is data
    split = Split(images=np.zeros((2, 4, 4, 3), np.uint8), labels=np.array([0, 1]))
    images = LabelledImages(name="s", classes=("a", "b"), train=split, val=split, native_size=4)
    assert copy.deepcopy([images])[0] is images


def test_a_stored_scene_may_be_changed_without_another() -> None:
    found = stored(SCENES)
    own = copy.copy(found[0])
    assert own.objects is not None
    own.objects.boxes[:] = 0
    check_same(found, SCENES)
