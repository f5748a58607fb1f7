"""YOLO's folders as people have them: read right, or told in one line."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from res2net.data.source import parse_source
from res2net.errors import UserError

Reads = Made = Callable[..., Any]
LINE = "0 0.25 0.25 0.5 0.5\n"
BOX = [0, 0, 64, 48]


@pytest.fixture
def root(tmp_path: Path, draw: Made) -> Path:
    """Two parts of one image with one box each, and no YAML."""
    for part in ("train", "val"):
        draw(tmp_path / "images" / part / f"{part}.png")
        (tmp_path / "labels" / part).mkdir(parents=True)
        (tmp_path / "labels" / part / f"{part}.txt").write_text(LINE)
    return tmp_path


def settle(root: Path, text: str = "names: [cat]", *, name: str = "data.yaml") -> Path:
    (root / name).write_text(f"train: images/train\nval: images/val\n{text}\n")
    return root


@pytest.mark.parametrize(
    ("names", "label", "classes"),
    [
        ("names: {1: cat, 2: dog}", 1, ("cat", "dog")),
        ("names: {'1': cat, '2': dog}", 1, ("cat", "dog")),
        ("names: {3: cat, 7: dog}\nnc: 8", 3, ("cat", "dog")),
        ("names: {1: dog, 0: cat}", 0, ("cat", "dog")),
        ("names: [cat, dog]\nnc: 2", 0, ("cat", "dog")),
        ("names: cat", 0, ("cat",)),
        ("names: [1, 2]", 0, ("1", "2")),
    ],
)
def test_names_in_every_form(
    root: Path, reads: Reads, boxes: Made, names: str, label: int, classes: tuple[str, ...]
) -> None:
    settle(root, names)
    for file in root.rglob("*.txt"):
        file.write_text(LINE.replace("0 ", f"{label} ", 1))
    data = reads("yolo", root)
    assert data.classes == classes
    assert boxes(data.train) == boxes(data.val) == [[(0, BOX)]]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("names: [yes, no]", "True is not a class name; put names in quotes"),
        ("names: [cat, cat]", "names 1 classes twice, the first: cat"),
        ("names: {a: cat}", "names must be a list of names, or a mapping of numbers"),
        ("names: {1: cat, '1': dog}", "names has a number twice"),
        ("names: [[cat]]", "is not a class name"),
        ("names: [cat]\nnc: 3", "nc differs from the number of names, 1"),
        ("names: 5", "names must be a list"),
        ("nothing: 1", "has no list of names"),
        ("names: [" * 3000, "cannot be read as YAML"),
        ("names: !!python/object:os.system [cat]", "cannot be read as YAML"),
        ("names: [cat]\nkpt_shape: 5", "kpt_shape must be the number of key-points and 2 or 3"),
    ],
)
def test_names_that_are_none_are_told(root: Path, told: Made, names: str, message: str) -> None:
    assert message in told("yolo", settle(root, names))


def test_a_label_that_has_no_name_is_told(root: Path, reads: Reads) -> None:
    with pytest.raises(UserError, match=r"train\.txt, line 1: class 0 is not in data\.yaml"):
        reads("yolo", settle(root, "names: {1: cat}"))


def test_the_yaml_with_names_is_taken(root: Path, reads: Reads) -> None:
    settle(root, name="z_pets.yml")
    (root / "a_hyp.yaml").write_text("lr0: 0.1\n")
    (root / "b.yaml").write_text("]:")
    assert parse_source(str(root)).format == "yolo"
    assert reads("yolo", root).classes == ("cat",)
    assert reads("yolo", root / "z_pets.yml").classes == ("cat",)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_part_that_is_not_where_it_says_is_told(root: Path, told: Made, part: str) -> None:
    settle(root)
    file = root / "data.yaml"
    file.write_text(file.read_text().replace(f"images/{part}", f"images/{part}_clean"))
    assert f"its {part} images are at 'images/{part}_clean', which does not exist" in told(
        "yolo", root
    )
    file.write_text(file.read_text().replace(f"images/{part}_clean", "[[1]]"))
    assert f"{part} must be a folder or a list, not [1]" in told("yolo", root)
    file.write_text(file.read_text().replace("[[1]]", "x" * 5000))
    assert "which does not exist" in told("yolo", root)


def test_lists_of_folders_and_of_files(root: Path, reads: Reads, draw: Made, boxes: Made) -> None:
    draw(root / "images" / "more" / "a b.png")
    (root / "labels" / "more").mkdir()
    (root / "labels" / "more" / "a b.txt").write_text(LINE)
    (root / "data.yaml").write_text(
        "train: [images/train, images/more]\nval: val.txt\nnames: [cat]\n"
    )
    (root / "val.txt").write_text("./images/val/val.png\nimages\\more\\a b.png\n")
    with pytest.warns(UserWarning, match="1 images are in both parts"):
        data = reads("yolo", root)
    assert [each.name for each in data.train] == ["train.png", "a b.png"]
    assert boxes(data.val) == [[(0, BOX)]] * 2
    (root / "val.txt").write_text("images/val/val.png\nimages/val/lost.png\n")
    with pytest.warns(UserWarning, match="1 listed images do not exist; the first: images/val/l"):
        assert len(reads("yolo", root).val) == 1


def test_without_a_validation_part_one_is_held_out(root: Path, reads: Reads, draw: Made) -> None:
    for number in range(4):
        draw(root / "images" / "train" / f"{number}.png")
        (root / "labels" / "train" / f"{number}.txt").write_text(LINE)
    for folder in ("images", "labels"):
        (root / folder / "val").rename(root / folder / "test")
    (root / "data.yaml").write_text("train: images/train\ntest: images/test\nnames: [cat]\n")
    data = reads("yolo", root)
    assert (len(data.train), len(data.val), data.validation) == (4, 1, "train")
    assert [each.name for each in data.test] == ["val.png"]  # which chooses no model
    (root / "data.yaml").write_text("train: images/train\ntest: ../test/images\nnames: [cat]\n")
    with pytest.warns(UserWarning, match="1 folders of test images do not exist"):
        assert not reads("yolo", root).test


@pytest.mark.parametrize("labels", ["Labels", "LABELS", "labels"])
def test_labels_in_any_case(root: Path, reads: Reads, boxes: Made, labels: str) -> None:
    (root / "labels").rename(root / labels)
    assert boxes(reads("yolo", settle(root)).train) == [[(0, BOX)]]


@pytest.mark.parametrize("labels", ["", "labels", "../labels/train"])
def test_labels_of_images_that_are_in_no_folder_of_that_name(
    tmp_path: Path, reads: Reads, draw: Made, boxes: Made, labels: str
) -> None:
    for name in "ab":
        draw(tmp_path / "train" / f"{name}.png")
        file = tmp_path / "train" / labels / f"{name}.txt"
        if labels == "labels":
            file = tmp_path / "labels" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(LINE)
    (tmp_path / "data.yaml").write_text("train: train\nnames: [cat]\n")
    data = reads("yolo", tmp_path)
    assert boxes((*data.train, *data.val)) == [[(0, BOX)]] * 2


def test_missing_labels_are_counted_with_the_folder(root: Path, reads: Reads) -> None:
    (root / "labels" / "train" / "train.txt").unlink()
    message = r"1 of the 1 train images have no label file and count as empty; .*labels/train$"
    with pytest.warns(UserWarning, match=message):
        assert len(reads("yolo", settle(root)).train[0].objects) == 0


@pytest.mark.parametrize("each", [2, 3])
def test_key_points_are_no_outlines(root: Path, reads: Reads, boxes: Made, each: int) -> None:
    seen = " 2" if each == 3 else ""
    points = f"0.3 0.3{seen} 0.4 0.4{seen} 0 0{seen and ' 0'}"
    for file in root.rglob("*.txt"):
        file.write_text(f"{LINE.strip()} {points}\n")
    settle(root, f"names: [cat]\nkpt_shape: [3, {each}]\nflip_idx: [1, 0, 2]")
    assert boxes(reads("yolo", root).val) == [[(0, BOX)]]
    with pytest.warns(UserWarning, match="3 key-points without a spread"):
        data = reads("yolo", root, "keypoints")
    assert data.skeleton.swaps == ((0, 1),)
    found = data.train[0].objects.keypoints.round(6).tolist()
    assert found == [[[38.4, 28.8, 2], [51.2, 38.4, 2], [0, 0, 0]]]
    with pytest.raises(UserError, match="its labels are boxes with key-points; this --task needs"):
        reads("yolo", root, "masks")


def test_key_points_without_their_shape_are_told(root: Path, told: Made) -> None:
    for file in root.rglob("*.txt"):
        file.write_text(f"{LINE.strip()} 0.3 0.3 2 0.4 0.4 1\n")
    assert "looks like a box with key-points; give kpt_shape" in told("yolo", settle(root))
    assert "no key-points (no kpt_shape)" in told("yolo", root, "keypoints")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("flip_idx: [1, 2, 0]", "flip_idx does not pair its key-points"),
        ("flip_idx: [1, 2]", "flip_idx is not a permutation of 3 key-points"),
        ("kpt_names: {0: [a, b]}", "kpt_names are not 3 names"),
        ("kpt_names: {0: [a, b, b]}", "its list of key-points has 'b' twice"),
        ("kpt_names: {0: [a, b, c]}", "4 numbers are not a box with 3 key-points of 3"),
    ],
)
def test_key_points_that_do_not_fit_are_told(
    root: Path, told: Made, more: str, message: str
) -> None:
    settle(root, f"names: [cat]\nkpt_shape: [3, 3]\n{more}")
    assert message in told("yolo", root, "keypoints")


def test_outlines_of_four_corners_are_no_rotated_boxes(root: Path, reads: Reads) -> None:
    for part in ("train", "val"):
        (root / "labels" / part / f"{part}.txt").write_text("0 .1 .1 .4 .1 .4 .4 .1 .4\n")
    objects = reads("yolo", settle(root), "masks").train[0].objects
    assert len(objects.segments[0][0]) == 8


def test_rotated_boxes_are_counted_and_boxed(root: Path, reads: Reads, boxes: Made) -> None:
    for file in root.rglob("*.txt"):
        file.write_text("0 0.25 0 0.5 0.25 0.25 0.5 0 0.25\n")
    with pytest.warns(UserWarning, match="2 lines of 8 numbers are replaced by the boxes"):
        assert boxes(reads("yolo", settle(root)).train) == [[(0, BOX)]]


@pytest.mark.parametrize(
    "line",
    ["0 nan 0 1 1", "0 inf 0 1 1", "0 1e400 0 1 1", "nan 0 0 1 1", "inf 0 0 1 1", "0.5 0 0 1 1",
     "0 320 240 64 48", "0 0.5 0.5 0.1", "0 0.5 0.5 0.1 0.1 0.9", "0", "cat 0 0 1 1", "-1 0 0 1 1",
     "1e300 0 0 1 1"],
)  # fmt: skip
def test_lines_that_are_no_marks_are_told(root: Path, told: Made, line: str) -> None:
    (root / "labels" / "train" / "train.txt").write_text(f"{LINE}\n{line}\n")
    assert "train.txt, line 3: " in told("yolo", settle(root))


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_content_is_read_or_told(root: Path, told: Made, data: Any) -> None:
    texts = ("", "~", "5", "[1]", "{a: b}", "x", "&a [*a]", "'\\0'", "2020-13-45", "[[[", "- -")
    more = ("!!int x", ".nan", "images/val", "0x" + "f" * 9999)
    noise = st.sampled_from((*texts, *more))
    keys = st.sampled_from(["train", "val", "names", "nc", "path", "kpt_shape", "flip_idx", "<<"])
    lines = {"train": "images/train", "val": "images/val", "names": "[cat]"}
    lines |= data.draw(st.dictionaries(keys, noise, max_size=3))
    (root / "data.yaml").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    text = data.draw(st.text("0123456789.- e\nnaif", max_size=60) | st.binary(max_size=20))
    label = text.encode() if isinstance(text, str) else text
    (root / "labels" / "train" / "train.txt").write_bytes(label)
    for marks in ("boxes", "masks", "keypoints"):
        told("yolo", root, marks)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("classes.txt", "cat\r\n"), ("labels/classes.txt", "cat\n"), ("pets.names", "cat\n")),
        ("train/_darknet.labels", "cat\n"),
    ],
)
def test_classes_without_yaml(root: Path, reads: Reads, boxes: Made, name: str, text: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(text)
    assert parse_source(str(root), "boxes").format == "yolo"
    data = reads("yolo", root)
    assert data.classes == ("cat",)
    assert boxes(data.train) == boxes(data.val) == [[(0, BOX)]]


def test_lists_of_classes_that_differ_are_told(root: Path, told: Made) -> None:
    for part, name in (("train", "cat"), ("val", "dog")):
        (root / "labels" / part / "classes.txt").write_text(f"{name}\n")
    assert "have different classes" in told("yolo", root)


def test_darknets_lists_name_the_parts(tmp_path: Path, reads: Reads, draw: Made) -> None:
    for part in ("train", "valid"):
        draw(tmp_path / f"obj_{part}_data" / f"{part}.png")
        (tmp_path / f"obj_{part}_data" / f"{part}.txt").write_text(LINE)
        (tmp_path / f"{part}.txt").write_text(f"data/obj_{part}_data/{part}.png\n")
    (tmp_path / "obj.names").write_text("cat\n")
    (tmp_path / "obj.data").write_text("train = data/train.txt\nvalid = data/valid.txt\n")
    data = reads("yolo", tmp_path)
    assert [scene.name for scene in (*data.train, *data.val)] == ["train.png", "valid.png"]


@pytest.mark.parametrize(
    "home", ["/content/pets", "C:\\pets", "../pets", "pets", "..", "/content/pets/extra"]
)
def test_parts_of_another_machine_are_found_below(root: Path, reads: Reads, home: str) -> None:
    lines = (f"{part}: '{home}/images/{part}'\n" for part in ("train", "val"))
    (root / "data.yaml").write_text("".join(lines) + "names: [cat]\n")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "", UserWarning)  # that they are not where stated
        data = reads("yolo", root)
    assert [scene.name for scene in (*data.train, *data.val)] == ["train.png", "val.png"]


def test_a_folder_called_images_alone_is_of_no_part(root: Path, told: Made) -> None:
    (root / "data.yaml").write_text("train: images/train\nval: ../valid/images\nnames: [cat]\n")
    assert "its val images are at '../valid/images', which does not exist" in told("yolo", root)


def test_boxes_that_are_two_corners_are_refused(root: Path, told: Made) -> None:
    settle(root)
    for part, line in (("train", "0 0.5 0.5 0.9 0.8\n"), ("val", "0 0.1 0.2 0.9 0.7\n")):
        (root / "labels" / part / f"{part}.txt").write_text(line)
    assert "look like left, top, right, bottom" in told("yolo", root)


def test_boxes_are_no_outlines(root: Path, told: Made) -> None:
    assert "its labels are boxes; this --task needs outlines" in told("yolo", settle(root), "masks")


def test_a_confidence_after_the_box_is_told(root: Path, told: Made) -> None:
    (settle(root) / "labels" / "train" / "train.txt").write_text("0 0.25 0.25 0.5 0.5 0.9\n")
    assert "as predictions with confidence" in told("yolo", root)


def test_images_that_share_a_label_file_are_counted(root: Path, reads: Reads, draw: Made) -> None:
    draw(settle(root) / "images" / "train" / "train.jpg")
    with pytest.warns(UserWarning, match="1 images share their label file with another image"):
        reads("yolo", root)


def test_a_list_of_classes_that_differs_from_the_yaml_is_noted(root: Path, reads: Reads) -> None:
    (root / "labels" / "classes.txt").write_text("dog\ncat\n")
    (root / "old_classes.txt").write_bytes("K\u00e4fer".encode("cp1252"))
    settle(root, "names: [cat, dog]")
    with pytest.warns(UserWarning, match="1 lists of classes differ from data.yaml"):
        assert reads("yolo", root).classes == ("cat", "dog")


def test_labels_of_images_that_are_not_there_are_counted(root: Path, reads: Reads) -> None:
    settle(root)
    for name, text in {"x": LINE, "y": LINE, "classes": "cat"}.items():
        (root / "labels" / "train" / f"{name}.txt").write_text(text)
    with pytest.warns(UserWarning, match=r"2 label files belong to no image .*train/x\.txt"):
        reads("yolo", root)
    reads("yolo", root, measured="val")  # labels of other parts are not looked for


def test_letters_in_two_forms_of_unicode_are_equal(
    root: Path, reads: Reads, draw: Made, boxes: Made
) -> None:
    draw(settle(root) / "images" / "train" / "ae\u0301.png")
    (root / "labels" / "train" / "a\u00e9.txt").write_text(LINE)
    assert boxes(reads("yolo", root).train) == [[(0, BOX)], [(0, BOX)]]
