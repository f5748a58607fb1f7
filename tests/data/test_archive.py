"""Archives: all members, or a word that the archive is damaged."""

from __future__ import annotations

import contextlib
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from res2net.data import archive
from res2net.data.archive import first_name, members
from res2net.errors import UserError

CHANCE = np.random.default_rng(0)
CONTENTS = {f"photos/{i:06}.jpg": CHANCE.bytes(90 + 70 * i) for i in range(12)}
ENDINGS = (".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".zip")


def pack(path: Path, contents: dict[str, bytes] = CONTENTS, *, stored: bool = False) -> Path:
    if path.suffix == ".zip":
        how = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", how) as packed:
            for name, content in contents.items():
                packed.writestr(name, content)
        return path
    kind = path.suffix.removeprefix(".").removeprefix("tar")
    with tarfile.open(path, f"w:{kind}", format=tarfile.GNU_FORMAT) as tar:
        for name, content in contents.items():
            add(tar, name, content)
    return path


def add(tar: tarfile.TarFile, name: str, content: bytes = b"", **fields: object) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for field, value in fields.items():
        setattr(entry, field, value)
    tar.addfile(entry, io.BytesIO(content))


def read(path: Path) -> dict[str, bytes]:
    return {each.name: each.data for each in members(path, lambda name: name.endswith(".jpg"))}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_member_comes_in_the_order_of_the_archive(tmp_path: Path, ending: str) -> None:
    path = pack(tmp_path / f"a{ending}", {**CONTENTS, "notes.txt": b"no image"})
    assert list(read(path).items()) == list(CONTENTS.items())


@pytest.mark.parametrize("ending", [*ENDINGS, "stored.zip"])
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_archive_is_never_taken_for_fewer_images(
    tmp_path: Path, ending: str, data: st.DataObject
) -> None:
    """One byte changed, or the end cut off, anywhere: all images, or one line."""
    path = tmp_path / f"whole{ending}"
    if not path.exists():
        pack(path, stored="stored" in ending)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    damaged = tmp_path / f"damaged{ending}"
    damaged.write_bytes(content)
    with contextlib.suppress(UserError):
        assert list(read(damaged)) == list(CONTENTS)


def test_a_zip_that_hides_a_member_is_told(tmp_path: Path) -> None:
    """The comment of a list's entry may be made so long that it holds the next entry."""
    names = [f"{i}.jpg" for i in range(4)]
    path = pack(tmp_path / "a.zip", dict.fromkeys(names, b"x" * 50))
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 32] = 46 + len(names[0])  # comment of the first
    path.write_bytes(content)
    with pytest.raises(UserError, match="it lists 3 of 4 members"):
        read(path)


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_what_came_before_the_damage_is_given(tmp_path: Path, ending: str) -> None:
    plain = pack(tmp_path / "a.tar").read_bytes()
    cut = plain[: plain.index(b"photos/000005.jpg")]  # at the end of a member
    openers = {".tar": open, ".tar.gz": archive.gzip.open, ".tar.bz2": archive.bz2.open}
    path = tmp_path / f"cut{ending}"
    with openers.get(ending, lzma.open)(path, "wb") as file:
        file.write(cut)
    found = []
    with pytest.raises(UserError, match="it is truncated or has a damaged header"):
        for each in members(path, lambda _: True):
            found.append(each.name)
    assert found == list(CONTENTS)[:5]


def test_two_archives_in_one_file_are_told(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar")
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(UserError, match="there is data after its end"):
        read(path)


def test_links_are_followed_and_what_is_no_file_has_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "a.jpg", b"first")
        add(tar, "hard.jpg", type=tarfile.LNKTYPE, linkname="a.jpg")
        add(tar, "soft.jpg", type=tarfile.SYMTYPE, linkname="a.jpg")
        add(tar, "out.jpg", type=tarfile.SYMTYPE, linkname="../../etc/passwd")
        add(tar, "round.jpg", type=tarfile.SYMTYPE, linkname="round.jpg")
        add(tar, "pipe.jpg", type=tarfile.FIFOTYPE)
        add(tar, "device.jpg", type=tarfile.CHRTYPE)
        add(tar, "folder.jpg", type=tarfile.DIRTYPE)
    found = {each.name: each for each in members(path, lambda _: True)}
    assert [found[name].data for name in ("a.jpg", "hard.jpg", "soft.jpg")] == [b"first"] * 3
    assert "folder.jpg" not in found
    for name, fault in (
        ("out.jpg", "a link to ../../etc/passwd, which is not in the archive"),
        ("round.jpg", "a link to round.jpg"),
        ("pipe.jpg", "not a file"),
        ("device.jpg", "not a file"),
    ):
        assert fault in found[name].fault
        assert found[name].data == b""


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_member_that_unpacks_to_more_than_an_image_has_is_not_unpacked(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LARGEST", 1 << 20)
    contents = {"a.jpg": b"1", "big.jpg": bytes(3 << 20), "z.jpg": b"2"}
    found = list(members(pack(tmp_path / f"a{ending}", contents), lambda _: True))
    assert [each.data for each in found] == [b"1", b"", b"2"]
    assert found[1].fault.startswith("too large (0.00293 GiB unpacked")


def test_a_header_that_unpacks_to_all_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LARGEST", 1 << 20)
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "a.jpg", b"1")
        add(tar, "header", bytes(3 << 20), type=tarfile.GNUTYPE_LONGNAME)
    with pytest.raises(UserError, match="a header of"):
        read(path)


def test_a_zip_with_a_password_says_so(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.jpg": b"x" * 50})
    content = bytearray(path.read_bytes())
    for sign, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(sign) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is encrypted; unpack it first"):
        read(path)


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"not a tar" * 100)
    (tmp_path / "a.zip").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.tar")
    for name in ("a.tar", "a.zip", "pipe.tar", "none.tar"):
        with pytest.raises(UserError):
            read(tmp_path / name)
        assert first_name(tmp_path / name) is None
