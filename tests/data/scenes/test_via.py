"""Regions of the VGG Image Annotator: VIA 2's JSON and CSV, projects of VIA 3."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from res2net.data.source import parse_source

Made = Callable[..., Any]
Reads = Callable[..., Any]


@pytest.mark.parametrize("project", [False, True])
def test_via_regions_and_their_class(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made, project: bool
) -> None:
    draw(tmp_path / "a.png")
    rect = {"name": "rect", "x": 10, "y": 12, "width": 20, "height": 28}
    outline = {"name": "polygon", "all_points_x": [10, 30, 30], "all_points_y": [12, 12, 40]}
    regions = [
        {"shape_attributes": rect, "region_attributes": {"kind": "cat"}},
        {"shape_attributes": outline, "region_attributes": {"kind": {"dog": True}}},
    ]
    rows = {"a.png9": {"filename": "a.png", "size": 9, "regions": regions}}
    content = {"_via_settings": {}, "_via_img_metadata": rows} if project else rows
    (tmp_path / "via.json").write_text(json.dumps(content))
    assert parse_source(str(tmp_path), "boxes").format == "via"
    data = reads("via", tmp_path, val_fraction=0)
    assert data.classes == ("cat", "dog")
    assert boxes(data.train) == [[(0, [10, 12, 30, 40]), (1, [10, 12, 30, 40])]]


def test_a_via_region_of_several_classes_is_an_object_of_each(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made
) -> None:
    draw(tmp_path / "a.png")
    rect = {"name": "rect", "x": 10, "y": 12, "width": 20, "height": 28}
    ticked = {"type": {"cat": True, "eel": False, "dog": True}}
    rows = [{"shape_attributes": rect, "region_attributes": ticked}]
    rows += [{"shape_attributes": rect, "region_attributes": {"type": {"cat": False}}}]
    content = {"a.png9": {"filename": "a.png", "size": 9, "regions": rows}}
    (tmp_path / "via.json").write_text(json.dumps(content))
    with (
        pytest.warns(UserWarning, match="1 regions have several classes: one object for each"),
        pytest.warns(UserWarning, match="1 regions without a class are left out"),
    ):
        data = reads("via", tmp_path, val_fraction=0)
    assert boxes(data.train) == [[(0, [10, 12, 30, 40]), (1, [10, 12, 30, 40])]]
    assert data.classes == ("cat", "dog")


def test_a_choice_among_attributes_of_via_is_noted(
    tmp_path: Path, reads: Reads, draw: Made
) -> None:
    draw(tmp_path / "a.png")
    rect = {"name": "rect", "x": 10, "y": 12, "width": 20, "height": 28}
    row = {"shape_attributes": rect, "region_attributes": {"type": "cat", "name": "Tom"}}
    content = {"a.png9": {"filename": "a.png", "size": 9, "regions": [row]}}
    (tmp_path / "via.json").write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="come from the attribute name; not used: type"):
        assert reads("via", tmp_path, val_fraction=0).classes == ("Tom",)


def test_regions_of_a_via_table(
    tmp_path: Path, reads: Reads, told: Made, draw: Made, boxes: Made
) -> None:
    for name in ("a", "b"):
        draw(tmp_path / f"{name}.png")
    shape = {"name": "rect", "x": 10, "y": 12, "width": 20, "height": 28}
    columns = ("filename", "file_size", "file_attributes", "region_count", "region_id")
    with (tmp_path / "via.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*columns, "region_shape_attributes", "region_attributes"])
        table.writerow(["a.png", 9, "{}", 1, 0, json.dumps(shape), '{"class": "cat"}'])
        table.writerow(["b.png", 9, "{}", 0, 0, "{}", "{}"])
    for path in (tmp_path, tmp_path / "via.csv"):
        assert parse_source(str(path), "boxes").format == "via"
        found = reads("via", path, val_fraction=0)
        assert (found.classes, boxes(found.train)) == (("cat",), [[(0, [10, 12, 30, 40])], []])
    text = (tmp_path / "via.csv").read_text()
    (tmp_path / "via.csv").write_text(text.replace('""class""', "class"))
    assert "via.csv, line 2: not a region of VIA's CSV" in told("via", tmp_path)


def project(**changes: Any) -> dict[str, Any]:
    """A project of VIA 3: two images, a rectangle and a polygon."""
    options = {"0": "cat", "1": "dog"}
    kind = {"aname": "kind", "anchor_id": "FILE1_Z0_XY1", "type": 4, "options": options}
    note = {"aname": "note", "anchor_id": "FILE1_Z0_XY1", "type": 1, "options": {}}
    return {
        "project": {"pname": "x", "data_format_version": "3.1.1", "vid_list": ["1", "2"]},
        "config": {},
        "attribute": {"1": kind, "2": note},
        "file": {
            "1": {"fid": "1", "fname": "a.png", "type": 2, "loc": 1, "src": "a.png"},
            "2": {"fid": "2", "fname": "b.png", "type": 2, "loc": 1, "src": "b.png"},
        },
        "metadata": {
            "1_x": region([2, 10, 12, 20, 28], "0"),
            "1_y": region([7, 10, 12, 30, 12, 30, 40], "1"),
        },
        "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": [2]}},
        **changes,
    }


def region(xy: list[float], chosen: str) -> dict[str, Any]:
    return {"vid": "1", "flg": 0, "z": [], "xy": xy, "av": {"1": chosen, "9": "deleted"}}


def test_a_project_of_version_3(tmp_path: Path, reads: Reads, draw: Made, boxes: Made) -> None:
    for name in ("a", "b"):
        draw(tmp_path / f"{name}.png")
    (tmp_path / "p.json").write_text(json.dumps(project()))
    for path in (tmp_path, tmp_path / "p.json"):
        assert parse_source(str(path), "masks").format == "via"
        with pytest.warns(UserWarning, match="1 objects have only a box, which is used as outl"):
            data = reads("via", path, "masks", val_fraction=0)
        assert data.classes == ("cat", "dog")
        assert boxes(data.train) == [[(0, [10, 12, 30, 40]), (1, [10, 12, 30, 40])], []]
    assert data.train[0].objects.segments[1] == [[10, 12, 30, 12, 30, 40]]


@pytest.mark.parametrize(
    ("xy", "box"),
    [
        ([3, 20, 22, 8], [12, 14, 28, 30]),
        ([4, 20, 22, 8, 4], [12, 18, 28, 26]),
        ([8, 12, 20, 20, 14, 28, 22, 16, 30], [12, 14, 28, 30]),
    ],
)
def test_shapes_of_version_3(
    tmp_path: Path, reads: Reads, draw: Made, xy: list[float], box: list[float]
) -> None:
    draw(tmp_path / "a.png")
    rows = {"1_x": region(xy, "0"), "1_y": region([1, 5, 5], "0"), "1_z": region([9, *xy[1:]], "0")}
    (tmp_path / "p.json").write_text(
        json.dumps(project(metadata=rows, view={"1": {"fid_list": [1]}}))
    )
    with (
        pytest.warns(UserWarning, match="1 regions of the kind 'point' are left out"),
        pytest.warns(UserWarning, match='1 regions of the kind "VIA 3\'s shape 9" are left out'),
    ):
        data = reads("via", tmp_path, val_fraction=0)
    assert data.train[0].objects.boxes.tolist() == [pytest.approx(box, abs=0.1)]


def test_checkboxes_and_texts_of_version_3(tmp_path: Path, reads: Reads, draw: Made) -> None:
    draw(tmp_path / "a.png")
    content = project(view={"1": {"fid_list": ["1"]}})
    content["attribute"]["1"]["type"] = 2
    content["metadata"] = {"1_x": region([2, 10, 12, 20, 28], "0,1")}
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="several classes: one object for each"):
        data = reads("via", tmp_path, val_fraction=0)
    assert [data.classes[label] for label in data.train[0].objects.labels] == ["cat", "dog"]
    content["attribute"]["1"] |= {"type": 1, "options": {}}
    content["metadata"] = {"1_x": region([2, 10, 12, 20, 28], "eel")}
    (tmp_path / "p.json").write_text(json.dumps(content))
    assert reads("via", tmp_path, val_fraction=0).classes == ("eel",)


def test_videos_of_version_3_are_left_out(
    tmp_path: Path, reads: Reads, told: Made, draw: Made
) -> None:
    draw(tmp_path / "a.png")
    content = project()
    content["file"]["2"] |= {"fname": "b.mp4", "type": 4}
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="1 views of videos or of several files are left out"):
        data = reads("via", tmp_path, val_fraction=0)
    assert [scene.name for scene in data.train] == ["a.png"]
    content["file"]["1"]["type"] = 4
    (tmp_path / "p.json").write_text(json.dumps(content))
    assert "a project of VIA 3 without images; videos are not read" in told("via", tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"1_x": region([2, 10, 12, 20], "0")}},
        {"metadata": {"1_x": {"vid": "1", "xy": 7, "av": {}}}},
        {"metadata": {"1_x": {"xy": [2, 1, 1, 4, 4]}}},
        {"metadata": [7]},
        {"view": {"1": {"fid_list": ["5"]}}},
        {"view": {"1": 7}},
        {"attribute": {"1": {"aname": "kind"}}},
        {"file": {"1": {"type": 2}}},
    ],
)
def test_damaged_projects_of_version_3_are_told(
    tmp_path: Path, told: Made, draw: Made, changes: dict[str, Any]
) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "p.json").write_text(json.dumps(project(**changes)))
    assert "p.json: a damaged project of VIA 3" in told("via", tmp_path)
