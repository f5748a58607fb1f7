"""Listing image files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from res2net.data.files import Files, Listing, list_images, some, subfolders, usable
from res2net.errors import UserError


def test_files_behave_like_a_list_of_paths() -> None:
    names = ["a/1.jpg", "b/ä ö.jpg", "b/2.jpg", "c.png"]
    files = Files(Path("root"), names)
    assert len(files) == 4
    assert list(files) == [Path("root") / name for name in names]
    assert [files.name(i) for i in range(-4, 4)] == names * 2
    assert list(files[1:3]) == [Path("root/b/ä ö.jpg"), Path("root/b/2.jpg")]
    assert list(pickle.loads(pickle.dumps(files))) == list(files)
    assert len(Files(Path(), [])) == 0
    for i in (4, -5):
        with pytest.raises(IndexError):
            files[i]


def test_an_absolute_name_stays_absolute() -> None:
    assert Files(Path("root"), ["/x/y.jpg"])[0] == Path("/x/y.jpg")


def test_a_million_names_are_small() -> None:
    files = Files(Path("root"), [f"train/n01440764/n01440764_{i}.JPEG" for i in range(1000)])
    assert len(pickle.dumps(files)) < 50_000


def test_what_is_listed_and_what_is_not(make_tree: Callable[[dict[str, int]], Path]) -> None:
    root = make_tree({"cat/deep/er": 2, "cat": 1, "cat/.hidden": 1, "cat/__MACOSX": 1, "dog": 0})
    for name in ("notes.txt", "b.txt", "README", ".DS_Store", "._0.png", "UP.JPG", "empty.bmp"):
        (root / "cat" / name).touch()
    (root / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    listing = Listing()
    assert list_images(root, "cat", listing, find_empty=True) == 6
    expected = ["cat/0.png", "cat/UP.JPG", "cat/deep/er/0.png", "cat/deep/er/1.png"]
    assert listing.names == [*expected, "cat/empty.bmp", "cat/gone.png"]
    assert sorted(listing.empty) == ["cat/UP.JPG", "cat/empty.bmp", "cat/gone.png"]
    with pytest.warns(UserWarning, match=r"3 files ignored.*\(\.txt: 2, none: 1\)"):
        listing.warn_ignored(root)


def test_links_are_followed_but_not_in_circles(
    make_tree: Callable[[dict[str, int]], Path],
) -> None:
    root = make_tree({"cat": 2, "store/dogs": 3})
    (root / "dog").symlink_to(root / "store" / "dogs", target_is_directory=True)
    (root / "cat" / "self").symlink_to(root / "cat", target_is_directory=True)
    (root / "cat" / "up").symlink_to(root, target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    assert subfolders(root) == ["cat", "dog", "store"]
    listing = Listing()
    assert list_images(root, "cat", listing, find_empty=False) == 2
    assert list_images(root, "dog", listing, find_empty=False) == 3
    assert listing.names[2] == "dog/0.png"


def test_usable_refuses_or_skips(make_tree: Callable[[dict[str, int]], Path]) -> None:
    root = make_tree({"cat": 3})
    (root / "cat" / "bad.png").write_bytes(b"no image")
    names = ["cat/0.png", "cat/bad.png", "cat/2.png", "cat/missing.png"]
    assert usable(root, names, skip_bad=False, empty=[]).tolist() == [True] * 4
    with pytest.raises(UserError, match=r"1 empty or missing file\(s\): cat/e\.png; delete"):
        usable(root, names, skip_bad=False, empty=["cat/e.png"])
    with pytest.warns(UserWarning, match=r"2 unreadable .*: cat/bad\.png, cat/missing\.png \("):
        kept = usable(root, names, skip_bad=True, empty=[])
    assert kept.tolist() == [True, False, True, False]


def test_some() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some(list("abcdefgh")) == "a, b, c, d, e and 3 more"


def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: cannot list this folder"):
        subfolders(tmp_path / "nowhere")
