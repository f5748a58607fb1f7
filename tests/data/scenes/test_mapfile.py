"""What the values and colours of map files mean: classes, or what is salient."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from res2net.data.scene import Legend, Scene
from res2net.data.scenes.mapfile import choose_legend, class_map, pixel_counts, salient_map
from res2net.errors import UserError

PLAIN = Legend()
COLOURS = {(0, 0, 0): 0, (128, 0, 0): 1, (0, 128, 0): 2}
ROW = np.array([[0, 1, 2, 1]], np.uint8)


def saved(path: Path, values: Any, mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(np.asarray(values))
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def with_palette(path: Path, indices: Any, colours: Sequence[int]) -> Path:
    image = Image.fromarray(np.asarray(indices, np.uint8)).copy()
    image.putpalette([*colours, *[77] * (768 - len(colours))])
    image.save(path)
    return path


def packed_grey(path: Path, values: list[int], bits: int) -> Path:
    """A grey PNG of 2 or 4 bits a pixel, one row; Pillow reads them but does not write them."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    row = int("".join(f"{value:0{bits}b}" for value in values), 2)
    row <<= -len(values) * bits % 8
    data = b"\0" + row.to_bytes(-(-len(values) * bits // 8), "big")
    head = struct.pack(">IIBBBBB", len(values), 1, bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".gif"])
def test_values_are_classes(tmp_path: Path, ending: str) -> None:
    assert class_map(saved(tmp_path / f"m{ending}", ROW), 3, PLAIN).tolist() == ROW.tolist()


@pytest.mark.parametrize(
    "values",
    [
        np.repeat(ROW[..., None], 3, axis=2),  # three equal channels
        np.dstack([ROW, ROW, ROW, np.full_like(ROW, 255)]),
        np.dstack([ROW, np.full_like(ROW, 255)]),  # grey and alpha
        ROW.astype(np.uint16),
        ROW.astype(np.int32),
        ROW.astype(np.float32),
    ],
)
def test_values_are_classes_at_any_depth(tmp_path: Path, values: Any) -> None:
    assert class_map(saved(tmp_path / "m.tif", values), 3, PLAIN).tolist() == ROW.tolist()


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_is_not_spread(tmp_path: Path, bits: int) -> None:
    path = packed_grey(tmp_path / "m.png", [0, 1, 2, 3], bits)
    assert class_map(path, 4, PLAIN).tolist() == [[0, 1, 2, 3]]


def test_one_bit_a_pixel_is_0_and_1(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", np.array([[False, True]]))
    for legend in (PLAIN, Legend(binary=True)):
        assert class_map(path, 2, legend).tolist() == [[0, 1]]
    assert salient_map(path).tolist() == [[0, 255]]


def test_palettes_are_read_as_indices(tmp_path: Path) -> None:
    path = with_palette(tmp_path / "m.png", [[0, 1, 2, 255]], [0, 0, 0, 9, 9, 9, 1, 2, 3])
    assert class_map(path, 3, PLAIN).tolist() == [[0, 1, 2, 255]]


def test_a_black_and_white_palette_counts_by_its_colours(tmp_path: Path) -> None:
    path = with_palette(tmp_path / "m.png", [[0, 1, 1]], [255, 255, 255, 0, 0, 0])
    legend = choose_legend(tmp_path, [path], 2, {})
    assert class_map(path, 2, legend).tolist() == [[1, 0, 0]]
    assert salient_map(path).tolist() == [[255, 0, 0]]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[0, 9, 9, 7]], np.uint8), r"holds the value 7 \(1 pixels\) and 1 other values"),
        (np.array([[0, 24001]], np.uint16), r"value 24001 \(1 pixels\); classes are 0\.\.2"),
        (np.array([[0, -1]], np.int32), "holds the value -1"),
        (
            np.array([[1, 2, 3]], np.uint8),
            "value 1 is the first class, number the lines of classes",
        ),
        (np.array([[0, 0.5]], np.float32), "not whole numbers"),
        (np.array([[0, np.nan]], np.float32), "not whole numbers"),
        (np.array([[[0, 0, 0], [9, 0, 0]]], np.uint8), r"in colours; name the colours in classes"),
        (np.array([[[0, 0], [1, 100]]], np.uint8), "1 transparent pixels have a value"),
    ],
)
def test_maps_that_are_none_of_classes_are_named(tmp_path: Path, values: Any, reason: str) -> None:
    path = saved(tmp_path / "m.tif", values)
    with pytest.raises(UserError, match=reason) as caught:
        class_map(path, 3, PLAIN)
    assert str(path) in str(caught.value)


def test_jpeg_cannot_hold_classes_but_brightness(tmp_path: Path) -> None:
    disc = np.zeros((40, 40), np.uint8)
    disc[10:30, 10:30] = 255
    path = saved(tmp_path / "m.jpg", disc, quality=60)
    with pytest.raises(UserError, match=r"JPEG changes values \(\d+ levels"):
        class_map(path, 3, PLAIN)
    assert ((salient_map(path) > 128) == (disc > 0)).mean() > 0.98


def test_masks_of_0_and_255_have_the_second_of_two_classes(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", ROW[:, :2] * 255)
    legend = choose_legend(tmp_path, [path], 2, {})
    assert class_map(path, 2, legend).tolist() == [[0, 1]]
    assert class_map(path, 3, choose_legend(tmp_path, [path], 3, {})).tolist() == [[0, 255]]
    other = saved(tmp_path / "n.png", ROW)
    with pytest.raises(UserError, match=r"n\.png: holds the value 1 .*have only 0 and 255"):
        class_map(other, 2, legend)


def test_255_beside_1_does_not_count_and_maps_without_1_are_told(tmp_path: Path) -> None:
    with_void = saved(tmp_path / "a.png", np.array([[0, 1, 255]], np.uint8))
    binary = saved(tmp_path / "b.png", np.array([[0, 255]], np.uint8))
    assert choose_legend(tmp_path, [with_void], 2, {}) == PLAIN
    with pytest.warns(UserWarning, match="1 of 2 class maps hold 255 and no 1; 255 is ig"):
        assert choose_legend(tmp_path, [with_void, binary], 2, {}) == PLAIN


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_are_looked_up(tmp_path: Path, mode: str) -> None:
    colours = np.array([[(0, 0, 0), (0, 128, 0), (128, 0, 0), (224, 224, 192)]], np.uint8)
    image = Image.fromarray(colours)
    (image.quantize(4) if mode == "P" else image.convert(mode)).save(tmp_path / "m.png")
    legend = choose_legend(tmp_path, [tmp_path / "m.png"], 3, COLOURS)
    assert class_map(tmp_path / "m.png", 3, legend).tolist() == [[0, 2, 1, 255]]


def test_numbers_count_where_colours_are_known_but_not_used(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", ROW)
    assert choose_legend(tmp_path, [path], 3, COLOURS) == PLAIN


def test_a_colour_that_is_not_listed_is_named_with_its_pixels(tmp_path: Path) -> None:
    values = np.array([[(0, 0, 0), (7, 8, 9), (7, 8, 9), (1, 1, 2)]], np.uint8)
    path = saved(tmp_path / "m.png", values)
    with pytest.raises(UserError, match=r"colour 7 8 9 \(2 pixels\) and 1 other colours"):
        class_map(path, 3, choose_legend(tmp_path, [path], 3, COLOURS))


def test_colours_without_a_table_and_jpeg_are_refused_at_reading(tmp_path: Path) -> None:
    colours = saved(tmp_path / "m.png", np.array([[(0, 0, 0), (7, 8, 9)]], np.uint8))
    with pytest.raises(UserError, match=r"in colours; name the colours in classes\.txt"):
        choose_legend(tmp_path, [colours], 3, {})
    jpeg = saved(tmp_path / "m.jpg", ROW)
    with pytest.raises(UserError, match=r"none of 1 class maps can be used; .*JPEG changes"):
        choose_legend(tmp_path, [jpeg], 3, {})


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.array([[0, 1]], np.uint8), [0, 255]),
        (np.array([[0, 38]], np.uint8), [0, 255]),  # a red object in grey
        (np.array([[0, 0]], np.uint8), [0, 0]),
        (np.array([[1, 1]], np.uint8), [255, 255]),
        (np.array([[0, 100, 200]], np.uint8), [0, 100, 200]),
        (np.array([[0, 257 * 100, 65535]], np.uint16), [0, 100, 255]),
        (np.array([[0, 65535]], np.uint16), [0, 255]),
        (np.array([[0, 0.2, 1]], np.float32), [0, 51, 255]),
        (np.array([[(0, 0, 0), (90, 90, 90), (200, 200, 200)]], np.uint8), [0, 90, 200]),
        (np.array([[(0, 0, 0), (128, 0, 0)]], np.uint8), [0, 255]),
        (np.array([[(9, 9, 9, 0), (255, 255, 255, 255)]], np.uint8), [0, 255]),
        (np.array([[(255, 0), (255, 255), (255, 51)]], np.uint8), [0, 255, 51]),
    ],
)
def test_brightness_is_salience(tmp_path: Path, values: Any, found: list[int]) -> None:
    assert salient_map(saved(tmp_path / "m.tif", values)).tolist() == [found]


def test_whatever_is_not_black_in_a_palette_is_salient(tmp_path: Path) -> None:
    colours = [0, 0, 0, 128, 0, 0, 0, 128, 0]
    path = with_palette(tmp_path / "m.png", [[0, 1, 2]], colours)
    assert salient_map(path).tolist() == [[0, 255, 255]]
    path = with_palette(tmp_path / "m.png", [[1, 2]], colours)
    with pytest.raises(UserError, match="2 used colours, and it is unclear which are salient"):
        salient_map(path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[0, 1, 255]], np.uint8), "has 0, 1, 255, which are class indices"),
        (np.array([[0, 1, 2]], np.uint8), "its maximum is 2, so it is unclear what is salient"),
        (np.array([[0, 40, 90]], np.uint8), "its maximum is 90"),
        (np.array([[38, 38]], np.uint8), "its maximum is 38"),
        (np.array([[0, 5, 4000]], np.uint16), "its maximum is 4000"),
        (np.array([[-1, 5, 200]], np.float32), "so it is unclear what is salient"),
        (np.array([[0, np.nan]], np.float32), "not finite"),
        (np.array([[(0, 0, 0), (128, 0, 0), (0, 128, 0)]], np.uint8), "saliency map in colours"),
    ],
)
def test_maps_whose_salience_is_open_are_refused(tmp_path: Path, values: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        salient_map(saved(tmp_path / "m.tif", values))


@settings(deadline=None, max_examples=60)
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK"]),
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 80),
    table=st.booleans(),
)
def test_damaged_maps_give_a_map_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory,
    mode: str,
    changes: list[tuple[int, int]],
    cut: int,
    table: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.tif"
    ramp = np.arange(60, dtype=np.uint8).reshape(6, 10) % 3
    wide = {"I;16": np.uint16, "I": np.int32, "F": np.float32}.get(mode, np.uint8)
    image = Image.fromarray(ramp.astype(wide))
    (image if wide is not np.uint8 else image.convert(mode)).save(path)
    data = bytearray(path.read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    path.write_bytes(data[: len(data) - cut])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in (
            lambda: class_map(path, 3, choose_legend(path, [path], 3, COLOURS if table else {})),
            lambda: salient_map(path),
        ):
            try:
                found = read()
            except UserError as error:
                fault = str(error)
            else:
                fault = "" if (found.dtype, found.ndim) == (np.uint8, 2) else "\n"
            assert "\n" not in fault


def test_pixels_of_each_class(tmp_path: Path) -> None:
    maps = [np.array([[0, 1, 1, 255]], np.uint8), np.array([[2, 2, 2, 1]], np.uint8)]
    image = np.zeros((1, 4, 3), np.uint8)
    scenes = [
        Scene(name=f"{i}", image=image, classes=saved(tmp_path / f"{i}.png", each))
        for i, each in enumerate(maps)
    ]
    assert pixel_counts(scenes, "classes", 4, PLAIN).tolist() == [1, 3, 3, 0]
    grey = saved(tmp_path / "grey.png", np.array([[0, 100, 200, 255]], np.uint8))
    salient = [Scene(name="a", image=image, salient=grey)]
    assert pixel_counts(salient, "salient", 2, PLAIN).tolist() == [2, 2]
