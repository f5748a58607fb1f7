"""Marks on images: colours that all eyes tell apart, outlines, sides of skeletons, palettes."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from res2net.drawing.canvas import BLUE, GREEN, GREY, ORANGE, RED
from res2net.drawing.marks import (
    COLOURS,
    SIDES,
    class_colours,
    colour_of,
    draw_masks,
    draw_skeleton,
    inner_edge,
    with_palette,
)

EYES = {  # how linear RGB is seen, after Machado, Oliveira and Fernandes 2009
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: tuple[int, int, int], eyes: str) -> npt.NDArray[np.float64]:
    """CIELAB of a colour as it is seen."""
    value = np.array(colour) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    ratio = XYZ @ (np.array(EYES[eyes]) @ linear).clip(0, 1) / [0.9505, 1, 1.089]
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", EYES)
def test_any_two_colours_are_told_apart(eyes: str) -> None:
    seen = [lab(colour, eyes) for colour in COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 15
    lines = [
        tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))
        for text in (BLUE, ORANGE, GREEN, RED, GREY)
    ]
    seen = [lab((r, g, b), eyes) for r, g, b in lines]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 20
    left, right = (lab(SIDES[side], eyes) for side in ("left", "right"))
    assert np.linalg.norm(left - right) > 40


def test_a_class_has_its_colour_with_and_without_a_background() -> None:
    names = [f"class {k}" for k in range(30)]
    alone, behind = class_colours(names), class_colours(["background", *names])
    assert alone == tuple(map(colour_of, range(30)))
    assert behind == ((0, 0, 0), *alone)
    assert len(set(alone)) == 24
    assert class_colours(names[:5]) == alone[:5], "however many there are"
    assert class_colours([]) == ()


def test_neighbours_have_an_outline_each() -> None:
    image = np.full((40, 60, 3), 128, np.uint8)
    first, second = np.zeros((2, 40, 60), bool)
    first[10:30, 5:30], second[10:30, 30:55] = True, True
    drawn = draw_masks(image, [first, second], [(255, 0, 0), (0, 0, 255)])
    assert drawn[20, 29].tolist() == [255, 0, 0]
    assert drawn[20, 30].tolist() == [0, 0, 255]
    assert drawn[20, 15].tolist() == [178, 76, 76]  # 60 % of 128, 40 % of the colour
    assert (drawn[:10] == 128).all()
    assert (image == 128).all(), "the image itself stays"


@pytest.mark.parametrize("width", [1, 3])
def test_the_border_of_the_image_is_an_edge(width: int) -> None:
    mask = np.zeros((20, 30), bool)
    mask[:, 10:] = True
    edge = inner_edge(mask, width)
    inner = np.zeros_like(mask)
    inner[width:-width, 10 + width : -width] = True
    assert (edge == (mask & ~inner)).all()
    assert not inner_edge(np.zeros((20, 30), bool), width).any()


def test_left_and_right_have_their_colours() -> None:
    image = np.zeros((90, 90, 3), np.uint8)
    points = np.array([[10, 10, 1], [10, 80, 1], [80, 10, 1], [80, 80, 1], [45, 45, 0.1]], float)
    sides = ("left", "left", "right", "right", "")
    bones = ((0, 1), (2, 3), (0, 2), (1, 4))
    drawn = draw_skeleton(image, points, bones, sides, least=0.5)
    assert tuple(drawn[45, 10]) == SIDES["left"]
    assert tuple(drawn[45, 80]) == SIDES["right"]
    assert tuple(drawn[10, 45]) == SIDES[""], "from one side to the other"
    assert not drawn[45, 45].any(), "below the score"
    assert not drawn[60, 25:30].any(), "nor a bone to it"


def test_a_map_of_classes_keeps_its_values_and_shows_colours(tmp_path: Path) -> None:
    classes = np.array([[0, 1, 2], [2, 255, 1]], np.uint8)
    palette = class_colours(("background", "cat", "dog"))
    with_palette(classes, palette).save(tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P"
        assert (np.asarray(image) == classes).all()
        shown = np.asarray(image.convert("RGB"))
    assert [tuple(shown[0, k]) for k in range(3)] == list(palette)
    assert shown[1, 1].tolist() == [224, 224, 192]
