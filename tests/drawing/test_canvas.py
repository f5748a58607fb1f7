"""The house style: what is measured, shortened, letterboxed and left alone."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import _pylab_helpers
from PIL import Image

from res2net.drawing.canvas import (
    MARGIN,
    PALE,
    WIDTH,
    fit,
    headed_figure,
    letterbox,
    measure,
    write,
)
from res2net.errors import UserError


def test_a_short_name_stays() -> None:
    assert fit("church", 200, 7) == "church"


LATIN = st.characters(codec="latin-1", categories=("L", "N", "P", "S", "Zs"))


@settings(deadline=None, max_examples=40)
@given(text=st.text(LATIN, max_size=300), width=st.integers(40, 300))
def test_a_name_fits_and_keeps_both_ends(text: str, width: int) -> None:
    short = fit(text, width, 7)
    assert measure(short, 7) <= width
    assert "\n" not in short
    if "…" in short and "…" not in text:
        head, tail = short.split("…")
        whole = " ".join(text.split())
        assert whole.startswith(head)
        assert whole.endswith(tail)


def test_the_longest_that_fits_is_kept() -> None:
    text = "Corn_(maize)___Cercospora_leaf_spot Gray_leaf_spot"
    short = fit(text, 150, 7)
    assert 110 < measure(short, 7) <= 150
    head, tail = short.split("…")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) - len(tail) in (0, 1)


def test_bytes_that_are_no_text() -> None:
    assert fit(os.fsdecode(b"caf\xe9.jpg"), 200, 7) == "caf?.jpg"


@pytest.mark.parametrize(
    ("size", "filled"),
    [  # H, W of the image -> rows and columns of the tile that it covers
        ((50, 100), (30, 60)),
        ((100, 50), (60, 30)),
        ((7, 7), (60, 60)),
        ((1, 1000), (1, 60)),
        ((1000, 1), (60, 1)),
    ],
)
def test_letterbox(size: tuple[int, int], filled: tuple[int, int]) -> None:
    tile = letterbox(np.full((*size, 3), 10, np.uint8), 60)
    assert tile.shape == (60, 60, 3)
    inside = (tile == 10).all(axis=2)
    assert (inside.any(axis=1).sum(), inside.any(axis=0).sum()) == filled
    assert (tile[~inside] == int(PALE[1:3], 16)).all()


def test_pixels_of_a_tiny_image_stay_sharp() -> None:
    digit = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    tile = letterbox(digit, 80)
    assert (tile == digit.repeat(10, axis=0).repeat(10, axis=1)).all()


def test_the_picture_ends_below_what_is_drawn(tmp_path: Path) -> None:
    with headed_figure(tmp_path / "a.png", 900, "Title", "below it") as figure:
        write(figure, "last line", MARGIN, 300)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "RGB"
        assert picture.width == WIDTH
        assert 300 + MARGIN < picture.height < 320 + MARGIN


def test_no_global_state_is_left_changed(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    with headed_figure(tmp_path / "a.png", 200, "Title", ""):
        pass
    assert dict(mpl.rcParams) == before
    assert not _pylab_helpers.Gcf.figs


def test_the_users_own_style_changes_nothing(tmp_path: Path) -> None:
    def draw(name: str) -> bytes:
        with headed_figure(tmp_path / name, 200, "Title", "$not a formula$"):
            pass
        return (tmp_path / name).read_bytes()

    plain = draw("plain.png")
    with mpl.rc_context({"font.size": 30, "figure.facecolor": "red", "savefig.dpi": 10}):
        assert draw("styled.png") == plain


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="half way"),
        headed_figure(tmp_path / "a.png", 200, "Title", ""),
    ):
        raise RuntimeError("half way")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"nowhere does not exist while writing a\.png"),
        headed_figure(tmp_path / "nowhere" / "a.png", 200, "Title", ""),
    ):
        pass
