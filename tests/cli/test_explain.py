"""``res2net explain`` as people use it, and `predict` without a model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from res2net.weights import catalogue as room

Cli = Callable[..., Any]


def test_two_networks_side_by_side(cli: Cli, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("explain", tiny_run, photos / "val/ant", "--against", "res2net29_small")
    code, text, err = cli(*words, "--level", "c2", "--box", "4,4,20,30", "--out", out)
    assert code == 0
    assert "res2net29_small: structure only: random weights" in err
    records = json.loads((out / "explanations.json").read_text())
    assert len(records) == 6
    assert {record["level"] for record in records} == {"c2"}
    assert [record["structure_only"] for record in records[:2]] == [False, True]
    for record in records:
        assert 0 <= record["inside"]["energy"] <= 1
        assert 0 < record["inside"]["area"] < 1
        assert 0 < record["half_of_the_heat_in"] <= 0.55
        with Image.open(out / record["overlay"]) as picture:
            assert picture.size == (36, 40)  # of the photo
    with Image.open(out / "sheet.png") as picture:
        assert picture.width == 1200
    assert "Uniform map" in text


def test_a_class_by_name_and_by_number_and_a_mask(
    cli: Cli, tiny_run: Path, photos: Path, tmp_path: Path
) -> None:
    mask = np.zeros((40, 36), np.uint8)
    mask[:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    found = []
    for name in ("3", "three"):
        classes = json.loads((tiny_run / "model.json").read_text())["classes"]
        wanted = classes[3] if name == "three" else "3"
        words = ("explain", tiny_run, photos / "val/ant/0.jpg", "--class", wanted)
        assert cli(*words, "--mask", tmp_path / "mask.png", "--out", tmp_path / name).code == 0
        found.append(json.loads((tmp_path / name / "explanations.json").read_text()))
    assert found[0] == found[1]
    assert found[0][0]["inside"]["area"] == pytest.approx(0.5, abs=0.05)


def test_marked_images(cli: Cli, tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, text, err = cli("explain", tiny_run, "--data", "scenes", "--limit", 4, "--out", out)
    assert (code, err) == (0, "")
    assert "each network's most confident class, on all annotated objects" in " ".join(text.split())
    facts = json.loads((out / "concentration.json").read_text())
    assert facts["marks"] == "masks"
    assert facts["summary"][0]["size"] == "all"
    assert (out / "concentration.csv").read_text().count(",all,") == facts["images"]
    for name in ("concentration.png", "sheet.png"):
        with Image.open(out / name) as picture:
            assert picture.width == 1200


def test_images_alone_use_the_shipped_network(
    cli: Cli, tiny_run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("model.safetensors", "model.json"):
        shutil.copy(tiny_run / name, folder / name)
    photo = photos / "val/ant/0.jpg"
    monkeypatch.setattr(room, "SHIPPED", tmp_path)
    for command in ("predict", "explain"):
        assert cli(command, photo).line == (
            "this package has no shipped network; give a trained one: --model RUN_FOLDER "
            "(`res2net demo` trains one in a few minutes)"
        )
    monkeypatch.setattr(room, "SHIPPED", folder)
    code, out, err = cli("predict", photos / "val")
    assert code == 0
    assert "no model given, using the shipped res2net29_small: small, 10 classes" in err
    assert len(out.splitlines()) == 10
    assert cli("predict", photo, "--model", tiny_run).out == cli("predict", tiny_run, photo).out
    code, out, err = cli("explain", photo, "--out", tmp_path / "e")
    assert code == 0
    assert "the shipped res2net29_small" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("RUN",), "no image for"),
        (("nothing.jpg",), "nothing.jpg: no such file or folder"),
        (("runs/nothing", "PHOTO"), "runs/nothing: no such run, checkpoint or network"),
        (("RUN", "PHOTO", "--class", "zebra"), "has no class 'zebra'"),
        (("RUN", "PHOTO", "--level", "c9"), "no level 'c9'; this network has c1, c2, c3"),
        (("RUN", "PHOTO", "--box", "1,2,3"), "it must be LEFT,TOP,RIGHT,BOTTOM"),
        (("RUN", "PHOTO", "--box", "5,5,5,9"), "must lie beyond"),
        (("RUN", "PHOTO", "--box", "900,900,990,990"), "lies outside the image of 36x40"),
        (("RUN", "PHOTO", "--data", "scenes"), "--data provides the images"),
        (("RUN", "--data", "digits"), "formats of annotated images are voc"),
        (("RUN", "--data", "scenes", "--box", "1,1,2,2"), "for single images"),
        (("RUN", "--data", "scenes", "--limit", "0"), "--limit is 0"),
        (("RUN", "PHOTO", "--against", "res2net29_smal"), "Did you mean 'res2net29_small'"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    cli: Cli, tiny_run: Path, photos: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    places = {"RUN": tiny_run, "PHOTO": photos / "val/ant/0.jpg"}
    out = tmp_path / "out"
    line = cli("explain", *(places.get(word, word) for word in words), "--out", out).line
    assert message in line
    assert not out.exists()
