"""Strings to sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from res2net.data import readers
from res2net.data.scenes import readers as scene_readers
from res2net.data.source import FORMATS, Source, parse_source
from res2net.errors import UserError

MakeTree = Callable[[dict[str, int]], Path]


@pytest.mark.parametrize("name", ["folder", "csv", "imagenet", "cifar10", "cifar100"])
def test_given_format(tmp_path: Path, name: str) -> None:
    source = parse_source(f"{name}:{tmp_path}")
    assert source == Source(format=name, path=tmp_path, guessed=False)
    assert str(source) == f"{name}:{tmp_path}"


def test_digits() -> None:
    assert parse_source("digits") == Source(format="digits", path=None, guessed=False)
    assert str(parse_source("digits")) == "digits"


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_source("folder:~").path == tmp_path


def test_cifar_may_not_be_there_yet(tmp_path: Path) -> None:
    assert parse_source(f"cifar10:{tmp_path}/new").path == tmp_path / "new"


def test_a_path_with_a_colon(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    assert parse_source(str(tmp_path / "a:b")).format == "folder"


def test_folder_of_wnids_is_imagenet_only_with_its_companions(make_tree: MakeTree) -> None:
    root = make_tree({f"{s}/n0000000{i}": 1 for s in ("train", "val") for i in (1, 2)})
    assert parse_source(str(root)) == Source(format="folder", path=root, guessed=True)
    (root / "LOC_synset_mapping.txt").write_text("n00000001 a\nn00000002 b\n")
    assert parse_source(str(root)) == Source(format="imagenet", path=root, guessed=True)


def test_csv_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.CSV").write_text("path,label\n")
    assert parse_source(str(tmp_path / "a.CSV")).format == "csv"


def test_real_data_is_recognised(shared_data: Path) -> None:
    assert parse_source(str(shared_data / "imagenette224")).format == "folder"
    for path in ("cifar100", "cifar100/cifar-100-python.tar.xz"):
        assert parse_source(str(shared_data / path)).format == "cifar100"


def test_two_data_sets_in_one_folder(tmp_path: Path) -> None:
    for name in ("cifar-10-python.tar.gz", "cifar-100-python.tar.gz"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"choose one: cifar10:.* or cifar100:"):
        parse_source(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cifar:/x", "unknown data format 'cifar'; formats are folder, .* Did you mean 'cifar10'"),
        ("cifar100", "'cifar100' needs a path: cifar100:PATH"),
        ("folder:", "'folder' needs a path"),
        ("digits:/x", "digits takes no path"),
        ("PETS/vall", "no such file or folder. Did you mean 'val'"),
        ("folder:PETS/vall", "no such file or folder. Did you mean 'val'"),
        ("PETS/zzz/zzz", "no such file or folder.$"),
        ("PETS/val/0.png", "not a data set"),
        ("PETS/photos.zip", "an archive, not of CIFAR; unpack it"),
        ("PETS/list.txt", "a .txt of lines with the path of an image"),
    ],
)
def test_faults(make_tree: MakeTree, text: str, reason: str) -> None:
    root = make_tree({"train": 1, "val": 1})
    (root / "list.txt").write_text("Abyssinian_1 1 1 1\n")
    (root / "photos.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=reason) as caught:
        parse_source(text.replace("PETS", str(root)))
    assert "\n" not in str(caught.value)


def test_annotations_inside_images_are_no_labels(make_tree: MakeTree) -> None:
    root = make_tree({"images": 2, "annotations/trimaps": 2})
    (root / "annotations" / "0.xml").write_text("<annotation></annotation>")
    with pytest.raises(UserError, match="annotated inside images.*needs a folder of each class"):
        readers.read(parse_source(str(root), "labels"))


def test_formats() -> None:
    assert sorted(FORMATS) == sorted({*readers.READERS, *scene_readers.READERS})
    assert {*readers.READERS} & {*scene_readers.READERS} == {"scenes"}  # which every task can take


def test_a_home_of_nobody_is_no_such_path() -> None:
    for text in ("~0", "~nobody-of-this-name/photos", "folder:~0"):
        with pytest.raises(UserError, match="no such file or folder"):
            parse_source(text)


def test_photos_without_class_folders_are_read_where_labels_are_not_needed(
    make_tree: MakeTree, tmp_path: Path
) -> None:
    classes = make_tree({"cat": 2, "dog": 2})
    assert parse_source(str(classes), "none").format == "folder"
    one = next((classes / "cat").iterdir())
    (classes / one.name).write_bytes(one.read_bytes())  # class folders would leave it out
    assert parse_source(str(classes), "labels").format == "folder"
    found = parse_source(str(classes), "none")
    assert (found.format, found.guessed) == ("images", True)
    images = readers.read(found)
    assert (len(images.train), len(images.val), images.classes) == (4, 1, ())
    assert images.train.labels.shape == (4, 0)
    assert readers.read(found).val.names(0) == images.val.names(0)
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="none: holds no images"):
        readers.read(parse_source(str(tmp_path / "none"), "none"))
