"""The house style: what is measured, shortened and left alone."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import _pylab_helpers
from PIL import Image

from res2net.drawing.canvas import (
    MARGIN,
    WIDTH,
    add_axes,
    fit,
    headed_figure,
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


def test_the_picture_ends_below_what_is_drawn(tmp_path: Path) -> None:
    with headed_figure(tmp_path / "a.png", 900, "Title", "below it") as figure:
        write(figure, "last line", MARGIN, 300)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "RGB"
        assert picture.width == WIDTH
        assert 300 + MARGIN < picture.height < 320 + MARGIN


def test_a_figure_may_be_narrower(tmp_path: Path) -> None:
    with headed_figure(tmp_path / "a.png", 300, "Title", "", width=700) as figure:
        axes = add_axes(figure, 350, 150, 350, 75)
    assert axes.get_position().bounds == pytest.approx((0.5, 0.25, 0.5, 0.25))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 700


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
