"""Sheets: rows that fill the width, pictures whole and in proportion, nothing empty beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from res2net.drawing.canvas import MARGIN, PALE, TOP, WIDTH, Picture
from res2net.drawing.sheet import APART, GAP, TALLEST, Line, Tile, draw_tiles, justified, resized

FULL = WIDTH - 2 * MARGIN
RED = (200, 10, 30)  # of no letter


def tile(height: int, width: int, pictures: int = 1) -> Tile:
    image = np.full((height, width, 3), RED, np.uint8)
    return Tile([image] * pictures, [[Line(text="church", aside="93 %")]] * pictures)


def draw(path: Path, *tiles: Tile, title: str = "Sheet", **options: object) -> Picture:
    draw_tiles(path / "s.png", title, "of images", tiles, **options)  # type: ignore[arg-type]
    with Image.open(path / "s.png") as picture:
        return np.asarray(picture)


def red(sheet: Picture) -> np.ndarray:
    return np.abs(sheet.astype(int) - RED).max(2) < 3  # (H, W)


SHAPES = st.lists(st.tuples(st.floats(0.45, 4), st.just(0.0)), min_size=1, max_size=24)


@settings(deadline=None, max_examples=60)
@given(sizes=SHAPES)
def test_rows_hold_every_tile_in_order_and_fill_the_width(sizes: list[tuple[float, float]]) -> None:
    rows = justified(sizes, FULL, 269)
    assert [i for row in rows for i in row.tiles] == list(range(len(sizes)))
    for row in rows:
        used = row.height * sum(sizes[i][0] for i in row.tiles) + APART * (len(row.tiles) - 1)
        assert used == pytest.approx(row.width)
        assert row.width <= FULL + 0.01
        if len(rows) > 1 and row.height < TALLEST:
            assert row.width > 0.66 * FULL, "no third is empty"


@pytest.mark.parametrize("count", range(1, 26))
def test_no_number_of_photos_leaves_a_third_empty(count: int) -> None:
    rows = justified([(4 / 3, 0.0)] * count, FULL, 269)
    widest = max(row.width for row in rows)
    assert all(row.width > 0.99 * widest for row in rows)
    assert all(100 < row.height <= 530 for row in rows)


def test_two_images_share_the_whole_width(tmp_path: Path) -> None:
    sheet = draw(tmp_path, tile(480, 640), tile(480, 640))
    columns = np.flatnonzero(red(sheet).any(0))
    assert sheet.shape[1] == WIDTH
    assert abs(columns[0] - MARGIN) <= 1
    assert abs(columns[-1] - (WIDTH - MARGIN)) <= 2
    assert np.diff(columns).max() == pytest.approx(APART, abs=2), "the one gap between them"


@pytest.mark.parametrize("shape", [(300, 100), (64, 64), (480, 640), (60, 2000), (2000, 60)])
def test_a_lone_image_stands_on_a_figure_of_its_width(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    sheet = draw(tmp_path, tile(*shape))
    rows, columns = (np.flatnonzero(red(sheet).any(axis)) for axis in (1, 0))
    assert len(columns) / len(rows) == pytest.approx(shape[1] / shape[0], rel=0.05)
    if 0.5 < shape[1] / shape[0] < 4:
        assert columns[-1] > sheet.shape[1] - MARGIN - 3
    assert rows[0] == pytest.approx(TOP, abs=2), "no empty room above a wide one"


def test_there_is_no_letterbox(tmp_path: Path) -> None:
    sheet = draw(tmp_path, tile(480, 640), tile(640, 480), tile(100, 300), tile(300, 100))
    assert (sheet == int(PALE[1:3], 16)).all(2).mean() < 0.001  # but for edges of letters
    rows, columns = (np.flatnonzero(red(sheet).any(axis)) for axis in (1, 0))
    whole = sheet[rows[0] : rows[-1], columns[0] : columns[-1]]
    assert red(whole).mean() > 0.75


def test_pictures_of_a_tile_stay_together(tmp_path: Path) -> None:
    sheet = draw(tmp_path, tile(480, 640, 3), tile(480, 640, 3), columns=3)
    line = red(sheet)[TOP + 20]
    gaps = np.diff(np.flatnonzero(line))
    assert gaps[gaps > 1].tolist() == pytest.approx([GAP, GAP], abs=2)
    assert line.sum() == pytest.approx(FULL - 2 * GAP, abs=3), "a row each"


def test_a_pair_of_squares_fills_its_row(tmp_path: Path) -> None:
    assert draw(tmp_path, tile(96, 96, 2), tile(96, 96, 2), columns=2).shape[1] == WIDTH


def test_a_title_wider_than_the_image_is_whole(tmp_path: Path) -> None:
    sheet = draw(tmp_path, tile(640, 480), title="A title that is much wider than its image")
    title = np.flatnonzero((sheet[:60] < 128).all(2).any(0))
    assert title[-1] < sheet.shape[1] - MARGIN
    assert red(sheet).any(0).sum() > 0.66 * (sheet.shape[1] - 2 * MARGIN)


def test_names_have_their_colours_above(tmp_path: Path) -> None:
    names = (("sky", (0, 114, 178)), ("road", (230, 159, 0)))
    sheet = draw(tmp_path, tile(480, 640), legend=names)
    for _, colour in names:
        assert (sheet[TOP : TOP + 24] == colour).all(2).sum() > 100


def test_a_note_stands_between_subtitle_and_images(tmp_path: Path) -> None:
    plain, noted = (draw(tmp_path, tile(480, 640), note=note) for note in ("", "random weights"))
    assert noted.shape[0] > plain.shape[0]


def test_no_image_is_no_error(tmp_path: Path) -> None:
    assert draw(tmp_path).shape[0] < 160


@pytest.mark.parametrize(
    ("shape", "size"),
    [((50, 100), (30, 60)), ((100, 50), (60, 30)), ((7, 7), (60, 60)), ((1, 1000), (1, 60))],
)
def test_an_image_is_made_as_large_as_fits(shape: tuple[int, int], size: tuple[int, int]) -> None:
    assert resized(np.zeros((*shape, 3), np.uint8), 60, 60).shape == (*size, 3)


def test_pixels_of_a_tiny_image_stay_sharp() -> None:
    digit = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    assert (resized(digit, 80, 80) == digit.repeat(10, axis=0).repeat(10, axis=1)).all()
