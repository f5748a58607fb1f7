"""Exports that annotation tools wrote themselves (``exports/README.md``), with their values."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from res2net.data.outlines import to_mask
from res2net.data.scene import Scenes
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.source import parse_source
from res2net.errors import UserError

EXPORTS = Path(__file__).parent / "exports"
TRUTH = {
    "a": [("cat", 4, 6, 20, 18), ("dog", 22, 8, 36, 26)],
    "b": [("dog", 10, 5, 30, 25)],
    "c": [("cat", 2, 3, 16, 12)],
}
BOXES = [
    *(("supervision/coco", "coco"), ("supervision/coco_masks", "coco")),
    *(("supervision/yolo", "yolo"), ("supervision/yolo_masks", "yolo"), ("supervision/voc", "voc")),
    *(("supervision/createml", "createml"), ("supervision/labelme", "labelme")),
    *(("datumaro/coco", "coco"), ("datumaro/coco_instances_masks", "coco")),
    *(("datumaro/coco_person_keypoints", "coco"), ("datumaro/voc_detection", "voc")),
    *(("datumaro/yolo", "yolo"), ("datumaro/yolo_ultralytics", "yolo"), ("datumaro/cvat", "cvat")),
    *(("label-studio/json", "labelstudio"), ("label-studio/json_polygons", "labelstudio")),
    *(("label-studio/coco", "coco"), ("label-studio/coco_polygons", "coco")),
    *(("label-studio/voc", "voc"), ("label-studio/yolo", "yolo")),
    *(("label-studio/yolo_polygons", "yolo"), ("label-studio/yolo_obb", "yolo")),
]
MASKS = [each for each in BOXES if each[0].endswith(("_masks", "_polygons"))]


def _read(folder: str, marks: Marks) -> tuple[str, Scenes]:
    source = parse_source(str(EXPORTS / folder), marks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return source.format, read_scenes(source, SceneOptions(marks=marks))


def _stems(scenes: object) -> set[str]:
    return {Path(scene.name).stem for scene in scenes}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("folder", "form"), BOXES)
def test_boxes_and_parts_are_those_that_were_drawn(folder: str, form: str) -> None:
    found_form, found = _read(folder, "boxes")
    assert found_form == form
    assert found.classes == ("cat", "dog")
    if not folder.startswith("label-studio"):  # which writes no parts
        assert (_stems(found.train), _stems(found.val)) == ({"a", "b"}, {"c"})
    assert _stems(found.everything) == set(TRUTH)
    for scene in found.everything:
        assert scene.objects is not None
        wanted = TRUTH[Path(scene.name).stem]
        assert [found.classes[k] for k in scene.objects.labels] == [name for name, *_ in wanted]
        # VOC of these tools numbers pixels from 0: one less left and above; an outline of
        # supervision ends in the middle of its last pixels
        slack = 1.01 if form == "voc" or folder == "supervision/yolo_masks" else 0.01
        corners = np.array([corner for _, *corner in wanted])
        np.testing.assert_allclose(scene.objects.boxes, corners, atol=slack)


@pytest.mark.parametrize(("folder", "form"), MASKS)
def test_outlines_cover_their_boxes(folder: str, form: str) -> None:
    del form
    _, found = _read(folder, "masks")
    for scene in found.everything:
        assert scene.objects is not None
        for outline, box in zip(scene.objects.segments or (), scene.objects.boxes, strict=True):
            area = (box[2] - box[0]) * (box[3] - box[1])
            assert abs(to_mask(outline, 30, 40).sum() - area) <= 0.2 * area


def test_key_points_names_and_partners() -> None:
    _, found = _read("datumaro/coco_person_keypoints", "keypoints")
    assert found.skeleton is not None
    assert found.skeleton.names == ("left_ear", "right_ear", "nose")
    assert found.skeleton.swaps == ((0, 1),)
    (scene,) = found.val
    assert scene.objects is not None
    assert scene.objects.keypoints is not None
    np.testing.assert_allclose(scene.objects.keypoints, [[[4, 5, 2], [14, 5, 1], [9, 9, 2]]])


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        ("datumaro/datumaro", r"annotations/train.json is an export of Datumaro"),
        ("label-studio/csv", "holds no object annotations"),
    ],
)
def test_what_is_not_read_is_told(folder: str, what: str) -> None:
    with pytest.raises(UserError, match=f"{what}.*export them as COCO"):
        _read(folder, "boxes")
