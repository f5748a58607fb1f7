"""A run that starts from somebody's weights says so in ``model.json`` and keeps their rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import res2net
from res2net.cli.main import main
from res2net.models.weights import load_weights, save_weights

NAME, RULE = "res2net29_small", "strided_exclude_pad"


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A run folder of a network under PaddlePaddle's rule."""
    torch.manual_seed(0)
    folder = tmp_path / "start"
    folder.mkdir()
    save_weights(res2net.create_model(NAME, first_block=RULE), folder / "model.safetensors")
    card = {"network": NAME, "options": {"first_block": RULE}, "notes": "CC BY-NC-SA 4.0"}
    (folder / "model.json").write_text(json.dumps(card))
    return folder


def test_a_run_keeps_licence_and_rule_of_its_starting_weights(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    code = main(
        [
            *("train", "--model", NAME, "--data", "digits", "--recipe", "smoke"),
            *("--net.pretrained", str(start), "--out", str(run), "--input.size", "32"),
        ]
    )
    assert code == 0, capsys.readouterr().err
    card = json.loads((run / "model.json").read_text())
    assert "trained by this project (CC BY-NC-SA 4.0)" in card["notes"]
    assert card["options"]["first_block"] == RULE
    model = res2net.load(run).model
    assert model.first_block == RULE
    assert model.layer1[0].pool is None


def test_weights_into_a_network_that_stands(start: Path) -> None:
    model = res2net.create_model(NAME, num_classes=10)
    with pytest.warns(UserWarning, match=f"was trained with first_block='{RULE}'"):
        load_weights(res2net.create_model(NAME, first_block="strided_only"), start)
    with pytest.raises(res2net.UserError, match="use create_model"):
        load_weights(model, start)  # its first blocks are grouped
    assert model.weights_notice == ""
