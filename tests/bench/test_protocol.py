"""The timing protocol: order, pairing, and the file it appends to."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from res2net.bench.protocol import (
    Ratio,
    Timing,
    append_rows,
    interleave,
    ratio_cells,
    shown,
    versions_of,
)


def test_cases_run_interleaved_and_the_order_rotates() -> None:
    seen: list[str] = []
    cases = {name: (lambda name=name: seen.append(name)) for name in "abc"}
    timings = interleave(cases, rounds=3, warmup=1)
    assert "".join(seen) == "abc" + "bca" + "cab" + "abc"
    assert {name: len(t.seconds) for name, t in timings.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """A slow spell that meets both cases leaves the ratio as it is."""
    ours = Timing("ours", (1.0, 5.0, 1.1))
    theirs = Timing("theirs", (2.0, 10.0, 2.2))
    assert ours.speed_over(theirs).median == pytest.approx(2.0)
    assert theirs.speed_over(ours).median == pytest.approx(0.5)
    assert (ours.median, ours.least) == (1.1, 1.0)


def test_a_ratio_comes_with_its_quartiles() -> None:
    ratio = Timing("ours", (1.0, 1.0, 1.0, 1.0, 1.0)).speed_over(
        Timing("theirs", (5.0, 1.0, 2.0, 4.0, 3.0))
    )
    assert ratio == Ratio(median=3.0, low=2.0, high=4.0)
    cells = ratio_cells("over", ratio)
    assert cells == {"over": 3.0, "over_q1": 2.0, "over_q3": 4.0}
    assert shown(cells, "over") == "3.0 (2.0 to 4.0)"
    assert ratio_cells("over", None) == {"over": "", "over_q1": "", "over_q3": ""}
    assert shown({"case": "a", **ratio_cells("over", None)}, "over") == ""
    assert Timing("a", (1.0,)).speed_over(Timing("b", (2.0,))) == Ratio(2.0, 2.0, 2.0)


def test_versions_are_of_what_is_installed() -> None:
    assert versions_of("numpy", "no-such-package") == {
        "numpy": np.__version__,
        "no-such-package": "",
    }


def test_results_are_appended_with_what_they_depend_on(tmp_path: Path) -> None:
    file = tmp_path / "results" / "x.csv"
    append_rows(file, [{"case": "a", "ms": 3}], "res2net bench x")
    append_rows(file, [{"case": "b", "ms": 4, "new": 1}], "res2net bench x")
    with file.open(newline="") as opened:
        first, second = csv.DictReader(opened)
    assert (first["case"], first["ms"], first["new"]) == ("a", "3", "")
    assert (second["case"], second["new"]) == ("b", "1")
    assert second["command"] == "res2net bench x"
    assert {"date", "commit", "torch", "cpu", "instructions", "level", "cores"} <= set(first)
