"""WebDataset shards."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.data import packed, shardindex
from res2net.data.dataset import ImageDataset, batched
from res2net.data.decode import decode
from res2net.data.labelled import LabelledImages, ReadOptions
from res2net.data.loader import make_loader
from res2net.data.readers import read
from res2net.data.shards import find_shards
from res2net.data.source import parse_source
from res2net.errors import UserError
from res2net.inspection.inspect import inspect_data

Members = Mapping[str, bytes] | Sequence[tuple[str, bytes]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def image(seed: int, form: str = "PNG", side: int = 8) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 2, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def pack(path: Path, members: Members) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items() if isinstance(members, Mapping) else members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def samples(labels: Sequence[object], start: int = 0) -> dict[str, bytes]:
    """A PNG and a .cls each."""
    out = {}
    for i, label in enumerate(labels, start):
        out[f"{i:04d}.png"] = image(i)
        out[f"{i:04d}.cls"] = str(label).encode()
    return out


def taken(where: Path | str, **options: Any) -> LabelledImages:
    return read(parse_source(f"shards:{where}"), ReadOptions(**options))


def test_labels_and_pixels_are_those_of_the_files(tmp_path: Path) -> None:
    members = {
        "./a/0.jpg": image(0, "JPEG"),
        "./a/0.cls": b"2\n",
        "a/1.PNG": image(1),
        "a/1.json": json.dumps({"width": 8, "label": 10}).encode(),
        "b/2.webp": image(2, "WEBP"),
        "b/2.txt": b"\xef\xbb\xbf02",
        "b/3.jpeg": image(3, "JPEG"),
        "b/3.cls": b"10",
        "b/3.json": b'{"caption": "x"}',
        "b/3.txt": b"a caption",
    }
    found = taken(pack(tmp_path / "s" / "some.tar", members), val_fraction=0)
    assert (found.classes, found.train.labels.tolist()) == (("2", "10"), [0, 1, 0, 1])
    names = [name for name in members if name.endswith(("jpg", "PNG", "webp", "jpeg"))]
    assert [found.train.names(i) for i in range(4)] == [
        f"some.tar/{name.removeprefix('./')}" for name in names
    ]
    dataset = ImageDataset(found.train, lambda pixels: pixels, min_side=None)
    for i, name in enumerate(names):
        file = tmp_path / Path(name).name
        file.write_bytes(members[name])
        assert torch.equal(dataset[i][0], decode(file))


@pytest.mark.parametrize(
    "files",
    [
        ["train-000.tar", "train-001.tar", "val-000.tar", "test-000.tar"],
        ["train/000.tar", "train/001.tar", "val/000.tar", "test/000.tar"],
        ["pets-training-0.tar", "pets-training-1.tar", "pets_valid_0.tar", "petsTest0.tar"],
    ],
)
def test_parts_are_told_by_names_of_shards_or_folders(tmp_path: Path, files: list[str]) -> None:
    for number, name in enumerate(files):
        pack(tmp_path / "s" / name, samples(["dog", "cat"], start=2 * number))
    source = parse_source(str(tmp_path / "s"), "labels")
    assert (source.format, source.guessed) == ("shards", True)
    found = read(source)
    assert found.classes == ("cat", "dog")
    assert found.test is not None
    assert [len(each) for each in (found.train, found.val, found.test)] == [4, 2, 2]
    assert found.train.names(3).endswith("/0003.png")
    assert found.everything.names(7) == found.test.names(1)
    assert found.validation == "given"
    measured = taken(tmp_path / "s", measured="test")
    assert (len(measured.train), len(measured.val), len(measured.test or ())) == (0, 0, 2)


def test_braces_name_shards(tmp_path: Path) -> None:
    for number in range(11):
        pack(tmp_path / f"train-{number:03d}.tar", samples(["dog", "cat"], start=2 * number))
    found = taken(tmp_path / "train-{001..010}.tar", val_fraction=0)
    assert (len(found.train), found.train.names(0)) == (20, "train-001.tar/0002.png")
    assert len(taken(tmp_path / "train-00{2,7}.tar", val_fraction=0).train) == 4
    assert len(find_shards(tmp_path / "{train,train}-{000..001}.tar")[1]["train"]) == 2
    with pytest.raises(UserError, match=r"2 of 4 shards do not exist: \S*train-011\.tar"):
        taken(tmp_path / "train-{009..012}.tar")
    for wrong in ("{}", "{a}", "{5..1}"):
        with pytest.raises(UserError, match="braces name shards as"):
            taken(tmp_path / f"train-{wrong}.tar")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "cat\ndog\nbird\n"),
        ("classes.json", '["cat", "dog", "bird"]'),
        ("classnames.txt", "cat\ndog\nbird\n"),
    ],
)
def test_a_list_names_the_classes(tmp_path: Path, name: str, text: str) -> None:
    shard = pack(tmp_path / "train.tar", samples([2, 0, 2, 0]))
    (tmp_path / name).write_text(text)
    found = taken(shard, val_fraction=0)
    assert found.classes == ("cat", "dog", "bird")
    assert found.train.labels.tolist() == [2, 0, 2, 0]
    pack(shard, samples([1, 3]))
    with pytest.raises(UserError, match=rf"1 labels are not in \S*{name}, .* \(0\.\.2\): 3"):
        taken(shard)


def test_the_index_is_kept_until_the_file_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = pack(tmp_path / "train.tar", samples([1, 0, 1, 0]))
    first = taken(shard, val_fraction=0)
    assert len(list((cache / "shards").iterdir())) == 1

    def walked(path: Path) -> None:
        raise AssertionError(path)

    with monkeypatch.context() as patch:
        patch.setattr(shardindex.archive, "entries", walked)
        again = taken(shard, val_fraction=0)
    assert again.train.labels.tolist() == first.train.labels.tolist()
    assert [*again.train.images] == [*first.train.images]
    pack(shard, samples(["b", "a"], start=7))
    assert taken(shard, val_fraction=0).train.names(0) == "train.tar/0007.png"
    with pytest.raises(UserError, match=r"train\.tar: was changed since it was indexed"):
        packed.Packed(*_place(first)).read()
    for kept in (cache / "shards").iterdir():
        kept.write_bytes(kept.read_bytes()[:200])
    assert len(taken(shard, val_fraction=0).train) == 2


def _place(found: LabelledImages) -> tuple[packed.Shard, str, int, int]:
    first = found.train.images[0]
    assert isinstance(first, packed.Packed)
    return first.shard._replace(size=1), first.name, first.offset, first.size


GOOD = samples([0, 1, 0, 1], start=100)
FAULTS: dict[str, tuple[Members, str]] = {
    "no label": ({"1.png": image(1)}, r"no label \(neither"),
    "another JSON": ({"1.png": image(1), "1.json": b'{"id": 4}'}, r"no label in its \.json"),
    "broken JSON": ({"1.png": image(1), "1.json": b'{"label'}, "not JSON"),
    "two labels": (
        {"1.png": image(1), "1.cls": b"1", "1.json": b'{"label": 0}'},
        r"two labels: 1 in \.cls, 0 in \.json",
    ),
    "a caption": ({"1.png": image(1), "1.txt": b"word " * 100}, "a text of 499 characters"),
    "two images": (
        {"1.png": image(1), "1.jpg": image(2, "JPEG"), "1.cls": b"1"},
        r"2 images \(1\.png, 1\.jpg\)",
    ),
    "no image": ({"1.cls": b"1"}, "no image"),
    "empty": ({"1.png": b"", "1.cls": b"1"}, "empty"),
    "again": ([("1.png", image(1)), ("1.cls", b"1"), ("1.png", image(2))], "occurs twice"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_faulty_sample_is_told_or_left_out(tmp_path: Path, kind: str) -> None:
    members, words = FAULTS[kind]
    pairs = [*GOOD.items(), *(members.items() if isinstance(members, Mapping) else members)]
    shard = pack(tmp_path / "train.tar", pairs)
    with pytest.raises(UserError, match=rf"(?s)1 of 5 images .*train\.tar: 1 .*{words}") as caught:
        taken(shard)
    assert "--input.skip-bad true" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.warns(UserWarning, match=r"1 of 5 images .* left out"):
        found = taken(shard, val_fraction=0, skip_bad=True)
    assert found.train.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("cut", [-1024, -1600, 5000])
def test_a_cut_shard_is_told_and_what_is_whole_can_be_used(tmp_path: Path, cut: int) -> None:
    shard = pack(tmp_path / "train.tar", GOOD)
    whole = shard.read_bytes().rstrip(b"\0")
    shard.write_bytes(shard.read_bytes()[: cut if cut > 0 else len(whole) + cut])
    with pytest.raises(UserError, match=r"[12] of \d images .*: train\.tar.*damaged archive") as c:
        taken(shard)
    assert "\n" not in str(c.value)
    with pytest.warns(UserWarning, match="left out"):
        found = taken(shard, val_fraction=0, skip_bad=True)
    assert 2 <= len(found.train) < 4
    ImageDataset(found.train, lambda pixels: pixels, min_side=None)[len(found.train) - 1]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(b"x" * 2000, mtime=0), "is compressed; unpack it"),
        (b"", "damaged archive"),
        (b"not a tar" * 200, "damaged archive"),
    ],
)
def test_what_is_no_tar_is_told(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "train.tar").write_bytes(data)
    with pytest.raises(UserError, match=words):
        taken(tmp_path)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["train-0.tar.gz", "train-1.tgz"], "2 shards are compressed .* unpack them"),
        (["train-0.tar", "more.tar"], r"give no part \(more\.tar\)"),
        (["train-val.tar"], r"more than one part \(train, val\)"),
        (["val-0.tar"], "shards of val, but none for training"),
        (["notes.md"], r"no \.tar files"),
    ],
)
def test_names_that_tell_no_parts(tmp_path: Path, files: list[str], words: str) -> None:
    for name in files:
        pack(tmp_path / name, GOOD)
    with pytest.raises(UserError, match=words):
        taken(tmp_path)


def test_other_files_of_a_sample_do_not_count(tmp_path: Path) -> None:
    members = {
        **samples([0, 1]),
        "0000.mask.png": image(9),
        "0001.npy": b"x",
        "._0001.png": b"resource",
        "__meta__.json": b"{}",
        "5.front.png": image(5),
        "5.front.cls": b"0",
        "5.back.png": image(6),
        "5.back.cls": b"1",
    }
    found = taken(pack(tmp_path / "train.tar", members), val_fraction=0)
    names = [found.train.names(i).partition("/")[2] for i in range(4)]
    assert names == ["0000.png", "0001.png", "5.front.png", "5.back.png"]
    assert found.train.labels.tolist() == [0, 1, 0, 1]


def test_numbers_beside_names_are_refused(tmp_path: Path) -> None:
    shard = pack(tmp_path / "train.tar", samples(["cat", 1, "cat", 1]))
    with pytest.raises(UserError, match=r"1 labels are numbers \(1\) and 1 are names \(cat\)"):
        taken(shard)


def test_keys_of_two_shards_are_noted(tmp_path: Path) -> None:
    for name in ("train-0.tar", "train-1.tar"):
        pack(tmp_path / name, samples([0, 1]))
    with pytest.warns(UserWarning, match=r"2 keys of train occur more than once, such as train-0"):
        assert len(taken(tmp_path, val_fraction=0).train) == 4


@pytest.mark.parametrize("by", ["folder", "pattern:(p[0-9])/"])
def test_groups_by_the_key_stay_on_one_side(tmp_path: Path, by: str) -> None:
    members = {
        f"p{patient}/{name}": data
        for patient in range(6)
        for name, data in samples([0, 1, 0], start=3 * patient).items()
    }
    found = taken(pack(tmp_path / "train.tar", members), group_by=by, val_fraction=0.4)
    sides = [
        {part.names(i).split("/")[1] for i in range(len(part))} for part in (found.train, found.val)
    ]
    assert sides[0] | sides[1] == {f"p{k}" for k in range(6)}
    assert not sides[0] & sides[1]
    assert sides[1]


def test_batches_of_loader_processes_are_those_of_one(tmp_path: Path) -> None:
    for number in range(3):
        pack(tmp_path / f"train-{number}.tar", samples([0, 1] * 4, start=8 * number))
    found = taken(tmp_path, val_fraction=0)
    again: ImageDataset = pickle.loads(
        pickle.dumps(ImageDataset(found.train, torch.clone, min_side=None))
    )
    again[0]  # the tar is open before the loaders are forked
    runs = [
        [*make_loader(again, batched, batch=6, shuffle=True, seed=3, workers=workers)]
        for workers in (0, 2)
    ]
    for one, other in zip(*runs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_threads_without_pread_read_their_own_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(tmp_path / "train.tar", samples([0, 1] * 20))
    images = ImageDataset(taken(tmp_path, val_fraction=0).train, torch.clone, min_side=None)
    wanted = [images[i][0] for i in range(40)]
    monkeypatch.delattr("os.pread")
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda i: images[i % 40][0], range(400))]
    assert all(torch.equal(each, wanted[i % 40]) for i, each in enumerate(found))


def test_a_million_images_are_two_arrays(tmp_path: Path) -> None:
    rows = np.zeros(1_000_000, packed.ROW)
    shard = packed.Shard(tmp_path / "a.tar", 1, 1)
    images = packed.PackedFiles(tmp_path, [shard], b"name.jpg" * 1_000_000, rows)
    assert len(pickle.dumps(images)) < 50e6
    assert str(images[-1]) == f"{shard.path}: "


def test_data_tells_what_shards_hold(tmp_path: Path, cli: Callable[..., Any]) -> None:
    pack(tmp_path / "s" / "train-0.tar", samples([0, 1] * 4))
    val = {**samples([0, 1], start=20), "0030.png": image(0), "0030.cls": b"0"}
    pack(tmp_path / "s" / "val-0.tar", val)
    said = cli("data", tmp_path / "s", "--out", tmp_path / "out")
    assert said.code == 0, said
    assert (tmp_path / "out" / "sheet.png").is_file()
    found = inspect_data(tmp_path / "s")
    assert [part.images for part in found.parts] == [8, 3]
    leak = ("val-0.tar/0030.png (validation)", "train-0.tar/0000.png (training)")
    assert found.leaks == (leak,)
    assert (found.widths, found.heights) == ((10, 10, 10), (8, 8, 8))
    found.write(tmp_path / "folder", "folder")
    assert (tmp_path / "folder" / "val" / "0" / "0030.png").read_bytes() == image(0)


def test_an_image_that_cannot_be_decoded_is_told(tmp_path: Path, cli: Callable[..., Any]) -> None:
    damaged = {"9.png": image(9)[:100], "9.cls": b"0"}
    pack(tmp_path / "train-0.tar", {**samples([0, 1] * 4), **damaged})
    pack(tmp_path / "val-0.tar", samples([0, 1], start=20))
    found = inspect_data(tmp_path)
    assert found.fault is not None
    assert "1 of 11 images cannot be used: train-0.tar/9.png" in found.fault
    said = cli(*TINY, "--data", f"shards:{tmp_path}", "--out", tmp_path / "run")
    assert "1 of 11 images cannot be used: train-0.tar/9.png" in said.line
    assert f"{tmp_path / 'train-0.tar'}: 9.png: a damaged or truncated image" in said.line


TINY = (
    *("train", "--model", "res2net29_small", "--net.depth", "11", "--net.width", "4"),
    *("--input.size", "32", "--train.batch", "8", "--train.threads", "1", "--input.workers", "0"),
)


@pytest.mark.usefixtures("undrawn")
def test_a_resumed_run_is_bit_identical(tmp_path: Path, cli: Callable[..., Any]) -> None:
    """Four steps at once, or two, a stop, and two more; then it is measured."""
    pack(tmp_path / "s" / "train-0.tar", samples([0, 1] * 4))
    pack(tmp_path / "s" / "train-1.tar", samples([0, 1] * 4, start=8))
    pack(tmp_path / "s" / "val-0.tar", samples([0, 1], start=20))
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    data = ("--data", f"shards:{tmp_path / 's'}", "--train.epochs", "2")
    assert cli(*TINY, *data, "--out", whole).code == 0
    assert cli(*TINY, *data, "--train.max-steps", "2", "--out", stopped).code == 0
    assert cli(*TINY, *data, "--train.max-steps", "-1", "--out", stopped, "--resume").code == 0
    states = [
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]
        for run in (whole, stopped)
    ]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    said = cli("evaluate", stopped, "--data", data[1], "--out", tmp_path / "measured")
    assert said.code == 0, said
