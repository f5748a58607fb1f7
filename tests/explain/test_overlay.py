"""The overlay keeps the picture's size and shows the heat."""

from __future__ import annotations

import numpy as np
import pytest

from res2net.explain.overlay import DIM, FINE, LINE, heat_overlay, outlined


def test_no_heat_is_a_dim_picture_and_full_heat_glows() -> None:
    image = np.full((4, 6, 3), 100, np.uint8)
    heat = np.zeros((4, 6))
    heat[1, 2] = 1
    out = heat_overlay(image, heat)
    assert out.dtype == np.uint8
    assert out.shape == image.shape
    assert (out[0, 0] == round(100 * DIM)).all()
    assert out[1, 2].min() > 100  # the bright end of the colours
    assert not np.shares_memory(out, image)


def test_more_heat_is_never_darker() -> None:
    for grey in (0, 128, 255):
        image = np.full((1, 101, 3), grey, np.uint8)
        light = heat_overlay(image, np.linspace(0, 1, 101)[None]).astype(int).max(axis=2)[0]
        assert (np.diff(light) >= -1).all()


def test_shapes_and_ranges_are_checked() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(ValueError, match="differ in size"):
        heat_overlay(image, np.zeros((6, 4)))
    with pytest.raises(ValueError, match="must be 0 to 1"):
        heat_overlay(image, np.full((4, 6), 1.5))
    with pytest.raises(ValueError, match="must be 0 to 1"):
        heat_overlay(image, np.full((4, 6), np.nan))


def test_an_outline_runs_along_the_inner_edge_and_along_the_border() -> None:
    image = np.full((5 * FINE // 2, FINE, 3), 100, np.uint8)  # a line is 2 pixels wide
    inside = np.zeros(image.shape[:2], bool)
    inside[20:60, 50:] = True
    out = outlined(image, inside)
    drawn = (out == LINE).all(axis=2)
    wanted = inside.copy()
    wanted[22:58, 52:-2] = False
    assert (drawn == wanted).all()
    assert (out[~drawn] == 100).all()
    assert (outlined(image, np.zeros_like(inside)) == image).all()
