"""Sheets of maps: what stands below a map, its box, and pictures that fill the width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from res2net.drawing.marks import LIGHT
from res2net.explain.overlay import LINE
from res2net.explain.sheets import Sheet, draw_map, draw_sheet
from res2net.explain.subject import Explained

IMAGE = np.full((60, 90, 3), 128, np.uint8)


def explained(**more: Any) -> Explained:
    heat = np.zeros((60, 90), np.float32)
    heat[20:40, 30:60] = 1
    fixed: dict[str, Any] = {"label": "cat", "score": 0.25, "level": "c5"}
    return Explained(heat=heat, seen=(0, 0, 90, 60), **{**fixed, **more})


@pytest.mark.parametrize(
    ("predicted", "line"), [("dog", "predicted: dog"), ("cat", None), (None, None)]
)
def test_a_map_of_another_class_than_the_predicted_one_names_that(
    tmp_path: Path, texts: list[str], predicted: str | None, line: str | None
) -> None:
    sheet = Sheet(name="a.jpg", image=IMAGE, maps=[explained(predicted=predicted)])
    draw_sheet([sheet], ["net"], tmp_path / "s.png", images=1, note="")
    assert {"a.jpg", "net", "cat", "25 %"} <= set(texts)
    assert [text for text in texts if text.startswith("predicted")] == [line] * bool(line)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("networks", [1, 2])
def test_maps_fill_the_width_without_a_letterbox(tmp_path: Path, count: int, networks: int) -> None:
    sheets = [Sheet(name="a.jpg", image=IMAGE, maps=[explained()] * networks)] * count
    names = ["one", "two"][:networks]
    draw_sheet(sheets, names, tmp_path / "s.png", images=count, note="")
    with Image.open(tmp_path / "s.png") as picture:
        pixels = np.asarray(picture)
    row = (pixels[104 + 30] != 255).any(1)
    assert row[32:-34].mean() > 0.9


def test_the_explained_box_and_what_is_annotated_are_drawn() -> None:
    inside = np.zeros((60, 90), bool)
    inside[5:15, 70:85] = True
    drawn = draw_map(IMAGE, explained(box=(10, 20, 50, 50)), inside)
    assert tuple(drawn[20, 30]) == tuple(drawn[49, 30]) == tuple(drawn[35, 10]) == LIGHT
    assert tuple(drawn[5, 75]) == LINE
    plain = draw_map(IMAGE, explained())
    assert tuple(plain[35, 10]) != LIGHT
