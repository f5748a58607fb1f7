"""Options of detections: out of range, or without what they need."""

from __future__ import annotations

from typing import Any

import pytest

from res2net.errors import UserError
from res2net.tasks.finding import Finding


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"score": 1.2}, "--score is 1.2; it must lie in 0..1"),
        ({"score": float("nan")}, "--score is nan; it must lie in 0..1"),
        ({"iou": -0.1}, "--iou is -0.1; it must lie in 0..1"),
        ({"max_detections": 0}, "--max-detections is 0; it must be at least 1"),
        ({"tiles": 31}, "--tiles is 31; it is auto, or 32 pixels or more"),
        ({"tiles": "big"}, "--tiles is big; it is auto, or 32 pixels or more"),
        ({"tiles": 64, "overlap": 0.95}, "--overlap is 0.95; it must lie in 0..0.9"),
        ({"overlap": 0.2}, "--overlap does not apply here; it needs --tiles"),
    ],
)
def test_mistakes(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as told:
        Finding.of(given, exported=None)
    assert str(told.value) == message


def test_an_exported_network_has_its_own_suppression() -> None:
    with pytest.raises(UserError, match="--iou does not apply to art, whose graph"):
        Finding.of({"iou": 0.5}, exported="art")
    assert Finding.of({"score": 0.5}, exported="art") == Finding(score=0.5)


def test_without_options_there_is_none() -> None:
    assert Finding.of({}, exported=None) is None
