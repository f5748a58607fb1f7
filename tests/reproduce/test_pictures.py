"""Diagrams and charts: drawn whole, from any rows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from res2net.errors import UserError
from res2net.reproduce.block import draw_blocks
from res2net.reproduce.charts import Dots, draw_dots, draw_growth


def _ink(path):
    with Image.open(path) as picture:
        assert picture.width == 1200
        pixels = np.asarray(picture.convert("RGB"))
    dark = (pixels < 250).any(axis=2)
    assert not dark[:, :8].any()  # nothing is cut at the sides
    assert not dark[:, -8:].any()
    return dark.mean()


@pytest.mark.parametrize(
    "networks",
    [
        ("resnet50", "res2net50_26w_4s"),
        ("resnext29_8c64w_se", "res2next29_6c24w_4s_se"),
        ("res2net50_14w_8s",),
    ],
)
def test_blocks(networks, tmp_path):
    draw_blocks(networks, tmp_path / "block.png", title="Fig. 2")
    assert _ink(tmp_path / "block.png") > 0.02


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dla60", "--networks dla60: has no bottleneck"),
        ("resnet18", "--networks resnet18: has no bottleneck"),
        ("resnet51", "unknown model 'resnet51'"),
    ],
)
def test_what_cannot_be_drawn(name, message, tmp_path):
    with pytest.raises(UserError, match=message):
        draw_blocks([name], tmp_path / "block.png", title="")
    assert not (tmp_path / "block.png").exists()


def test_dots_and_lines(tmp_path):
    dots = (
        Dots(label="the paper", values=(1.0, 2.0), colour="#666666", hollow=True),
        Dots(label="here", values=(None, None), colour="#0072B2"),
    )
    draw_dots(tmp_path / "a.png", "Table", "lower is better", ["a", "b" * 80], dots, "error, %")
    assert _ink(tmp_path / "a.png") > 0.005
    rows = [
        {"group": group, "params": str(params), "top1_accuracy": "90"}
        for group, params in (("base", 100000), ("scale", 200000), ("depth", 300000))
    ]
    draw_growth(tmp_path / "b.png", "Fig. 5", "digits", rows)
    assert _ink(tmp_path / "b.png") > 0.005
