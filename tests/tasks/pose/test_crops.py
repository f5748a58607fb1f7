"""Boxes of a detector from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from res2net.errors import UserError
from res2net.tasks.pose.crops import read_boxes


def test_boxes_of_every_score_are_kept(tmp_path: Path) -> None:
    """The paper's base looks into all that its detector found."""
    file = tmp_path / "found.json"
    row = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]}
    file.write_text(json.dumps([{**row, "score": score} for score in (0.9, 0.01, 0.0)]))
    found = read_boxes(file).of("000007.jpg", ("person",))
    assert found.scores.tolist() == [0.9, 0.01, 0.0]
    assert found.boxes[0].tolist() == [1, 2, 4, 6]


def test_a_file_without_boxes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    file.write_text("[]")
    with pytest.raises(UserError, match="holds no box"):
        read_boxes(file)
