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
from res2net.runtime import load, stream
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
    with pytest.raises(UserError, match="was not written by this command with --top 3"):
        predict_to_file(runtime, [str(photos)], out, top=3, resume=True)
    (photos / "a" / "00.png").write_bytes((photos / "a" / "0.png").read_bytes())
    with pytest.raises(UserError, match="differ or have another order"):
        predict_to_file(runtime, [str(photos)], out, top=2, resume=True)
    assert out.read_bytes() == before
    with pytest.raises(UserError, match=r"its suffix can be \.csv"):
        predict_to_file(runtime, [str(photos)], tmp_path / "x.xls", top=2)


def test_parquet(runtime: Runtime, photos: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is optional")
    out = tmp_path / "found.parquet"
    predict_to_file(runtime, [str(photos)], out, top=2)
    table = parquet.read_table(out).to_pylist()
    assert [row["image"] for row in table] == _names(photos)
    with pytest.raises(UserError, match="cannot be resumed"):
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


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_damaged_archive_keeps_the_rows_before_and_goes_on_once_it_is_whole(
    runtime: Runtime, photos: Path, tmp_path: Path, ending: str
) -> None:
    path, out, whole = (tmp_path / name for name in ("p.tar", f"o.{ending}", f"whole.{ending}"))
    with tarfile.open(path, "w") as tar:
        for name in _names(photos):
            tar.add(name, Path(name).name)
    predict_to_file(runtime, [str(path)], whole, top=2)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"4.png")])
    message = rf"p\.tar: a damaged archive .*; the 5 images before that are in {out}"
    with pytest.raises(UserError, match=message):
        predict_to_file(runtime, [str(path)], out, top=2)
    path.write_bytes(content)
    count = predict_to_file(runtime, [str(path)], out, top=2, resume=True)
    assert (count.before, count.done) == (5, 2)
    assert out.read_bytes() == whole.read_bytes()


def test_members_are_not_held_without_bound(
    runtime: Runtime, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HELD", 1)  # byte: one image at a time
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name in _names(photos):
            archive.write(name, Path(name).name)
    given = [str(tmp_path / "p.zip")]
    names = [Path(name).name for name, _ in stream.classify(runtime, sources(given))]
    assert names == [Path(name).name for name in _names(photos)]


def test_files_of_another_kind_in_an_archive_are_counted(photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(photos / "a" / "0.png", "0.png")
        archive.writestr("1.jqg", b"")
    with pytest.warns(UserWarning, match=r"p\.zip: 1 files ignored, .*\(\.jqg: 1\)"):
        assert len(list(sources([str(tmp_path / "p.zip")]))) == 1


@pytest.mark.parametrize("name", ["x.jpg", "x.tar", "x.zip", "x.txt", "x"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="cannot read it: a named pipe, not a file"):
        list(sources([str(tmp_path / name)]))


def test_a_pipe_among_images_has_a_row(runtime: Runtime, photos: Path, tmp_path: Path) -> None:
    os.mkfifo(photos / "b" / "6.jpg")
    (photos / "b" / "7.jpg").symlink_to("/dev/zero")
    (photos / "b" / "8.jpg").mkdir()
    count = predict_to_file(runtime, [str(photos / "b")], tmp_path / "o.csv", top=1)
    assert (count.done, count.bad) == (5, 2)
    errors = [row["error"] for row in _rows(tmp_path / "o.csv")[3:]]
    assert [error.partition("read it: ")[2] for error in errors] == [
        "a named pipe, not a file",
        "a device, not a file",
    ]


CSV_HEAD = b"image,error,class_1,probability_1,class_2,probability_2\n"
JSONL_ROW = b'{"image": "a.png", "top": {"0": 0.5, "1": 0.1}}\n'


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("csv", b"my notes, without an end"),
        ("csv", b"my notes\n"),
        ("csv", b"image,label\na.png,cat\n"),
        ("csv", CSV_HEAD + b"a.png,cat\n"),
        ("csv", CSV_HEAD + b"a.png,,cat,0.9,dog,0.1\nmy notes\n"),
        ("csv", CSV_HEAD + b"a.png,,cat,much,dog,little\n"),
        ("csv", CSV_HEAD + b"a.png,no image,cat,0.9,dog,0.1\n"),
        ("csv", CSV_HEAD + b",,cat,0.9,dog,0.1\n"),
        ("csv", b"image,error,class_1,probability_1\n"),
        ("csv", b"\0" * 1000),
        ("csv", b"\xff\xfe" * 500),
        ("csv", CSV_HEAD + b'"' + b"x" * 200_000 + b'",\n'),
        ("jsonl", b"my notes, without an end"),
        ("jsonl", b"my notes\n"),
        ("jsonl", b'{"image": 5}\n'),
        ("jsonl", b'{"image": "a.png", "label": "cat"}\n'),
        ("jsonl", b'{"image": "a.png"}\n'),
        ("jsonl", b'{"image": "a.png", "top": {"0": 0.5}}\n'),
        ("jsonl", JSONL_ROW + b"my notes\n"),
        ("jsonl", JSONL_ROW + b"my notes"),
        ("jsonl", b'{"image": "a.png", "top": ' + b"[" * 200_000 + b"\n"),
        ("parquet", b"PAR1"),
        ("parquet", b""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_file_of_somebody_else_stays_as_it_is(
    runtime: Runtime, photos: Path, tmp_path: Path, ending: str, content: bytes
) -> None:
    out = tmp_path / f"found.{ending}"
    out.write_bytes(content)
    with pytest.raises(UserError, match=rf"^--resume: {out} "):
        predict_to_file(runtime, [str(photos)], out, top=2, resume=True)
    assert out.read_bytes() == content


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_half_a_row_stays_where_the_images_are_others(
    runtime: Runtime, photos: Path, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"found.{ending}"
    predict_to_file(runtime, [str(photos)], out, top=2)
    half = out.read_bytes()[:-9]
    out.write_bytes(half)
    with pytest.raises(UserError, match="differ or have another order"):
        predict_to_file(runtime, [str(photos / "b")], out, top=2, resume=True)
    assert out.read_bytes() == half


def test_names_with_ends_of_lines_are_gone_on_with_wherever_they_were_cut(
    runtime: Runtime, photos: Path, tmp_path: Path
) -> None:
    (photos / "a" / "0.png").rename(photos / "a" / '0\n"x",\ny.png')
    whole = tmp_path / "whole.csv"
    predict_to_file(runtime, [str(photos)], whole, top=1)
    data = whole.read_bytes()
    for cut in range(data.index(b"\n") + 1, data.index(b"1.png"), 7):
        part = tmp_path / f"part{cut}.csv"
        part.write_bytes(data[:cut])
        predict_to_file(runtime, [str(photos)], part, top=1, resume=True)
        assert part.read_bytes() == data, cut


def test_nothing_is_left_where_nothing_was_found(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images in"):
        predict_to_file(runtime, [str(tmp_path)], tmp_path / "o.csv")
    with pytest.raises(UserError, match="does not exist; create it first"):
        predict_to_file(runtime, [str(tmp_path)], tmp_path / "none" / "o.csv")
    assert list(tmp_path.glob("*.csv")) == []


def test_a_terminal_takes_no_commands_from_names(
    artifact: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = (photos / f"{i}\x1b[2J\udcff.png" for i in (1, 2))
    (photos / "a" / "0.png").rename(good)
    bad.write_bytes(b"")
    assert main([str(artifact), str(good), str(bad)]) == 0
    out, err = capsys.readouterr()
    for text, name in ((out, "1\\x1b[2J\\xff.png"), (err, "2\\x1b[2J\\xff.png")):
        assert name in text
        assert "\x1b" not in text
