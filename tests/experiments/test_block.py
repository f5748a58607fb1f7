"""Diagrams of blocks: drawn whole, or refused."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes

from res2net.errors import UserError
from res2net.experiments.block import draw_blocks


@pytest.mark.parametrize(
    "networks",
    [
        ("resnet50", "res2net50_26w_4s"),
        ("resnext29_8c64w_se", "res2next29_6c24w_4s_se"),
        ("res2net50_14w_8s",),
    ],
)
def test_blocks(networks, tmp_path, ink, monkeypatch):
    written, text = [], Axes.text
    monkeypatch.setattr(
        Axes, "text", lambda axes, x, y, s, **how: written.append(s) or text(axes, x, y, s, **how)
    )
    draw_blocks(networks, tmp_path / "block.png", title="Fig. 2")
    assert ink(tmp_path / "block.png") > 0.02
    fields = [each for each in written if each.startswith("field ")]
    assert "field 3×3" in fields
    assert ("field 15×15" in fields) == ("res2net50_14w_8s" in networks)


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
