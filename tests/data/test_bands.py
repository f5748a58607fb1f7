"""TIFF of several bands or odd numbers and NumPy arrays: every value is the one written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from res2net.data import bands, levels, photo
from res2net.data.preprocess import Reading
from res2net.errors import UserError

H, W = 6, 8
RAMP = np.arange(H * W).reshape(H, W)


def stack_of(values: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """(H, W) → (H, W, count), every band another."""
    return np.stack([values * (band + 1) // count for band in range(count)], -1)


def written(path: Path, values: np.ndarray[Any, Any], **options: Any) -> Path:
    pytest.importorskip("tifffile").imwrite(path, values, **options)
    return path


SCALE = {"int8": 1, "uint16": 1000, "int16": 500, "uint32": 80_000_000, "int32": 40_000_000}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [*SCALE, "float16", "float32", "float64"])
def test_grey_of_every_type_keeps_its_order_of_values(
    tmp_path: Path, dtype: str, order: str
) -> None:
    values = (RAMP * SCALE.get(dtype, 1)).astype(dtype)
    file = written(tmp_path / "a.tif", values, byteorder=order)
    top = float(values.max())
    pixels = photo.read_pixels(file, reading=Reading(3, (0.0, top)))
    assert np.abs(pixels[..., 0] - RAMP / RAMP.max() * 255).max() <= 0.51
    _, stored = photo.stored(file)
    assert stored is not None
    assert (np.squeeze(stored) == values).all()


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "rgb", "planarconfig": "separate"},  # Pillow scrambles these
        {"photometric": "rgb", "planarconfig": "contig"},
        {"photometric": "minisblack", "planarconfig": "contig"},
        {"photometric": "rgb", "planarconfig": "contig", "compression": "zlib", "predictor": True},
    ],
)
def test_colours_of_16_bits_in_any_layout(tmp_path: Path, options: dict[str, Any]) -> None:
    values = stack_of(RAMP * 80, 3).astype(np.uint16)
    planar = options.get("planarconfig") == "separate"
    file = written(tmp_path / "a.tif", np.moveaxis(values, 2, 0) if planar else values, **options)
    pixels = photo.read_pixels(file, reading=Reading(3, (0.0, 4095.0)))
    assert np.abs(pixels - values / 4095 * 255).max() <= 0.51


@pytest.mark.parametrize("count", [2, 4, 5, 12])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_every_band_is_a_channel(tmp_path: Path, count: int, planar: str) -> None:
    values = stack_of(RAMP * 4, count).astype(np.uint8)
    written(
        *(tmp_path / "a.tif", np.moveaxis(values, 2, 0) if planar == "separate" else values),
        photometric="minisblack",
        planarconfig=planar,
    )
    assert (photo.read_pixels(tmp_path / "a.tif", reading=Reading(count)) == values).all()
    assert photo.image_size(tmp_path / "a.tif") == (H, W)
    assert photo.probe(tmp_path / "a.tif").mode == f"{count} bands"
    with (tmp_path / "a.tif").open("rb") as file:
        found = bands.describe(file)
    assert found is not None
    assert found.own_channels == count


def test_a_fourth_band_beside_the_colours_is_no_transparency(tmp_path: Path) -> None:
    values = stack_of(RAMP * 4, 4).astype(np.uint8)
    near = written(tmp_path / "n.tif", values, photometric="rgb", extrasamples=("unspecified",))
    clear = written(tmp_path / "c.tif", values, photometric="rgb", extrasamples=("unassalpha",))
    assert (photo.read_pixels(near, reading=Reading(4)) == values).all()
    levels.cut.clear()
    with pytest.warns(UserWarning, match="the first three are taken"):
        assert (photo.read_pixels(near) == values[..., :3]).all()
    assert (photo.read_pixels(clear) != values[..., :3]).any()  # on white
    for file, own in ((near, 4), (clear, None)):
        with file.open("rb") as opened:
            found = bands.describe(opened)
        assert found is not None
        assert found.own_channels == own


def test_pages_are_bands_where_as_many_channels_are_asked_for(tmp_path: Path) -> None:
    values = stack_of(RAMP * 80, 5).astype(np.uint16)
    file = written(tmp_path / "a.tif", np.moveaxis(values, 2, 0), photometric="minisblack")
    pixels = photo.read_pixels(file, reading=Reading(5, (0.0, 4095.0)))
    assert np.abs(pixels - values / 4095 * 255).max() <= 0.51
    first = photo.read_pixels(file, reading=Reading(3, (0.0, 4095.0)))
    assert np.abs(first - values[..., :1] / 4095 * 255).max() <= 0.51


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stacks_are_turned_like_photos(tmp_path: Path, orientation: int) -> None:
    values = stack_of(RAMP * 4, 3).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(values).save(tmp_path / "photo.tif", exif=exif)
    four = np.dstack([values, values[..., 0]])
    written(
        *(tmp_path / "stack.tif", four),
        photometric="minisblack",
        planarconfig="contig",
        extratags=[(274, "H", 1, orientation, True)],
    )
    pixels = photo.read_pixels(tmp_path / "stack.tif", reading=Reading(4))
    assert (pixels[..., :3] == photo.read_pixels(tmp_path / "photo.tif")).all()
    assert photo.image_size(tmp_path / "stack.tif") == pixels.shape[:2]


def test_an_array_that_tifffile_wrote_row_by_row(tmp_path: Path) -> None:
    values = stack_of(np.arange(40 * 30).reshape(40, 30) % 251, 5).astype(np.uint8)
    file = written(tmp_path / "a.tif", values, photometric="minisblack")  # 40 pages of 30 x 5
    assert (photo.read_pixels(file, reading=Reading(5)) == values).all()
    assert photo.image_size(file) == (40, 30)


def test_white_is_zero_where_the_file_says_so(tmp_path: Path) -> None:
    file = written(tmp_path / "a.tif", (RAMP * 1000).astype(np.uint16), photometric="miniswhite")
    pixels = photo.read_pixels(file, reading=Reading(3, (0.0, 65535.0)))
    assert (np.diff(pixels[..., 0].ravel().astype(int)) <= 0).all()
    assert pixels.max() == 255


def test_a_bigtiff_is_read(tmp_path: Path) -> None:
    values = stack_of(RAMP * 4, 5).astype(np.uint8)
    file = written(tmp_path / "a.tif", values, planarconfig="contig", bigtiff=True)
    assert (photo.read_pixels(file, reading=Reading(5)) == values).all()


@pytest.mark.parametrize("shape", [(H, W), (H, W, 1), (H, W, 2), (H, W, 3), (H, W, 7)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numpy(tmp_path: Path, shape: tuple[int, ...], order: str) -> None:
    values = np.resize(RAMP * 5, shape).astype(np.uint8)
    np.save(tmp_path / "a.npy", np.asarray(values, order=order))  # type: ignore[call-overload]
    count = shape[2] if len(shape) == 3 else 1
    pixels = photo.read_pixels(tmp_path / "a.npy", reading=Reading(count))
    assert (pixels == values.reshape(H, W, count)).all()


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 40, 40), np.uint8), r"looks like \(channels, H, W\)"),
        (np.zeros((2, 3, 4, 5)), "images have"),
        (np.zeros(7), "images have"),
        (np.zeros((0, 4)), "images have"),
        (np.zeros((4, 4), complex), "images need numbers"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.zeros((4, 4, 2), np.uint8), "has 2 bands, but 3 are needed"),
    ],
)
def test_arrays_that_are_no_images_are_told_in_a_line(
    tmp_path: Path, array: np.ndarray[Any, Any], reason: str
) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=f"a.npy: .*{reason}"):
        photo.read_pixels(tmp_path / "a.npy")


def test_nothing_is_unpickled_and_nothing_beyond_the_file_is_taken(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(UserError, match="images need numbers"):
        photo.read_pixels(tmp_path / "a.npy")
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 20, 3)}
    )
    (tmp_path / "b.npy").write_bytes(file.getvalue())
    with pytest.raises(UserError, match="b.npy: a damaged or truncated image"):
        photo.read_pixels(tmp_path / "b.npy")


@pytest.mark.filterwarnings("ignore")  # Pillow, about damaged tags
def test_a_damaged_stack_gives_values_or_a_line(tmp_path: Path) -> None:
    whole = bytearray(
        written(
            tmp_path / "a.tif",
            stack_of(RAMP * 4, 5).astype(np.uint8),
            planarconfig="contig",
            compression="zlib",
        ).read_bytes()
    )
    chance = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for place in chance.integers(0, len(data), 3):
            data[place] = chance.integers(0, 256)
        (tmp_path / "x.tif").write_bytes(data[: chance.integers(8, len(data))])
        pixels, fault = None, f"{tmp_path / 'x.tif'}: "
        try:
            pixels = photo.read_pixels(tmp_path / "x.tif", reading=Reading(5))
        except UserError as error:
            fault = str(error)
        assert pixels is None or pixels.shape[2] == 5
        assert fault.startswith(f"{tmp_path / 'x.tif'}: ")
        assert "\n" not in fault


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "a.tif", stack_of(RAMP, 5).astype(np.uint8), planarconfig="contig")
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(UserError, match=r"a\.tif: a TIFF of 5 band.*pip install 'res2net\[tiff\]'"):
        photo.read_pixels(file, reading=Reading(5))
