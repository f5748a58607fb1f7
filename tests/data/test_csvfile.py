"""CSV manifests."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from res2net.data.csvfile import read
from res2net.data.labelled import ReadOptions
from res2net.errors import UserError

MakeTree = Callable[[dict[str, int]], Path]


@pytest.fixture
def manifest(make_tree: MakeTree) -> Callable[[str], Path]:
    root = make_tree({"img": 4})

    def write(text: str) -> Path:
        (root / "labels.csv").write_text(text, encoding="utf-8")
        return root / "labels.csv"

    return write


ROWS = "img/0.png,cat\nimg/1.png,dog\nimg/2.png,cat\nimg/3.png,dog\n"


@pytest.mark.parametrize("header", ["path,label\n", "\ufeffPath, Label \n"])
def test_split_here(manifest: Callable[[str], Path], header: str) -> None:
    file = manifest(header + ROWS)
    data = read(file, ReadOptions(val_fraction=0.5))
    assert (data.name, data.classes) == ("labels", ("cat", "dog"))
    assert sorted(data.train.labels) == sorted(data.val.labels) == [0, 1]
    assert data.train.images[0].parent == file.parent / "img"


@pytest.mark.parametrize(
    "names", [("train_list.txt", "val_list.txt"), ("trainLabels.csv", "valid_labels.csv")]
)
def test_tables_named_after_their_parts(make_tree: MakeTree, names: tuple[str, str]) -> None:
    root = make_tree({"img": 4})
    for name, rows in zip(names, (ROWS, ROWS[: ROWS.index("img/2")]), strict=True):
        (root / name).write_text(rows.replace(",", " ") if name.endswith("txt") else rows)
    (root / "sample_submission.csv").write_text("path,label\nimg/0.png,cat\n")
    with pytest.warns(UserWarning, match="2 images"):
        data = read(root, ReadOptions())
    assert (len(data.train.images), len(data.val.images)) == (4, 2)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_split_column(manifest: Callable[[str], Path], separator: str) -> None:
    text = "label,note,split,path\n" + "".join(
        f"{label},x,{split},img/{i}.png\n"
        for i, (label, split) in enumerate(
            [("10", "train"), ("9", "val"), ("9", "Train"), ("10", "validation")]
        )
    )
    data = read(manifest(text.replace(",", separator)), ReadOptions())
    assert data.classes == ("9", "10")  # numbers in the order of numbers
    assert [data.train.names(i) for i in range(2)] == ["img/0.png", "img/2.png"]
    assert data.train.labels.tolist() == [1, 0]
    assert data.val.labels.tolist() == [0, 1]


@pytest.mark.parametrize("val", [True, False])
def test_rows_of_the_test_part_are_never_in_another(make_tree: MakeTree, val: bool) -> None:
    root = make_tree({"img": 96})
    splits = ["train"] * 48 + ["val" if val else "train"] * 24 + ["test"] * 24
    file = root / "labels.csv"
    rows = [f"img/{i}.png,{'cat' if i % 2 else 'dog'},{split}" for i, split in enumerate(splits)]
    file.write_text("path,label,split\n" + "\n".join(rows))
    data = read(file, ReadOptions(val_fraction=0.25))
    assert data.test is not None
    assert (len(data.train), len(data.val), len(data.test)) == (
        (48, 24, 24) if val else (54, 18, 24)
    )
    assert data.validation == ("given" if val else "train")
    parts_of = [
        {part.names(i) for i in range(len(part))} for part in (data.train, data.val, data.test)
    ]
    assert not (parts_of[0] | parts_of[1]) & parts_of[2]
    assert parts_of[2] == {f"img/{i}.png" for i in range(72, 96)}


def test_a_class_without_training_rows_is_told(manifest: Callable[[str], Path]) -> None:
    rows = "path,label,split\nimg/0.png,cat,train\nimg/1.png,dog,train\nimg/2.png,eel,test\n"
    with pytest.raises(UserError, match="no training row of class eel"):
        read(manifest(rows), ReadOptions())


def test_absolute_paths_quotes_and_umlauts(manifest: Callable[[str], Path]) -> None:
    file = manifest("")
    folder = file.parent
    (folder / "img" / "0.png").rename(folder / "a, ä.png")
    file = manifest(f'path,label\n"a, ä.png",cat\n{folder}/img/1.png,dog\n' + ROWS[28:])
    data = read(file, ReadOptions(val_fraction=0.5))
    paths = [*data.train.images, *data.val.images]
    assert folder / "a, ä.png" in paths
    assert all(path.is_file() for path in paths)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1 must name the columns path and label; it has nothing"),
        ("a,b,c\n", "it has a, b, c, none of which is clearly the image"),
        ("img/0.png,cat,1\n", r"it has img/0\.png, cat, 1"),
        ("path,label\nimg/0.png,\n", "line 2 has no label"),
        ("path,label\nimg/0.png,a\n,b\n", "line 3 has no path"),
        ("path,label\nimg/0.png\n", "line 2 has no label"),
        ("path,label\n" + ROWS + "img/9.png,cat\n", r"1 missing file\(s\): line 6: img/9\.png"),
        (
            "path,label,split\nimg/0.png,a,left\n",
            "line 2: split is 'left'; it must be train, val or test",
        ),
        ("path,label\nimg/0.png,a\nimg/1.png,a\n", "one class only"),
        ("path,label\n", "lists no images"),
        ("path,label,split\nimg/0.png,a,train\nimg/1.png,b,val\n", "only in train: a; only in val"),
        ("path,label\nimg/0.png,a\nimg/1.png,b\n", "fewer than 2 images"),
        ("path,label\nimg/0.png,a\nimg/1\0.png,b\n", "line 3 has a NUL byte"),
        ("pa\0th,label\nimg/0.png,a\n", "line 1 must name the columns"),
        ('path,label\n"img/0.png,a\nimg/1.png",b\n', "line [23] has a value over several lines"),
        ('path,label\nimg/0.png,a\n"img/1.png,b\n', "not a CSV file"),
        ('path,label\n"img/0.png"x,a\n', "not a CSV file"),
        ("path,label\nimg/0.png,cat, black\n", "line 2 has more values than line 1 has columns"),
        ("path,label,Label\nimg/0.png,a,b\n", "line 1 names the column label twice"),
        ("path,label\nimg/0.png,%s\n" % ("a" * 200_000), r"not a CSV file \(field larger"),
        ("path,label\nimg,cat\n", r"1 missing file\(s\): line 2: img \(not a file\)"),
    ],
)
def test_faults(manifest: Callable[[str], Path], text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        read(manifest(text), ReadOptions())
    assert "labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_files(manifest: Callable[[str], Path]) -> None:
    more = "img/zero.png,cat\nimg/text.png,dog\n"
    file = manifest("path,label\n" + ROWS + more)
    (file.parent / "img" / "zero.png").touch()
    (file.parent / "img" / "text.png").write_text("hello")
    with pytest.raises(UserError, match=r"1 empty or missing file\(s\): img/zero\.png"):
        read(file, ReadOptions())
    file = manifest("path,label\n" + ROWS + more + "img/gone.png,cat\n")
    with pytest.warns(UserWarning, match=r"3 unreadable .*zero\.png, img/text\.png, img/gone"):
        data = read(file, ReadOptions(skip_bad=True))
    assert len(data.train) + len(data.val) == 4


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"path,label\n\xff\xfe\x00,a\n")
    with pytest.raises(UserError, match=r"a\.csv: not UTF-8 text"):
        read(tmp_path / "a.csv", ReadOptions())


def test_utf_16_of_spreadsheets(manifest: Callable[[str], Path]) -> None:
    file = manifest("")
    file.write_bytes(("path\tlabel\n" + ROWS.replace(",", "\t")).encode("utf-16"))
    assert read(file, ReadOptions(val_fraction=0.5)).classes == ("cat", "dog")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="not UTF-8 text"):
        read(file, ReadOptions())


def test_empty_cells_beyond_the_columns_do_not_matter(manifest: Callable[[str], Path]) -> None:
    text = ("path,label\n" + ROWS).replace("\n", ",,\n")
    assert read(manifest(text), ReadOptions(val_fraction=0.5)).classes == ("cat", "dog")


def test_an_image_in_both_parts_is_told_under_any_name(manifest: Callable[[str], Path]) -> None:
    file = manifest(
        "path,label,split\nimg/0.png,a,train\nimg/1.png,b,train\n"
        "./img/../img/0.png,a,val\nimg/link.png,b,val\n"
    )
    (file.parent / "img" / "link.png").symlink_to(file.parent / "img" / "1.png")
    with pytest.warns(UserWarning, match=r"2 images are in both parts.*img/0\.png"):
        read(file, ReadOptions())
    file = manifest("path,label\n" + ROWS + ROWS)
    with pytest.warns(UserWarning, match="4 duplicate rows are counted once"):
        assert len(read(file, ReadOptions(val_fraction=0.5)).train) == 2


def test_two_labels_of_an_image_are_told(manifest: Callable[[str], Path]) -> None:
    file = manifest("path,label\n" + ROWS + "img/0.png,dog\n")
    with pytest.warns(UserWarning, match=r"1 images are listed under more than one label: img/0"):
        read(file, ReadOptions(seed=4, val_fraction=0.01))


@pytest.mark.parametrize("pair", [("0", "00"), ("Cat", "cat"), ("a b", "a  b"), ("1", "1.0")])
def test_labels_that_look_alike_are_told(
    manifest: Callable[[str], Path], pair: tuple[str, str]
) -> None:
    file = manifest("path,label\n" + ROWS.replace("cat", pair[0]).replace("dog", pair[1]))
    with pytest.warns(UserWarning, match="classes that differ only in case, spaces or the form"):
        assert sorted(read(file, ReadOptions(val_fraction=0.5)).classes) == sorted(pair)


@pytest.mark.parametrize("joined", ["cat;dog", "['cat']", "cat, dog", "dog cat"])
def test_labels_that_look_like_several_are_noted(
    manifest: Callable[[str], Path], joined: str
) -> None:
    rows = ROWS + f'img/0.png,"{joined}"\nimg/1.png,"{joined}"\n'
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        read(manifest(f"path,label\n{rows}"), ReadOptions(val_fraction=0))
    assert any(f"{joined!r} taken as one class each" in str(each.message) for each in noted)


def test_folders_of_parts_in_a_table_without_parts_are_noted(make_tree: MakeTree) -> None:
    root = make_tree({"train": 4, "test": 2})
    names = [*(f"train/{i}.png" for i in range(4)), "test/0.png", "test/1.png"]
    rows = "".join(f"{name},{'cat' if i % 2 else 'dog'}\n" for i, name in enumerate(names))
    (root / "labels.csv").write_text(f"path,label\n{rows}")
    with pytest.warns(UserWarning, match=r"in folders of test, train, but no column \(split\)"):
        read(root / "labels.csv", ReadOptions())


@pytest.mark.parametrize("word", ["nan", "None", "N/A"])
def test_words_for_no_label_are_noted(manifest: Callable[[str], Path], word: str) -> None:
    with pytest.warns(UserWarning, match=f"{word} taken as a class; if it means"):
        read(manifest("path,label\n" + ROWS.replace("dog", word)), ReadOptions())


def test_numbers_of_any_length_are_in_order(manifest: Callable[[str], Path]) -> None:
    long = "9" * 5000
    text = "path,label\n" + ROWS.replace("cat", long).replace("dog", "10")
    assert read(manifest(text), ReadOptions(val_fraction=0.5)).classes == ("10", long)


@settings(deadline=None)
@given(st.binary(max_size=80) | st.text('a0./",;\n\0\t -').map(str.encode), st.booleans())
def test_any_bytes_give_images_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, rows: bytes, skip_bad: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.csv"
    file.write_bytes(b"path,label\n" + rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read(file, ReadOptions(skip_bad=skip_bad))
        except UserError as error:
            fault = str(error)
        else:
            fault = ""
    assert "\n" not in fault


PATIENTS = "path,label,Patient\n" + "".join(
    f"img/{i}.png,{'cat' if i % 2 else 'dog'},{patient}\n" for i, patient in enumerate("aabb")
)


def test_a_column_keeps_a_patient_on_one_side(manifest: Callable[[str], Path]) -> None:
    data = read(manifest(PATIENTS), ReadOptions(group_by="column:patient"))
    assert sorted(data.val.names(i) for i in range(2)) in (
        ["img/0.png", "img/1.png"],
        ["img/2.png", "img/3.png"],
    )
    with pytest.raises(UserError, match=r"line 1 has no such column; .* Did you mean 'patient'"):
        read(manifest(PATIENTS), ReadOptions(group_by="column:patients"))
    with pytest.warns(
        UserWarning, match="column:patient: 1 of 4 images have no value in that column"
    ):
        read(
            manifest(PATIENTS.replace("0.png,dog,a", "0.png,dog,")),
            ReadOptions(group_by="column:patient"),
        )


def test_a_patient_in_two_given_parts_is_noted(manifest: Callable[[str], Path]) -> None:
    text = "path,label,split,patient\n" + "".join(
        f"img/{i}.png,{'cat' if i % 2 else 'dog'},{part},p{i}\n"
        for i, part in enumerate(("train", "train", "val", "val"))
    )
    with pytest.warns(UserWarning, match=r"1 groups .* training \(1 images\) and validation"):
        read(manifest(text.replace("p2", "p0")), ReadOptions(group_by="column:patient"))
    read(manifest(text), ReadOptions(group_by="column:patient"))


@pytest.mark.parametrize(
    ("cell", "noted", "classes"),
    [("cat, dog", True, ("cat, dog", "eel")), ("cat; dog", False, ("cat", "dog", "eel"))],
)
def test_cells_with_another_separator_are_noted(
    manifest: Callable[[str], Path], cell: str, noted: bool, classes: tuple[str, ...]
) -> None:
    labels = (f'"{cell}"', "eel") * 2
    file = manifest("path,label\n" + "".join(f"img/{i}.png,{x}\n" for i, x in enumerate(labels)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = read(file, ReadOptions(multi_label=True, val_fraction=0.5))
    assert found.classes == classes
    assert any("no image has more than one label" in str(each.message) for each in told) == noted


def test_rows_of_the_measured_part_alone_need_their_files(manifest: Callable[[str], Path]) -> None:
    text = "path,label,split\ngone.png,ant,train\nimg/0.png,cat,val\nimg/1.png,cat,test\n"
    data = read(manifest(text), ReadOptions(measured="val"))
    assert (data.classes, len(data.train), data.val.names(0)) == (("cat",), 0, "img/0.png")
    test = read(manifest(text), ReadOptions(measured="test")).test
    assert test is not None
    assert test.names(0) == "img/1.png"
    with pytest.raises(UserError, match="1 missing file"):
        read(manifest(text), ReadOptions())
