"""Folders of class folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from res2net.data.folder import read
from res2net.data.labelled import LabelledImages, ReadOptions
from res2net.errors import UserError

MakeTree = Callable[[dict[str, int]], Path]
TREE = {"train/cat": 3, "train/dog": 2, "val/cat": 1, "val/dog": 2}


def names(data: LabelledImages, split: str) -> list[str]:
    part = getattr(data, split)
    return [part.names(i) for i in range(len(part))]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_train_and_val(make_tree: MakeTree, val: str) -> None:
    root = make_tree({name.replace("val", val): count for name, count in TREE.items()})
    data = read(root, ReadOptions())
    assert data.name == "pets"
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert data.train.labels.dtype == np.int64
    assert names(data, "val") == [f"{val}/cat/0.png", f"{val}/dog/0.png", f"{val}/dog/1.png"]
    assert data.val.images[1] == root / val / "dog" / "0.png"
    assert data.class_counts().tolist() == [3, 2]
    assert data.native_size is None
    assert (data.validation, data.test) == ("given", None)


def test_a_test_folder_is_a_part_of_its_own(make_tree: MakeTree) -> None:
    data = read(make_tree({**TREE, "test/cat": 5}), ReadOptions())
    assert (len(data.train), len(data.val)) == (5, 3)
    assert names(data, "test") == [f"test/cat/{i}.png" for i in range(5)]
    assert len(data.everything) == 13
    assert data.everything.names(12) == "test/cat/4.png"


@pytest.mark.parametrize("name", ["test", "Test"])
def test_beside_a_test_folder_validation_images_are_held_out_of_training(
    make_tree: MakeTree, name: str
) -> None:
    tree = {"train/cat": 10, "train/dog": 10, f"{name}/cat": 4, f"{name}/dog": 4}
    data = read(make_tree(tree), ReadOptions(val_fraction=0.2))
    assert data.validation == "train"
    assert data.test is not None
    assert (len(data.train), len(data.val), len(data.test)) == (16, 4, 8)
    assert all(each.startswith("train/") for each in names(data, "val"))
    assert all(each.startswith(f"{name}/") for each in names(data, "test"))


@pytest.mark.parametrize(
    ("extra", "reason"),
    [({"test": 3}, "no class folders"), ({"test/eel": 1}, "without training images: eel")],
)
def test_a_test_folder_that_cannot_be_measured_is_noted(
    make_tree: MakeTree, extra: dict[str, int], reason: str
) -> None:
    with pytest.warns(UserWarning, match=f"test: not used as a test part .*{reason}"):
        assert read(make_tree({**TREE, **extra}), ReadOptions()).test is None


def test_a_fraction_of_zero_holds_nothing_out(make_tree: MakeTree) -> None:
    data = read(make_tree({"cat": 1, "dog": 3}), ReadOptions(val_fraction=0))
    assert (len(data.train), len(data.val), len(data.everything)) == (4, 0, 4)


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_automatic_split(make_tree: MakeTree, prefix: str) -> None:
    root = make_tree({f"{prefix}cat": 10, f"{prefix}dog": 20, f"{prefix}eel": 2})
    data = read(root, ReadOptions(val_fraction=0.3, seed=1))
    assert np.bincount(data.val.labels).tolist() == [3, 6, 1]
    assert data.class_counts().tolist() == [7, 14, 1]
    everything = names(data, "train") + names(data, "val")
    assert len(set(everything)) == 32
    assert all((root / name).is_file() for name in everything)
    assert names(data, "val") == names(read(root, ReadOptions(val_fraction=0.3, seed=1)), "val")
    assert names(data, "val") != names(read(root, ReadOptions(val_fraction=0.3, seed=2)), "val")


def test_split_does_not_depend_on_the_file_system(
    make_tree: MakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    from res2net.data import files

    root = make_tree({"cat": 9, "dog": 9})
    before = names(read(root, ReadOptions()), "val")
    original = files._opened

    class Reversed:
        def __init__(self, folder: Path) -> None:
            with original(folder) as entries:
                self.entries = list(entries)[::-1]

        def __enter__(self) -> list[object]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(files, "_opened", Reversed)
    assert names(read(root, ReadOptions()), "val") == before


def test_a_class_may_be_called_train(make_tree: MakeTree) -> None:
    root = make_tree({"train": 4, "car": 4, "plane": 4})
    assert read(root, ReadOptions()).classes == ("car", "plane", "train")


def test_a_class_called_train_that_hides_others_is_told(make_tree: MakeTree) -> None:
    root = make_tree({"train/diesel": 4, "train/steam": 4, "bus/city": 3, "car/small": 2, "doc": 0})
    with pytest.warns(UserWarning, match=r"not used: bus/ \(3 images\), car/ \(2 images\); train/"):
        assert read(root, ReadOptions()).classes == ("diesel", "steam")


def test_folders_that_differ_in_case_alone_are_told(make_tree: MakeTree) -> None:
    root = make_tree({"Cat": 3, "cat": 3, "dog": 3})
    with pytest.warns(UserWarning, match="are kept separate: 'Cat' and 'cat'"):
        assert len(read(root, ReadOptions()).classes) == 3


@pytest.mark.parametrize("kind", ["symbolic", "hard", "folder"])
def test_images_in_both_parts_through_links_are_told(make_tree: MakeTree, kind: str) -> None:
    root = make_tree({"train/cat": 3, "train/dog": 2, "val/dog": 1, "val": 0})
    if kind == "folder":
        (root / "val" / "cat").symlink_to(root / "train" / "cat", target_is_directory=True)
    else:
        (root / "val" / "cat").mkdir()
        link, source = root / "val" / "cat" / "x.png", root / "train" / "cat" / "1.png"
        link.symlink_to(source) if kind == "symbolic" else link.hardlink_to(source)
    with pytest.warns(UserWarning, match=rf"{3 if kind == 'folder' else 1} images are in both"):
        read(root, ReadOptions())


def test_leftovers_are_no_classes(make_tree: MakeTree) -> None:
    root = make_tree({"cat": 3, "dog": 3, ".ipynb_checkpoints": 1, "__MACOSX/cat": 1})
    (root / "up").symlink_to(root, target_is_directory=True)
    assert read(root, ReadOptions()).classes == ("cat", "dog")


def test_arrays_are_images_where_no_photos_are(make_tree: MakeTree) -> None:
    root = make_tree(TREE)
    np.save(root / "train" / "cat" / "depth.npy", np.zeros((4, 4)))
    with pytest.warns(UserWarning, match=r"1 files ignored.*\.npy: 1"):
        found = read(root, ReadOptions())
    for file in (*found.train.images, *found.val.images):
        np.save(file.with_suffix(".npy"), np.zeros((4, 4)))
        file.unlink()
    assert {file.suffix for file in read(root, ReadOptions()).train.images} == {".npy"}


def test_images_beside_the_class_folders_are_counted(make_tree: MakeTree) -> None:
    root = make_tree({**TREE, "train": 2})
    (root / "train" / "._0.jpg").touch()  # macOS
    with pytest.warns(UserWarning, match=r"train: 2 images beside .* left out: 0\.png, 1\.png"):
        data = read(root, ReadOptions())
    assert len(data.train) == sum(n for name, n in TREE.items() if name.startswith("train/"))


def test_ignored_files_are_counted(make_tree: MakeTree) -> None:
    root = make_tree(TREE)
    (root / "train" / "cat" / "photo.xcf").touch()
    (root / "val" / "dog" / "notes.txt").touch()
    with pytest.warns(UserWarning, match=r"2 files ignored.*\.xcf: 1, \.txt: 1"):
        read(root, ReadOptions())


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"": 3}, "holds 3 image\\(s\\) but no class folders"),
        ({"": 0}, "holds no images"),
        ({"train": 2, "val": 2}, "train: holds 2 image\\(s\\) but no class folders"),
        ({"val/cat": 2, "val/dog": 2}, "holds val/ but no train/"),
        ({"cat": 3}, "one class only \\(cat\\)"),
        (
            {"images/cat": 3, "images/dog": 3, "meta": 0},
            "in class meta; did you mean .*images, whose",
        ),
        ({"pets/cat": 3, "pets/dog": 3}, "one folder only; did you mean .*pets/pets"),
        ({**TREE, "train/eel": 0, "val/eel": 1}, "no images in class eel"),
        ({**TREE, "val/eel": 0}, "differ \\(only in val: eel\\)"),
        ({**TREE, "train/ant": 1, "val/eel": 1}, "only in train: ant; only in val: eel"),
        ({"cat": 3, "dog": 1, "eel": 1}, "fewer than 2 images.* in class dog, eel"),
        (
            {**TREE, **{f"train/x{i}": 1 for i in range(7)}},
            "only in train: x0, x1, x2, x3, x4 and 2 more",
        ),
    ],
)
def test_faults_are_one_line(make_tree: MakeTree, tree: dict[str, int], reason: str) -> None:
    root = make_tree(tree)
    with pytest.raises(UserError, match=reason) as caught:
        read(root, ReadOptions())
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_beside_class_folders_are_noted(make_tree: MakeTree) -> None:
    root = make_tree({"cat": 4, "dog": 4})
    for name in ("train.csv", "validation.csv", "label_map.csv"):
        (root / name).touch()
    with pytest.warns(UserWarning, match=r"train.csv, validation.csv may list the parts, but"):
        read(root, ReadOptions())


def test_not_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: not a folder"):
        read(tmp_path / "nowhere", ReadOptions())


def test_empty_and_broken_files(make_tree: MakeTree) -> None:
    root = make_tree(TREE)
    (root / "train" / "cat" / "zero.png").touch()
    with pytest.raises(UserError, match=r"1 empty or missing file\(s\): train/cat/zero\.png"):
        read(root, ReadOptions())
    (root / "train" / "dog" / "text.png").write_text("hello")
    with pytest.warns(UserWarning, match=r"2 unreadable.*train/cat/zero\.png, train/dog/text\.png"):
        data = read(root, ReadOptions(skip_bad=True))
    assert data.class_counts().tolist() == [3, 2]


def test_a_class_of_broken_files_only(make_tree: MakeTree) -> None:
    root = make_tree({**TREE, "train/eel": 0, "val/eel": 1})
    (root / "train" / "eel" / "zero.png").touch()
    with (
        pytest.warns(UserWarning, match="1 unreadable"),
        pytest.raises(UserError, match="no images in class eel"),
    ):
        read(root, ReadOptions(skip_bad=True))


def test_imagenette(shared_data: Path) -> None:
    data = read(shared_data / "imagenette224", ReadOptions())
    assert (len(data.classes), len(data.train), len(data.val)) == (10, 900, 250)
    assert data.class_counts().tolist() == [90] * 10
    assert data.classes[0] == "n01440764"


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("training", "validation", "testing"), ("Training_set", "valid", "Test_set")],
)
def test_parts_of_other_names(make_tree: MakeTree, train: str, val: str, test: str) -> None:
    parts = ((train, 3), (val, 2), (test, 1))
    root = make_tree({f"{part}/{name}": n for part, n in parts for name in ("cat", "dog")})
    found = read(root, ReadOptions())
    assert found.classes == ("cat", "dog")
    assert found.test is not None
    assert (len(found.train), len(found.val), len(found.test)) == (6, 4, 2)


def test_folders_inside_class_folders_are_noted(make_tree: MakeTree) -> None:
    root = make_tree({"animal/cat": 2, "animal/dog": 2, "plant": 2})
    with pytest.warns(UserWarning, match="1 class folder with subfolders.*animal holds cat, dog"):
        assert read(root, ReadOptions()).classes == ("animal", "plant")
