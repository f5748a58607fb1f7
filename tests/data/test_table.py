"""Tables of images as people have them: columns, parts, one-hot classes, files that moved."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from res2net.data.csvfile import read
from res2net.data.labelled import ReadOptions
from res2net.data.source import parse_source
from res2net.data.table import Finder, read_table
from res2net.errors import UserError

MakeTree = Callable[[dict[str, int]], Path]
ROWS = "a.jpg,cat\nb.jpg,dog\n"


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        return tmp_path / "t.csv"

    return write


def labels(path: Path) -> list[tuple[str, str]]:
    return [(row.path, row.label) for row in read_table(path)]


@pytest.mark.parametrize(
    "header",
    [
        *("image,label", "Filename,Class", "file_name,category", "id_code,diagnosis", "Id,Species"),
        *("img,y", "image:FILE,target", "filepaths,labels", "path,has_tumor", "name,class_name"),
        *("image_id,dx", "Image Index,Finding Labels"),
    ],
)
def test_columns_of_many_names(table, header):
    assert labels(table(f"{header}\n{ROWS}")) == [("a.jpg", "cat"), ("b.jpg", "dog")]


@pytest.mark.parametrize(
    "text",
    [
        ROWS,
        "cat,a.jpg\ndog,b.jpg\n",
        ",label,path\n0,cat,a.jpg\n1,dog,b.jpg\n",
        "path|label\na.jpg|cat\nb.jpg|dog\n",
        'path, label\n"a.jpg", "cat"\nb.jpg, dog\n',
        "filename,class_id,class_name\na.jpg,0,cat\nb.jpg,1,dog\n",
        "id,image,label\n7,a.jpg,cat\n8,b.jpg,dog\n",
        "filename, cat, dog\na.jpg, 1, 0\nb.jpg, 0, 1\n",
        "image,cat,dog\na.jpg,1.0,0.0\nb.jpg,0.0,1.0\n",
    ],
)
def test_tables_of_many_forms(table, text):
    assert labels(table(text)) == [("a.jpg", "cat"), ("b.jpg", "dog")]


def test_a_choice_among_columns_is_noted(table):
    text = "file,species,family\na.jpg,cat,x\nb.jpg,dog,y\n"
    with pytest.warns(UserWarning, match="labels come from the column species; not used: fam"):
        assert labels(table(text)) == [("a.jpg", "cat"), ("b.jpg", "dog")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("image,age,gender\na.jpg,3,f\nb.jpg,4,m\n", "is clearly the label"),
        ("left,right,label\na.jpg,b.jpg,cat\n", "is clearly the image"),
        ("filename,cat,dog\na.jpg,1,0\nb.jpg,1,1\n", r"line 3 has 2 classes \(cat, dog\)"),
        ("filename,cat,dog\na.jpg,1,0\nb.jpg,0,0\n", r"line 3 has 0 classes \(none\)"),
        ("image,a,b,c\na.jpg,1,0,1\nb.jpg,0,1,\n", "column c holds '', unlike the 0 and 1"),
        ("image,a,b,c\na.jpg,1,0,1.0\nb.jpg,0,1,-1.0\n", "column c holds '-1.0', unlike"),
        ("image,Smiling,Young\na.jpg,1,-1\nb.jpg,-1,1\n", "column Smiling holds '-1', unlike"),
        ("ImageId,PredictionString\na,n01 1 2 3 4\nb,n02 1 2 3 4 n02 5 6 7 8 \n", "are boxes or"),
        ("image,rle\na.jpg,\nb.jpg,104 5 300 7 802 3\n", "are boxes or run lengths .'104 5 300"),
        ("path,label,usage\na.jpg,cat,Training\nb.jpg,dog,PublicTest\n", "usage is 'publictest'"),
    ],
)
def test_what_is_open_is_asked(table, text, reason):
    with pytest.raises(UserError, match=reason):
        read_table(table(text))


def test_a_later_value_that_is_no_flag_is_told(table):
    rows = "".join(f"{i}.jpg,{i % 2},{i // 2 % 2}\n" for i in range(1000))
    with pytest.raises(UserError, match="line 1002: '-1' is not 0 or 1"):
        read_table(table(f"image,a,b\n{rows}z.jpg,1,-1\n"), several=True)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("Set", ("training", "validation", "testing")),
        ("partition", ("TRAIN", "DEV", "TEST")),
        ("fold", ("train", "valid", "test")),
        ("data set", ("trn", "val", "tst")),
    ],
)
def test_columns_of_parts(table, column, values):
    rows = "".join(f"{i}.jpg,cat,{value}\n" for i, value in enumerate(values))
    found = read_table(table(f"path,label,{column}\n{rows}"))
    assert [row.split for row in found] == ["train", "val", "test"]


def test_a_flag_tells_the_part(table):
    found = read_table(table("path,label,is_valid\na.jpg,cat,False\nb.jpg,dog,True\n"))
    assert [row.split for row in found] == ["train", "val"]


def test_numbers_of_folds_are_no_parts(table):
    found = read_table(table("path,label,fold\na.jpg,cat,0\nb.jpg,dog,1\n"))
    assert [row.split for row in found] == ["", ""]


def test_a_group_is_read_with_the_rows(table):
    text = "path,label,Patient\na.jpg,cat,7\n"
    assert [row.group for row in read_table(table(text), group="patient")] == ["7"]
    with pytest.raises(UserError, match="no such column"):
        read_table(table(text), group="video")


@pytest.mark.parametrize(
    "written",
    [
        *("pets/cat/0.png", "./pets/cat/0.png", "pets\\cat\\0.png", "PETS/Cat/0.PNG"),
        *("/home/bob/pets/cat/0.png", "C:\\Users\\bob\\pets\\cat\\0.png", "data/pets/cat/0.png"),
        *("pets/cat/0", "cat/0.png", "/data/upload/1/1a2b3c4d-0.png"),
    ],
)
def test_files_are_found_by_the_end_of_their_path(make_tree: MakeTree, written: str) -> None:
    finder = Finder(make_tree({"cat": 1}).parent)
    assert Path(str(finder.find(written))) == Path("pets/cat/0.png")
    assert finder.find("pets/cat/9.png") is None


def test_letters_in_two_forms_of_unicode_are_equal(make_tree: MakeTree) -> None:
    finder = Finder(make_tree({"ae\u0301": 1}))
    assert finder.find("a\u00e9/0.png") == "ae\u0301/0.png"


def test_a_file_that_is_there_twice_is_told(make_tree: MakeTree) -> None:
    with pytest.raises(UserError, match=r"0\.png may be cat/0\.png or dog/0\.png"):
        Finder(make_tree({"cat": 1, "dog": 1})).find("0.png")


def test_two_paths_of_which_one_file_is_left_are_told(make_tree: MakeTree) -> None:
    root = make_tree({"img": 2})
    (root / "t.csv").write_text("path,label\nx/0.png,cat\ny/0.png,dog\n")
    with pytest.raises(UserError, match=r"lines 2 and 3 name x/0\.png and y/0\.png, but only"):
        read(root / "t.csv", ReadOptions())


def test_a_folder_with_a_table_in_each_part(make_tree: MakeTree) -> None:
    root = make_tree({"train": 4, "valid": 4})
    for part in ("train", "valid"):
        rows = "".join(f"{i}.png, {1 - i % 2}, {i % 2}\n" for i in range(4))
        (root / part / "_classes.csv").write_text(f"filename, cat, dog\n{rows}")
    assert parse_source(str(root), "labels").format == "csv"
    found = read(root, ReadOptions())
    assert (found.classes, found.validation) == (("cat", "dog"), "given")
    assert [found.train.names(i) for i in range(4)] == [f"train/{i}.png" for i in range(4)]
    assert found.val.labels.tolist() == [0, 1, 0, 1]


def test_a_folder_with_a_table_for_each_part(make_tree: MakeTree) -> None:
    root = make_tree({"train": 4, "test": 2})
    rows = "".join(f"train/{i},{('cat', 'dog')[i % 2]}\n" for i in range(4))
    (root / "train.csv").write_text("id,breed\n" + rows)
    (root / "test.csv").write_text("id\ntest/0\ntest/1\n")
    (root / "sample_submission.csv").write_text("id,breed\ntest/0,cat\n")
    with pytest.warns(UserWarning, match=r"test\.csv.*this part is not used"):
        found = read(root, ReadOptions(val_fraction=0.5))
    assert (len(found.train), len(found.val), found.test) == (2, 2, None)


def test_several_tables_are_asked(make_tree: MakeTree) -> None:
    root = make_tree({"img": 2})
    for name in "ab":
        (root / f"{name}.csv").write_text("path,label\nimg/0.png,cat\n")
    with pytest.raises(UserError, match=r"holds a\.csv, b\.csv; give the table"):
        read(root, ReadOptions())


def test_a_path_that_is_no_path_is_missing(make_tree: MakeTree) -> None:
    root = make_tree({"img": 2})
    (root / "t.csv").write_text("path,label\n" + "x" * 5000 + ",cat\n")
    with warnings.catch_warnings(), pytest.raises(UserError, match="1 missing file"):
        read(root / "t.csv", ReadOptions())


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.jsonl", lines({"image": "a.jpg", "label": "cat"}, {"image": "b.jpg", "label": "dog"})),
        ("t.ndjson", lines({"label": ["cat"], "file_name": "a.jpg"}) + "\n"
         + lines({"file_name": "b.jpg", "label": "dog", "scores": {"x": 1}})),
        ("t.json", json.dumps([{"image": "a.jpg", "id": 7, "choice": "cat", "annotator": 1},
                               {"image": "b.jpg", "id": 8, "choice": "dog", "annotator": 1}])),
        ("t.txt", "a.jpg cat\nb.jpg  dog\n"),
        ("t.txt", "a.jpg\tcat\n\nb.jpg\tdog"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*labels come from the column choice")
def test_tables_that_are_json_or_lists(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert labels(tmp_path / name) == [("a.jpg", "cat"), ("b.jpg", "dog")]
    assert parse_source(str(tmp_path / name), "labels").format == "csv"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("t.jsonl", '{"image": "a.jpg", "label": "cat"}\n{"image":\n', "line 2: not JSON"),
        ("t.jsonl", '{"image": "a.jpg", "label": "cat"}\n7\n', "line 2: not an object with"),
        ("t.json", '[{"image": "a.jpg", "choice": {"choices": ["a", "b"]}}]',
         "line 1: choice has several values; a classifier needs one label per image"),
        ("t.jsonl", '{"image": "a.jpg", "objects": {"bbox": []}}', "is clearly the label"),
        ("t.json", '{"a.jpg": "cat"}', "is clearly the image"),
        ("t.json", "[" * 100_000, "line 1: not JSON"),
    ],
)  # fmt: skip
def test_json_that_is_no_table_is_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=rf"t\.json.*{told}"):
        read_table(tmp_path / name)


def test_lists_of_the_parts_beside_a_folder_of_images(make_tree: MakeTree) -> None:
    root = make_tree({"images": 6})
    (root / "train.txt").write_text("".join(f"images/{i}.png {i % 2}\n" for i in range(4)))
    (root / "val.txt").write_text("images/4.png 0\nimages/5.png 1\n")
    assert parse_source(str(root), "labels").format == "csv"
    data = read(root, ReadOptions())
    assert (data.classes, len(data.train), data.val.labels.tolist()) == (("0", "1"), 4, [0, 1])
