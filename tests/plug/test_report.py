"""What the report of a conversion says, and how it looks."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from res2net import convert


def test_report_in_every_form(make_net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    converted, report = convert(make_net(32, groups=4), width=32, scale=2, image_size=32)
    first, second = report.blocks
    assert (first.form, first.stride, first.kernel) == ("pooled", 2, (3, 3))
    assert (second.form, second.stride) == ("hierarchy", 1)
    assert (second.channels, second.groups) == (32, 4)
    assert (second.width, second.scale, second.cardinality) == (16, 2, 2)
    assert second.params[1] == 2 * 128 * 32 + 16 * 8 * 9 + 2 * (32 + 16)  # 1×1s, 3×3, norms
    assert second.macs[1] == (2 * 128 * 32 + 16 * 8 * 9) * 8 * 8
    assert second.receptive_field == (15, 15)  # 3 + 2·2 + 2·4: one 3×3 in the hierarchy
    assert report.params[1] == sum(p.numel() for p in converted.parameters())

    text = str(report)
    assert text.startswith(
        "Net: 2 blocks became 32w×2s, first blocks of a stage by the rule 'pool'"
    )
    row = next(line for line in text.splitlines() if line.startswith("blocks.1"))
    assert "3×3, 32 in 4 groups  2 × 16 in 2 groups" in row
    assert f"{second.params[0]:,} → {second.params[1]:,}" in row
    assert not any(line.endswith(" ") for line in text.splitlines())

    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(report) == text  # in a notebook rich shows a table by itself, and writes none

    table = [line for line in report.markdown().splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(report.blocks)
    assert len({line.count("|") for line in table}) == 1

    console = Console(width=200, force_jupyter=False)
    with console.capture() as capture:
        console.print(report)
    assert "pooled, stride 2" in capture.get()
