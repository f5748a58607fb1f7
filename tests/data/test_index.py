"""The index of a huge folder: read again in one file, made again where the data changed."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.config import InputOptions, RunConfig
from res2net.data import files, index, looked
from res2net.data.labelled import LabelledImages
from res2net.errors import UserError
from res2net.tasks import data
from res2net.tasks.data import Labelled

Read = Callable[..., tuple[LabelledImages, list[str]]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six images a class, in folders of yesterday, and a file that is no image."""
    root = tmp_path / "photos"
    for name in ("cat", "dog/young"):
        (root / name).mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(root / name / f"{i}.png")
    (root / "cat" / "notes.pdf").write_text("x")
    (root / "dog" / "empty").mkdir()
    for folder in (root, *root.rglob("*")):
        os.utime(folder, (1e9, 1e9))
    return root


@pytest.fixture
def read(photos: Path, tmp_path: Path) -> Read:
    def call(
        where: str = "", file: str = "", **options: object
    ) -> tuple[LabelledImages, list[str]]:
        given = InputOptions(index=file or str(tmp_path / "photos.index"), **options)
        config = RunConfig(
            task="classify",
            recipe="scratch",
            model="res2net50_26w_4s",
            data=where or f"folder:{photos}",
            input=given,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            images = Labelled().of_run(config)
        return images, [str(each.message) for each in caught]

    return call


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("the data were listed")


def same(one: LabelledImages, other: LabelledImages) -> None:
    assert (one.name, one.classes, one.validation) == (other.name, other.classes, other.validation)
    assert one.notes == other.notes
    for part, again in ((one.train, other.train), (one.val, other.val)):
        assert [part.images[i] for i in range(len(part))] == list(again.images)
        assert np.array_equal(part.labels, again.labels)


def test_the_second_start_lists_nothing_and_finds_the_same(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, notes = read()
    assert any("1 files ignored" in note for note in notes)
    monkeypatch.setattr(files, "_opened", refuse)
    monkeypatch.setattr(files, "list_images", refuse)
    monkeypatch.setattr(looked, "faults_of", refuse)
    again, noted = read()
    same(first, again)
    assert noted == notes


def add(photos: Path) -> None:
    shutil.copy(photos / "cat" / "1.png", photos / "cat" / "9.png")


def add_class(photos: Path) -> None:
    shutil.copytree(photos / "cat", photos / "owl")


def fill(photos: Path) -> None:
    shutil.copy(photos / "cat" / "1.png", photos / "dog" / "empty" / "9.png")


def remove(photos: Path) -> None:
    (photos / "dog" / "young" / "3.png").unlink()


def write_over(photos: Path) -> None:
    Image.new("RGB", (9, 9)).save(photos / "cat" / "1.png")


@pytest.mark.parametrize("change", [add, add_class, fill, remove, write_over])
def test_changed_data_are_listed_again_with_a_note(
    change: Callable[[Path], None], read: Read, photos: Path, tmp_path: Path
) -> None:
    read()
    change(photos)
    found, notes = read()
    assert any("photos.index: " in note and "it is rebuilt" in note for note in notes)
    plain, _ = read(file=str(tmp_path / "other.index"))
    assert len(found.train) + len(found.val) == len(plain.train) + len(plain.val)
    assert found.classes == plain.classes
    assert not any("made again" in note for note in read()[1])


def test_other_options_make_it_again(read: Read) -> None:
    read()
    found, notes = read(val_fraction=0.5)
    assert any("other options" in note for note in notes)
    assert len(found.val) == 6


def test_faulty_files_stay_out_and_stay_told(
    read: Read, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "cat" / "2.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="1 of 12 images cannot be used"):
        read()
    first, notes = read(skip_bad=True)
    assert any("2.png" in note and "skipped" in note for note in notes)
    monkeypatch.setattr(files, "_opened", refuse)
    again, noted = read(skip_bad=True)
    same(first, again)
    assert noted == notes


def test_a_table_is_indexed_with_its_images(
    read: Read, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "list.csv"
    rows = [f"photos/cat/{i}.png,cat\nphotos/dog/young/{i}.png,dog\n" for i in range(6)]
    table.write_text("path,label\n" + "".join(rows))
    where = f"csv:{table}"
    first, _ = read(where)
    with monkeypatch.context() as patch:
        patch.setattr(data, "read", refuse)
        same(first, read(where)[0])
    table.write_text("path,label\n" + "".join(rows[:5]))
    found, notes = read(where)
    assert any("list.csv changed since" in note for note in notes)
    assert len(found.train) + len(found.val) == 10
    remove(photos)
    assert any("young changed since" in note for note in read(where)[1])


def test_several_labels_an_image_are_kept(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "list.csv"
    rows = [f"photos/cat/{i}.png,cat;{'old' if i % 2 else 'new'}\n" for i in range(6)]
    table.write_text("path,labels\n" + "".join(rows))
    first, _ = read(f"csv:{table}", multi_label=True)
    monkeypatch.setattr(data, "read", refuse)
    again, _ = read(f"csv:{table}", multi_label=True)
    same(first, again)
    assert again.train.labels.shape == (len(again.train), 3)


def test_what_is_no_index_or_of_other_data_is_refused_and_kept(
    read: Read, photos: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.index"
    text.write_text("a list of mine")
    with pytest.raises(UserError, match="not an index of images, or a damaged one"):
        read(file=str(text))
    assert text.read_text() == "a list of mine"
    array = tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    with pytest.raises(UserError, match="not an index"):
        read(file=str(array))
    with pytest.raises(UserError, match="not an index"):
        read(file=str(photos))
    read()
    moved = tmp_path / "moved"
    shutil.copytree(photos, moved)
    with pytest.raises(UserError, match="is the index of .*photos, not of .*moved"):
        read(f"folder:{moved}")
    whole = (tmp_path / "photos.index").read_bytes()
    (tmp_path / "photos.index").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="or a damaged one; give another file, or delete it"):
        read()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("photos/cat/x.index", "is in a folder of the data"),
        ("photos/x.index", "is in a folder of the data"),
        ("nowhere/x.index", "is not a writable folder"),
    ],
)
def test_a_place_that_cannot_serve_is_refused(
    place: str, message: str, read: Read, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        read(file=str(tmp_path / place))
    assert not (tmp_path / place).exists()


def test_an_index_that_may_not_be_written_serves_while_it_is_current(
    read: Read, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = read()
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(index, "write_bytes", refuse)
    same(first, read()[0])
    add(photos)
    with pytest.raises(UserError, match="is not a writable folder"):
        read()


def test_data_of_another_format_have_no_such_index(cli, tmp_path: Path) -> None:
    line = cli(
        *("train", "--data", "digits", "--model", "res2net29_small", "--out", tmp_path / "run"),
        *("--input.index", tmp_path / "x.index"),
    ).line
    assert "--input.index" in line
    assert "folder or csv data" in line
