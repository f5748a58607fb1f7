"""The shipped network is a folder like any run, or one line on what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from res2net.api import load
from res2net.card import ModelCard
from res2net.data.decode import decode
from res2net.errors import UserError
from res2net.explain.subject import Classifier
from res2net.serve.examples import example_photos
from res2net.weights import catalogue as room
from res2net.weights.catalogue import shipped


def test_both_files_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SHIPPED", tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match="no shipped network.*--model RUN_FOLDER"):
        shipped()
    (tmp_path / "model.json").touch()
    assert shipped() == tmp_path


def test_the_packages_own_is_small_and_told_truly() -> None:
    folder = shipped()
    card = ModelCard.read(folder / "model.json")
    told = (folder / "README.md").read_text()
    assert (folder / "model.safetensors").stat().st_size < 8e6
    assert len(card.classes) == 100
    assert card.data == "cifar100"  # no folder of the machine that trained it
    assert card.metrics["top1_error"] < 40
    assert f"| {card.metrics['top1_error']:.2f} % |" in told
    assert f"| {card.metrics['top5_error']:.2f} % |" in told


def test_it_knows_a_flower() -> None:
    (photo,) = [path for path in example_photos() if path.name == "flower.jpg"]
    (found,) = load(shipped()).predict(photo, precision="fp32")
    assert {name for name, _ in found.top} & {"orchid", "poppy", "rose", "sunflower", "tulip"}


def test_a_file_the_opened_picture_and_its_map_agree() -> None:
    """The photos are many times larger than the 32 pixels that the network sees."""
    predictor = load(shipped())
    subject = Classifier("shipped", predictor.model, predictor.card)
    for photo in example_photos():
        with Image.open(photo) as picture:
            named, opened = predictor.predict([photo, picture], precision="fp32")
        map_of = subject.explain(decode(photo))
        assert named.label == opened.label == map_of.label
        assert named.probability == pytest.approx(opened.probability, abs=0.01)
        assert named.probability == pytest.approx(map_of.score, abs=0.01)


@pytest.mark.slow
def test_its_error_is_what_its_card_says(
    cli: Callable[..., Any], shared_data: Path, tmp_path: Path
) -> None:
    data = f"cifar100:{shared_data}/cifar100/cifar-100-python.tar.xz"
    code, _, err = cli("evaluate", shipped(), "--data", data, "--out", tmp_path / "measured")
    assert code == 0, err
    found = json.loads((tmp_path / "measured/metrics.json").read_text())
    card = ModelCard.read(shipped() / "model.json")
    assert found["top1_error"] == pytest.approx(card.metrics["top1_error"], abs=0.2)
