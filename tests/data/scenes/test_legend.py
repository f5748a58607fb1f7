"""Lists of classes, with and without colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from res2net.data.scenes.legend import (
    FILES,
    Classes,
    cityscapes,
    find_classes,
    read_classes,
)
from res2net.errors import UserError

NAMES = ("background", "a cat", "dog 2")
COLOURS = ((0, 0, 0), (128, 0, 0), (0, 128, 7))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "background 0 0 0\na cat 128 0 0\ndog 2 0 128 7\n"),
        ("classes.txt", "background: 0, 0, 0\na cat: (128, 0, 0)\ndog 2: 0,128,7\n"),
        ("classes.txt", "background #000000\na cat #800000\ndog 2 #008007\n"),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nbackground:0,0,0::\na cat:128,0,0::\n"
            "dog 2:0,128,7::\n",
        ),
        ("class_dict.csv", 'name,r,g,b\nbackground,0,0,0\n"a cat", 128, 0, 0\ndog 2,0,128,7\n'),
        ("label_colors.txt", "0 0 0\tbackground\n128 0 0\ta cat\n0 128 7\tdog 2\n"),
    ],
)
def test_names_and_colours(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text("\ufeff" + text, encoding="utf-8")
    found = find_classes(tmp_path)
    assert found is not None
    assert (found.names, found.colours) == (NAMES, COLOURS)
    assert found.table() == {colour: i for i, colour in enumerate(COLOURS)}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "background\na cat\n\ndog 2\n"),
        ("classes.txt", "background\na cat\ndog 2"),
        ("labelmap.txt", "background:::\na cat:::\ndog 2:::\n"),
        ("class_names.txt", "__ignore__\nbackground\na cat\ndog 2\n"),
    ],
)
def test_names_alone(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    found = find_classes(tmp_path)
    assert found is not None
    assert (found.names, found.colours) == (NAMES, ())


def test_numbers_in_some_names_are_no_colours(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("ground\nlevel 1 2 3\n")
    assert read_classes(tmp_path / "classes.txt").names == ("ground", "level 1 2 3")


def test_colours_come_from_another_list_by_name(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("Background\ndog 2\n")
    table = "name,r,g,b\ndog 2,0,128,7\n_background_,0,0,0\nvoid,9,9,9\n"
    (tmp_path / "class_dict.csv").write_text(table)
    with pytest.warns(UserWarning, match="pixels of void are ignored"):
        found = find_classes(tmp_path)
    assert found is not None
    assert found.table() == {(9, 9, 9): 255, (0, 0, 0): 0, (0, 128, 7): 1}
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\ndog 2,0,128,7\n")
    with pytest.warns(UserWarning, match="not used; it has no colour for Background"):
        found = find_classes(tmp_path)
    assert found is not None
    assert not found.colours


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("classes.txt", b"thing\n", r"lists 1 class\(es\)"),
        ("classes.txt", b"", r"lists 0 class\(es\)"),
        ("classes.txt", b"\n".join(b"c%d" % i for i in range(256)), r"lists 256 class\(es\)"),
        ("classes.txt", b"a\nb\na\n", "lists the class a twice"),
        ("classes.txt", b"a\nb\0\n", r"'b\\x00' is not a class name"),
        ("classes.txt", b"a\n\xff\n", "cannot be read"),
        ("classes.txt", b"a 0 0 0\nb 0 0 0\n", r"lists the colour \(0, 0, 0\) twice"),
        ("classes.txt", b"a 0 0 0\nb 0 0 256\n", r"the colour \(0, 0, 256\) is outside 0\.\.255"),
        ("class_dict.csv", b"name,r,g,b\na,1,2\nb,1,2,3\n", "must have name,r,g,b"),
    ],
)
def test_faults_are_one_line(tmp_path: Path, file: str, text: bytes, reason: str) -> None:
    (tmp_path / file).write_bytes(text)
    with pytest.raises(UserError, match=reason) as caught:
        find_classes(tmp_path)
    assert "\n" not in str(caught.value)
    assert file in str(caught.value)


@settings(deadline=None)
@given(
    file=st.sampled_from(FILES),
    text=st.binary(max_size=60) | st.text("a:,#09 \n\t").map(str.encode),
)
def test_any_bytes_give_classes_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, file: str, text: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / file
    path.write_bytes(text)
    try:
        found = read_classes(path)
    except UserError as error:
        fault = str(error)
    else:
        fault = "" if len(found.colours) in (0, len(found.names)) else "\n"
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("file", "text", "values"),
    [
        ("_classes.csv", "Pixel Value, Class\n0, background\n1, a cat\n2, dog 2\n", (0, 1, 2)),
        ("classes.csv", "value;name\n0;background\n127;a cat\n255;dog 2\n", (0, 127, 255)),
        ("classes.txt", "0 background\n1 a cat\n2 dog 2\n", (0, 1, 2)),
        ("classes.txt", "1: background\n2: a cat\n3: dog 2\n", (1, 2, 3)),
        ("classes.txt", "background,a cat,dog 2\n", ()),
        ("labels.txt", "background\na cat\ndog 2\n", ()),
        ("classes.json", '["background", "a cat", "dog 2"]', ()),
        ("classes.json", '{"0": "background", "2": "a cat", "5": "dog 2"}', (0, 2, 5)),
    ],
)
def test_lists_that_name_values(tmp_path: Path, file: str, text: str, values: Any) -> None:
    (tmp_path / file).write_text(text)
    found = find_classes(tmp_path)
    assert found is not None
    assert (found.names, found.values, found.colours) == (NAMES, values, ())
    usual = values in ((), (0, 1, 2))
    assert found.by_value() == ({} if usual else {value: k for k, value in enumerate(values)})


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("class_dict.csv", "id,name,r,g,b\n0,background,0,0,0\n1,a cat,128,0,0\n2,dog 2,0,128,7\n"),
        ("class_dict.csv", "r;g;b;Name\n0;0;0;background\n128;0;0;a cat\n0;128;7;dog 2\n"),
        (
            "meta.json",
            '{"classes": [{"title": "background", "color": "#000000"}, {"title": "a cat", "color": '
            '"#800000"}, {"title": "dog 2", "color": "#008007"}]}',
        ),
    ],
)
def test_tables_with_other_columns(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    found = find_classes(tmp_path)
    assert found is not None
    assert (found.names, found.colours) == (NAMES, COLOURS)


def test_numbers_that_begin_some_names_are_parts_of_them(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("2 wheels\n4 wheels\n")
    assert read_classes(tmp_path / "classes.txt") == Classes(names=("2 wheels", "4 wheels"))


def test_of_ade20k_zero_does_not_count(tmp_path: Path) -> None:
    rows = "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1\t1\t1\t1\twall\n2\t0.1\t1\t1\t1\tsky, air\n"
    (tmp_path / "objectInfo150.txt").write_text(rows)
    found = find_classes(tmp_path)
    assert found is not None
    assert found.names == ("wall", "sky")
    assert found.by_value() == {0: 255, 1: 0, 2: 1}


def test_lists_of_two_folders_have_to_agree(tmp_path: Path) -> None:
    for name, text in (("a", "cat\ndog\n"), ("b", "dog\ncat\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "classes.txt").write_text(text)
    with pytest.raises(UserError, match="list different classes"):
        find_classes(tmp_path / "a", tmp_path / "b")


def test_classes_of_cityscapes() -> None:
    numbers = cityscapes("labelids")
    assert numbers.by_value()[7] == 0
    assert numbers.by_value()[33] == 18
    assert numbers.by_value()[0] == 255
    assert cityscapes("labeltrainids").by_value() == {}
    assert cityscapes("color").table()[0, 0, 142] == 13
