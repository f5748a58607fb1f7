"""``res2net info --compare``."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from res2net.paper.networks import NETWORKS
from res2net.paper.structure import tally

Cli = Callable[..., Any]
PAIR = ("resnet29_small", "res2net29_small")


def test_counted_and_measured(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("info", "--compare", *PAIR, "--out", tmp_path)
    assert (code, err) == (0, "")
    with (tmp_path / "compare.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, row in zip(PAIR, rows, strict=True):
        structure = tally(NETWORKS[name])
        assert int(row["params"]) == structure.params
        assert int(row["macs"]) == structure.macs
        assert int(row["activations"]) == structure.activations
        assert int(row["kept"]) > 4 * structure.activations  # backward needs at least those
        assert 0 < float(row["latency"]) < 5
    ratio = int(rows[1]["params"]) / int(rows[0]["params"])
    assert re.search(rf"^res2net29_small +\d+\.\d\d +{ratio:.2f} ", out, re.M)
    with Image.open(tmp_path / "compare.png") as picture:
        assert picture.width == 1200


def test_counted_alone(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli(
        "info", *PAIR[:1], "--compare", PAIR[1], "--time", "false", "--out", tmp_path
    )
    assert code == 0
    assert "Kept" not in out
    assert ",,\n" in (tmp_path / "compare.csv").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--compare", "resnet50"), "two or more networks"),
        (("--compare", "resnet50", "resnet50"), "each once"),
        (("--compare", "resnet50", "resnet5"), "unknown model 'resnet5'"),
        (("--compare", "resnet50", "resnet18", "--width", "3"), "--width is for one network"),
        ((), "name a network"),
    ],
)
def test_mistakes(cli: Cli, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    assert message in cli("info", *words, "--out", tmp_path / "out").line
    assert not (tmp_path / "out").exists()
