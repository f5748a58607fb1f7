"""``model.json``."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from res2net.data.preprocess import default_preprocess
from res2net.errors import UserError
from res2net.models.card import ModelCard


@pytest.fixture
def card():
    return ModelCard(
        network="res2net29_small",
        options={"depth": 11, "norm": "group"},
        classes=("ant", "bee"),
        preprocess=default_preprocess(32, cifar=True),
        metrics={"top1_error": 12.5},
        data="folder:x",
        recipe="smoke",
        versions={"torch": "2"},
        commit="abc",
        notes="none",
    )


def test_round_trip_through_json(card, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(card.as_dict()))
    assert ModelCard.read(path) == card
    assert ModelCard.from_dict(card.as_dict(), "x") == card


def test_the_card_of_a_run(tiny_run):
    card = ModelCard.read(tiny_run / "model.json")
    assert (card.network, card.options, card.task) == ("res2net29_small", {"depth": 11}, "classify")
    assert card.preprocess.size == 32
    assert card.metrics["top1_error"] + card.metrics["top1_accuracy"] == pytest.approx(100)
    assert (card.data, card.recipe) == ("digits", "smoke")
    assert {"python", "torch", "res2net", "cpu"} <= set(card.versions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "x: not a model description of this version (format 1)"),
        ({"format": None}, "x: not a model description of this version (format 1)"),
        ({"network": None, "classes": None}, "x: the model description is damaged ("),
        ({"extra": 1}, "x: the model description is damaged ("),
        ({"preprocess": {"size": 32}}, "x: the model description is damaged ("),
        ({"preprocess": ...}, "x: the model description lacks 'preprocess'"),
        ({"classes": ...}, "x: the model description lacks 'classes'"),
        ({"network": ...}, "x: the model description is damaged ("),
    ],
)
def test_damaged(card, change, message):
    values = {**card.as_dict(), **change}
    values = {name: value for name, value in values.items() if value is not ...}
    with pytest.raises(UserError) as error:
        ModelCard.from_dict(values, "x")
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe", None])
def test_no_card(tmp_path, content):
    path = tmp_path / "model.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="model description"):
        ModelCard.read(path)


def test_a_card_needs_no_torch():
    code = "import sys; import res2net.models.card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
