"""Reading a history with holes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from res2net.tasks.selection import epochs, lowest, series


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], {}),
        ([{"epoch": 1.0}], {}),
        ([{"epoch": 1.0, "loss": 2.0}, {"epoch": 2.0, "loss": 1.0}], {1: 2, 2: 1}),
        ([{"epoch": 2.0, "loss": 1.0}, {"epoch": 1.0, "loss": 2.0}], {1: 2, 2: 1}),
        ([{"epoch": 1.0, "loss": ""}, {"epoch": 2.0, "loss": None}], {}),
        ([{"epoch": "1", "loss": "2.5"}, {"epoch": "2", "loss": " "}], {1: 2.5}),
        ([{"loss": 5.0}, {"loss": 4.0}], {0: 5, 1: 4}),
        ([{"epoch": 1.0, "loss": 2.0}, {"epoch": 1.0, "other": 1.0}], {1: 2}),
        ([{"epoch": 1.0, "loss": 2.0}, {"epoch": 1.0, "loss": 3.0}], {1: 3}),
    ],
)
def test_series(rows: list[dict[str, Any]], expected: dict[float, float]) -> None:
    found = series(rows, "loss")
    assert found == expected
    assert list(found) == sorted(found)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_a_gap(value: float) -> None:
    rows = [{"epoch": 1.0, "loss": 3.0}, {"epoch": 2.0, "loss": value}]
    assert math.isnan(series(rows, "loss")[2])
    assert lowest(rows, "loss") == (1, 3)


def test_lowest() -> None:
    rows = [{"epoch": float(i), "error": error} for i, error in enumerate([9.0, 4.0, 5.0], 1)]
    assert lowest(rows, "error") == (2, 4)
    assert lowest(rows, "loss") is None


def test_epochs() -> None:
    assert epochs([{"epoch": 2.0}, {"epoch": 1.0, "loss": 3.0}, {"epoch": 1.0}]) == [1, 2]
    assert epochs([]) == []
