"""The timing protocol: order, pairing, and the file it appends to."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from res2net.bench.protocol import Timing, append_rows, interleave


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
    assert ours.speed_over(theirs) == pytest.approx(2.0)
    assert theirs.speed_over(ours) == pytest.approx(0.5)
    assert (ours.median, ours.least) == (1.1, 1.0)


def test_results_are_appended_with_what_they_depend_on(tmp_path: Path) -> None:
    file = tmp_path / "results" / "x.csv"
    append_rows(file, [{"case": "a", "ms": 3}], "res2net bench x")
    append_rows(file, [{"case": "b", "ms": 4, "new": 1}], "res2net bench x")
    with file.open(newline="") as opened:
        first, second = csv.DictReader(opened)
    assert (first["case"], first["ms"], first["new"]) == ("a", "3", "")
    assert (second["case"], second["new"]) == ("b", "1")
    assert second["command"] == "res2net bench x"
    assert {"date", "commit", "torch", "cpu", "cores"} <= set(first)
