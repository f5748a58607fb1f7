"""``res2net convert``: a network beside itself with Res2Net units."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from res2net.tasks.open import open_target

Cli = Callable[..., Any]
QUICK = ("--train.epochs", "1", "--train.max-steps", "2", "--train.batch", "8")
QUICK += ("--input.size", "32", "--input.workers", "0", "--train.threads", "1")


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Photos of two classes, 32 of each."""
    for name, colour in (("ant", (200, 40, 40)), ("bee", (40, 40, 200))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(32):
            image = Image.new("RGB", (36, 40), tuple(min(255, c + i) for c in colour))
            image.save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


@pytest.mark.usefixtures("undrawn")
def test_both_are_trained_alike_compared_and_found_again(
    cli: Cli, many: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("convert", "timm:resnet14t", "--data", many, "--out", out, *QUICK)
    done = cli(*words)
    assert (done.code, done.err) == (0, "")
    width = int(re.search(r"4 blocks became (\d+)w×4s", done.out)[1])
    cards = [
        json.loads((out / run / "model.json").read_text()) for run in ("original", "converted")
    ]
    assert [card["network"] for card in cards] == ["timm:resnet14t"] * 2
    assert [card["options"] for card in cards] == [{}, {"scale": 4, "width": width}]
    assert cards[0]["holdout"] == cards[1]["holdout"]
    with (out / "comparison" / "comparison.csv").open() as file:
        assert "top1_error" in [row["figure"] for row in csv.DictReader(file)]
    assert "| body.layer1.0 |" in (out / "conversion.md").read_text()
    predictor = open_target(out / "converted").predictor()
    assert len(predictor.predict([many / "ant" / "0.png"])) == 1
    refused = cli("explain", out / "converted", many / "ant" / "0.png", "--out", tmp_path / "x")
    assert "have no feature maps" in refused.line
    again = cli(*words, "--resume")
    assert again.code == 0
    assert again.out.count("nothing is left to train") == 2


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--data", "x"), "MODEL comes first"),
        (("timm:resnet50", "--net.scale", "2"), "--net.scale: convert sets it"),
        (("timm:resnet50", "--task", "detect"), "--task: convert sets it"),
        (("timm:resnet50", "--match", "time"), "--match"),
        (("timm:resnet50", "--scle", "4"), "unknown option '--scle'"),
        (("timm:resnet50",), "--data is missing"),
        (("timm:nope", "--data", "digits"), "unknown model timm:nope"),
        (("resnet18", "--data", "digits"), "resnet18: nothing to replace in ResNet: no sequence"),
        (("timm:resnet50", "--data", "digits", "--scale", "1"), "at least 2 splits"),
        (("timm:resnet50", "--data", "digits", "--folds", "3"), "--folds is not an option of conv"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    error: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("convert", *words)
    assert done.code == 2
    assert error in done.err
    assert not list(tmp_path.iterdir())


def test_wrong_data_fail_before_a_network_is_built(
    cli: Cli, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(_: str) -> None:
        raise AssertionError

    monkeypatch.setattr("res2net.models.factory.create_model", build)
    (many / "ant" / "0.png").write_text("no image")
    done = cli("convert", "timm:resnet14t", "--data", many, "--out", tmp_path / "out", *QUICK)
    assert done.code == 2
    assert "1 of 64 images cannot be used: ant/0.png" in done.err
    assert not (tmp_path / "out").exists()


def test_its_help_shows_its_own_options(cli: Cli) -> None:
    with pytest.raises(SystemExit) as left:
        cli("convert", "--help")
    assert left.value.code == 0
