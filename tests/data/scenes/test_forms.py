"""Which tool wrote a file or folder, and the line for those that no reader takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from res2net.data.scenes.forms import files_with, form_of, is_via_table, other_tool
from res2net.data.source import parse_source
from res2net.errors import UserError

Made = Callable[..., Any]
IMAGES = [{"id": 1, "file_name": "a.png"}]


def _written(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ({"images": IMAGES, "annotations": [{"image_id": 1, "score": 0.5}]}, "coco"),
        ({"images": IMAGES, "annotations": [], "tags": [], "size": 1, "objects": 2}, "coco"),
        ({"annotations": [{"image_id": 1, "category_id": 1}]}, "coco"),
        ({"version": "5", "shapes": [], "imagePath": "a.png"}, "labelme"),
        ([{"file_upload": "a.png", "annotations": []}], "labelstudio"),
        ({"a.png1": {"filename": "a.png", "regions": []}}, "via"),
        ([{"image": "a.png", "annotations": [{"coordinates": {}}]}], "createml"),
        ([{"image_id": 1, "category_id": 1, "bbox": [], "score": 0.9}], "COCO results"),
        ([{"image_id": 1, "category_id": 1}], ""),
        ({"images": IMAGES, "annotations": [{"image_id": 1, "caption": "a cat"}]}, "COCO's capt"),
        ({"annotations": [{"image_id": 1, "segments_info": []}]}, "COCO's panoptic"),
        ({"tags": [], "size": {}, "objects": [{"classTitle": "cat"}]}, "Supervisely"),
        ({"tags": [], "size": {}, "objects": []}, "Supervisely"),
        ({"metadata": {}, "instances": [{"className": "cat"}]}, "SuperAnnotate"),
        ({"schema_ref": "x", "item": {}, "annotations": []}, "Darwin (V7)"),
        ({"image": {"workview_url": "x"}, "annotations": []}, "Darwin (V7)"),
        ([{"label_hash": "x", "data_units": {}}], "Encord"),
        ([{"ID": 1, "External ID": "a.png", "Label": {}}], "Labelbox"),
        ([{"task_id": 1, "response": {}}], "Scale"),
        ([{"name": "a.png", "labels": [{"box2d": {}}]}], "BDD100K"),
        ({"project": {"data_format_version": "3.1", "vid_list": []}}, "via"),
        ({"dm_format_version": "1.0", "items": []}, "Datumaro"),
        ({"learning_rate": 0.1}, ""),
    ],
)
def test_json_files_show_their_tool(tmp_path: Path, content: object, form: str) -> None:
    assert form_of(_written(tmp_path / "a.json", content)).startswith(form)
    assert bool(form_of(tmp_path / "a.json")) == bool(form)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("out/a.json", {"data_units": {}}, "out/a.json is an export of Encord"),
        ("captions.json", {"caption": "x", "image_id": 1}, "captions.json holds COCO's captions"),
        ("a.odgt", "{}", "a.odgt is a JSON Lines file"),
        ("output.manifest", "{}", "output.manifest is a JSON Lines file"),
        ("train/a.tfrecord", "x", "train/a.tfrecord is a TFRecord file"),
        ("train.pkl", "x", "train.pkl is a Python pickle"),
        ("split/wider_face_train_bbx_gt.txt", "x", "WIDER FACE's list"),
        ("training/label_2/a.txt", "Car 0 0", "training/label_2 is KITTI's layout"),
        ("labelTxt/a.txt", "1 2 3", "labelTxt is DOTA's layout"),
        ("gt/gt.txt", "1,2", "gt is MOT's layout"),
        ("labels/a.txt", "1 2.5 3 2 3 4 1 4 large-vehicle 0\n", "a.txt is in DOTA's format"),
        ("annotations/a.txt", "684,8,273,116,0,0,-1,0\n", "a.txt is in VisDrone's format"),
        ("a/a.txt", "Car 0.00 0 -1.57 1 2 3 4 1.5 1.6 3.7 1 1.7 13.2 -1.6", "in KITTI's format"),
        ("a.json", {"name": "x", "assets": {}, "tags": []}, "a.json is an export of VoTT"),
        ("train.json", [{"joints": [], "joints_vis": []}], "train.json is an export of MPII"),
        ("a.csv", "img,x_center,y_center\n", "or x, y, width, height) in pixels"),
    ],
)
def test_what_no_reader_takes_is_named(
    tmp_path: Path, draw: Made, name: str, content: object, words: str
) -> None:
    draw(tmp_path / "images" / "a.png")
    file = _written(tmp_path / name, content)
    assert other_tool(tmp_path).endswith(words)
    with pytest.raises(UserError, match="export them as COCO, YOLO or VOC") as told:
        parse_source(str(tmp_path), "boxes")
    assert words in str(told.value)
    if "layout" not in words:
        assert other_tool(file)


def test_a_folder_of_photos_is_of_no_tool(tmp_path: Path, draw: Made) -> None:
    draw(tmp_path / "a.png")
    _written(tmp_path / "notes.json", {"by": "me"})
    assert other_tool(tmp_path) == ""


def test_a_table_of_regions_is_one_by_its_columns(tmp_path: Path) -> None:
    assert is_via_table(_written(tmp_path / "a.csv", "filename,region_shape_attributes\n"))
    assert not is_via_table(_written(tmp_path / "b.csv", "filename,label\n"))
    assert not is_via_table(tmp_path / "missing.csv")


def test_files_are_found_some_folders_below_and_in_any_case(tmp_path: Path) -> None:
    for name in ("1/2/3/deep.json", "1/2/3/4/deeper.json", "A.JSON", ".git/b.json"):
        _written(tmp_path / name, {})
    found = [each.relative_to(tmp_path).as_posix() for each in files_with(tmp_path, ".json")]
    assert found == ["A.JSON", "1/2/3/deep.json"]
