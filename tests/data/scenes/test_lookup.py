"""Images by the names that annotations have, and the parts that names state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import pytest

from res2net.data.scenes.checks import Tally
from res2net.data.scenes.lookup import ImageNames, by_part, find_path, part_named, part_of
from res2net.errors import UserError

Made = Callable[..., Any]


@pytest.mark.parametrize(
    "name",
    [
        *("cam/a 1.png", "cam\\a 1.png", "./cam/a 1.png", "../cam/a 1.png", "a 1.png", "A 1.PNG"),
        *("a 1", "cam/a%201.png", "/home/anna/pets/cam/a 1.png", "C:\\pets\\cam\\a 1.png"),
        *("https://host.invalid/x/a%201.png?key=b%2Fc", "/data/local-files/?d=pets/a%201.png"),
        *("s3://bucket/pets/a 1.png", "/data/upload/7/a 1.png"),
    ],
)
def test_every_spelling_finds_the_image(tmp_path: Path, draw: Made, name: str) -> None:
    draw(tmp_path / "deep" / "cam" / "a 1.png")
    found = ImageNames(tmp_path).find_all([name], [tmp_path], Tally())
    assert found == {name: tmp_path / "deep" / "cam" / "a 1.png"}


def test_letters_in_two_forms_of_unicode_are_equal(tmp_path: Path, draw: Made) -> None:
    draw(tmp_path / "Ko\u0308ln" / "ae\u0301.png")
    found = ImageNames(tmp_path).find_all(["K\u00f6ln/a\u00e9.png"], [tmp_path], Tally())
    assert [*found.values()] == [tmp_path / "Ko\u0308ln" / "ae\u0301.png"]
    assert find_path(tmp_path, "k\u00f6ln") == tmp_path / "Ko\u0308ln"


def test_the_image_with_most_of_the_stated_folders_is_taken(tmp_path: Path, draw: Made) -> None:
    for folder in ("x/one", "x/two"):
        draw(tmp_path / folder / "0.png")
    found = ImageNames(tmp_path).find_all(["/far/one/0.png", "two/0.png"], [tmp_path], Tally())
    assert [path.parent.name for path in found.values()] == ["one", "two"]
    with pytest.raises(UserError, match="matches x/one/0.png, x/two/0.png"):
        ImageNames(tmp_path).find_all(["/far/0.png"], [tmp_path], Tally())


def test_an_image_belongs_to_one_name_alone(tmp_path: Path, draw: Made) -> None:
    draw(tmp_path / "two" / "0.png")
    names = ["one/0.png", "two/0.png"]  # of the first there is none
    assert list(ImageNames(tmp_path).find_all(names, [tmp_path], Tally())) == ["two/0.png"]
    (tmp_path / "two").rename(tmp_path / "three")
    assert not ImageNames(tmp_path).find_all(names, [tmp_path / "three"], Tally())


def test_an_image_of_another_part_is_not_taken(tmp_path: Path, draw: Made) -> None:
    draw(tmp_path / "train" / "0.png")
    names = ImageNames(tmp_path)
    assert not names.find_all(["0.png"], [tmp_path / "val"], Tally(), part="val")
    assert names.find_all(["0.png"], [tmp_path / "val"], Tally(), part="train")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        *(("instances_val2017", "val"), ("person_keypoints_train2017", "train")),
        *(("Validation", "val"), ("dev", "val"), ("trainval", None), ("result", None)),
    ],
)
def test_parts_by_name(text: str, part: str | None) -> None:
    assert part_named(text) == part


@pytest.mark.parametrize(
    ("path", "part"),
    [
        *(
            ("images/train/a.png", "train"),
            ("Valid/a.png", "val"),
            ("obj_train_data/a.png", "train"),
        ),
        *(("train/test drive/a.png", "train"), ("test drive/a.png", None), ("train.png", None)),
    ],
)
def test_parts_by_folder(path: str, part: str | None) -> None:
    assert part_of(PurePath(path)) == part


def test_images_of_no_part_are_counted(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("train/a.png", "b.png")]
    tally = Tally()
    assert by_part(tmp_path, paths, tally) == {"train": paths[:1]}
    assert list(tally.faults.values()) == [(1, str(paths[1]))]
    assert by_part(tmp_path, paths[1:], tally) == {"train": paths[1:]}


def test_folders_in_letters_of_any_case_and_none_above(tmp_path: Path) -> None:
    (tmp_path / "Images" / "Train").mkdir(parents=True)
    assert find_path(tmp_path, "images/train") == tmp_path / "Images" / "Train"
    assert find_path(tmp_path, "images/val") is None
