"""``model.json``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from res2net.card import ModelCard
from res2net.data.preprocess import default_preprocess
from res2net.errors import UserError


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
    assert (card.network, card.task) == ("res2net29_small", "classify")
    assert card.options == {"depth": 11, "width": 4}
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


FULL = {
    "marks": {
        "palette": [[0, 0, 0], [1, 2, 3]],
        "skeleton": {"names": ["a", "b"], "swaps": [[0, 1]], "bones": [[0, 1]], "sigmas": [1, 2.5]},
    },
    "options": {"depth": 11, "first_block": "pool", "anchors": [8, 16], "drop_path": 0.1},
}


def test_a_card_of_any_other_kind_is_told(card, spoilt):
    """One entry after the other is of another kind, missing or too many: a card, or one line."""
    good = {**card.as_dict(), **FULL}
    ModelCard.from_dict(good, "x")
    told = 0
    for values in spoilt(good):
        if not isinstance(values, dict):
            continue
        try:
            assert ModelCard.from_dict(json.loads(json.dumps(values)), "x").as_dict()
        except UserError:
            told += 1
    assert told > 500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretrained": "http://127.0.0.1:9/x.pth"}, "options.pretrained is 'http://127.0.0.1:9"),
        ({"pretrained": "in1k"}, "holds structure only"),
        ({"pretrained": "pool"}, "holds structure only"),
        ({"pretrained": ["pool"]}, "holds structure only"),
        ({"pretrained": 7}, "holds structure only"),
        ({"pretrained": None}, "holds structure only"),
        ({"norm_layer": "/etc/passwd"}, "options.norm_layer is '/etc/passwd'"),
        ({"weights": "hf-hub:a/b"}, "options.weights is 'hf-hub:a/b'"),
        ({"anchors": ["x.pth"]}, "options.anchors is 'x.pth'"),
        ({"form": {"path": "x"}}, "options.form holds a value that is not a number"),
        ({"depth": 10**9}, "options.depth is 1000000000; it can be 0..2000"),
        ({"scale": 10**9}, "options.scale is 1000000000; it can be 0..256"),
        ({"width": 10**9}, "options.width is 1000000000; it can be 0..1048576"),
        ({"drop_path": float("nan")}, "options.drop_path holds a value that is not a number"),
    ],
)
def test_a_card_names_no_file_and_no_address_and_takes_no_memory(card, options, message):
    with pytest.raises(UserError, match="x: the model description is damaged") as error:
        ModelCard.from_dict({**card.as_dict(), "options": options}, "x")
    assert message in str(error.value)


@pytest.mark.parametrize("size", [0, -1, 10**9, 32.5, True])
def test_a_card_asks_for_no_image_that_takes_all_memory(card, size):
    values = card.as_dict()
    values["preprocess"] = {**values["preprocess"], "size": size, "resize": 8192}
    with pytest.raises(UserError, match=r"preprocess\.size must be a whole number of 1\.\.8192"):
        ModelCard.from_dict(values, "x")


@pytest.mark.parametrize(
    "content", [b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b"\0", b"", None]
)
def test_no_card(tmp_path, content):
    path = tmp_path / "model.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="model description|No such file"):
        ModelCard.read(path)


def test_a_card_that_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UserError, match="cannot read it: a .*, not a file"):
            ModelCard.read(path)


def test_a_card_needs_no_torch():
    code = "import sys; import res2net.card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
