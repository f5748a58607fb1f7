"""The readers of the dense tasks on real data, and on data with faults."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from res2net.data.faults import usable_images
from res2net.data.outlines import fits, pack, to_mask
from res2net.data.scene import COCO_PERSON, Scenes
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.source import Source, parse_source
from res2net.drawing.marks import colour_of
from res2net.errors import UserError


def read(form: str, path: Path | None, marks: Any, **options: Any) -> Scenes:
    source = Source(format=form, path=path, guessed=False)
    return read_scenes(source, SceneOptions(marks=marks, **options))


def photo(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "grey").save(path)


def test_blood_cells_without_their_degenerate_boxes(shared_data: Path) -> None:
    with pytest.warns(UserWarning, match="2 boxes of a single pixel left out; the first: Blood"):
        data = read("voc", shared_data / "bccd", "boxes")
    assert (len(data.train), len(data.val)) == (205, 87)
    assert data.classes == ("Platelets", "RBC", "WBC")
    objects = [scene.objects for scene in (*data.train, *data.val)]
    assert sum(len(each) for each in objects if each) == 3943 - 2


def test_voc_boxes_and_difficult_flags(shared_data: Path) -> None:
    data = read("voc", shared_data / "voc", "boxes")
    assert (len(data.train), len(data.val), len(data.classes)) == (50, 25, 20)
    objects = [scene.objects for scene in (*data.train, *data.val)]
    assert sum(len(each) for each in objects if each) == 205
    assert sum(int(each.ignored.sum()) for each in objects if each) == 20


def test_voc_class_maps(shared_data: Path) -> None:
    data = read("voc", shared_data / "voc", "classes")
    assert (len(data.train), len(data.val), len(data.classes)) == (105, 45, 21)
    assert data.palette[:2] == ((0, 0, 0), colour_of(0))  # background, aeroplane


def test_coco_boxes_masks_and_key_points(shared_data: Path) -> None:
    data = read("coco", shared_data / "coco", "masks")
    assert (len(data.train), len(data.val), len(data.classes)) == (80, 36, 80)
    assert sum(len(scene.objects) for scene in data.train if scene.objects) == 876
    scene = next(s for s in data.val if s.objects is not None and len(s.objects))
    assert scene.size is not None
    assert scene.objects is not None
    assert scene.objects.segments is not None
    mask = to_mask(scene.objects.segments[0], *scene.size)
    assert mask.sum() == pytest.approx(scene.objects.areas[0], rel=0.15)
    people = read("coco", shared_data / "coco", "keypoints")
    assert people.skeleton is not None
    assert len(people.skeleton.names) == 17
    assert people.skeleton.mirrored()[5] == 6


def test_camvid_and_ecssd(shared_data: Path) -> None:
    camvid = read("camvid", shared_data / "camvid", "classes")
    assert (len(camvid.train), len(camvid.val), len(camvid.classes)) == (60, 20, 11)
    ecssd = read("ecssd", shared_data / "ecssd", "salient")
    assert (len(ecssd.train), len(ecssd.val)) == (140, 50)
    assert all(isinstance(scene.salient, Path) for scene in ecssd.val)


def coco(root: Path, annotations: list[dict[str, Any]], **category: Any) -> None:
    photo(root / "train2017" / "a.jpg")
    photo(root / "val2017" / "a.jpg")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 30, "width": 40}],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "cat", **category}],
    }
    (root / "annotations").mkdir(exist_ok=True)
    for part in ("train2017", "val2017"):
        (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))


GOOD = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 10], "area": 100, "iscrowd": 0}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"bbox": [1, 2, 0, 10]}, "2 boxes without area left out; the first: a.jpg"),
        ({"bbox": [float("nan"), 2, 3, 4]}, "2 boxes with non-finite numbers left out"),
        ({"bbox": [100, 2, 5, 5]}, "2 boxes outside their image left out"),
        ({"bbox": [30, 2, 50, 5]}, "2 boxes clipped to their image"),
        ({"bbox": [1, 2, float("inf"), 4]}, "2 boxes with non-finite numbers left out"),
        ({"bbox": [1, 2, -3, 4]}, "2 boxes without area left out"),
        ({"image_id": 99}, "2 annotations refer to images that are not listed"),
    ],
)
def test_faults_of_marks_are_counted_and_nothing_else_is_lost(
    tmp_path: Path, fault: dict[str, Any], message: str
) -> None:
    coco(tmp_path, [GOOD, {**GOOD, **fault}])
    with pytest.warns(UserWarning, match=message):
        data = read("coco", tmp_path, "boxes")
    objects = data.train[0].objects
    assert objects is not None
    assert len(objects) == 1 + ("clipped" in message)
    assert objects.boxes[0].tolist() == [1, 2, 11, 12]


@pytest.mark.parametrize(
    "outline",
    [[], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [[1, 2, float("nan"), 4, 5, 6]], None, "abc"],
)
def test_outlines_that_are_no_polygons_are_left_out(tmp_path: Path, outline: Any) -> None:
    right = [[1, 2, 11, 2, 11, 12]]
    coco(tmp_path, [{**GOOD, "segmentation": right}, {**GOOD, "segmentation": outline}])
    with pytest.warns(UserWarning, match=r"2 masks without a valid poly.*a\.jpg"):
        data = read("coco", tmp_path, "masks")
    assert data.train[0].objects is not None
    assert list(data.train[0].objects.segments or ()) == [right]


@pytest.mark.parametrize(
    "counts",
    [
        *([-5, 1205], [600], None, [600.5, 599.5], "zzzz!!", "Pj7Z", "\u4e00"),
        *("", "05", "P", "1", "0T]10", "`Q", "`U10O", "000000000000`V10"),
    ],
)
def test_run_lengths_that_do_not_add_up_are_left_out(tmp_path: Path, counts: Any) -> None:
    coco(tmp_path, [{**GOOD, "segmentation": {"size": [30, 40], "counts": counts}}])
    with pytest.warns(UserWarning, match="2 damaged masks and masks of another size"):
        data = read("coco", tmp_path, "masks")
    assert data.train[0].objects is not None
    assert not len(data.train[0].objects)


@pytest.mark.parametrize("share", [0, 0.02, 0.3, 0.9, 1])
def test_packed_run_lengths_add_up(share: float) -> None:
    generator = np.random.default_rng(0)
    for height, width in ((1, 1), (30, 40), (7, 300), (400, 300)):
        mask = pack(generator.random((height, width)) < share)
        assert fits(mask, (height, width))
        assert not fits({**mask, "size": [height, width + 1]}, (height, width + 1))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**GOOD, "bbox": [1, 2, 3]}, r"a\.jpg: a bbox must be four numbers, not \[1, 2, 3\]"),
        ({**GOOD, "bbox": None}, r"a\.jpg: an annotation has no bbox and no valid"),
        (
            {**GOOD, "bbox": ["x", 1, 2, 3], "segmentation": []},
            r"a bbox must be four numbers, not \['x'",
        ),
        ("a word", "row 0 of its annotations must have image_id"),
        (GOOD, r"a\.jpg: an annotation has no segmentation, which this --task needs"),
    ],
)
def test_damaged_annotations_are_named(tmp_path: Path, row: Any, message: str) -> None:
    coco(tmp_path, [row])
    with pytest.raises(UserError, match=message):
        read("coco", tmp_path, "masks")


@pytest.mark.parametrize("area", [None, float("nan"), 0])
def test_an_area_that_is_not_stated_is_the_boxs(tmp_path: Path, area: Any) -> None:
    coco(tmp_path, [{**GOOD, "area": area}])
    objects = read("coco", tmp_path, "boxes").train[0].objects
    assert objects is not None
    assert objects.areas.tolist() == [100]


def test_key_points_out_of_frame_count_as_absent(tmp_path: Path) -> None:
    points = [3, 3, 2, 300, 3, 2, float("nan"), 3, 2] + [5, 5, 1] * 14
    coco(tmp_path, [{**GOOD, "keypoints": points}], keypoints=list(COCO_PERSON.names))
    with pytest.warns(UserWarning, match=r"4 key-points outside their image left out.*a\.jpg"):
        data = read("coco", tmp_path, "keypoints")
    objects = data.val[0].objects
    assert objects is not None
    assert objects.keypoints is not None
    assert objects.keypoints[0, :4, 2].tolist() == [2, 0, 0, 1]


@pytest.mark.parametrize(
    "outline",
    [
        [[0.1, 0.2, 0.4, 0.2, 0.4, 0.6]],  # shares of the image
        [[20, 10, 20, 20, 30, 20]],  # y before x
        {"size": [30, 40], "counts": [600, 600]},  # another order of pixels
    ],
)
def test_outlines_elsewhere_than_their_boxes_are_counted(tmp_path: Path, outline: Any) -> None:
    row = {**GOOD, "bbox": [10, 20, 10, 10]}
    right = [[10, 20, 20, 20, 20, 30]]
    coco(tmp_path, [{**row, "segmentation": outline}, {**row, "segmentation": right}])
    with pytest.warns(UserWarning, match="2 outlines are elsewhere than their boxes.*a.jpg"):
        read("coco", tmp_path, "masks")


def test_visible_key_points_at_the_origin_are_counted(tmp_path: Path) -> None:
    rows = [[3, 4, 2, 0, 0, 2], [3, 4, 2, 0, 0, 0]]
    coco(
        tmp_path, [{**GOOD, "keypoints": row} for row in rows], keypoints=["left ear", "right ear"]
    )
    with pytest.warns(match="2 key-points at 0, 0 count as"), pytest.warns(match="a spread"):
        read("coco", tmp_path, "keypoints")


def test_key_points_all_outside_their_box_are_counted(tmp_path: Path) -> None:
    rows = [[30, 20, 2, 31, 21, 1], [30, 20, 2, 5, 5, 1], [0, 0, 0, 0, 0, 0]]
    coco(
        tmp_path, [{**GOOD, "keypoints": row} for row in rows], keypoints=["left ear", "right ear"]
    )
    with pytest.warns(match="2 objects have all key-points out"), pytest.warns(match="a spread"):
        read("coco", tmp_path, "keypoints")


def test_an_image_in_both_parts_is_told(tmp_path: Path) -> None:
    home = tmp_path / "VOC2012"
    for name in "abc":
        photo(home / "JPEGImages" / f"{name}.jpg")
        photo(home / "SegmentationClassAug" / f"{name}.png")
    lists = home / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "train_aug.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c\n")
    data = read("voc", tmp_path, "classes")  # the longer list, of SBD, where it is there
    assert (len(data.train), len(data.val)) == (2, 1)
    (lists / "train_aug.txt").write_text("a\nb\nc\n")
    with pytest.warns(UserWarning, match=r"1 images are in both parts.*c\.jpg"):
        read("voc", tmp_path, "classes")


@pytest.mark.parametrize(
    ("images", "masks", "guessed"),
    [
        ("images", "ground_truth_mask", "ecssd"),
        ("datasets/imgs/pascal", "datasets/masks/pascal", "pairs"),  # PASCAL-S
        ("Imgs", "GT", "pairs"),  # HKU-IS
        ("DUT-OMRON-image", "pixelwiseGT-new-PNG", "ecssd"),
    ],
)
def test_sets_that_salient_objects_are_measured_on(
    tmp_path: Path, images: str, masks: str, guessed: str
) -> None:
    for name in "ab":
        photo(tmp_path / images / f"{name}.jpg")
        photo(tmp_path / masks / f"{name}.png")
    root = tmp_path / "datasets" if images.startswith("datasets") else tmp_path
    assert parse_source(str(root)).format == guessed
    data = read("ecssd", root, "salient")
    assert (len(data.train), len(data.val)) == (0, 2)


def test_a_set_as_roboflow_writes_it(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 0, "file_name": "a.jpg", "height": 30, "width": 40}],
        "annotations": [{**GOOD, "image_id": 0}],
        "categories": [{"id": 7, "name": "cat"}],
    }
    for part in ("train", "valid"):
        photo(tmp_path / part / "a.jpg")
        (tmp_path / part / "_annotations.coco.json").write_text(json.dumps(content))
    assert parse_source(str(tmp_path)).format == "coco"
    data = read("coco", tmp_path, "boxes")
    assert (len(data.train), len(data.val)) == (1, 1)


@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("voc", ["JPEGImages/a.jpg", "Annotations/a.xml", "ImageSets/Main/train.txt"]),
        ("voc", ["VOC2007/JPEGImages/a.jpg", "VOC2007/ImageSets/Main/train.txt"]),
        ("coco", ["train2017/a.jpg", "annotations/instances_train2017.json"]),
        ("camvid", ["train/a.png", "trainannot/a.png", "val/a.png", "valannot/a.png"]),
        ("ecssd", ["train/images/a.jpg", "train/masks/a.png", "test/images/a.jpg"]),
        ("pairs", ["images/a.jpg", "masks/a.png"]),
        ("folder", ["train/ant/a.jpg", "val/ant/a.jpg"]),
        ("yolo", ["data.yaml"]),
    ],
)  # fmt: skip
def test_bare_paths_of_every_layout_are_recognised(
    tmp_path: Path, form: str, files: list[str]
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("names: [cat]\n")
    assert parse_source(str(tmp_path)).format == form


def test_bare_paths_of_real_sets_are_recognised(shared_data: Path) -> None:
    for folder, form in (
        *(("bccd", "voc"), ("voc", "voc"), ("coco", "coco"), ("camvid", "camvid")),
        *(("ecssd", "ecssd"), ("ecssd/test", "pairs"), ("imagenette224", "folder")),
    ):
        assert parse_source(str(shared_data / folder)).format == form


def test_run_lengths_of_another_size_are_left_out(tmp_path: Path) -> None:
    wrong = {"size": [10, 10], "counts": [50, 50]}
    right = {"size": [30, 40], "counts": [600, 600]}
    rows = [{**GOOD, "segmentation": wrong}, {**GOOD, "segmentation": right}]
    coco(tmp_path, [row | {"bbox": [20, 0, 20, 30]} for row in rows])
    with pytest.warns(UserWarning, match="masks of another size than the image left out"):
        data = read("coco", tmp_path, "masks")
    objects = data.val[0].objects
    assert objects is not None
    assert list(objects.segments or ()) == [right]


def test_a_category_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    coco(tmp_path, [{**GOOD, "category_id": 8}])
    with pytest.raises(UserError, match=r"a\.jpg: category 8 is not in the list"):
        read("coco", tmp_path, "boxes")


def test_images_without_annotations_are_negatives(tmp_path: Path) -> None:
    coco(tmp_path, [])
    objects = read("coco", tmp_path, "boxes").train[0].objects
    assert objects is not None
    assert len(objects) == 0


def test_missing_images_are_counted_and_none_to_validate_on_is_refused(
    cli: Any, tmp_path: Path
) -> None:
    coco(tmp_path, [GOOD])
    (tmp_path / "val2017" / "a.jpg").unlink()
    with pytest.warns(UserWarning, match=r"annotated images do not exist.*a\.jpg"):
        assert read("coco", tmp_path, "boxes").val == ()
    words = ("--task", "detect", "--model", "res2net26_small", "--out", tmp_path / "run")
    *_, line = cli("train", *words, "--data", f"coco:{tmp_path}").err.splitlines()
    assert "no images to validate on" in line


def test_entities_in_xml_are_refused(tmp_path: Path) -> None:
    photo(tmp_path / "JPEGImages" / "a.jpg")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text('<!DOCTYPE x [<!ENTITY a "b">]><x/>')
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    for part in ("train", "val"):
        (tmp_path / "ImageSets" / "Main" / f"{part}.txt").write_text("a\n")
    with pytest.raises(UserError, match=r"a\.xml: XML with entity definitions"):
        read("voc", tmp_path, "boxes")


def test_yolo_folders(tmp_path: Path) -> None:
    for part in ("train", "val"):
        photo(tmp_path / "images" / part / "a.jpg")
        (tmp_path / "labels" / part).mkdir(parents=True)
        (tmp_path / "labels" / part / "a.txt").write_text("1 0.5 0.5 0.5 0.2\n")
    yaml = "path: /somewhere/else\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"
    (tmp_path / "data.yaml").write_text(yaml)
    data = read("yolo", tmp_path, "boxes")
    objects = data.train[0].objects
    assert objects is not None
    assert objects.boxes.tolist() == [[10, 12, 30, 18]]
    assert objects.labels.tolist() == [1]
    (tmp_path / "labels" / "val" / "a.txt").write_text("2 0.5 0.5 0.5 0.2\n")
    with pytest.raises(UserError, match=r"a\.txt, line 1: class 2 is not in data.yaml"):
        read("yolo", tmp_path, "boxes")


def test_a_training_list_longer_than_msra_bs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("res2net.data.scenes.maps.MSRA_TRAIN", 2)
    for name in "abcd":
        photo(tmp_path / "imgs" / f"{name}.jpg")
        photo(tmp_path / "gt" / f"{name}.png")
    (tmp_path / "train.txt").write_text("a.jpg\nb.jpg\n")
    (tmp_path / "val.txt").write_text("c.jpg\n")
    assert len(read("msra-b", tmp_path, "salient").train) == 2
    (tmp_path / "train.txt").write_text("a.jpg\nb.jpg\nd.jpg\n")
    with pytest.raises(UserError, match="3 training images, but MSRA-B has 2"):
        read("msra-b", tmp_path, "salient")


def test_pairs_need_a_list_of_classes(tmp_path: Path) -> None:
    for name in "abcde":
        photo(tmp_path / "images" / f"{name}.jpg")
        photo(tmp_path / "masks" / f"{name}.png")
    with pytest.raises(UserError, match=r"classes\.txt: missing"):
        read("pairs", tmp_path, "classes")
    (tmp_path / "classes.txt").write_text("ground\nroad\n")
    data = read("pairs", tmp_path, "classes")
    assert (len(data.train), len(data.val)) == (4, 1)


def test_generated_scenes_repeat_and_have_every_label() -> None:
    one, two = read("scenes", None, "boxes"), read("scenes", None, "boxes")
    other = read("scenes", None, "boxes", seed=1)
    for a, b, c in zip(one.train[:5], two.train[:5], other.train[:5], strict=True):
        assert np.array_equal(a.image, b.image)
        assert not np.array_equal(a.image, c.image)
    sizes = []
    for scene in one.train[:64]:
        assert scene.objects is not None
        assert scene.objects.segments is not None
        assert scene.objects.keypoints is not None
        for i, mask in enumerate(scene.objects.segments):
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert scene.objects.boxes[i].tolist() == box
            assert mask.sum() == scene.objects.areas[i]
        sizes.extend(np.sqrt(scene.objects.areas).tolist())
    assert min(sizes) < 8
    assert max(sizes) > 80


def test_where_key_points_are_learnt_a_white_dot_marks_the_tip() -> None:
    plain, marked = read("scenes", None, "masks"), read("scenes", None, "keypoints")
    dotted = 0
    for before, after in zip(plain.train[:32], marked.train[:32], strict=True):
        assert before.objects is not None
        assert before.objects.segments is not None
        assert before.objects.keypoints is not None
        changed = (np.asarray(before.image) != np.asarray(after.image)).any(-1)
        assert (np.asarray(after.image)[changed] == 255).all()
        for mask, points in zip(before.objects.segments, before.objects.keypoints, strict=True):
            ys, xs = np.nonzero(mask & changed)
            if len(ys) and (points[:, 2] == 2).all():
                far = np.hypot(points[:, 0] - xs.mean(), points[:, 1] - ys.mean())
                dotted += int(far.argmin()) == 0
    assert dotted > 30


LAYOUTS: dict[str, tuple[str, str, dict[str, str]]] = {  # marks, and files: text, or a grey photo
    "coco": (
        "boxes",
        "annotations/instances_{}.json",
        {"annotations/instances_{}.json": "JSON", "images/a.jpg": ""},
    ),
    "yolo": (
        "boxes",
        "images/{}",
        {
            "images/{}/a.jpg": "",
            "labels/{}/a.txt": "0 .5 .5 .2 .2",
            "data.yaml": "train: images/train\nval: images/val\ntest: images/test\nnames: [cat]",
        },
    ),
    "voc": (
        "boxes",
        "ImageSets/Main/{}.txt",
        {"JPEGImages/{}.jpg": "", "Annotations/{}.xml": "XML", "ImageSets/Main/{}.txt": "{}"},
    ),
    "voc of folders": ("boxes", "{}", {"{}/a.jpg": "", "{}/a.xml": "XML"}),
    "voc of maps": (
        "classes",
        "ImageSets/Segmentation/{}.txt",
        {
            "JPEGImages/{}.jpg": "",
            "SegmentationClass/{}.png": "",
            "ImageSets/Segmentation/{}.txt": "{}",
            "labelmap.txt": "ground:0,0,0::\ncat:128,128,128::",
        },
    ),
    "camvid": ("classes", "{}", {"{}/a.png": "", "{}annot/a.png": "MAP"}),
    "pairs": ("salient", "{}", {"{}/images/a.png": "", "{}/masks/a.png": ""}),
    "pairs of folders": ("salient", "images/{}", {"images/{}/a.png": "", "masks/{}/a.png": ""}),
    "pairs of lists": (
        "salient",
        "{}.txt",
        {"images/{}.png": "", "masks/{}.png": "", "{}.txt": "{}"},
    ),
}


def layout(root: Path, form: str, part: str) -> None:
    for pattern, content in LAYOUTS[form][2].items():
        path, text = root / pattern.format(part), content.format(part)
        photo(path) if path.suffix in (".jpg", ".png") else path.parent.mkdir(
            parents=True, exist_ok=True
        )
        if text == "JSON":
            text = json.dumps(
                {
                    "images": [{"id": 1, "file_name": "a.jpg", "height": 30, "width": 40}],
                    "annotations": [{**GOOD, "id": 1}],
                    "categories": [{"id": 7, "name": "cat"}],
                }
            )
        if text == "XML":
            box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>"
            text = f"<annotation><object><name>cat</name>{box}</object></annotation>"
        if text == "MAP":
            Image.fromarray(np.full((30, 40), 1, np.uint8)).save(path)
        elif text:
            path.write_text(text)


@pytest.mark.filterwarnings("ignore:.*images are in both parts")  # COCO's in one folder
@pytest.mark.parametrize("measured", ["val", "test"])
@pytest.mark.parametrize("form", LAYOUTS)
def test_the_measured_part_alone_is_read(tmp_path: Path, form: str, measured: str) -> None:
    marks, place, _ = LAYOUTS[form]
    for part in ("train", "val", "test"):
        layout(tmp_path, form, part)
    name = form.partition(" ")[0]
    whole = read(name, tmp_path, marks)
    assert [len(part) for part in (whole.train, whole.val, whole.test)] == [1, 1, 1]
    # the training part is damaged, and then it is gone
    train = tmp_path / place.format("train")
    if train.is_dir():
        shutil.rmtree(train)
        train.mkdir()
    else:
        train.write_text("damaged")
    for _ in range(2):
        found = read(name, tmp_path, marks, measured=measured)
        other = "test" if measured == "val" else "val"
        counts = [len(getattr(found, part)) for part in ("train", measured, other)]
        assert counts == [0, 1, 0]
        shutil.rmtree(train) if train.is_dir() else train.unlink(missing_ok=True)


def test_voc07_is_validated_on_a_part_of_its_own_where_a_share_is_asked_for(
    tmp_path: Path,
) -> None:
    for name in "abcdef":
        layout(tmp_path, "voc", name)
    lists = tmp_path / "ImageSets" / "Main"
    for path in lists.glob("*.txt"):
        path.unlink()
    (lists / "trainval.txt").write_text("a\nb\nc\nd\n")
    (lists / "test.txt").write_text("e\nf\n")
    data = read("voc", tmp_path, "boxes")
    assert (len(data.train), len(data.val), data.validation) == (4, 2, "test")
    data = read("voc", tmp_path, "boxes", val_fraction=0.25)
    assert (len(data.train), len(data.val), len(data.test)) == (3, 1, 2)
    assert data.validation == "train"
    assert [each.name[-5] for each in data.test] == ["e", "f"]


def test_a_share_means_nothing_where_there_is_a_validation_part(tmp_path: Path) -> None:
    for part in ("train", "val"):
        layout(tmp_path, "pairs", part)
    with pytest.warns(UserWarning, match=r"pairs:.*, so --input\.val-fraction is not used"):
        read("pairs", tmp_path, "salient", val_fraction=0.3)
    read("pairs", tmp_path, "salient")
    read("pairs", tmp_path, "salient", val_fraction=0.2, split_rule="v1")


def test_groups_of_given_parts_are_noted(tmp_path: Path) -> None:
    for part in ("train", "val"):
        layout(tmp_path, "pairs of folders", part)
    with pytest.warns(UserWarning, match=r"1 groups are in both parts, training \(1 images\)"):
        read("pairs", tmp_path, "salient", group_by="pattern:([a-z])[.]png")
    read("pairs", tmp_path, "salient", group_by="pattern:(train|val)")
    with pytest.raises(UserError, match="only a CSV has columns"):
        read("pairs", tmp_path, "salient", group_by="column:patient")
    with pytest.raises(UserError, match="is not possible; images have no files"):
        read("scenes", None, "salient", group_by="folder")


def test_a_size_of_run_lengths_that_is_no_whole_number_is_told(tmp_path: Path) -> None:
    row = {**GOOD, "segmentation": {"size": [30.0, 40.0], "counts": "0`15"}, "bbox": None}
    coco(tmp_path, [row])
    with pytest.raises(UserError, match=r"a\.jpg: an annotation has no bbox and no valid"):
        read("coco", tmp_path, "masks")


_SHAPE = (
    '"shapes": [{"label": "cat", "shape_type": "rectangle", "points": [[10, 7.5], [30, 22.5]]}]'
)
_XML = (
    "<annotation><object><name>cat</name><bndbox><xmin>11</xmin><ymin>8.5</ymin>"
    "<xmax>30</xmax><ymax>22.5</ymax></bndbox></object></annotation>"
)
_FORMS: dict[str, dict[str, str]] = {  # format → files; NAME is a and b
    "yolo": {"data.yaml": "names: [cat]", "NAME.txt": "0 0.5 0.5 0.5 0.5"},
    "voc": {"NAME.xml": _XML},
    "labelme": {"NAME.json": f'{{"version": "5", "imagePath": "NAME.png", {_SHAPE}}}'},
    "csv-boxes": {"x.csv": "a.png,10,7.5,30,22.5,cat\nb.png,10,7.5,30,22.5,cat\n"},
    "coco": {
        "x.json": json.dumps(
            {
                "images": [{"id": name, "file_name": f"{name}.png"} for name in "ab"],
                "annotations": [
                    {"image_id": name, "category_id": 1, "bbox": [10, 7.5, 20, 15]} for name in "ab"
                ],
                "categories": [{"id": 1, "name": "cat"}],
            }
        )
    },
}


@pytest.mark.parametrize("form", _FORMS)
def test_unreadable_images_are_left_to_the_check_of_all_files(tmp_path: Path, form: str) -> None:
    for name in "ab":
        photo(tmp_path / f"{name}.png")
        for file, text in _FORMS[form].items():
            (tmp_path / file.replace("NAME", name)).write_text(text.replace("NAME", name))
    (tmp_path / "a.png").write_text("<html>404</html>")
    bad, good = read(form, tmp_path, "boxes", val_fraction=0).train
    assert good.objects is not None
    assert good.objects.boxes.tolist() == [[10, 7.5, 30, 22.5]]
    images = Scenes(name="x", classes=("cat",), train=(bad, good), val=())
    with pytest.raises(UserError, match=r"x: 1 of 2 images cannot be used: a\.png \(not an image"):
        usable_images("x", images, "boxes", skip_bad=False, option="--skip-bad")
    with pytest.warns(UserWarning, match="1 of 2 images cannot be used"):
        kept = usable_images("x", images, "boxes", skip_bad=True, option="--skip-bad").train
    assert [scene.name for scene in kept] == ["b.png"]


@pytest.mark.parametrize("marks", ["salient", "classes"])
def test_images_listed_twice_are_counted_once(tmp_path: Path, marks: str) -> None:
    for name in "abc":
        photo(tmp_path / "images" / f"{name}.png")
        photo(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "train.txt").write_text("a\na\nb\n")
    (tmp_path / "val.txt").write_text("c\n")
    (tmp_path / "classes.txt").write_text("\n".join(map(str, range(200))))
    with pytest.warns(UserWarning, match="1 images listed twice are counted once"):
        data = read("pairs", tmp_path, marks)
    assert [scene.name for scene in data.train] == ["images/a.png", "images/b.png"]
