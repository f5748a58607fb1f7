"""Lists of classes, with and without colours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from res2net.data.scenes.legend import FILES, find_classes, read_classes
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
    with pytest.warns(UserWarning, match="pixels of void do not count"):
        found = find_classes(tmp_path)
    assert found is not None
    assert found.table() == {(9, 9, 9): 255, (0, 0, 0): 0, (0, 128, 7): 1}
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\ndog 2,0,128,7\n")
    with pytest.warns(UserWarning, match="not used, it has no colour for Background"):
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
        ("classes.txt", b"a\nb\0\n", r"'b\\x00' is no name"),
        ("classes.txt", b"a\n\xff\n", "cannot be read"),
        ("classes.txt", b"a 0 0 0\nb 0 0 0\n", r"lists the colour \(0, 0, 0\) twice"),
        ("classes.txt", b"a 0 0 0\nb 0 0 256\n", r"the colour \(0, 0, 256\) is beyond 0\.\.255"),
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
