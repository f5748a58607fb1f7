"""COCO's JSON as other tools write it: read right, or told in one line."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from res2net.data.scene import COCO_PERSON
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.transforms import as_it_is
from res2net.data.source import parse_source
from res2net.errors import UserError

Reads = Made = Callable[..., Any]
CAT: dict[str, Any] = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 30], "iscrowd": 0}
DOG = {**CAT, "category_id": 2, "bbox": [60, 20, 40, 40]}
OUTLINE = [[10, 10, 40, 10, 40, 40, 10, 40]]


@pytest.fixture
def root(tmp_path: Path, draw: Made) -> Path:
    """A folder with an image for each part."""
    for part in ("train", "val"):
        draw(tmp_path / part / "a.png")
    return tmp_path


@pytest.fixture
def both(coco_file: Made) -> Made:
    """``both(root, annotations, kind, ...)``: the same file for each part."""

    def write(root: Path, rows: list[Any], kind: str = "instances", **how: Any) -> None:
        for part in ("train", "val"):
            coco_file(root / "annotations" / f"{kind}_{part}.json", rows, **how)

    return write


def test_parts_that_number_their_classes_differently_are_read_by_name(
    root: Path, reads: Reads, both: Made, boxes: Made, coco_file: Made
) -> None:
    both(root, [CAT, DOG], names={1: "cat", 2: "dog"})
    swapped = [{**CAT, "category_id": 2}, {**DOG, "category_id": 1}]
    coco_file(root / "annotations/instances_val.json", swapped, names={1: "dog", 2: "cat"})
    with pytest.warns(UserWarning, match="number their categories differently: matched by name"):
        data = reads("coco", root)
    assert data.classes == ("cat", "dog")
    right = [[(0, [10, 10, 40, 40]), (1, [60, 20, 100, 60])]]
    assert boxes(data.train) == boxes(data.val) == right


def test_a_class_of_one_part_alone_keeps_the_order_of_ids(
    root: Path, reads: Reads, both: Made, coco_file: Made
) -> None:
    both(root, [CAT], names={3: "bee", 1: "cat"})
    coco_file(root / "annotations/instances_val.json", [CAT], names={2: "ant", 1: "cat"})
    assert reads("coco", root).classes == ("cat", "ant", "bee")


def test_classes_of_one_name_are_one_class(root: Path, reads: Reads, both: Made) -> None:
    both(root, [CAT, DOG], names={1: "hand", 2: "hand"})
    with pytest.warns(UserWarning, match="2 categories with the name of another"):
        data = reads("coco", root)
    assert data.classes == ("hand",)
    assert data.train[0].objects is not None
    assert data.train[0].objects.labels.tolist() == [0, 0]


@pytest.mark.parametrize("ids", [("c1", "c2"), ("7", 8), (1.0, 2), (10, 9)])
def test_ids_of_any_type_are_read(
    root: Path, reads: Reads, ids: tuple[Any, Any], both: Made, boxes: Made
) -> None:
    rows = [{**CAT, "category_id": ids[0]}, {**DOG, "category_id": ids[1]}]
    both(root, rows, names=dict(zip(ids, ("cat", "dog"), strict=True)))
    data = reads("coco", root)
    found = {data.classes[label]: box for label, box in boxes(data.train)[0]}
    assert found == {"cat": [10, 10, 40, 40], "dog": [60, 20, 100, 60]}


@pytest.mark.parametrize("where", ["images", "categories"])
def test_an_id_that_is_used_twice_is_told(root: Path, reads: Reads, where: str, both: Made) -> None:
    both(root, [CAT])
    file = root / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    content[where] *= 2
    content[where][1] = {**content[where][0], "file_name": "b.png", "name": "dog"}
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"train\.json: 1 ids of its {where} are used .* first: 1"):
        reads("coco", root)


def test_a_box_that_is_not_stated_is_that_of_the_outline(
    root: Path, reads: Reads, both: Made, boxes: Made
) -> None:
    lengths = {"size": [96, 128], "counts": [96 * 10 + 20, 30, 96 * 117 + 46]}
    rows = [
        {"image_id": 1, "category_id": 1, "segmentation": OUTLINE},
        {
            "image_id": 1,
            "category_id": 1,
            "segmentation": [v + 1 for v in OUTLINE[0]],
        },  # no outer list
        {"image_id": 1, "category_id": 1, "segmentation": lengths, "bbox": []},
    ]
    both(root, rows)
    right = [(0, [10, 10, 40, 40]), (0, [11, 11, 41, 41]), (0, [10, 20, 11, 50])]
    assert boxes(reads("coco", root).val) == [right]


@pytest.mark.filterwarnings("ignore:.*outline parts that are not polygons left out")
@pytest.mark.parametrize(
    "outline",
    [
        OUTLINE[0],
        [OUTLINE],
        [*zip(*[iter(OUTLINE[0])] * 2, strict=True)],
        [[*OUTLINE[0], 10**400], *OUTLINE, [], ["x"], [True] * 6],
    ],
)
def test_an_outline_in_another_notation_is_the_same(
    root: Path, reads: Reads, both: Made, outline: object
) -> None:
    both(root, [{**CAT, "segmentation": outline}])
    (objects,) = [scene.objects for scene in reads("coco", root, "masks").val]
    assert [[*map(list, parts)] for parts in objects.segments] == [OUTLINE]


def test_a_degenerate_part_of_an_outline_goes_and_the_object_stays(
    root: Path, reads: Reads, both: Made
) -> None:
    far = [[1e9, 0, 0, 1e9, 5, 5]]
    both(root, [{**CAT, "segmentation": [*OUTLINE, [5, 5, 20, 20]]}, {**CAT, "segmentation": far}])
    with (
        pytest.warns(UserWarning, match="2 masks without a valid polygon left out"),
        pytest.warns(UserWarning, match="2 outline parts that are not polygons left out"),
    ):
        data = reads("coco", root, "masks")
    _, marks, _ = SceneDataset(data.train, "masks", 1, as_it_is)[0]
    assert marks["masks"].sum(dim=(1, 2)).tolist() == [900]


def test_back_slashes_and_folders_that_are_not_there(
    tmp_path: Path, reads: Reads, coco_file: Made, draw: Made
) -> None:
    for name in ("a", "b", "c", "d"):
        draw(tmp_path / "images" / f"{name}.png")
    names = {1: "images\\a.png", 2: "C:\\me\\images\\b.png", 3: "/data/upload/c.png", 4: "./d.png"}
    rows = [{**CAT, "image_id": number} for number in names]
    coco_file(tmp_path / "result.json", rows, files=names)
    assert parse_source(str(tmp_path)).format == "coco"
    data = reads("coco", tmp_path)
    assert sorted(each.name for each in (*data.train, *data.val)) == [f"{n}.png" for n in "abcd"]


def test_two_files_of_one_name_are_not_taken_for_each_other(
    tmp_path: Path, reads: Reads, coco_file: Made, draw: Made
) -> None:
    for folder in ("x", "y"):
        draw(tmp_path / folder / "a.png")
    draw(tmp_path / "images" / "a.png")
    rows = [{**CAT, "image_id": number} for number in (1, 2)]
    coco_file(tmp_path / "all.json", rows, files={1: "x/a.png", 2: "y/a.png"})
    data = reads("coco", tmp_path)
    assert {each.image for each in (*data.train, *data.val)} == {
        tmp_path / "x" / "a.png", tmp_path / "y" / "a.png"
    }  # fmt: skip


def test_one_file_is_split_by_the_fraction_and_may_be_the_path(
    tmp_path: Path, reads: Reads, coco_file: Made, draw: Made
) -> None:
    names = {number: f"{number}.png" for number in range(10)}
    for name in names.values():
        draw(tmp_path / "images" / name)
    rows = [{**CAT, "image_id": number} for number in names]
    file = tmp_path / "annotations" / "instances_default.json"
    coco_file(file, rows, files=names)
    one = reads("coco", tmp_path, val_fraction=0.3)
    assert (len(one.train), len(one.val)) == (7, 3)
    assert parse_source(str(file)).format == "coco"
    file.rename(tmp_path / "images" / "all.json")
    two = reads("coco", tmp_path / "images" / "all.json", val_fraction=0.3)
    assert [each.name for each in two.val] == [each.name for each in one.val]
    assert [each.name for each in reads("coco", tmp_path / "images/all.json", seed=1).val] != [
        each.name for each in two.val
    ]


def test_a_validation_part_alone_is_for_evaluation(
    root: Path, reads: Reads, coco_file: Made
) -> None:
    coco_file(root / "annotations" / "instances_val.json", [CAT])
    data = reads("coco", root)
    assert (len(data.train), len(data.val)) == (0, 1)


def test_a_test_part_is_the_third(root: Path, reads: Reads, coco_file: Made, draw: Made) -> None:
    for name in ("b", "c"):
        draw(root / "train" / f"{name}.png")
    draw(root / "test" / "a.png")
    files = {1: "a.png", 2: "b.png", 3: "c.png"}
    coco_file(root / "annotations" / "instances_train.json", [CAT], files=files)
    coco_file(root / "annotations" / "instances_test.json", [CAT])
    data = reads("coco", root)
    assert (len(data.train), len(data.val), len(data.test)) == (2, 1, 1)
    assert data.validation == "train"


def test_a_file_of_trainval_is_neither_part(
    root: Path, reads: Reads, coco_file: Made, draw: Made
) -> None:
    names = {number: f"{number}.png" for number in range(5)}
    for name in names.values():
        draw(root / "images" / name)
    coco_file(root / "annotations" / "instances_trainval.json", [], files=names)
    data = reads("coco", root)
    assert (len(data.train), len(data.val)) == (4, 1)


def test_files_beyond_one_a_part_are_told(
    root: Path, reads: Reads, both: Made, coco_file: Made
) -> None:
    both(root, [CAT])
    coco_file(root / "annotations" / "instances_train2.json", [])
    with pytest.warns(
        UserWarning,
        match="1 files repeat images of the train part and are left out; .*train2",
    ):
        reads("coco", root)


def test_parts_that_are_not_named_are_asked_for(root: Path, reads: Reads, coco_file: Made) -> None:
    for name in ("a", "b"):
        coco_file(root / f"{name}.json", [CAT])
    with pytest.raises(UserError, match=r"no file name contains train or val \(a.json, b.json\)"):
        reads("coco", root)


@pytest.mark.parametrize(("value", "crowd"), [("0", False), ("1", True), (None, False), (1, True)])
def test_crowds_are_read_as_they_are_written(
    root: Path, reads: Reads, value: Any, crowd: bool, both: Made
) -> None:
    both(root, [{**CAT, "iscrowd": value}])
    objects = reads("coco", root).train[0].objects
    assert objects is not None
    assert objects.crowds is not None
    assert objects.crowds.tolist() == objects.ignored.tolist() == [crowd]


@pytest.mark.parametrize(
    ("attributes", "box"),
    [
        ({"rotation": 90.0}, [15, 5, 35, 45]),
        ({"rotation": "270"}, [15, 5, 35, 45]),
        (
            {"rotation": 45},
            [25 - 15 * 2**0.5, 25 - 15 * 2**0.5, 25 + 15 * 2**0.5, 25 + 15 * 2**0.5],
        ),
        ({"rotation": 0.0, "occluded": False}, [5, 15, 45, 35]),
        ({"rotation": None}, [5, 15, 45, 35]),
        ({"rotation": 1e999}, [5, 15, 45, 35]),
        ([], [5, 15, 45, 35]),
    ],
)
def test_rectangles_that_cvat_rotates(
    root: Path, reads: Reads, boxes: Made, both: Made, attributes: Any, box: list[float]
) -> None:
    both(root, [{**CAT, "bbox": [5, 15, 40, 20], "attributes": attributes}])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert boxes(reads("coco", root).train) == [[(0, [round(each, 3) for each in box])]]
    assert len(told) == (box[0] != 5)
    assert all("2 boxes are rotated" in str(each.message) for each in told)


def test_a_split_in_the_rows_of_images_is_noted(root: Path, reads: Reads, coco_file: Made) -> None:
    file = root / "dataset.json"
    coco_file(file, [CAT], files={1: "train/a.png", 2: "val/a.png"})
    content = json.loads(file.read_text())
    for image, split in zip(content["images"], ("train", "val"), strict=True):
        image["split"] = split
    content["images"][0]["split"] = "Train"
    file.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="2 images state a split, which is not read"):
        reads("coco", file)


def test_objects_to_ignore_do_not_count(root: Path, reads: Reads, both: Made) -> None:
    both(root, [{**CAT, "ignore": 1}, {**CAT, "bbox": [1, 1, 9, 9], "ignore": 0, "iscrowd": 1}])
    with pytest.warns(UserWarning, match='2 objects with "ignore": 1 are neither learned nor'):
        objects = reads("coco", root).train[0].objects
    assert objects is not None
    assert objects.crowds is not None
    assert (objects.ignored.tolist(), objects.crowds.tolist()) == ([True, True], [False, True])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**CAT, "ignore": 2}, "ignore must be 0 or 1"),
        ({**CAT, "iscrowd": [1]}, "iscrowd must be 0 or 1"),
        ({**CAT, "iscrowd": 2}, "iscrowd must be 0 or 1"),
        ({**CAT, "category_id": None}, "category None is not in the list"),
        ({**CAT, "category_id": float("nan")}, "category nan is not in the list"),
        ({**CAT, "image_id": [1]}, "an id must be a number or a name"),
        ({**CAT, "bbox": [1, 2, "three", 4]}, "a bbox must be four numbers"),
        ({**CAT, "bbox": {"x": 1}}, "a bbox must be four numbers"),
    ],
)
def test_wrong_types_are_told(root: Path, reads: Reads, row: Any, message: str, both: Made) -> None:
    both(root, [row])
    with pytest.raises(UserError, match=message):
        reads("coco", root)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "{", '{"images": 1, "annotations": [], "categories": []}', "[]", "1" * 5000],
)
def test_what_is_not_cocos_form_is_told(root: Path, text: str, told: Made) -> None:
    (root / "train.json").write_text(text)
    assert "train.json" in str(told("coco", root))


def test_a_pipe_is_not_waited_for(root: Path, told: Made) -> None:
    os.mkfifo(root / "train.json")
    assert "train.json" in told("coco", root)


@pytest.mark.parametrize("end", [0.6, 1.004])  # some tools exceed 1 by rounding
def test_boxes_in_shares_of_the_image_are_refused(
    root: Path, reads: Reads, both: Made, end: float
) -> None:
    both(root, [{**CAT, "bbox": [0.1, 0.1, end - 0.1, 0.5]}])
    with (
        pytest.warns(UserWarning, match="2 boxes are less than a pixel wide or high"),
        pytest.raises(
            UserError, match=rf"all boxes of 2 images lie within 0..{end}, .* uses pixels"
        ),
    ):
        reads("coco", root)


ANIMAL = ("L_Eye", "R_Eye", "Nose", "L_F_Paw", "R_F_Paw")


def points(count: int) -> list[float]:
    return [value for k in range(count) for value in (12 + k, 12, 2)]


def test_key_points_of_the_file_with_their_spreads(root: Path, reads: Reads, both: Made) -> None:
    rows = [{**CAT, "keypoints": points(5)}]
    how: dict[str, Any] = {"keypoints": list(ANIMAL), "skeleton": [[1, 3], [2, 3]]}
    both(root, rows, "person_keypoints", sigmas=[0.1, 0.1, 0.2, 0.3, 0.3], **how)
    skeleton = reads("coco", root, "keypoints").skeleton
    assert skeleton is not None
    assert skeleton.names == ANIMAL
    assert skeleton.mirrored() == [1, 0, 2, 4, 3]
    assert skeleton.sigmas == (0.1, 0.1, 0.2, 0.3, 0.3)
    assert skeleton.bones == ((0, 2), (1, 2))


def test_seventeen_points_are_a_person_by_their_names_alone(
    root: Path, reads: Reads, both: Made
) -> None:
    rows = [{**CAT, "keypoints": points(17)}]
    both(root, rows, "person_keypoints", keypoints=list(COCO_PERSON.names))
    assert reads("coco", root, "keypoints").skeleton == COCO_PERSON
    names = [name.replace("_", " ").title() for name in COCO_PERSON.names]
    both(root, rows, "person_keypoints", keypoints=names)
    person = reads("coco", root, "keypoints").skeleton
    assert person is not None
    assert (person.names[1], person.sigmas) == ("Left Eye", COCO_PERSON.sigmas)
    both(root, rows, "person_keypoints", keypoints=[f"{name}_paw" for name in COCO_PERSON.names])
    with pytest.warns(UserWarning, match=r"17 key-points without a spread .* OKS uses 0\.05"):
        animal = reads("coco", root, "keypoints").skeleton
    assert animal is not None
    assert animal.sigmas == (0.05,) * 17


def test_key_points_without_names_are_numbered(root: Path, reads: Reads, both: Made) -> None:
    both(root, [{**CAT, "keypoints": points(3)}, {**CAT, "keypoints": []}], "person_keypoints")
    with (
        pytest.warns(UserWarning, match="3 key-points without left and right: no horizontal flips"),
        pytest.warns(UserWarning, match="3 key-points without a spread"),
    ):
        data = reads("coco", root, "keypoints")
    assert data.skeleton is not None
    assert data.skeleton.names == ("point 1", "point 2", "point 3")
    assert data.train[0].objects is not None
    assert data.train[0].objects.learnable().tolist() == [True, False]


def test_another_number_of_key_points_than_names_is_told(
    root: Path, reads: Reads, both: Made
) -> None:
    both(root, [{**CAT, "keypoints": points(4)}], "person_keypoints", keypoints=["a", "b", "c"])
    with pytest.raises(UserError, match=r"a\.png: .* 12 numbers .*; .* 3 key-points"):
        reads("coco", root, "keypoints")


NOISE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**400, -1, 1e308, "1", "", "a.png", "\ud800", "\x00", "x" * 5000]),
    lambda x: st.lists(x, max_size=7) | st.dictionaries(st.text(max_size=3), x, max_size=2),
    max_leaves=8,
)  # fmt: skip
FIELDS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation",
                    "keypoints"),
    "categories": ("id", "name", "keypoints", "skeleton", "sigmas"),
}  # fmt: skip


@pytest.mark.parametrize("marks", ["boxes", "masks", "keypoints"])
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_content_is_read_or_told(root: Path, marks: str, data: Any, told: Made) -> None:
    row = {**CAT, "segmentation": OUTLINE, "keypoints": points(2)}
    category = {"id": 1, "name": "cat", "keypoints": ["l_x", "r_x"]}
    content: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.png", "height": 96, "width": 128}],
        "annotations": [row, {**row}],
        "categories": [category, {**category, "id": 2, "name": "dog"}],
    }
    for _ in range(data.draw(st.integers(1, 3))):
        part = data.draw(st.sampled_from(list(FIELDS)))
        if (
            not (isinstance(content[part], list) and content[part])
            or data.draw(st.integers(0, 9)) == 0
        ):
            content[part] = data.draw(NOISE)
            continue
        each = data.draw(st.sampled_from(content[part]))
        if not isinstance(each, dict):
            continue
        each[data.draw(st.sampled_from(FIELDS[part]))] = data.draw(NOISE)
    file = root / "all.json"
    file.write_text(json.dumps(content))
    found = told("coco", file, marks)
    if not isinstance(found, str):
        for scene in (*found.train, *found.val):
            assert scene.objects is not None
            assert np.isfinite(scene.objects.boxes).all()


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("{}/labels.json", "{}/data"),  # FiftyOne
        ("{}/annotations.json", "{}/images"),
        ("{}/annotations/instances.json", "{}/images"),
        ("Annotations/instances_{}.JSON", "Images/{}"),
        ("labels/{}.json", "images/{}"),
        ("pets/annotations/instances_{}.json", "pets/images/{}"),
    ],
)
def test_layouts_of_other_tools(
    tmp_path: Path, reads: Reads, coco_file: Made, draw: Made, file: str, folder: str
) -> None:
    for part in ("train", "val"):
        coco_file(tmp_path / file.format(part), [CAT], files={1: f"{part}.png"})
        draw(tmp_path / folder.format(part) / f"{part}.png")
    data = reads("coco", tmp_path)
    assert [scene.name for scene in (*data.train, *data.val)] == ["train.png", "val.png"]
    assert parse_source(str(tmp_path), "boxes").format == "coco"


def test_files_of_a_part_with_different_images_are_read_together(
    tmp_path: Path, reads: Reads, coco_file: Made, draw: Made
) -> None:
    for name in ("train_1", "train_2", "val"):
        coco_file(tmp_path / "annotations" / f"{name}.json", [CAT], files={1: f"{name}.png"})
        draw(tmp_path / "images" / f"{name}.png")
    data = reads("coco", tmp_path)
    assert [scene.name for scene in data.train] == ["train_1.png", "train_2.png"]


def test_boxes_that_are_two_corners_are_refused(
    tmp_path: Path, told: Made, coco_file: Made, draw: Made
) -> None:
    draw(tmp_path / "a.png")
    rows = [{**CAT, "bbox": box} for box in ([70, 50, 90, 80], [60, 40, 120, 90])]
    coco_file(tmp_path / "a.json", rows)
    assert "its boxes look like left, top, right, bottom" in told("coco", tmp_path)


def test_a_group_of_categories_without_objects_is_no_class(
    tmp_path: Path, reads: Reads, draw: Made
) -> None:
    draw(tmp_path / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [CAT],
        "categories": [
            {"id": 0, "name": "pets", "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": "pets"},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="supercategories without objects.*pets"):
        assert reads("coco", tmp_path, val_fraction=0).classes == ("cat",)


def test_images_of_lvis_are_named_by_their_address(root: Path, reads: Reads, draw: Made) -> None:
    for part in ("train", "val"):  # its validation images are among COCO's training images
        draw(root / "train2017" / f"{part}.png")
        image = {"id": 1, "coco_url": f"http://images.cocodataset.org/train2017/{part}.png"}
        content = {"images": [image], "annotations": [{"image_id": 1, **CAT}]}
        content["categories"] = [{"id": 1, "name": "cat"}]
        (root / f"lvis_v1_{part}.json").write_text(json.dumps(content))
    found = reads("coco", root)
    folder = root / "train2017"
    assert [scene.image for scene in (*found.train, *found.val)] == [
        *(folder / "train.png", folder / "val.png")
    ]


def test_two_corners_are_refused_where_a_few_boxes_leave_their_image(
    tmp_path: Path, told: Made, coco_file: Made, draw: Made
) -> None:
    draw(tmp_path / "a.png")
    rows = [{**CAT, "bbox": [60 + i, 50, 100, 80]} for i in range(19)]
    coco_file(tmp_path / "a.json", [*rows, {**CAT, "bbox": [-5, 50, 100, 80]}])
    assert "its boxes look like left, top, right, bottom" in told("coco", tmp_path)
