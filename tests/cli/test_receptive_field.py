"""``res2net receptive-field``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Cli = Callable[..., Any]


def test_a_network_beside_its_plain_twin(cli: Cli, tmp_path: Path) -> None:
    words = ("receptive-field", "res2net29_small", "--images", 1, "--out", tmp_path)
    code, out, err = cli(*words)
    assert (code, err) == (0, "")
    assert re.search(r"^  layer1.1, \.\.\. +6 +8 +1: 2  3: 3  5: 2  7: 1$", out, re.M)
    assert re.search(r"^res2net29_small +c3 +2\.1e6 +47 +42 +\d+ +95 +\d+ +\d+$", out, re.M)
    assert re.search(r"^resnet29_small +c3 +512 +19 +21 +21 +39 ", out, re.M)
    ours, twin = json.loads((tmp_path / "fields.json").read_text())
    assert (ours["network"], twin["network"]) == ("res2net29_small", "resnet29_small")
    assert sum(ours["counts"].values()) == ours["paths"] == 2**3 * 8**6
    assert ours["effective"]["side_50"] <= ours["effective"]["side_95"] <= 95
    rows = (tmp_path / "paths.csv").read_text().splitlines()
    assert len(rows) == 1 + 47 + 19
    assert rows[-1] == "resnet29_small,c3,39,1"
    assert "res2net29_small,layer3.2,7,1" in (tmp_path / "blocks.csv").read_text().splitlines()
    with Image.open(tmp_path / "fields.png") as picture:
        assert picture.width == 1200


def test_counting_alone_needs_no_network(cli: Cli, tmp_path: Path) -> None:
    words = ("receptive-field", "res2net50d", "--measure", "false", "--out", tmp_path)
    code, out, err = cli(*words, "--scale", 8, "--level", "c2")
    assert (code, err) == (0, "")
    assert "no plain counterpart" in out
    (only,) = json.loads((tmp_path / "fields.json").read_text())
    assert only["network"] == "res2net50d scale=8"
    assert only["level"] == "c2"
    assert "effective" not in only


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("res2net29",), "unknown model 'res2net29'"),
        (("res2net29_small", "--level", "c5"), "no level 'c5'; res2net29_small has c1, c2, c3"),
        (("res2net29_small", "--images", 0), "--images is 0; it must be at least 1"),
        (("res2net29_small", "--against", "resnet"), "unknown model 'resnet'"),
        (("inception_v3", "--scale", 2), "inception_v3 has no option 'scale'"),
        (("resnet29_small", "--size", 0), "size is 0; it must be from 1 to 1,000,000"),
    ],
)
def test_bad_input_is_one_line(
    cli: Cli, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    out = tmp_path / "out"
    assert message in cli("receptive-field", *words, "--out", out).line
    assert not out.exists()
