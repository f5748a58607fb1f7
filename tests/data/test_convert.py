"""Writing a data set in another layout: what is read back has the same annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from res2net.data.convert import WRITERS, convert
from res2net.data.outlines import to_mask
from res2net.data.readers import read
from res2net.data.scenes.mapfile import map_of
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.source import HOLDS, parse_source
from res2net.errors import UserError


@pytest.fixture(scope="module")
def scenes() -> dict[str, Any]:
    """Six generated images a part of each kind of annotation."""
    from dataclasses import replace

    found = {}
    for marks in ("boxes", "masks", "keypoints", "classes", "salient"):
        images = read_scenes(parse_source("scenes"), SceneOptions(marks=marks))
        found[marks] = replace(images, train=images.train[:6], val=images.val[:6])
    return found


CASES = [
    (layout, marks)
    for layout in WRITERS
    for marks in HOLDS[layout]
    if marks != "labels" and (layout, marks) not in (("voc", "classes"), ("yolo", "masks"))
]


@pytest.mark.filterwarnings("ignore:.*without a spread")  # YOLO's file has no place for them
@pytest.mark.parametrize(("layout", "marks"), CASES)
def test_annotations_are_equal_after_a_round_trip(layout, marks, scenes, tmp_path):
    before = scenes[marks]
    convert(before, marks, tmp_path / "out", layout)
    after = read_scenes(parse_source(f"{layout}:{tmp_path / 'out'}"), SceneOptions(marks=marks))
    if marks != "salient":  # which has no classes
        assert after.classes == before.classes
    assert after.validation == "given"
    for part in ("train", "val"):
        one, other = getattr(before, part), getattr(after, part)
        assert len(one) == len(other) == 6
        for a in one:
            b = next(each for each in other if _pixels(each) == a.image.tobytes())
            _same(a, b, before, after, marks)


def _pixels(scene):
    with Image.open(scene.image) as image:
        return image.tobytes()


def _same(a, b, before, after, marks):
    size = a.image.shape[:2]
    if marks in ("classes", "salient"):
        one, other = (
            map_of(s, marks, size, len(d.classes), d.legend) for s, d in ((a, before), (b, after))
        )
        assert (one == other).all()
        return
    assert (a.objects.labels == b.objects.labels).all()
    np.testing.assert_allclose(a.objects.boxes, b.objects.boxes, atol=1e-6)
    if marks == "masks":
        for one, other in zip(a.objects.segments, b.objects.segments, strict=True):
            assert (to_mask(one, *size) == to_mask(other, *size)).all()
    if marks == "keypoints":
        np.testing.assert_allclose(a.objects.keypoints, b.objects.keypoints, atol=1e-6)
        assert after.skeleton.bones == before.skeleton.bones or not after.skeleton.bones


def test_a_folder_a_class(tmp_path):
    before = read(parse_source("digits"))
    convert(before, "labels", tmp_path / "out", "folder")
    after = read(parse_source(str(tmp_path / "out")))
    assert after.classes == before.classes
    assert len(after.train) == len(before.train)
    assert (np.bincount(after.val.labels) == np.bincount(before.val.labels)).all()


def test_images_are_linked_or_copied(tmp_path):
    for name in ("a/cat", "a/dog"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (4, 4)).save(tmp_path / name / f"{number}.png")
    found = read(parse_source(str(tmp_path / "a")))
    convert(found, "labels", tmp_path / "linked", "folder")
    convert(found, "labels", tmp_path / "copied", "folder", copy=True)
    linked, copied = (sorted((tmp_path / name).rglob("*.png")) for name in ("linked", "copied"))
    assert len(linked) == len(copied) == 6  # two classes have files of the same names
    assert all(each.is_symlink() for each in linked)
    assert not any(each.is_symlink() for each in copied)


def test_images_are_copied_where_links_are_impossible(tmp_path, monkeypatch):
    for name in ("a/cat", "a/dog"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (4, 4)).save(tmp_path / name / f"{number}.png")
    monkeypatch.setattr(Path, "symlink_to", Mock(side_effect=PermissionError(1, "not permitted")))
    with pytest.warns(UserWarning, match="images are copied, since links"):
        convert(read(parse_source(str(tmp_path / "a"))), "labels", tmp_path / "out", "folder")
    written = sorted((tmp_path / "out").rglob("*.png"))
    assert len(written) == 6
    assert not any(each.is_symlink() for each in written)


@pytest.mark.parametrize("layout", ["folder", "pairs"])
def test_a_layout_that_cannot_hold_the_annotations_is_refused(layout, scenes, tmp_path):
    with pytest.raises(UserError, match="cannot hold boxes; choose from coco, yolo, voc"):
        convert(scenes["boxes"], "boxes", tmp_path / "out", layout)
    assert not list(tmp_path.iterdir())


def test_outlines_that_no_line_of_yolo_can_hold_are_refused(scenes, tmp_path):
    with pytest.raises(UserError, match="--format coco keeps all"):
        convert(scenes["masks"], "masks", tmp_path / "out", "yolo")
    assert [each.name for each in tmp_path.iterdir() if not each.name.endswith(".lock")] == []


def test_nothing_is_written_over(scenes, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"--write .*out exists"):
        convert(scenes["boxes"], "boxes", tmp_path / "out", "coco")
