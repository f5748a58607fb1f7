"""``res2net data``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from res2net.cli.main import main


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for part, count in (("train", 3), ("val", 2)):
        for shade, name in enumerate(("cat", "dog")):
            for number in range(count):
                file = tmp_path / "photos" / part / name / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (20, 10), (90 * shade, 30 * number, 5 * count)).save(file)
    return tmp_path / "photos"


def test_a_table_of_parts_and_classes(photos, capsys):
    assert main(["data", str(photos)]) == 0
    out = capsys.readouterr().out
    assert "recognised as folder data" in out
    assert "20 to 20 pixels" in out
    rows = [line.split() for line in out.splitlines()]
    assert ["training", "6", "6"] in rows
    assert ["cat", "3", "2"] in rows


def test_json(photos, capsys):
    assert main(["data", str(photos), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["classes"] == ["cat", "dog"]
    assert content["fault"] is None


def test_data_that_cannot_be_trained_on_end_with_2(photos, capsys):
    (photos / "train" / "cat" / "0.png").write_bytes(b"no image")
    assert main(["data", str(photos)]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "1 of 10 images cannot be used: train/cat/0.png" in told[0]


def test_pictures_and_another_layout(photos, tmp_path, capsys):
    out, copy = tmp_path / "pictures", tmp_path / "copy"
    words = ["--out", str(out), "--write", str(copy), "--format", "folder", "--copy"]
    assert main(["data", str(photos), *words]) == 0
    assert {path.name for path in out.iterdir()} == {"sheet.png", "classes.png"}
    assert len(list(copy.rglob("*.png"))) == 10
    assert str(copy) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "coco"], "--format does not apply here; it needs --write"),
        (["--write", "x"], "--write needs --format"),
        (["--write", "x", "--format", "coco"], "cannot hold labels; choose from folder"),
        (["--task", "detect"], "has classes of whole"),
        (["--group-by", "x"], "--group-by is 'x'; it can be folder"),
        (["--val-fraction", "2"], "--val-fraction is 2.0; it must lie between 0 and 1"),
    ],
)
def test_mistakes_are_one_line(words, told, photos, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", str(photos), *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert told in lines[0]
    assert not (tmp_path / "x").exists()


def test_a_table_of_several_labels_an_image_names_the_option_and_takes_it(
    photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    files = sorted(photos.rglob("*.png"))
    rows = [f"{each},{'cat;old' if i % 2 else 'dog'}\n" for i, each in enumerate(files)]
    Path("tags.csv").write_text("path,labels\n" + "".join(rows))
    assert main(["data", "tags.csv"]) == 0
    assert "'cat;old' taken as one class each (several: train --input.multi-label true, data " in (
        capsys.readouterr().out
    )
    assert main(["data", "tags.csv", "--multi-label", "--json", "--out", "out"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert held["classes"] == ["cat", "dog", "old"]
    assert main(["data", "tags.csv", "--multi-label", "--write", "w", "--format", "folder"]) == 2
    assert "--write supports one class per image" in capsys.readouterr().err
    assert main(["data", "scenes", "--task", "detect", "--multi-label"]) == 2
    assert "read for boxes; several labels are of whole images" in capsys.readouterr().err
