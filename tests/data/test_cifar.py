"""CIFAR: small archives of the official layout, as Python 2 pickled them; what is refused."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from res2net.data import archive, cifar
from res2net.data.cifar import read_cifar10, read_cifar100
from res2net.data.labelled import ReadOptions
from res2net.data.source import parse_source
from res2net.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 3072), dtype=np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def python2(value: Any) -> bytes:
    """``value`` in the opcodes of Python 2's ``pickle.dumps(value, 2)``, as the official files."""
    if isinstance(value, dict):
        return b"}(" + b"".join(python2(k) + python2(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(python2, value)) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        return b"T" + struct.pack("<i", len(value)) + value.encode("latin1")
    rows, columns = value.shape
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01"
        + (python2(rows) + python2(columns) + b"\x86")
        + b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN"
        + (python2(-1) + python2(-1) + b"K\x00tb")
        + (b"\x89" + python2(value.tobytes().decode("latin1")) + b"tb")
    )


def contents(name: str) -> dict[str, bytes]:
    """Files of a small set of the official layout: two images a batch."""
    layout = cifar.LAYOUTS[name]
    words = [f"w{i}" for i in range(3)]
    files = {layout.meta: {layout.name_key: words}}
    for i, batch in enumerate((*layout.train, layout.test)):
        files[batch] = {
            "data": PIXELS[i : i + 2],
            layout.label_key: [i % 3, 2],
            "filenames": ["a.png", "b.png"],
        }
    return {file: b"\x80\x02" + python2(value) + b"." for file, value in files.items()}


def write_folder(root: Path, name: str, **replaced: bytes) -> Path:
    folder = root / cifar.LAYOUTS[name].folder
    folder.mkdir(parents=True)
    for file, content in {**contents(name), **replaced}.items():
        (folder / file).write_bytes(content)
    return folder


def write_archive(root: Path, name: str, ending: str, **replaced: bytes) -> Path:
    layout = cifar.LAYOUTS[name]
    path = root / f"{layout.archive}.tar.{ending}"
    with tarfile.open(path, f"w:{ending}") as packed:
        for file, content in {**contents(name), **replaced}.items():
            member = tarfile.TarInfo(f"{layout.folder}/{file}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(("name", "count"), [("cifar10", 10), ("cifar100", 2)])
@pytest.mark.parametrize("form", ["folder", "parent", "gz", "xz", "parent of gz"])
def test_layouts(tmp_path: Path, name: str, count: int, form: str) -> None:
    root = tmp_path / "data"
    root.mkdir()
    made = (
        write_archive(root, name, form[-2:])
        if form[-2:] in ("gz", "xz")
        else write_folder(root, name)
    )
    path = root if "parent" in form else made
    source = parse_source(str(path))
    assert source.format == name
    data = {"cifar10": read_cifar10, "cifar100": read_cifar100}[name](path, ReadOptions())
    assert (data.name, data.native_size) == (name, 32)
    assert data.classes == ("w0", "w1", "w2")
    assert isinstance(data.train.images, np.ndarray)
    assert data.train.images.shape == (count, 32, 32, 3)
    assert data.val.images.shape == (2, 32, 32, 3)
    assert data.train.labels.tolist()[:2] == [0, 2]
    assert data.train.labels.dtype == np.int64
    planes = PIXELS[0].reshape(3, 32, 32)
    assert (data.train.images[0].transpose(2, 0, 1) == planes).all()


def test_archive_is_kept_in_the_cache(tmp_path: Path, cache: Path, monkeypatch) -> None:
    path = write_archive(tmp_path, "cifar100", "xz")
    first = read_cifar100(path, ReadOptions())
    (kept,) = cache.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(cifar, "members", lambda *_: pytest.fail("unpacked again"))
        patched.setattr(cifar, "_find", lambda *_: path)
        again = read_cifar100(path, ReadOptions())
    assert np.array_equal(first.train.images, again.train.images)
    assert first.classes == again.classes
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 1))  # another archive of that name
    kept_before = kept.read_bytes()
    read_cifar100(path, ReadOptions())
    assert list(cache.iterdir()) == [kept]
    assert kept.read_bytes() != kept_before
    kept.write_bytes(b"damaged")
    assert len(read_cifar100(path, ReadOptions()).train) == 2


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "file" / "below"))
    assert len(read_cifar100(write_archive(tmp_path, "cifar100", "gz"), ReadOptions()).train) == 2


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        (
            pickle.dumps(Attack(), 2),
            r"train: refused: a CIFAR .* contains (posix|nt)\.system",
        ),
        (b"\x80\x02cbuiltins\neval\nU\x041+1\x85R.", r"refused: .* contains builtins\.eval"),
        (b"", "train: damaged or not a CIFAR file"),
        (contents("cifar100")["train"][:3000], "train: damaged or not a CIFAR file"),
        (pickle.dumps([1, 2]), "holds a list"),
        (pickle.dumps({"fine_labels": [0]}), "not in the layout of cifar-100-python \\('data'\\)"),
        (pickle.dumps({"data": PIXELS[:, :9], "fine_labels": [0] * 7}, 4), "cannot reshape"),
        (pickle.dumps({"data": PIXELS, "fine_labels": [9] * 7}, 4), r"labels outside 0\.\.2"),
    ],
)
def test_damaged_or_crafted_files(tmp_path: Path, train: bytes, reason: str) -> None:
    folder = write_folder(tmp_path, "cifar100", train=train)
    with pytest.raises(UserError, match=reason) as caught:
        read_cifar100(folder, ReadOptions())
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_archive(tmp_path: Path, cache: Path) -> None:
    path = write_archive(tmp_path, "cifar100", "xz")
    path.write_bytes(path.read_bytes()[:-3000])
    assert parse_source(str(path)).format == "cifar100"
    with pytest.raises(UserError, match=r"cifar-100-python\.tar\.xz: a damaged archive"):
        read_cifar100(path, ReadOptions())
    assert not cache.exists()


def test_nothing_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=r"no folder cifar-100-python .* --input.download true"):
            read_cifar100(path, ReadOptions())


def test_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    def fetch(*, root: Path, download: bool) -> None:
        assert download
        write_folder(root, "cifar10")

    monkeypatch.setattr(datasets, "CIFAR10", fetch)
    options = ReadOptions(download=True)
    assert len(read_cifar10(tmp_path / "new", options).train) == 10
    monkeypatch.setattr(datasets, "CIFAR10", None)  # there already: nothing to fetch
    assert len(read_cifar10(tmp_path / "new", options).train) == 10


def test_download_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    def fetch(**_: object) -> None:
        raise OSError("no network\nat all")

    monkeypatch.setattr(datasets, "CIFAR100", fetch)
    with pytest.raises(UserError, match=r"cannot download cifar-100-python \(no network at all\)"):
        read_cifar100(tmp_path, ReadOptions(download=True))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    values = {"data": PIXELS, "fine_labels": np.arange(7) % 3, "filenames": ("a", b"b")}
    folder = write_folder(tmp_path, "cifar100", train=pickle.dumps(values, protocol))
    found = read_cifar100(folder, ReadOptions()).train
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert (np.asarray(found.images[3]).transpose(2, 0, 1).ravel() == PIXELS[3]).all()


def test_a_member_that_unpacks_to_more_than_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LARGEST", 20_000)
    with pytest.raises(UserError, match=r"cifar-100-python/train: too large"):
        big = pickle.dumps({"data": np.zeros((9, 3072), np.uint8), "fine_labels": [0] * 9})
        read_cifar100(write_archive(tmp_path, "cifar100", "gz", train=big), ReadOptions())


@pytest.mark.slow
def test_the_real_archive(shared_data: Path) -> None:
    data = read_cifar100(shared_data / "cifar100", ReadOptions())
    assert (len(data.classes), len(data.train), len(data.val)) == (100, 50_000, 5_000)
    assert data.class_counts().tolist() == [500] * 100
    assert data.classes[:3] == ("apple", "aquarium_fish", "baby")
    means = np.asarray(data.train.images).mean(axis=(0, 1, 2)) / 255
    assert means == pytest.approx([0.50708, 0.48655, 0.44092], abs=1e-5)
