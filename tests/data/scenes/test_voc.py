"""VOC's XML as other tools write it: read right, or told in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from res2net.data.scenes.voc import CLASSES
from res2net.data.source import parse_source
from res2net.errors import UserError

Reads = Made = Callable[..., Any]
CAT = ("cat", (11, 11, 40, 40))
BOX = [10, 10, 40, 40]


@pytest.fixture
def devkit(tmp_path: Path, draw: Made) -> Made:
    """``devkit({"a": text}, train="a")``: images, annotations and lists."""

    def write(texts: dict[str, str | bytes], **lists: str) -> Path:
        home = tmp_path / "VOC"
        for folder in ("Annotations", "ImageSets/Main"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            draw(home / "JPEGImages" / f"{name}.jpg")
            data = text if isinstance(text, bytes) else text.encode()
            (home / "Annotations" / f"{name}.xml").write_bytes(data)
        for name, text in lists.items():
            (home / "ImageSets" / "Main" / f"{name}.txt").write_text(text)
        return home

    return write


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [("gbk", "gbk"), ("utf-8", "utf-8"), ("utf-16", "utf-16"), ("big5", "Big5"), ("utf-8", None),
     ("utf-8-sig", None), ("shift_jis", "Shift_JIS"), ("utf-16-le", "UTF-16LE")],
)  # fmt: skip
def test_the_encoding_of_the_file_counts(
    devkit: Made, reads: Reads, xml: Made, encoding: str, declared: str | None
) -> None:
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    text = xml(("日本", (1, 1, 9, 9)), head=head).encode(encoding)
    assert reads("voc", devkit({"a": text, "b": text}, train="a", val="b")).classes == ("日本",)


def test_a_single_byte_encoding(devkit: Made, reads: Reads, xml: Made) -> None:
    head = "<?xml version='1.0' encoding='latin-1'?>\n"
    text = xml(("Bär", (1, 1, 9, 9)), head=head).encode("latin-1")
    assert reads("voc", devkit({"a": text, "b": text}, train="a", val="b")).classes == ("Bär",)


@pytest.mark.parametrize("encoding", ["gbk", "klingon", "hex", "utf-16"])
def test_bytes_of_another_encoding_are_told(devkit: Made, told: Made, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><annotation>\xff</annotation>'
    home = devkit({"a": text.encode("latin-1")}, train="a", val="a")
    assert "a.xml: not a VOC XML annotation" in told("voc", home)


@pytest.mark.parametrize(
    "line",
    ["my cat (0)", "my cat (0).jpg", "my cat (0).JPG", "JPEGImages/my cat (0).jpg",
     "C:\\me\\my cat (0).jpg", "\ufeffmy cat (0)"],
)  # fmt: skip
def test_lists_name_images_in_many_ways(
    devkit: Made, reads: Reads, xml: Made, boxes: Made, line: str
) -> None:
    texts = {"my cat (0)": xml(CAT), "my": xml()}
    data = reads("voc", devkit(texts, train=line, val="my -1\n"))
    assert boxes(data.train) == [[(CLASSES.index("cat"), BOX)]]
    assert [each.name for each in data.val] == ["JPEGImages/my.jpg"]


@pytest.mark.parametrize(
    ("lists", "parts"),
    [
        ({"trainval": "ab", "test": "c"}, ("ab", "c", "", "test")),  # VOC07's protocol
        ({"trainval": "a", "test": "c", "train": "a", "val": "b"}, ("a", "c", "", "test")),
        ({"train": "a", "val": "b", "test": "c"}, ("a", "b", "c", "given")),
        ({"trainval": "abcde"}, (4, 1, 0, "train")),
        ({"train": "abcd", "test": "e"}, (3, 1, 1, "train")),
        ({"val": "b"}, ("", "b", "", "given")),
    ],
)
def test_lists_make_the_parts(
    devkit: Made, reads: Reads, xml: Made, lists: dict[str, str], parts: Any
) -> None:
    texts = dict.fromkeys("abcde", xml(CAT))
    lists = {name: "\n".join(text) for name, text in lists.items()}
    data = reads("voc", devkit(texts, **lists))
    found = ["".join(Path(e.name).stem for e in p) for p in (data.train, data.val, data.test)]
    if isinstance(parts[0], int):
        assert len(set("".join(found))) == 5
        assert (*map(len, found), data.validation) == parts
    else:
        assert (*found, data.validation) == parts


def test_lists_of_other_classes_are_no_published_protocol(
    devkit: Made, reads: Reads, xml: Made
) -> None:
    texts = dict.fromkeys("abcd", xml(("crack", (11, 11, 40, 40))))
    data = reads("voc", devkit(texts, train="a", val="b", trainval="a\nb", test="c\nd"))
    found = ["".join(Path(e.name).stem for e in p) for p in (data.train, data.val, data.test)]
    assert (*found, data.validation) == ("a", "b", "cd", "given")


def test_no_lists_are_told_and_an_empty_one_holds_nothing_out(
    devkit: Made, told: Made, reads: Reads, xml: Made
) -> None:
    home = devkit({"a": xml(CAT)})
    assert "no train.txt, val.txt or trainval.txt" in told("voc", home)
    devkit({}, train="a", val="b")
    with pytest.warns(UserWarning, match="1 listed images do not exist; the first: JPEGImages/b"):
        assert reads("voc", home).val == ()


@pytest.mark.parametrize("folders", [("", ""), ("train", "valid"), ("train", "val")])
@pytest.mark.parametrize("below", ["", "Annotations"])
def test_xml_beside_the_images(
    tmp_path: Path, reads: Reads, draw: Made, xml: Made, boxes: Made, folders: Any, below: str
) -> None:
    for number, folder in enumerate(folders * 2):
        draw(tmp_path / folder / f"{number}.jpg")
        (tmp_path / folder / below).mkdir(exist_ok=True)
        (tmp_path / folder / below / f"{number}.xml").write_text(xml(("my cat", CAT[1])))
    assert parse_source(str(tmp_path)).format == "voc"
    data = reads("voc", tmp_path)
    assert data.classes == ("my cat",)
    assert (len(data.train), len(data.val)) == ((2, 2) if folders[0] else (3, 1))
    assert boxes((*data.train, *data.val)) == [[(0, BOX)]] * 4


@pytest.mark.parametrize("maps", ["annotations/trimaps", "masks", "SegmentationClass"])
def test_maps_beside_xml_are_no_images(
    tmp_path: Path, reads: Reads, draw: Made, xml: Made, boxes: Made, maps: str
) -> None:
    (tmp_path / "annotations/xmls").mkdir(parents=True)
    for name in "abcde":
        draw(tmp_path / "images" / f"{name}.jpg")
        draw(tmp_path / maps / f"{name}.png")
        (tmp_path / f"annotations/xmls/{name}.xml").write_text(xml(CAT))
    with pytest.warns(UserWarning, match="5 maps of images are not images and are left out"):
        data = reads("voc", tmp_path)
    assert {Path(each.name).suffix for each in data.everything} == {".jpg"}
    assert boxes(data.everything) == [[(0, BOX)]] * 5


def test_images_beside_no_xml_are_counted(
    tmp_path: Path, reads: Reads, draw: Made, xml: Made
) -> None:
    for name in "abc":
        draw(tmp_path / f"{name}.jpg")
    (tmp_path / "a.xml").write_text(xml(CAT))
    with pytest.warns(UserWarning, match="2 images have no annotation and count as empty"):
        assert reads("voc", tmp_path).classes == ("cat",)


def test_a_list_of_classes_beside_the_data(
    devkit: Made, reads: Reads, told: Made, xml: Made
) -> None:
    home = devkit({"a": xml(CAT), "b": xml(CAT)}, train="a", val="b")
    (home / "labelmap.txt").write_text(
        "# label:color\nbackground:0,0,0::\ndog:1,1,1::\ncat:2,2,2::\n"
    )
    assert reads("voc", home).classes == ("dog", "cat")
    (home / "labelmap.txt").write_text("dog\n")
    assert "labelmap.txt: lacks annotated classes: cat" in told("voc", home)
    (home / "labelmap.txt").write_text("cat\ncat\n")
    assert "labelmap.txt: names 1 classes twice" in told("voc", home)


@pytest.mark.parametrize("value", ["1", " 1 ", "true", "True"])
def test_difficult_objects_are_ignored_but_no_crowds(
    devkit: Made, reads: Reads, xml: Made, value: str
) -> None:
    text = xml(CAT).replace("<bndbox>", f"<difficult>{value}</difficult><bndbox>")
    objects = reads("voc", devkit({"a": text, "b": text}, train="a", val="b")).val[0].objects
    assert objects.ignored.tolist() == [True]
    assert objects.crowds is None


@pytest.mark.parametrize(
    "text",
    [
        "<annotation><object><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
        "</bndbox></object></annotation>",
        "<annotation><size><width>abc</width></size></annotation>",
        "<kml/>",
        "<annotation>",
        "",
        "<annotation><object><name>cat</name><bndbox><xmin>one</xmin></bndbox></object></annotation>",
        '<!DOCTYPE annotation [<!ENTITY a "b">]><annotation>&a;</annotation>',
        '<!DOCTYPE annotation SYSTEM "http://host/x.dtd"><annotation/>',
    ],
)  # fmt: skip
def test_what_is_no_annotation_is_told(devkit: Made, told: Made, text: str) -> None:
    assert "a.xml: " in told("voc", devkit({"a": text}, train="a", val="a"))


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_content_is_read_or_told(devkit: Made, told: Made, xml: Made, data: Any) -> None:
    number = st.sampled_from(["", "nan", "inf", "-1e400", "1e308", "9" * 5000, "x", "-5", "0.5"])
    values = [data.draw(st.integers(-9, 200) | number) for _ in range(4)]
    text = xml((data.draw(st.sampled_from(["cat", "", "\x01", "a" * 300])), tuple(values)))
    size = "".join(f"<{k}>{data.draw(number)}</{k}>" for k in ("width", "height"))
    text = text.replace("<annotation>", f"<annotation><size>{size}</size>")
    raw = text.encode()
    cut = data.draw(st.integers(0, 3 * len(raw)))
    raw = raw[:cut] + data.draw(st.binary(max_size=3)) + raw[cut:]
    told("voc", devkit({"a": raw}, train="a", val="a"))


@pytest.mark.parametrize("folder", ["labels", "annotations/xmls", "."])
def test_layouts_without_lists_are_recognised(
    tmp_path: Path, reads: Reads, draw: Made, xml: Made, boxes: Made, folder: str
) -> None:
    draw(tmp_path / "images" / "a.png")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "a.XML").write_text(xml(CAT))
    assert parse_source(str(tmp_path), "boxes").format == "voc"
    assert boxes(reads("voc", tmp_path, val_fraction=0).train) == [[(0, BOX)]]


def test_equal_names_in_two_folders_keep_their_own_annotations(
    tmp_path: Path, reads: Reads, draw: Made, xml: Made
) -> None:
    for part, name in (("train", "cat"), ("val", "dog")):
        draw(tmp_path / "images" / part / "0.png")
        (tmp_path / "annotations" / part).mkdir(parents=True)
        (tmp_path / "annotations" / part / "0.xml").write_text(xml((name, CAT[1])))
    data = reads("voc", tmp_path)
    labels = [[data.classes[k] for k in s.objects.labels] for s in (*data.train, *data.val)]
    assert labels == [["cat"], ["dog"]]


def test_a_file_of_another_name_is_found_by_its_content(
    tmp_path: Path, reads: Reads, draw: Made, xml: Made, boxes: Made
) -> None:
    draw(tmp_path / "a.png")
    text = xml(CAT).replace("<annotation>", "<annotation><filename>a.png</filename>")
    (tmp_path / "0001.xml").write_text(text)
    (tmp_path / "0002.xml").write_text(text.replace("a.png", "b.png"))
    with pytest.warns(UserWarning, match="1 XML files annotate an image that does not exist"):
        assert boxes(reads("voc", tmp_path, val_fraction=0).train) == [[(0, BOX)]]


@pytest.mark.parametrize("name", ["default", "pets", "Train"])
def test_one_list_of_any_name(devkit: Made, reads: Reads, xml: Made, name: str) -> None:
    home = devkit({"a": xml(CAT), "b": xml(CAT)}, **{name: "a\nb\n"})
    (home / "labelmap.txt").write_text("background:0,0,0::\ncat:128,0,0::\n")
    data = reads("voc", home)
    assert (len(data.train), len(data.val)) == (1, 1)


def test_a_missing_folder_of_images_is_told(devkit: Made, told: Made, xml: Made) -> None:
    home = devkit({"a": xml(CAT)}, train="a")
    (home / "JPEGImages").rename(home / "elsewhere")
    assert "no folder JPEGImages with the images" in told("voc", home)


def test_objects_without_a_box_are_counted(devkit: Made, reads: Reads, xml: Made) -> None:
    text = xml(CAT).replace("</annotation>", "<object><name>cat</name></object></annotation>")
    with pytest.warns(UserWarning, match=r"1 objects without a box \(bndbox\) are left out"):
        reads("voc", devkit({"a": text}, train="a"))


def test_boxes_of_a_tool_that_numbers_pixels_from_0_are_not_moved(
    devkit: Made, reads: Reads, xml: Made, boxes: Made
) -> None:
    texts = {"a": xml(("cat", (0, 5, 30, 40))), "b": xml(CAT)}
    root = devkit(texts, train="a", val="b")
    note = "1 files have boxes that start at 0: coordinates are taken as 0-based"
    with pytest.warns(UserWarning, match=note):
        found = reads("voc", root)
    assert boxes([*found.train, *found.val]) == [[(7, [0, 5, 30, 40])], [(7, [11, 11, 40, 40])]]
    with pytest.warns(UserWarning, match=note):  # the file of the other part is looked at
        assert boxes(reads("voc", root, measured="val").val) == [[(7, [11, 11, 40, 40])]]
    root = devkit({"a": xml(("cat", (1, 5, 30, 40))), "b": xml(CAT)})
    assert boxes(reads("voc", root).train) == [[(7, [0, 4, 30, 40])]]


def test_rectangles_that_cvat_rotates(devkit: Made, reads: Reads, xml: Made, boxes: Made) -> None:
    turn = (
        "<attributes><attribute><name>{}</name><value>{}</value></attribute></attributes></object>"
    )
    text = xml(("cat", (11, 21, 51, 41)))
    texts = {
        "a": text.replace("</object>", turn.format("rotation", "90.0")),
        "b": text.replace("</object>", turn.format("rotation", "0.0")),
        "c": text.replace("</object>", turn.format("colour", "90.0")),
    }
    with pytest.warns(UserWarning, match="1 boxes are rotated .*; the first: a.xml"):
        found = reads("voc", devkit(texts, train="a", val="b\nc"))
    assert boxes(found.train) == [[(7, [20, 10, 41, 51])]]
    assert boxes(found.val) == [[(7, [10, 20, 51, 41])]] * 2


@pytest.mark.parametrize("text", ["<name>dog</name>", "<bndbox><xmin>1</xmin></bndbox>"])
def test_a_second_box_or_name_of_an_object_is_counted(
    devkit: Made, reads: Reads, xml: Made, boxes: Made, text: str
) -> None:
    texts = {"a": xml(CAT).replace("</object>", f"{text}</object>"), "b": xml(CAT)}
    with pytest.warns(UserWarning, match="1 objects have several boxes or names; the first"):
        found = reads("voc", devkit(texts, train="a", val="b"))
    assert boxes(found.train) == [[(7, BOX)]]


def test_no_usable_box_is_told_with_its_reason(devkit: Made, reads: Reads, xml: Made) -> None:
    root = devkit({"a": xml(("cat", (60, 30, 30, 40)))}, train="a")  # left, top, width, height
    with (
        pytest.warns(UserWarning, match="1 boxes without area left out"),
        pytest.raises(UserError, match="no object is annotated"),
    ):
        reads("voc", root)


def test_a_box_of_one_pixel_has_equal_corners(
    devkit: Made, reads: Reads, xml: Made, boxes: Made
) -> None:
    thin = [("cat", (11, 11, 11, 40)), ("cat", (3, 5, 30, 5))]
    root = devkit({"a": xml(*thin, ("cat", (7, 7, 7, 7))), "b": xml(CAT)}, train="a", val="b")
    with pytest.warns(UserWarning, match="1 boxes of a single pixel left out; the first: a.xml"):
        found = reads("voc", root)
    assert boxes(found.train)[0] == [(7, [10, 10, 11, 40]), (7, [2, 4, 30, 5])]
    root = devkit({"a": xml(*thin, ("cat", (0, 1, 9, 9))), "b": xml(CAT)}, train="a")
    with pytest.warns(match="taken as 0-based"), pytest.warns(match="2 boxes without area"):
        assert boxes(reads("voc", root).train)[0] == [(7, [0, 1, 9, 9])]


def test_cvats_own_xml_is_told(tmp_path: Path, told: Made, draw: Made) -> None:
    draw(tmp_path / "images" / "a.png")
    (tmp_path / "annotations.xml").write_text("<annotations><version>1.1</version></annotations>")
    assert told("voc", tmp_path).endswith(f"annotations.xml is CVAT's own XML: use cvat:{tmp_path}")
