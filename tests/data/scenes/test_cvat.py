"""CVAT's own XML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from res2net.data.outlines import to_mask
from res2net.data.source import parse_source

Made = Callable[..., Any]
Reads = Callable[..., Any]
BOX = '<box label="cat" occluded="0" xtl="10.00" ytl="12.00" xbr="30.00" ybr="40.00" z_order="0"/>'
WIDER = BOX.replace("30.00", "31.00")
POLYGON = '<polygon label="dog" points="10.00,12.00;30.00,12.00;30.00,40.00" z_order="1"/>'
MASK = '<mask label="dog" rle="1, 2, 0, 1, 2" left="5" top="7" width="3" height="2" z_order="0"/>'


def image(*shapes: str, name: str = "a.png", more: str = "") -> str:
    return f'<image id="0" name="{name}" width="64" height="48"{more}>{"".join(shapes)}</image>'


def write(path: Path, *inside: str) -> Path:
    head = "<version>1.1</version><meta><task><name>x</name></task></meta>"
    body = f"<annotations>{head}{''.join(inside)}</annotations>"
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{body}')
    return path


def test_boxes_polygons_and_images_without_objects(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made
) -> None:
    for name in ("a", "b"):
        draw(tmp_path / f"images/{name}.png")
    file = write(tmp_path / "annotations.xml", image(BOX, POLYGON), image(name="b.png"))
    for path in (tmp_path, file):
        for marks in ("boxes", "masks", "keypoints"):
            assert parse_source(str(path), marks).format == "cvat"
        data = reads("cvat", path, val_fraction=0)
        assert data.classes == ("cat", "dog")
        assert boxes(data.train) == [[(0, [10, 12, 30, 40]), (1, [10, 12, 30, 40])], []]
    with pytest.warns(UserWarning, match="1 objects have only a box, which is used as outline"):
        (scene, _) = reads("cvat", tmp_path, "masks", val_fraction=0).train
    assert scene.objects.segments[1] == [[10, 12, 30, 12, 30, 40]]
    assert scene.objects.areas.tolist() == [560, 280]


def test_masks_are_runs_of_rows_in_their_box(tmp_path: Path, reads: Reads, draw: Made) -> None:
    draw(tmp_path / "a.png")
    write(tmp_path / "annotations.xml", image(MASK))
    (scene,) = reads("cvat", tmp_path, "masks", val_fraction=0).train
    wanted = np.zeros((48, 64), np.uint8)
    wanted[7:9, 5:8] = [[0, 1, 1], [1, 0, 0]]
    assert (to_mask(scene.objects.segments[0], 48, 64) == wanted).all()
    assert scene.objects.boxes.tolist() == [[5, 7, 8, 9]]


def test_a_group_of_polygons_and_masks_is_an_object_and_boxes_are_not(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made
) -> None:
    draw(tmp_path / "a.png")
    mine = [each.replace(" label", ' group_id="3" label') for each in (BOX, WIDER, POLYGON, MASK)]
    write(tmp_path / "annotations.xml", image(*mine))
    (rows,) = boxes(reads("cvat", tmp_path, val_fraction=0).train)
    assert rows == [(0, [10, 12, 30, 40]), (0, [10, 12, 31, 40]), (1, [5, 7, 30, 40])]


def test_rotated_boxes_and_ellipses(tmp_path: Path, reads: Reads, draw: Made) -> None:
    draw(tmp_path / "a.png")
    turned = BOX.replace("z_order", 'rotation="90.0" z_order')
    oval = '<ellipse label="cat" cx="20" cy="26" rx="14" ry="10" rotation="90" z_order="0"/>'
    write(tmp_path / "annotations.xml", image(turned, oval))
    with pytest.warns(UserWarning, match="1 boxes are rotated"):
        data = reads("cvat", tmp_path, val_fraction=0)
    for box in data.train[0].objects.boxes:
        assert box.tolist() == pytest.approx(
            [6, 16, 34, 36] if box[0] < 8 else [10, 12, 30, 40], abs=0.1
        )
    (scene,) = reads("cvat", tmp_path, "masks", val_fraction=0).train
    assert to_mask(scene.objects.segments[0], 48, 64).sum() == pytest.approx(560, abs=1)


def test_subsets_and_names_of_files_are_parts(tmp_path: Path, reads: Reads, draw: Made) -> None:
    for part, name in (("Train", "a"), ("Validation", "b")):
        draw(tmp_path / f"images/{part}/{name}.png")
    rows = [
        image(BOX, name=f"{name}.png", more=f' subset="{part}"')
        for part, name in (("Train", "a"), ("Validation", "b"))
    ]
    write(tmp_path / "annotations.xml", *rows)
    data = reads("cvat", tmp_path)
    assert [Path(each.name).name for each in (*data.train, *data.val)] == ["a.png", "b.png"]


def test_skeletons(tmp_path: Path, reads: Reads, draw: Made, boxes: Made) -> None:
    draw(tmp_path / "a.png")
    places = (("nose", 0, 0, "20.00,14.00"), ("tail", 0, 1, "30.00,40.00"), ("eye", 1, 0, "1,1"))
    points = "".join(
        f'<points label="{name}" outside="{out}" occluded="{hidden}" points="{place}"/>'
        for name, out, hidden, place in places
    )
    one = f'<skeleton label="cat" z_order="0">{points}</skeleton>'
    write(tmp_path / "annotations.xml", image(one, BOX))
    data = reads("cvat", tmp_path, val_fraction=0)
    assert boxes(data.train) == [[(0, [20, 14, 30, 40]), (0, [10, 12, 30, 40])]]
    write(tmp_path / "annotations.xml", image(one, POLYGON))
    with pytest.warns(UserWarning, match="skeletons are left out: they have no outline"):
        assert len(reads("cvat", tmp_path, "masks", val_fraction=0).train[0].objects) == 1
    all_there = one.replace('outside="1"', 'outside="0"')
    write(tmp_path / "annotations.xml", image(one), image(all_there, name="b.png"))
    draw(tmp_path / "b.png")
    with pytest.warns(UserWarning, match="without a spread"), pytest.warns(match="without left"):
        data = reads("cvat", tmp_path, "keypoints", val_fraction=0)
    assert data.skeleton.names == ("eye", "nose", "tail")
    assert data.train[0].objects.keypoints.tolist() == [[[0, 0, 0], [20, 14, 2], [30, 40, 1]]]
    assert boxes(data.train[1:]) == [[(0, [1, 1, 30, 40])]]


def test_other_shapes_are_left_out_and_counted(tmp_path: Path, reads: Reads, draw: Made) -> None:
    draw(tmp_path / "a.png")
    others = [
        '<polyline label="cat" points="1,1;2,2"/>',
        '<tag label="cat"/>',
        '<polygon label="cat" points="1,1;2,2"/>',
        '<mask label="cat" rle="4" left="0" top="0" width="2" height="2"/>',
    ]
    write(tmp_path / "annotations.xml", image(BOX, *others), '<track id="0" label="cat"/>')
    with (
        pytest.warns(UserWarning, match="1 shapes of the kind 'polyline' are left out"),
        pytest.warns(UserWarning, match="1 tags of whole images are left out"),
        pytest.warns(UserWarning, match="1 polygons with fewer than three points are left out"),
        pytest.warns(UserWarning, match="1 masks without pixels are left out"),
        pytest.warns(UserWarning, match="1 tracks of videos are left out"),
    ):
        data = reads("cvat", tmp_path, val_fraction=0)
    assert len(data.train[0].objects) == 1


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (image(BOX.replace("10.00", "x")), "image 0, shape 0: must be numbers"),
        (image(BOX.replace(' label="cat"', "")), "image 0, shape 0: has no label"),
        (image(POLYGON.replace("10.00,", "")), "its points are not x,y;x,y"),
        (image(MASK.replace("1, 2, 0", "1, 2, 1")), "its mask is not a run-length encoding"),
        (image(MASK.replace("1, 2, 0", "-1, 2, 2")), "its mask is not a run-length encoding"),
        (image(MASK.replace('left="5"', 'left="-5"')), "its mask is not a run-length encoding"),
        (image(MASK.replace('width="3"', 'width="999999999"')), "its mask is not a run-length"),
        (image('<skeleton label="cat"><points label="nose"/></skeleton>'), "a label and one place"),
        (image(BOX).replace(' name="a.png"', ""), "image 0: has no name"),
        ('<track id="0" label="cat"/>', "CVAT for video, which names no images"),
        ("<image", "not CVAT's XML"),
        ("<!DOCTYPE a>", "not CVAT's XML"),
    ],
)
def test_damaged_files_are_told(
    tmp_path: Path, told: Made, draw: Made, inside: str, words: str
) -> None:
    draw(tmp_path / "a.png")
    write(tmp_path / "annotations.xml", inside)
    assert words in told("cvat", tmp_path)
