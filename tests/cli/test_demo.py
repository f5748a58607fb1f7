"""``res2net demo``."""

from __future__ import annotations

import pytest
import yaml

from res2net import processor
from res2net.cli.train import resolve


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Two threads on a busy machine wait for each other."""
    monkeypatch.setattr(processor, "cores", lambda: 1)


@pytest.mark.usefixtures("undrawn")
def test_the_demo_trains_measures_and_reads(cli, tmp_path, monkeypatch):
    """A few steps of a shallower network: the demo's own takes a minute an epoch."""
    small = ("--net.depth", "11", "--net.width", "4", "--train.max-steps", "4")
    monkeypatch.setattr("res2net.cli.train.resolve", lambda words: resolve([*words, *small]))
    run = tmp_path / "demo"
    code, out, err = cli("demo", "--epochs", "1", "--out", run)
    assert (code, err) == (0, "")
    assert "epoch 1/1" in out
    assert "359 images, 10 classes" in out
    assert " of 24 held-out digits classified correctly" in out
    assert f"report with pictures: {run}/report.md" in out
    assert (run / "predictions.png").stat().st_size > 1000
    assert (run / "report.md").is_file()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["model"], config["train"]["epochs"]) == ("res2net29_small", 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--epochs", "0"), "--epochs is 0; it must be at least 1"),
        (("--epochs", "few"), "--epochs: must be a whole number, not 'few'"),
        (("--epoch", "3"), "unknown option '--epoch'. Did you mean '--epochs'?"),
        (("digits",), "unexpected argument 'digits'"),
    ],
)
def test_mistakes(cli, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert cli("demo", *words).line.startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken(cli, tmp_path):
    (tmp_path / "x").write_text("")
    assert cli("demo", "--out", tmp_path).line.startswith(f"--out {tmp_path} exists")
