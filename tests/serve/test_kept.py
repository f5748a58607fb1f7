"""What the page keeps on disk: by whom, how much, how long."""

from __future__ import annotations

import asyncio

import pytest

from res2net.serve.kept import Kept
from res2net.serve.refusal import Refusal


def _add(kept: Kept, *files: tuple[str, bytes]) -> list[str]:
    async def all_of_them() -> list[str]:
        return [await kept.add(visitor, "a photo.png", data) for visitor, data in files]

    return asyncio.run(all_of_them())


def _is_kept(kept: Kept, path: str, visitor: str = "a") -> bool:
    try:
        return kept.find(path, visitor).is_file()
    except Refusal:
        return False


def test_a_photo_is_its_visitors_and_an_example_is_everybodys(tmp_path):
    (tmp_path / "example.png").write_bytes(b"x")
    kept = Kept(tmp_path / "kept")
    kept.folder.mkdir()
    (own,) = _add(kept, ("a", b"1"))
    shared = kept.share(tmp_path / "example.png")
    assert _is_kept(kept, own)
    assert not _is_kept(kept, own, "b")
    assert not _is_kept(kept, own, "")
    assert _is_kept(kept, shared)
    assert _is_kept(kept, shared, "b")
    assert kept.reader(own, "a")() == b"1"


def test_the_oldest_go_when_there_are_too_many_or_too_large_ones(tmp_path):
    (tmp_path / "example.png").write_bytes(b"x" * 100)
    few = Kept(tmp_path / "few", most_files=2)
    few.folder.mkdir()
    shared = few.share(tmp_path / "example.png")
    paths = _add(few, *[("a", b"1")] * 4)
    assert [_is_kept(few, path) for path in paths] == [False, False, True, True]
    assert len([each for each in few.folder.rglob("*") if each.is_file()]) == 3
    assert _is_kept(few, shared)
    small = Kept(tmp_path / "small", most_bytes=10)
    small.folder.mkdir()
    paths = _add(small, ("a", b"1" * 4), ("b", b"2" * 5), ("a", b"3" * 4))
    assert [_is_kept(small, p, v) for p, v in zip(paths, "aba", strict=True)] == [False, True, True]
    (path,) = _add(small, ("a", b"4" * 11))
    assert small.size == sum(each.stat().st_size for each in small.folder.rglob("*.png")) == 0
    assert not _is_kept(small, path)


def test_what_is_old_is_forgotten_by_itself(tmp_path):
    kept = Kept(tmp_path, seconds=0.2)

    async def wait() -> tuple[bool, bool]:
        path = await kept.add("a", "a.png", b"1")
        now = _is_kept(kept, path)
        await asyncio.sleep(0.5)
        return now, _is_kept(kept, path)

    assert asyncio.run(wait()) == (True, False)
    assert list(tmp_path.iterdir()) == []


def test_a_photo_that_goes_while_it_waits(tmp_path):
    kept = Kept(tmp_path, most_files=1)
    (first,) = _add(kept, ("a", b"1"))
    read = kept.reader(first, "a")
    (second,) = _add(kept, ("a", b"2"))
    with pytest.raises(Refusal, match="upload it again"):
        read()
    read = kept.reader(second, "a")
    kept.folder.joinpath(second).unlink()
    kept.folder.joinpath(second).symlink_to("/dev/zero")
    with pytest.raises(Refusal, match="upload it again"):
        read()


def test_a_full_disk_is_a_sentence(tmp_path):
    kept = Kept(tmp_path / "nowhere")  # no such folder: writing fails
    with pytest.raises(Refusal, match="cannot be stored: No such file") as caught:
        _add(kept, ("a", b"1"))
    assert caught.value.status == 503
    assert kept.size == 0


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        *(("a photo.png", "a photo.png"), ("../../x.png", "x.png"), ("..", "photo")),
        *(
            ("", "photo"),
            ("\x1b[2J\n.png", "__2J_.png"),
            ("猫.png", "猫.png"),
            ("\ud800.png", "_.png"),
        ),
        ("x" * 300 + ".png", "x" * 46 + ".png"),
    ],
)
def test_names_that_any_disk_takes(tmp_path, name, plain):
    kept = Kept(tmp_path)

    async def keep() -> str:
        return await kept.add("a", name, b"1")

    assert asyncio.run(keep()).rpartition("/")[2] == plain
