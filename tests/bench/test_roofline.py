"""What a part reaches is what its multiply-adds and its time say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from res2net.bench import roofline
from res2net.errors import UserError
from res2net.native.binding import unsupported_reason
from res2net.paper.networks import find_variant
from res2net.paper.structure import tally
from res2net.processor import LEVEL


def test_parts_are_the_networks_multiply_adds(tmp_path: Path) -> None:
    if (reason := unsupported_reason("fp32")) is not None:
        pytest.skip(f"no native engine: {reason}")
    torch.set_num_threads(1)
    (case,) = roofline.rooflines(["res2net50_26w_4s"], ["fp32"])
    found = roofline.measure(case, size=64, rounds=2)
    counted = tally(find_variant("res2net50_26w_4s"), size=64, num_classes=1000)
    classifier = 2048 * 1000  # which is no convolution
    assert sum(part.macs for part in found.parts) == counted.macs - classifier
    assert {"c2 1×1 in", "c3 3×3", "c5 1×1 out"} <= {part.name for part in found.parts}
    assert found.peak > 0
    whole = sum(found.at_peak(part) for part in found.parts)
    assert whole == pytest.approx(2 * (counted.macs - classifier) / found.peak / 1e6)
    rows = list(roofline.as_rows(case, 64, found))
    roofline.draw_rooflines(rows, tmp_path / "roof.png")
    assert (tmp_path / "roof.png").stat().st_size > 1000
    assert sum(row["ms"] for row in rows) == pytest.approx(found.milliseconds, abs=0.1)  # type: ignore[misc]


def test_a_machine_without_the_instructions_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEVEL, "avx2")
    with pytest.raises(UserError, match="is not available here"):
        roofline.rooflines(["resnet50"], ["bf16"])


def test_what_the_engine_does_not_take_is_refused() -> None:
    if (reason := unsupported_reason("fp32")) is not None:
        pytest.skip(f"no native engine: {reason}")
    with pytest.raises(UserError, match="nothing to time"):
        roofline.rooflines(["dla60"], ["fp32"])
    with pytest.raises(UserError, match="--precisions fp8"):
        roofline.rooflines(["resnet50"], ["fp8"])


def test_networks_and_precisions_share_one_axis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    savefig = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda f, *a, **k: (figures.append(f), savefig(f, *a, **k))[1]
    )
    rows = [
        {"network": network, "precision": precision, "size": "224", "part": part}
        | {"gflops": str(share * peak), "share_of_peak": str(share), "peak_gflops": str(peak)}
        for precision, peak in (("fp32", 200.0), ("int8", 900.0))
        for network in ("resnet50", "res2net50_26w_4s")
        for part, share in (("stem.0", 0.9), ("c2 3×3", 1.4), ("rest", 0.0))
    ]
    roofline.draw_rooflines(rows, tmp_path / "r.png")
    first, second = figures[0].axes
    assert first.get_xlim() == second.get_xlim() == (0, pytest.approx(148.4))
    assert [axes.get_title(loc="left") for axes in (first, second)] == [
        "fp32: peak 200 GFLOP/s",
        "int8: peak 900 GFLOP/s",
    ]
    assert [label.get_text() for label in first.get_yticklabels()] == ["stem.0", "c2 3×3"]
    assert {bar.get_width() for bar in second.patches} == {90.0, 140.0}
