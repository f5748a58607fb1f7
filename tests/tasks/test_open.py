"""What a target is: every kind, read once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import res2net
from res2net.config import RunConfig
from res2net.errors import UserError
from res2net.models import weights
from res2net.tasks import open as opening
from res2net.tasks.evaluate import evaluate
from res2net.tasks.open import Opened, open_target
from res2net.weights.catalogue import shipped


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (".", "run"),
        ("checkpoints/last.ckpt", "checkpoint"),
        ("model.safetensors", "checkpoint"),
    ],
)
def test_runs_and_their_files(tiny_run, file, kind):
    found = open_target(tiny_run / file)
    assert (found.kind, found.task, found.trained) == (kind, "classify", True)
    assert found.run == RunConfig.read(tiny_run / "config.yaml")
    assert len(found.sha256) == 64
    assert found.home == (tiny_run / file if kind == "run" else (tiny_run / file).parent)
    assert not found.network.training
    assert found.network is found.network


def test_the_shipped_network_has_a_name(monkeypatch, tmp_path):
    by_name = res2net.load("shipped", device="cpu")
    assert by_name.card == open_target(shipped()).card
    assert next(by_name.model.parameters()).device.type == "cpu"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shipped").mkdir()  # what is there goes first
    with pytest.raises(UserError):
        res2net.load("shipped")


def test_a_name_is_its_structure_with_the_same_random_weights_each_time():
    state = torch.random.get_rng_state()
    first, second = (open_target("res2net29_small") for _ in range(2))
    assert (first.kind, first.trained, first.run) == ("name", False, None)
    assert first.sha256 == second.sha256
    assert len(first.card.classes) == first.network.num_classes == 1000
    assert torch.equal(state, torch.random.get_rng_state()), "the caller's chance is left alone"
    with pytest.raises(UserError, match="res2net29_small has no weights"):
        first.predictor()


def test_a_repository_of_the_hub_is_a_run(tiny_run, monkeypatch):
    asked = []

    def fetch(repository, *, revision, files):
        asked.append((repository, revision, *files))
        return SimpleNamespace(path=tiny_run / files[0])

    monkeypatch.setattr(opening, "fetch_from_hub", fetch)
    found = open_target("hf-hub:me/digits@v1")
    assert found.predictor().classes == open_target(tiny_run).card.classes
    assert asked == [
        ("me/digits", "v1", "model.json"),
        ("me/digits", "v1", "model.safetensors"),
    ]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere", "nowhere: no such run, checkpoint or network."),
        ("res2net29_smal", "Did you mean 'res2net29_small'"),
        ("hf-hub:x", "'hf-hub:x' is not a hub address"),
    ],
)
def test_what_is_none_is_told(target, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        open_target(target)


def test_a_backbones_artifact_predicts_nothing(tmp_path, monkeypatch):
    card = replace(open_target("res2net29_small").card, task="features")
    found = Opened(given="maps", kind="artifact", card=card, path=tmp_path)
    monkeypatch.setattr("res2net.tasks.evaluate.open_target", lambda _: found)
    for call in (found.predictor, lambda: evaluate("maps", "digits")):
        with pytest.raises(
            UserError, match="^maps outputs maps of a backbone and predicts nothing"
        ):
            call()


@pytest.mark.parametrize("file", [".", "checkpoints/best.ckpt"])
@pytest.mark.parametrize(
    "words",
    [
        ("predict", "PHOTO"),
        ("evaluate", "--data", "digits", "--out", "OUT"),
        ("export", "--to", "torch-export", "--val-images", "2", "--out", "OUT"),
        ("explain", "PHOTO", "--out", "OUT"),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.usefixtures("undrawn")
def test_weights_and_configuration_are_read_once(
    cli, tiny_run, sample_photos, tmp_path, monkeypatch, words, file
):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    read: list[str] = []
    content, config = weights.read_content, RunConfig.read

    def count_weights(path):
        read.append("weights")
        return content(path)

    def count_config(path):
        read.append("config")
        return config(path)

    monkeypatch.setattr(weights, "read_content", count_weights)
    monkeypatch.setattr(RunConfig, "read", count_config)
    places = {"PHOTO": sample_photos[0], "OUT": tmp_path / "out"}
    command, *rest = (places.get(word, word) for word in words)
    assert cli(command, run / file, *rest).code == 0
    assert read.count("weights") == 1
    assert read.count("config") <= 1
