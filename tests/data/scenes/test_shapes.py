"""Shapes of annotation tools: the right objects, or a line that says why not."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from res2net.data.outlines import to_mask
from res2net.data.scenes.shapes import box, ellipse
from res2net.data.source import parse_source
from res2net.errors import UserError

Reads = Made = Callable[..., Any]
CAT = [[10, 12], [30, 40]]
SQUARE = [[10, 10], [20, 10], [20, 20], [10, 20]]


def _labelme(path: Path, *shapes: dict[str, Any], image: str = "a.png", **more: Any) -> None:
    rows = [{"label": "cat", "group_id": None, "shape_type": "rectangle"} | each for each in shapes]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": "5", "shapes": rows, "imagePath": image, "imageData": None, **more}
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ({"points": CAT}, [10, 12, 30, 40]),
        ({"points": CAT[::-1]}, [10, 12, 30, 40]),
        ({"points": SQUARE}, [10, 10, 20, 20]),  # a rectangle of four points
        ({"points": SQUARE, "shape_type": "polygon"}, [10, 10, 20, 20]),
        ({"points": SQUARE, "shape_type": None}, [10, 10, 20, 20]),
        ({"points": [[30, 30], [40, 30]], "shape_type": "circle"}, [20, 20, 40, 40]),
    ],
)
def test_labelme_shapes(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made, shape: dict[str, Any], wanted: list[int]
) -> None:
    draw(tmp_path / "a.png")
    _labelme(tmp_path / "a.json", shape)
    assert parse_source(str(tmp_path), "boxes").format == "labelme"
    assert boxes(reads("labelme", tmp_path, val_fraction=0).train) == [[(0, wanted)]]


def test_labelme_groups_are_one_object_with_several_parts(
    tmp_path: Path, reads: Reads, draw: Made
) -> None:
    draw(tmp_path / "a.png")
    parts = [{"points": SQUARE}, {"points": [[x + 30, y] for x, y in SQUARE]}]
    shapes = [{**part, "group_id": 1, "shape_type": "polygon"} for part in parts]
    _labelme(tmp_path / "a.json", *shapes)
    (scene,) = reads("labelme", tmp_path, "masks", val_fraction=0).train
    np.testing.assert_allclose(scene.objects.boxes, [[10, 10, 50, 20]])
    assert len(scene.objects.segments[0]) == 2
    assert scene.objects.areas.tolist() == [200]


def test_labelme_images_elsewhere_and_parts_by_folder(
    tmp_path: Path, reads: Reads, draw: Made
) -> None:
    for part in ("train", "val"):
        draw(tmp_path / "images" / part / "0.png")
        file = tmp_path / "labels" / part / "0.json"
        _labelme(file, {"points": CAT}, image=f"..\\..\\images\\{part}\\0.png")
    data = reads("labelme", tmp_path)
    assert [scene.name for scene in (*data.train, *data.val)] == [
        *("images/train/0.png", "images/val/0.png")
    ]


def test_labelme_counts_what_it_leaves_out(tmp_path: Path, reads: Reads, draw: Made) -> None:
    for name in ("a", "b"):
        draw(tmp_path / f"{name}.png")
    _labelme(tmp_path / "a.json", {"points": CAT}, {"points": [[1, 1]], "shape_type": "point"})
    with (
        pytest.warns(UserWarning, match="1 shapes of the kind 'point' are left out"),
        pytest.warns(UserWarning, match="1 images have no JSON file and are left out.*b.png"),
    ):
        data = reads("labelme", tmp_path, val_fraction=0)
    assert len(data.train) == 1


def _task(name: str, kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    result = {"type": kind, "value": value, "original_width": 128, "original_height": 96}
    done = {"result": [result], "was_cancelled": False}
    return {"data": {"image": name}, "annotations": [done], "file_upload": name, **more}


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("rectanglelabels", {"x": 25, "y": 50, "width": 25, "height": 25}, [32, 48, 64, 72]),
        ("polygonlabels", {"points": [[25, 50], [50, 50], [50, 75]]}, [32, 48, 64, 72]),
        ("ellipselabels", {"x": 50, "y": 50, "radiusX": 25, "radiusY": 25}, [32, 24, 96, 72]),
    ],
)
def test_label_studio_shapes_are_percents(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made, kind: str, value: Any, wanted: list[int]
) -> None:
    draw(tmp_path / "images" / "a.png")  # uploaded as 0123abcd-a.png
    task = _task("/data/upload/1/0123abcd-a.png", kind, {**value, kind: ["cat"], "rotation": 0})
    (tmp_path / "project.json").write_text(json.dumps([task]))
    assert parse_source(str(tmp_path), "boxes").format == "labelstudio"
    assert boxes(reads("labelstudio", tmp_path, val_fraction=0).train) == [[(0, wanted)]]


def test_a_turned_rectangle_turns_about_its_corner(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made
) -> None:
    draw(tmp_path / "a.png")
    value = {"x": 50, "y": 50, "width": 25, "height": 12.5, "rotation": 90}
    task = _task("a.png", "rectanglelabels", {**value, "rectanglelabels": ["cat"]})
    (tmp_path / "project.json").write_text(json.dumps([task]))
    with pytest.warns(UserWarning, match="rotated rectangles: boxes around them are used"):
        data = reads("labelstudio", tmp_path, val_fraction=0)
    assert boxes(data.train) == [[(0, [52, 48, 64, 80])]]


def test_label_studio_tasks_that_are_not_done_are_left_out(
    tmp_path: Path, reads: Reads, draw: Made
) -> None:
    value = {"x": 0, "y": 0, "width": 25, "height": 25, "rectanglelabels": ["cat"]}
    tasks = [_task(f"{name}.png", "rectanglelabels", value) for name in "abc"]
    tasks[1]["annotations"] = []
    tasks[2]["annotations"][0]["was_cancelled"] = True
    for name in "abc":
        draw(tmp_path / f"{name}.png")
    (tmp_path / "project.json").write_text(json.dumps(tasks))
    with pytest.warns(UserWarning, match="2 tasks are not annotated and are left out.*b.png"):
        data = reads("labelstudio", tmp_path, val_fraction=0)
    assert [scene.name for scene in data.train] == ["a.png"]


def test_unfinished_polygons_of_label_studio_are_left_out(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made
) -> None:
    draw(tmp_path / "a.png", (100, 80))
    corners = [[10, 10], [20, 10], [20, 20]]
    task = _task("a.png", "polygonlabels", {"points": corners, "polygonlabels": ["cat"]})
    (result,) = task["annotations"][0]["result"]
    task["annotations"][0]["result"] = [
        {**result, "value": {**result["value"], "points": corners[:count]}} for count in (1, 2, 3)
    ]
    (tmp_path / "project.json").write_text(json.dumps([task]))
    with pytest.warns(UserWarning, match="2 polygons with fewer than three points are left out"):
        data = reads("labelstudio", tmp_path, val_fraction=0)
    assert len(boxes(data.train)[0]) == 1


def test_labels_that_are_not_read_are_the_reason_for_no_class(
    tmp_path: Path, reads: Reads, draw: Made
) -> None:
    draw(tmp_path / "a.png")
    value = {"x": 0, "y": 0, "width": 25, "height": 25}  # of a Rectangle with separate Labels
    (tmp_path / "a.json").write_text(json.dumps([_task("a.png", "rectangle", value)]))
    with (
        pytest.warns(UserWarning, match="1 results of the type 'rectangle' are left out"),
        pytest.raises(UserError, match="no shape with a class in 1 images"),
    ):
        reads("labelstudio", tmp_path / "a.json")


def test_a_table_of_boxes_states_parts_and_images_without_objects(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made
) -> None:
    rows = [["set", "filename", "class", "xmin", "ymin", "xmax", "ymax"]]
    rows += [
        [part, f"{part}.png", "cat", "10", "12", "30", "40"] for part in ("TRAIN", "VALIDATION")
    ]
    rows += [["TRAIN", "empty.png", *["nan"] * 5]]
    for row in rows[1:]:
        draw(tmp_path / row[1])
    with (tmp_path / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    data = reads("csv-boxes", tmp_path)
    assert data.classes == ("cat",)
    assert boxes(data.train) == [[(0, [10, 12, 30, 40])], []]
    assert [scene.name for scene in data.val] == ["VALIDATION.png"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_tables_of_boxes_in_other_encodings(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made, encoding: str
) -> None:
    draw(tmp_path / "a.png")
    text = "filename|class|xmin|ymin|xmax|ymax\r\na.png|K\u00e4fer|10|12|30|40\r\n"
    (tmp_path / "boxes.csv").write_bytes(text.encode(encoding))
    assert parse_source(str(tmp_path), "boxes").format == "csv-boxes"
    if encoding == "cp1252":
        with pytest.raises(UserError, match=r"boxes.csv: cannot be read as CSV in UTF-8"):
            reads("csv-boxes", tmp_path)
        return
    data = reads("csv-boxes", tmp_path, val_fraction=0)
    assert (data.classes, boxes(data.train)) == (("K\u00e4fer",), [[(0, [10, 12, 30, 40])]])


@pytest.mark.parametrize(
    ("header", "row", "size"),
    [
        (
            "filename,width,height,class,xmin,ymin,xmax,ymax",
            "a.png,256,192,cat,10,12,30,40",
            (192, 256),
        ),
        ("image_id,width,height,bbox", 'a,256.0,192.0,"[10, 12, 20, 28]"', (192, 256)),
        ("image,x,y,w,h,image_width,image_height", "a.png,10,12,20,28,256,192", (192, 256)),
        ("cat,10,12,20,28,a.png,256,192", "dog,1,2,3,4,a.png,256,192", (192, 256)),
        ("filename,xmin,ymin,xmax,ymax,width,height", "a.png,10,12,30,40,20,28", (96, 128)),
        ("filename,xmin,ymin,xmax,ymax,width,height", "a.png,10,12,30,40,21,29", (96, 128)),
        ("filename,xmin,ymin,xmax,ymax,width,height", "a.png,10,12,30,40,,", (96, 128)),
    ],
)
def test_tables_of_boxes_state_the_size_of_the_image(
    tmp_path: Path, reads: Reads, draw: Made, header: str, row: str, size: tuple[int, int]
) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "boxes.csv").write_text(f"{header}\n{row}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tables without a class
        (scene,) = reads("csv-boxes", tmp_path, val_fraction=0).train
    assert scene.size == size  # another one than the image's is refused by ``check_sizes``


_SEVERAL = {"bbox": [[10, 12, 20, 28], [0, 0, 5, 0]], "categories": [4, 0]}
_ALONE = [{"bbox": [10.0, 12.0, 20.0, 28.0], "category": 4}]


@pytest.mark.parametrize("objects", [_SEVERAL, _ALONE], ids=["lists", "one by one"])
@pytest.mark.parametrize("place", ["train", "."])
def test_metadata_of_hugging_face(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made, objects: Any, place: str
) -> None:
    folder = tmp_path / place
    rows = [{"file_name": "a.png", "objects": objects}, {"file_name": "b.png", "objects": []}]
    for row in rows:
        draw(folder / row["file_name"])
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert parse_source(str(tmp_path), "boxes").format == "csv-boxes"
    assert parse_source(str(folder / "metadata.jsonl"), "boxes").format == "csv-boxes"
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        data = reads("csv-boxes", tmp_path, val_fraction=0)
        alone = reads("csv-boxes", folder / "metadata.jsonl", val_fraction=0)
    assert boxes(alone.train) == boxes(data.train)
    told = [str(note.message) for note in notes]
    assert any("no area" in line for line in told) == (objects is _SEVERAL)
    assert data.classes == ("4",)
    assert boxes(data.train) == [[(0, [10, 12, 30, 40])], []]


def test_corners_in_metadata_of_hugging_face_are_refused(
    tmp_path: Path, reads: Reads, draw: Made
) -> None:
    draw(tmp_path / "a.png")
    held = {"bbox": [[60, 50, 120, 90], [70, 60, 110, 80]], "categories": ["cat", "cat"]}
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "objects": held}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UserError, match="look like left, top, right, bottom"):
            reads("csv-boxes", tmp_path, val_fraction=0)


@given(st.binary(max_size=60), st.integers(0, 120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_metadata_gives_images_or_a_user_error(
    tmp_path: Path, reads: Reads, draw: Made, junk: bytes, place: int
) -> None:
    draw(tmp_path / "a.png")
    row = json.dumps({"file_name": "a.png", "objects": _SEVERAL}).encode()
    (tmp_path / "metadata.jsonl").write_bytes(row[:place] + junk + row[place:])
    with warnings.catch_warnings(), contextlib.suppress(UserError):
        warnings.simplefilter("ignore")
        reads("csv-boxes", tmp_path, val_fraction=0)


def test_createml_has_centres(tmp_path: Path, reads: Reads, draw: Made, boxes: Made) -> None:
    draw(tmp_path / "a.png")
    where = {"x": 20, "y": 26, "width": 20, "height": 28}
    rows = [{"image": "a.png", "annotations": [{"label": "cat", "coordinates": where}]}]
    (tmp_path / "_annotations.createml.json").write_text(json.dumps(rows))
    assert parse_source(str(tmp_path), "boxes").format == "createml"
    assert boxes(reads("createml", tmp_path, val_fraction=0).train) == [[(0, [10, 12, 30, 40])]]


@pytest.mark.parametrize(
    "rows",
    [
        [["filename", "width", "class", "xmin", "ymin", "xmax", "ymax"],
         ["a.png", 128, "cat", 10, 12, 30, 40]],
        [["image_name", "x", "y", "width", "height", "label"], ["a.png", 10, 12, 20, 28, "cat"]],
        [
            ["image_id", "width", "height", "bbox", "label"],
            ["a", 128, 96, "[10, 12, 20, 28]", "cat"],
        ],
        [["images/a.png", 10, 12, 30, 40, "cat"]],
        [["filename", "label", "class_name", "xmin", "ymin", "xmax", "ymax"],
         ["a.png", 3, "cat", 10, 12, 30, 40]],
        [["fname", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class"],
         ["a.png", 10, 12, 30, 40, "cat"]],
        [["cat", 10, 12, 20, 28, "a.png", 128, 96]],
    ],
)  # fmt: skip
def test_tables_of_boxes(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made, rows: list[Any]
) -> None:
    draw(tmp_path / "images" / "a.png")
    with (tmp_path / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert parse_source(str(tmp_path), "boxes").format == "csv-boxes"
    data = reads("csv-boxes", tmp_path, val_fraction=0)
    assert data.classes == ("cat",)
    assert boxes(data.train) == [[(0, [10, 12, 30, 40])]]


@pytest.mark.parametrize(
    ("form", "name", "text"),
    [
        ("labelme", "a.json", '{"version": "5", "shapes": null, "imagePath": "a.png"}'),
        ("labelme", "a.json", '{"version": "5", "shapes": [{"points": [[1, 2], [3]]}]}'),
        ("labelme", "a.json", '{"version": "5", "shapes": [{"points": 7'),
        ("labelstudio", "a.json", '[{"file_upload": "a.png", "data": {}}]'),
        ("labelstudio", "a.json", '[7, "file_upload"]'),
        ("via", "a.json", '{"filename": "a.png", "regions": []}'),
        ("createml", "a.json", '[{"image": "a.png", "annotations": [{"coordinates": 7}]}]'),
        ("csv-boxes", "a.csv", "filename,xmin,ymin,xmax,ymax\na.png,1,2,3,x\n"),
        ("csv-boxes", "a.csv", "filename,label\na.png,cat\n"),
        ("csv-boxes", "a.jsonl", '{"file_name": "a.png", "objects": {"bbox": [[1, 2, 3, 4]]}}'),
        ("csv-boxes", "a.jsonl", '{"file_name": "a.png", "objects": [{"bbox": 1, "label": "x"}]}'),
        ("csv-boxes", "a.jsonl", '{"file_name": 1, "objects": []}'),
        ("csv-boxes", "a.jsonl", '{"file_name": "a.png", "objects": [7]}'),
        ("csv-boxes", "a.jsonl", '{"file_name": "a.png", "objects": "cat"}'),
        ("csv-boxes", "a.csv", "filename,class,xmin,ymin,xmax,ymax\na.png,,1,2,3,4\n"),
        (
            *("csv-boxes", "a.csv"),
            "filename,set,xmin,ymin,xmax,ymax\na.png,train,1,2,3,4\na.png,val,1,2,3,4\n",
        ),
    ],
)
def test_what_is_not_the_tools_form_is_told(
    tmp_path: Path, told: Made, draw: Made, form: str, name: str, text: str
) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / name).write_text(text)
    assert str(tmp_path) in str(told(form, tmp_path))


def test_key_points_of_shapes_are_told(tmp_path: Path, reads: Reads, draw: Made) -> None:
    draw(tmp_path / "a.png")
    _labelme(tmp_path / "a.json", {"points": CAT})
    with pytest.raises(UserError, match="boxes and outlines; this --task needs keypoints"):
        reads("labelme", tmp_path, "keypoints")


def test_an_image_that_is_nowhere_is_told(tmp_path: Path, told: Made) -> None:
    _labelme(tmp_path / "a.json", {"points": CAT})
    assert "none of the 1 annotated images exists: a.png" in told("labelme", tmp_path)


def test_boxes_and_ellipses_have_their_bounds() -> None:
    assert box(3, 4, 1, 2).tolist() == [[1, 2], [3, 2], [3, 4], [1, 4]]
    points = ellipse(10, 20, 4, 2, 90)
    np.testing.assert_allclose([points.min(0), points.max(0)], [[8, 16], [12, 24]], atol=0.05)


def _point(x: int, y: int, name: str, group: object, **more: Any) -> dict[str, Any]:
    return {"points": [[x, y]], "label": name, "group_id": group, "shape_type": "point", **more}


def test_points_of_a_labelme_group_are_the_key_points_of_its_rectangle(
    tmp_path: Path, reads: Reads, draw: Made
) -> None:
    draw(tmp_path / "a.png")
    shapes = [
        {"points": CAT, "group_id": 1},
        _point(14, 16, "right_eye", 1),
        _point(12, 16, "left_eye", 1, difficult=True),
        {"points": [[50, 50], [70, 70]], "group_id": 2},
        _point(55, 52, "left_eye", 2),
        {"points": [[80, 50], [90, 70]]},
        _point(99, 9, "left_eye", None),
    ]
    _labelme(tmp_path / "a.json", *shapes)
    assert parse_source(str(tmp_path), "keypoints").format == "labelme"
    with (
        pytest.warns(
            UserWarning, match="key-points without an outline in their group are left out"
        ),
        pytest.warns(UserWarning, match="without a spread"),
    ):
        data = reads("labelme", tmp_path, "keypoints", val_fraction=0)
    assert data.classes == ("cat",)
    assert (data.skeleton.names, data.skeleton.swaps) == (("left_eye", "right_eye"), ((0, 1),))
    assert data.train[0].objects.keypoints.tolist() == [
        [[12, 16, 1], [14, 16, 2]],
        [[55, 52, 2], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0]],
    ]
    _labelme(tmp_path / "a.json", *shapes, _point(1, 2, "left_eye", 2))
    with pytest.raises(UserError, match=r"a\.json: group 2 has 'left_eye' twice"):
        reads("labelme", tmp_path, "keypoints")


def test_a_labelme_mask_is_the_pixels_of_its_png(tmp_path: Path, reads: Reads, draw: Made) -> None:
    draw(tmp_path / "a.png")
    pixels = np.zeros((5, 6), np.uint8)
    pixels[1:4, 2:5] = 1
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "PNG")
    mask = base64.b64encode(packed.getvalue()).decode()
    shape = {"points": [[20, 30], [25, 34]], "shape_type": "mask", "mask": mask}
    _labelme(tmp_path / "a.json", shape)
    (scene,) = reads("labelme", tmp_path, "masks", val_fraction=0).train
    assert scene.objects.boxes.tolist() == [[22, 31, 25, 34]]
    assert scene.objects.areas.tolist() == [9]
    found = to_mask(scene.objects.segments[0], 96, 128)
    assert found[31:34, 22:25].all()
    assert found.sum() == 9
    for bad in ("iVBORw0KGgo=", "??", None):
        _labelme(tmp_path / "a.json", {**shape, "mask": bad})
        with pytest.raises(UserError, match=r"a\.json, shape 0"):
            reads("labelme", tmp_path, "masks")


# of an image of 16 x 12 pixels, by Label Studio's own converter: 255 in rows 3..8 and columns 4..9,
# and in row 10, column 13
BRUSH = [
    *(0, 0, 3, 0, 57, 27, 254, 207, 0, 194, 255, 248, 156, 3, 11, 255, 226, 112, 12, 47, 255, 137),
    *(192, 48, 191, 254, 39, 0, 194, 255, 248, 156, 3, 11, 255, 232, 176, 8, 255, 242, 56, 0),
]


def _brush(rle: object, side: int = 16) -> str:
    value = {"format": "rle", "rle": rle, "brushlabels": ["cat"]}
    task = _task("a.png", "brushlabels", value)
    task["annotations"][0]["result"][0] |= {"original_width": side, "original_height": 12}
    return json.dumps([task])


def test_a_label_studio_brush_is_a_mask(tmp_path: Path, reads: Reads, draw: Made) -> None:
    draw(tmp_path / "a.png", (16, 12))
    (tmp_path / "project.json").write_text(_brush(BRUSH))
    (scene,) = reads("labelstudio", tmp_path, "masks", val_fraction=0).train
    wanted = np.zeros((12, 16), np.uint8)
    wanted[3:9, 4:10] = wanted[10, 13] = 1
    np.testing.assert_array_equal(to_mask(scene.objects.segments[0], 12, 16), wanted)
    assert scene.objects.boxes.tolist() == [[4, 3, 14, 11]]
    assert scene.objects.areas.tolist() == [37]
    (scene,) = reads("labelstudio", tmp_path, val_fraction=0).train
    assert scene.objects.boxes.tolist() == [[4, 3, 14, 11]]


@pytest.mark.parametrize(
    "text",
    [
        *(_brush(BRUSH[:-4]), _brush([]), _brush("x"), _brush([300])),
        *(_brush(BRUSH, side) for side in (0, 17, 1 << 40)),
    ],
)
def test_a_damaged_brush_is_told(tmp_path: Path, told: Made, draw: Made, text: str) -> None:
    draw(tmp_path / "a.png", (16, 12))
    (tmp_path / "project.json").write_text(text)
    assert "task 0: its brush is not a run-length encoding" in told(
        *("labelstudio", tmp_path, "masks")
    )


def test_label_studio_key_points_belong_to_their_parent(
    tmp_path: Path, reads: Reads, draw: Made
) -> None:
    draw(tmp_path / "a.png")
    value = {"x": 25, "y": 50, "width": 25, "height": 25, "rectanglelabels": ["cat"]}
    task = _task("a.png", "rectanglelabels", value)
    results = task["annotations"][0]["result"]
    results[0]["id"] = "r1"
    for x, name in ((30, "l_eye"), (40, "r_eye")):
        point = {"x": x, "y": 60, "width": 0.3, "keypointlabels": [name]}
        results.append(
            {**results[0], "id": name, "parentID": "r1", "type": "keypointlabels", "value": point}
        )
    (tmp_path / "project.json").write_text(json.dumps([task]))
    with pytest.warns(UserWarning, match="without a spread"):
        data = reads("labelstudio", tmp_path, "keypoints", val_fraction=0)
    assert data.skeleton.swaps == ((0, 1),)
    np.testing.assert_allclose(
        data.train[0].objects.keypoints, [[[38.4, 57.6, 2], [51.2, 57.6, 2]]]
    )
