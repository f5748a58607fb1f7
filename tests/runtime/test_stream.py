"""Folders, archives and lists to CSV and JSONL: in order, resumable, bad files told."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from res2net.errors import UserError
from res2net.runtime import load
from res2net.runtime.main import main
from res2net.runtime.session import Runtime
from res2net.runtime.sources import sources
from res2net.runtime.stream import predict_to_file


@pytest.fixture
def runtime(artifact: Path) -> Runtime:
    return load(artifact, threads=1, stream=True)


def _names(photos: Path) -> list[str]:
    inside = ["a/0.png", "a/1.png", "a/2.png", "a/bad.jpg", "b/3.png", "b/4.png", "b/5.png"]
    return [str(photos / name) for name in inside]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_kind_of_source_gives_the_same_images(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = _names(photos)
    assert [image.name for image in sources([str(photos)])] == names
    listed = tmp_path / "list.txt"
    listed.write_text("# a comment\n" + "\n".join(os.path.relpath(n, tmp_path) for n in names))
    assert [Path(image.name) for image in sources([str(listed)])] == [Path(n) for n in names]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(names)))
    assert [image.name for image in sources(["-"])] == names
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name in names:
            archive.write(name, Path(name).name)
    with tarfile.open(tmp_path / "p.tar.gz", "w:gz") as tar:
        for name in names:
            tar.add(name, Path(name).name)
    plain = [image.read(32).tobytes() for image in sources(names) if "bad" not in image.name]
    for packed in ("p.zip", "p.tar.gz"):
        found = list(sources([str(tmp_path / packed)]))
        assert [Path(image.name).name for image in found] == [Path(n).name for n in names]
        assert [i.read(32).tobytes() for i in found if "bad" not in i.name] == plain


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_results_come_in_order_with_bad_files_among_them(
    runtime: Runtime, photos: Path, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"found.{ending}"
    count = predict_to_file(runtime, [str(photos)], out, top=2)
    assert (count.done, count.bad, count.before) == (7, 1, 0)
    assert "bad.jpg: not an image" in count.first_bad
    if ending == "csv":
        rows = _rows(out)
        assert [row["image"] for row in rows] == _names(photos)
        assert [bool(row["error"]) for row in rows] == [False] * 3 + [True] + [False] * 3
        good = [row for row in rows if not row["error"]]
        expected = runtime.predict([row["image"] for row in good], top=2)
        assert [row["class_1"] for row in good] == [p.label for p in expected]
    else:
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert [line["image"] for line in lines] == _names(photos)
        assert [len(line.get("top", ())) for line in lines] == [2, 2, 2, 0, 2, 2, 2]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_killed_run_goes_on_wherever_it_was_cut(
    runtime: Runtime, photos: Path, tmp_path: Path, ending: str
) -> None:
    whole = tmp_path / f"whole.{ending}"
    predict_to_file(runtime, [str(photos)], whole, top=2)
    data = whole.read_bytes()
    for cut in (0, 3, 10, len(data) // 2, len(data) - 1, len(data)):
        part = tmp_path / f"part{cut}.{ending}"
        part.write_bytes(data[:cut])
        count = predict_to_file(runtime, [str(photos)], part, top=2, resume=True)
        assert part.read_bytes() == data, cut
        assert count.done + count.before == 7


def test_going_on_with_something_else_is_refused(
    runtime: Runtime, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "found.csv"
    predict_to_file(runtime, [str(photos)], out, top=2)
    before = out.read_bytes()
    with pytest.raises(UserError, match="exists; give --resume"):
        predict_to_file(runtime, [str(photos)], out, top=2)
    with pytest.raises(UserError, match="was not written with --top 3"):
        predict_to_file(runtime, [str(photos)], out, top=3, resume=True)
    (photos / "a" / "00.png").write_bytes((photos / "a" / "0.png").read_bytes())
    with pytest.raises(UserError, match="come in another order or are others"):
        predict_to_file(runtime, [str(photos)], out, top=2, resume=True)
    assert out.read_bytes() == before
    with pytest.raises(UserError, match=r"its ending can be \.csv"):
        predict_to_file(runtime, [str(photos)], tmp_path / "x.xls", top=2)


def test_parquet(runtime: Runtime, photos: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is optional")
    out = tmp_path / "found.parquet"
    predict_to_file(runtime, [str(photos)], out, top=2)
    table = parquet.read_table(out).to_pylist()
    assert [row["image"] for row in table] == _names(photos)
    with pytest.raises(UserError, match="cannot be added to"):
        predict_to_file(runtime, [str(photos)], out, top=2, resume=True)


def test_nothing_to_read_is_told(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for given, message in (
        (tmp_path / "empty", "no images in"),
        (tmp_path / "none", "no such file or folder"),
    ):
        with pytest.raises(UserError, match=message):
            predict_to_file(runtime, [str(given)], tmp_path / f"{given.name}.csv")
    (tmp_path / "broken.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match="a damaged archive"):
        predict_to_file(runtime, [str(tmp_path / "broken.zip")], tmp_path / "z.csv")


def test_the_command(
    artifact: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.csv"
    assert main([str(artifact), str(photos), "--out", str(out), "--top", "1"]) == 0
    assert "7 images written" in capsys.readouterr().err
    assert main([str(artifact), str(photos / "b"), "--json", "--top", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for arguments, message in (
        ([str(artifact), str(photos / "a" / "bad.jpg")], "not an image"),
        ([str(artifact), str(photos), "--tpo", "1"], "unrecognized arguments"),
        ([str(artifact), str(photos), "--top", "0"], "--top is 0"),
        ([str(artifact), str(photos), "--resume"], "--resume needs --out"),
        ([str(photos), str(photos)], "not an artifact"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(
    runtime: Runtime, photos: Path, tmp_path: Path
) -> None:
    """20,000 links, in folders of 1,000: the growth from 2,000 to 20,000 images is small."""
    import resource

    peaks = []
    for count in (2_000, 20_000):
        many = tmp_path / f"many{count}"
        for i in range(count):
            folder = many / f"{i // 1000:03}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i}.png").symlink_to(photos / "a" / "0.png")
        found = predict_to_file(runtime, [str(many)], tmp_path / f"{count}.csv", top=1)
        assert found.done == count
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert peaks[1] - peaks[0] < 30_000  # kB
