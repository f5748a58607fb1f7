"""``res2net predict``."""

from __future__ import annotations

import csv
import json
import os

import pytest
import torch
from PIL import Image


def test_a_row_an_image(cli, tiny_run, photos):
    code, out, err = cli("predict", tiny_run, photos / "val", "--top", "2")
    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    assert header.split() == ["Image", "1", "2"]
    assert len(rows) == 9  # one line each, though the paths are long
    for row in rows:
        path, *found = row.split("  ")
        assert path.endswith(".jpg")
        first, second = (cell.split() for cell in filter(None, found))
        assert float(first[1]) >= float(second[1])


@pytest.mark.parametrize("top", [1, 3, 99])
def test_top(cli, tiny_run, photos, top):
    line = cli("predict", tiny_run, photos / "val/ant/0.jpg", "--json", "--top", top).out
    found = json.loads(line)["top"]
    assert len(found) == min(top, 10)
    assert sum(found.values()) == pytest.approx(1, abs=1e-5) or top < 10
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_csv_and_json_and_table_agree(cli, tiny_run, photos, tmp_path):
    table = tmp_path / "found.csv"
    code, out, err = cli("predict", tiny_run, photos / "val/bee", "--csv", table, "--json")
    assert (code, err) == (0, f"written: {table}\n")
    lines = [json.loads(line) for line in out.splitlines()]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [line["image"] for line in lines]
    for row, line in zip(rows, lines, strict=True):
        for k, (name, p) in enumerate(line["top"].items(), 1):
            assert row[f"class_{k}"] == name
            assert float(row[f"probability_{k}"]) == pytest.approx(p, abs=1e-6)


def test_batches_change_nothing(cli, tiny_run, photos):
    one = cli("predict", tiny_run, photos / "val", "--precision", "fp32", "--batch", "1")
    many = cli("predict", tiny_run, photos / "val", "--precision", "fp32", "--batch", "4")
    assert one == many


def test_a_sheet(cli, tiny_run, photos, tmp_path):
    sheet = tmp_path / "sheet.png"
    assert cli("predict", tiny_run, photos / "val", "--sheet", sheet).code == 0
    with Image.open(sheet) as picture:
        assert picture.width > 300


@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "model.safetensors"])
def test_a_lone_file(cli, tiny_run, photos, name):
    image = photos / "val/ant/0.jpg"
    of_run = cli("predict", tiny_run, image, "--precision", "fp32")
    assert cli("predict", tiny_run / name, image, "--precision", "fp32") == of_run


def test_bad_files_are_listed_and_left_out(cli, tiny_run, photos):
    folder = photos / "val" / "ant"
    (folder / "0.jpg").write_bytes((folder / "1.jpg").read_bytes()[:200])
    (folder / "empty.png").write_bytes(b"")
    (folder / "words.jpeg").write_text("no image")
    (folder / "notes.txt").write_text("nor this")
    code, out, err = cli("predict", tiny_run, folder, "--json")
    assert code == 0
    assert len(out.splitlines()) == 2
    notes = err.splitlines()
    assert [line.partition(".")[0].rpartition("/")[2] for line in notes] == ["0", "empty", "words"]
    assert all(line.startswith(f"res2net: note: left out: {folder}/") for line in notes)
    (folder / "1.jpg").unlink()
    (folder / "2.jpg").unlink()
    end = cli("predict", tiny_run, folder)
    assert end.code == 2
    assert end.err.splitlines()[-1] == "res2net: none of the 3 images could be read"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no image for the shipped network; name files or folders"),
        (("RUN",), "no image for"),
        (("RUN", "nowhere.jpg"), "nowhere.jpg: no such file or folder"),
        (("RUN", "empty"), "empty: no images in this folder"),
        (("RUN", "words.txt"), "words.txt: not an image"),
        (("RUN", "a.jpg", "--top", "0"), "--top is 0; it must be at least 1"),
        (("RUN", "a.jpg", "--batch", "0"), "--batch is 0; it must be at least 1"),
        (("RUN", "a.jpg", "--precision", "fp16"), "precision fp16 needs a GPU"),
        (("RUN", "a.jpg", "--csv", "no/x.csv"), "no/x.csv: folder no does not exist"),
        (("RUN", "a.jpg", "--sheet", "."), ". is a folder; name a file"),
        (("RUN", "a.jpg", "--tpo", "1"), "unknown option '--tpo'. Did you mean '--top'?"),
        (("res2net50_26w_4s", "a.jpg"), "res2net50_26w_4s has no weights"),
        (("res2net50_26w_4", "a.jpg"), "res2net50_26w_4: no such run, checkpoint or network. Did"),
    ],
)
def test_mistakes(cli, tiny_run, photos, tmp_path, monkeypatch, words, message):
    if torch.cuda.is_available() and "fp16" in words:
        pytest.skip("a GPU can do this")
    monkeypatch.chdir(tmp_path)
    (photos / "val/ant/0.jpg").rename("a.jpg")
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").write_text("no image")
    before = sorted(tmp_path.rglob("*"))
    assert cli("predict", *[tiny_run if w == "RUN" else w for w in words]).line.startswith(message)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_no_file_is_told_and_not_waited_for(cli, tiny_run, photos):
    folder = photos / "val" / "ant"
    os.mkfifo(folder / "pipe.jpg")
    assert (
        "pipe.jpg: cannot read it: a named pipe, not a file"
        in cli("predict", tiny_run, folder / "pipe.jpg").line
    )
    code, out, err = cli("predict", tiny_run, folder, "--json")
    assert (code, len(out.splitlines())) == (0, 3)
    assert err.splitlines() == [
        f"res2net: note: left out: {folder}/pipe.jpg: cannot read it: a named pipe, not a file"
    ]


def test_a_terminal_takes_no_commands_from_names(cli, tiny_run, photos):
    folder = photos / "val" / "ant"
    (folder / "0.jpg").rename(folder / "0\x1b[2J\udcff.jpg")
    (folder / "1\x1b]0;x\x07.jpg").write_bytes(b"no image")
    code, out, err = cli("predict", tiny_run, folder)
    assert code == 0
    assert "0\\x1b[2J\\xff.jpg" in out
    assert "1\\x1b]0;x\\x07.jpg: not an image" in err
    assert "\x1b" not in out + err
