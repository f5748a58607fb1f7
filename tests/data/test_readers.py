"""The table of readers, and what costs nothing to import."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from res2net.data.labelled import LabelledImages, ReadOptions, Split
from res2net.data.readers import READERS, read
from res2net.data.source import FORMATS, Source, parse_source
from res2net.errors import UserError

Tree = Callable[[dict[str, int]], Path]


def test_every_format_has_a_reader() -> None:
    assert tuple(READERS) == (*FORMATS[: len(READERS) - 1], "scenes")


def test_read(make_tree: Callable[[dict[str, int]], Path]) -> None:
    data = read(parse_source(str(make_tree({"cat": 4, "dog": 4}))), ReadOptions(val_fraction=0.5))
    assert (len(data.train), len(data.val)) == (4, 4)


def test_readers_need_no_torch() -> None:
    code = (
        "import sys; from res2net.data import augment, photo, preprocess, readers;"
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def names(data: LabelledImages, part: str) -> set[str]:
    split = getattr(data, part)
    return {split.names(i) for i in range(len(split))}


def test_folders_of_patients_stay_on_one_side(make_tree: Tree) -> None:
    root = make_tree({f"{label}/p{i}": 3 for label in ("cat", "dog") for i in range(5)})
    for seed in range(3):
        data = read(parse_source(str(root)), ReadOptions(group_by="folder", seed=seed))
        sides = [{name.split("/")[1] for name in names(data, part)} for part in ("train", "val")]
        assert sides[0].isdisjoint(sides[1]), "one patient has cats and dogs"
        assert set(data.val.labels) == {0, 1}
    data = read(parse_source(str(root)), ReadOptions(group_by=r"pattern:(p\d)/"))
    assert len({name.split("/")[1] for name in names(data, "val")}) == 1


def test_a_folder_of_classes_alone_is_no_group(make_tree: Tree) -> None:
    source = parse_source(str(make_tree({"cat": 3, "dog": 3})))
    with pytest.raises(UserError, match="all 6 images are in no group folder"):
        read(source, ReadOptions(group_by="folder"))
    with pytest.raises(UserError, match="only a CSV has columns; give folder or pattern"):
        read(source, ReadOptions(group_by="column:patient"))
    with pytest.raises(UserError, match="all images of class cat are in one group"):
        read(source, ReadOptions(group_by="pattern:^(.)"))
    with pytest.warns(UserWarning, match="1 of 6 images do not match"):
        read(source, ReadOptions(group_by="pattern:(cat/[01]|dog/[0-9])"))


def test_groups_of_given_parts_are_noted(make_tree: Tree) -> None:
    tree = {
        "train/cat/p1": 3,
        "train/dog/p2": 2,
        "val/cat/p1": 1,
        "val/dog/p3": 2,
        "test/dog/p2": 1,
    }
    source = parse_source(str(make_tree(tree)))
    with pytest.warns(UserWarning, match="is not used|are in both parts") as noted:
        data = read(source, ReadOptions(group_by="folder", val_fraction=0.3))
    lines = [str(each.message) for each in noted]
    assert len(data.val) == 3
    assert "the data have a validation part, so --input.val-fraction is not used" in lines[0]
    assert "training (3 images) and validation (1 images); the first: p1" in lines[1]
    assert "training (2 images) and test (1 images); the first: p2" in lines[2]
    assert len(lines) == 3


@pytest.mark.parametrize("by", ["folder", "pattern:(.)"])
def test_images_without_files_have_no_groups(by: str) -> None:
    with pytest.raises(UserError, match="the images have no file names"):
        read(parse_source("digits"), ReadOptions(group_by=by))


def test_a_published_test_part_is_for_tests_where_a_share_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def part(count: int) -> Split:
        return Split(
            images=np.zeros((2 * count, 2, 2, 3), np.uint8), labels=np.repeat([0, 1], count)
        )

    whole = LabelledImages(
        name="cifar10",
        classes=("a", "b"),
        train=part(10),
        val=part(4),
        native_size=2,
        validation="test",
    )
    monkeypatch.setitem(READERS, "cifar10", lambda *_: whole)
    source = Source(format="cifar10", path=Path(), guessed=False)
    data = read(source, ReadOptions(val_fraction=0.3))
    assert data.test is not None
    assert (len(data.train), len(data.val), len(data.test)) == (14, 6, 8)
    assert data.validation == "train"
    for options in (
        ReadOptions(),
        ReadOptions(val_fraction=0),
        ReadOptions(val_fraction=0.2, split_rule="v1"),  # of a run of before, resumed
    ):
        assert read(source, options) is whole


@pytest.mark.parametrize("part", ["val", "test"])
def test_the_measured_part_alone_is_read(make_tree: Tree, part: str) -> None:
    root = make_tree({f"{part}/cat": 2, f"{part}/dog": 1, "train/cat": 2})
    (root / "train" / "cat" / "0.png").write_bytes(b"")  # nobody looks
    data = read(parse_source(f"folder:{root}"), ReadOptions(measured=part))
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(getattr(data, part))) == (0, 3)
    shutil.rmtree(root / "train")
    assert len(read(parse_source(f"folder:{root}"), ReadOptions(measured=part)).everything) == 3
    with pytest.raises(UserError, match="but no train/"):
        read(parse_source(f"folder:{root}"), ReadOptions())
