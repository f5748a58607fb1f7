"""What is looked at before the first step."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from res2net.data.scene import Objects, Scene, Scenes, no_objects
from res2net.data.scenes.checks import Tally, check_objects, check_sizes, shown, sound, split
from res2net.data.scenes.options import SceneOptions
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
        ([scene([])], [scene([0])], "1 training images have no usable object.* 1 have no annot"),
        ([scene([0])], [scene([1], ignored=True)], "1 validation images .* 1 objects are crowds"),
    ],
)
def test_nothing_to_learn_or_to_validate_on_is_refused(
    train: list[Scene], val: list[Scene], message: str
) -> None:
    with warnings.catch_warnings(), pytest.raises(UserError, match=message):
        warnings.simplefilter("ignore")  # a class that is absent from a part
        check_objects("pets", data(train, val), "boxes")


@pytest.mark.parametrize(
    ("turned", "stated", "message"),
    [
        (False, (20, 30), ""),
        (True, (30, 20), ""),  # as it is shown
        (False, None, ""),
        (True, (20, 30), "is 20x30 pixels .* are for 30x20 .the image is rotated by its EXIF tag"),
        (False, (30, 20), "its width and height are swapped"),
        (False, (40, 60), "p.jpg is 30x20 pixels .width x height., its annotations are for 60x40;"),
    ],
)
def test_annotations_of_another_size_are_refused(
    tmp_path: Path, turned: bool, stated: tuple[int, int] | None, message: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1  # orientation: turned by 90 degrees
    Image.new("RGB", (30, 20)).save(tmp_path / "p.jpg", exif=exif)
    part = [Scene(name="p.jpg", image=tmp_path / "p.jpg", size=stated)]
    if not message:
        check_sizes("pets", part)
        return
    with pytest.raises(UserError, match=message):
        check_sizes("pets", part)


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
        "boxes without area left out": 1,
        "boxes clipped to their image": 1,
        "boxes are less than a pixel wide or high": 1,
    }
    assert not len(sound(no_objects(), (9, 9), "a", tally))


def test_foreign_values_are_cut_short() -> None:
    bomb: list[object] = ["lol"]
    for _ in range(40):
        bomb = [bomb, bomb, bomb]
    assert len(shown(bomb)) < 100_000
    assert shown(16**9999) == "such a int"


def options(**given: Any) -> SceneOptions:
    return SceneOptions(**{"marks": "boxes", **given})


def test_every_class_is_in_both_parts() -> None:
    scenes = [scene([0])] * 90 + [scene([0, 1])] * 2 + [scene([1], ignored=True)] * 8
    for seed in range(20):
        train, val = split(Path(), scenes, options(seed=seed))
        assert len(val) in (19, 20, 21)
        assert [sum(1 in each.objects.labels and not each.objects.ignored.any() for each in part
            if each.objects) for part in (train, val)] == [1, 1]  # fmt: skip


def test_a_run_of_before_keeps_its_images() -> None:
    scenes = [Scene(name=str(i), image=np.zeros((9, 9, 3), np.uint8)) for i in range(20)]
    _, val = split(Path(), scenes, options(seed=5, split_rule="v1", val_fraction=0.2))
    assert [each.name for each in val] == ["3", "7", "9", "18"]
    assert not split(Path(), scenes, options(split_rule="v1", val_fraction=0))[1]


def test_a_rare_class_of_maps_is_in_both_parts(tmp_path: Path) -> None:
    scenes = []
    for i in range(30):
        pixels = np.zeros((8, 8), np.uint8)
        pixels[0, 0] = 3 if i in (4, 9) else 1
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        path = tmp_path / f"{i}.png"
        scenes.append(Scene(name=str(i), image=path, classes=path))
    for seed in range(10):
        _, val = split(tmp_path, scenes, options(marks="classes", seed=seed))
        assert len({"4", "9"} & {each.name for each in val}) == 1


def test_scenes_of_a_group_are_on_one_side(tmp_path: Path) -> None:
    scenes = [
        Scene(name=f"{i}", image=tmp_path / "images" / f"v{i // 4}" / f"{i}.png", objects=None)
        for i in range(40)
    ]
    for by in ("folder", r"pattern:/v(\d+)/"):
        _, val = split(tmp_path, scenes, options(group_by=by))
        assert len(val) == 8
        assert len({int(each.name) // 4 for each in val}) == 2
    with pytest.raises(UserError, match="all images are in one group"):
        split(tmp_path, scenes, options(group_by="pattern:(images)"))
    with pytest.raises(UserError, match="all 40 images do not match; the first"):
        split(tmp_path, scenes, options(group_by="pattern:(patient)"))


def test_a_part_in_shares_of_the_image_is_refused() -> None:
    shares = scene([0])
    assert shares.objects is not None
    shares.objects.boxes[:] /= 10
    with pytest.raises(UserError, match="pets, validation part: all boxes of 1 images lie within"):
        check_objects("pets", data([scene([0, 1])], [shares]), "boxes")


def test_classes_alike_are_noted() -> None:
    pair = Scenes(name="x", classes=("Cat", "cat "), train=[scene([0, 1])], val=[scene([0, 1])])
    with pytest.warns(UserWarning, match="classes that differ only in case, spaces"):
        check_objects("pets", pair, "boxes")
