"""Which formats a path fits, and that none is chosen where several fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from res2net.data.recognise import candidates
from res2net.data.source import parse_source
from res2net.errors import UserError


def _image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def _classes(root: Path) -> None:
    for name in ("cat", "dog"):
        _image(root / name / "0.png")


def _coco(root: Path) -> None:
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "instances_train.json").write_text(
        '{"images": [{"file_name": "0.png"}]}'
    )
    _image(root / "train2017" / "0.png")
    _image(root / "val2017" / "0.png")


def _yolo(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text("names: [cat]\ntrain: images/train\n")
    _image(root / "images" / "train" / "0.png")
    (root / "labels" / "train").mkdir(parents=True)


def _pairs(root: Path) -> None:
    _image(root / "train" / "images" / "0.png")
    _image(root / "train" / "masks" / "0.png")
    (root / "classes.txt").write_text("a\nb\n")


def _voc(root: Path) -> None:
    _image(root / "0.png")
    (root / "0.xml").write_text("<annotation/>")


@pytest.mark.parametrize(
    ("make", "name"),
    [(_classes, "folder"), (_coco, "coco"), (_yolo, "yolo"), (_pairs, "pairs"), (_voc, "voc")],
)
def test_each_layout_fits_its_own_format_alone(make, name, tmp_path):
    make(tmp_path / "set")
    assert list(candidates(tmp_path / "set")) == [name]
    source = parse_source(str(tmp_path / "set"))
    assert (source.format, source.others) == (name, ())
    assert source.why


@pytest.mark.parametrize(("holds", "name"), [("boxes", "voc"), ("classes", "pairs"), (None, "voc")])
def test_boxes_and_maps_of_one_set_are_for_their_own_tasks(tmp_path, holds, name):
    for stem in "abc":
        _image(tmp_path / "images" / f"{stem}.jpg")
        _image(tmp_path / "annotations" / "trimaps" / f"{stem}.png")
        (tmp_path / "annotations" / "xmls").mkdir(exist_ok=True)
        (tmp_path / "annotations" / "xmls" / f"{stem}.xml").write_text("<annotation/>")
    assert parse_source(str(tmp_path), holds).format == name


def test_class_folders_with_a_json_beside_them_are_classes_for_classification(tmp_path):
    _classes(tmp_path)
    (tmp_path / "export.json").write_text('{"images": [{"file_name": "cat/0.png"}]}')
    assert parse_source(str(tmp_path), "labels").format == "folder"
    assert parse_source(str(tmp_path), "boxes").format == "coco"


def test_two_formats_that_fit_are_both_named_and_neither_is_taken(tmp_path):
    _coco(tmp_path)
    _yolo(tmp_path)
    with pytest.raises(UserError, match=r"choose one: coco:.* or yolo:"):
        parse_source(str(tmp_path), "boxes")


def test_without_a_task_the_others_are_told(tmp_path):
    _coco(tmp_path)
    _yolo(tmp_path)
    source = parse_source(str(tmp_path))
    assert (source.format, source.others) == ("coco", ("yolo",))


def test_photos_and_maps_are_no_classes(tmp_path):
    _pairs(tmp_path)
    assert parse_source(str(tmp_path), "labels").format == "pairs"  # whose reader says what it is


def test_a_folder_that_fits_nothing_is_read_as_class_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    assert parse_source(str(tmp_path / "empty")).format == "folder"


@pytest.mark.parametrize(
    ("folders", "name"),
    [
        (("images", "masks"), "pairs"),
        (("images", "ground_truth_mask"), "ecssd"),
        (("train/images", "train/masks"), "ecssd"),
        (("DUTS-TE-Image", "DUTS-TE-Mask"), "ecssd"),
    ],
)
def test_maps_without_classes_show_what_is_salient(tmp_path, folders, name):
    for folder in folders:
        _image(tmp_path / folder / "0.png")
    assert list(candidates(tmp_path)) == [name]
    assert parse_source(str(tmp_path), "classes").format == "pairs"  # whose reader asks for a list


def test_a_table_beside_images_is_one(tmp_path):
    _image(tmp_path / "photos" / "0.png")
    (tmp_path / "labels.csv").write_text("path,label\n")
    assert list(candidates(tmp_path)) == ["csv"]
    (tmp_path / "photos" / "0.png").rename(tmp_path / "0.png")
    assert parse_source(str(tmp_path)).format == "csv"
