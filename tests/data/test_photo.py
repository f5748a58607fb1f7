"""Odd photos through Pillow and NumPy: values, rotation, faults."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from res2net.data import levels, photo
from res2net.data.decode import decode
from res2net.data.scenes.mapfile import salient_map
from res2net.errors import UserError

RAMP = np.linspace(0, 1, 24 * 40).reshape(24, 40)  # (H, W), dark to bright


def colors() -> Image.Image:
    """A smooth picture that differs under every rotation and flip."""
    y, x = np.mgrid[0:24, 0:40]
    return Image.fromarray(np.stack([x * 6, y * 10, (x + y) * 4], -1).astype(np.uint8))


@pytest.mark.filterwarnings("ignore:images of more than 8 bits")
@pytest.mark.parametrize(
    ("values", "ending"),
    [
        ((RAMP * 4095).astype(np.uint16), ".png"),
        ((RAMP * 4095).astype(np.uint16), ".tif"),
        ((RAMP * 1023).astype(np.int32), ".tif"),
        ((RAMP * 16383).astype(np.uint16), ".png"),
        ((RAMP * 255).astype(np.uint16), ".png"),
        ((RAMP * 2000 + 29000).astype(np.uint16), ".png"),  # hundredths of a kelvin
        ((RAMP * 18 + 20).astype(np.float32), ".tif"),  # degrees
        ((RAMP * 39 - 1).astype(np.float32), ".tif"),
        ((RAMP * 260).astype(np.float32), ".tif"),
        ((RAMP * 1e6).astype(np.int32), ".tif"),
        ((RAMP * 65535).astype(np.uint16), ".png"),
        ((RAMP * 65535).astype(np.uint16), ".tif"),
        ((RAMP * 65535).astype(">u2"), ".tif"),
        ((RAMP * 65535).astype(np.int32), ".tif"),
        (RAMP.astype(np.float32), ".tif"),
        ((RAMP * 255).astype(np.float32), ".tif"),
        ((RAMP * 3000 - 1000).astype(np.float32), ".tif"),
        ((RAMP * 255).astype(np.uint8), ".png"),
    ],
)
def test_grey_of_any_depth_is_scaled_not_clipped(
    tmp_path: Path, values: np.ndarray[Any, Any], ending: str
) -> None:
    file = tmp_path / f"ramp{ending}"
    Image.fromarray(values).save(file)
    pixels = photo.read_rgb(file)
    assert pixels.shape == (24, 40, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels - (RAMP * 255)[..., None]).max() <= 1.01


def test_what_is_scaled_by_its_own_range_is_said_once(tmp_path: Path) -> None:
    for name, top in (("a", 4095), ("b", 4095), ("c", 65535)):
        Image.fromarray((RAMP * top).astype(np.uint16)).save(tmp_path / f"{name}.png")
    levels.told.clear()
    with pytest.warns(UserWarning, match="images of more than 8 bits are scaled") as said:
        pixels = [photo.read_rgb(tmp_path / f"{name}.png") for name in "abc"]
    assert len(said) == 1
    assert all(len(np.unique(each)) == 256 for each in pixels)
    assert [photo.is_rescaled(tmp_path / f"{name}.png") for name in "abc"] == [True, True, False]
    assert not photo.is_rescaled(tmp_path / "nowhere.png")


@pytest.mark.filterwarnings("ignore:images of more than 8 bits")
@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("top", [4095, 65535])
def test_colours_of_16_bits_keep_their_levels(tmp_path: Path, channels: int, top: int) -> None:
    values = np.repeat((RAMP * top).astype(np.uint16)[..., None], channels, axis=2)
    if channels != 3:
        values[..., -1] = 65535
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", 40, 24, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in parts:
        check = struct.pack(">I", zlib.crc32(name + content))
        data += struct.pack(">I", len(content)) + name + content + check
    (tmp_path / "a.png").write_bytes(data)
    pixels = photo.read_rgb(tmp_path / "a.png")
    assert np.abs(pixels - (RAMP * 255)[..., None]).max() <= 1.01


@pytest.mark.parametrize("orientation", [1, 6])
def test_photos_of_phones(tmp_path: Path, orientation: int) -> None:
    plugin = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    plugin.register_heif_opener()
    file = tmp_path / "a.heic"
    colors().save(file, "HEIF", exif=exif.tobytes(), quality=95)
    expected = np.asarray(colors() if orientation == 1 else colors().transpose(photo._TURNS[6]))
    assert np.abs(photo.read_rgb(file).astype(int) - expected).mean() < 4
    assert photo.probe(file).size == expected.shape[:2]


def test_a_photo_of_a_phone_names_the_plugin_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo, "_known_formats", lambda: ("JPEG", "PNG"))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    photo._add_heif.cache_clear()
    for brand, remedy in (("heic", r"res2net\[heic\]"), ("avif", "Pillow 11.3")):
        file = tmp_path / f"a.{brand}"
        file.write_bytes(b"\0\0\0\x18ftyp" + brand.encode() + b"\0" * 40)
        for read in (photo.read_rgb, photo.probe, photo.image_size, decode):
            with pytest.raises(UserError, match=rf"a\.{brand}: .*{remedy}"):
                read(file)
        assert file.suffix in photo.EXTENSIONS


def test_colours_that_are_not_converted_are_told(tmp_path: Path) -> None:
    Image.new("LAB", (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif: its colours are stored as LAB"):
        photo.read_rgb(tmp_path / "a.tif")


@pytest.mark.filterwarnings("ignore:images of more than 8 bits")
@settings(deadline=None)
@given(
    st.sampled_from(["int8", "int16", "uint16", "int32", "int64", "uint64", "float32", "float64"]),
    st.lists(st.floats(width=32) | st.floats(-300, 70000), min_size=1, max_size=4),
)
def test_numbers_of_any_type_give_pixels_or_a_value_error(dtype: str, values: list[float]) -> None:
    with np.errstate(all="ignore"):
        array = np.array([values]).astype(dtype)
        try:
            pixels = photo.array_to_pixels(array)
        except ValueError:
            assert not np.isfinite(array).all() or np.ptp(array.astype(float)) == np.inf
        else:
            order = np.argsort(array[0], kind="stable")
            assert (np.diff(pixels[0, order, 0].astype(int)) >= 0).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_composited_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
    image.paste((40, 40, 40, 255), (0, 0, 2, 2))
    file = tmp_path / "a.png"
    (image.convert("LA") if mode == "LA" else image).convert("RGBA" if mode == "PA" else mode).save(
        file
    )
    pixels = photo.read_rgb(file)
    assert (pixels[:, 2:] == 255).all()
    assert (pixels[:, :2] == 40).all()


def test_palette_with_a_transparent_color(tmp_path: Path) -> None:
    image = Image.new("P", (4, 2), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (0, 0, 2, 2))
    image.save(tmp_path / "opaque.png")
    image.save(tmp_path / "clear.png", transparency=0)
    assert (
        photo.read_rgb(tmp_path / "opaque.png")[0].tolist()
        == [[200, 100, 50]] * 2 + [[10, 20, 30]] * 2
    )
    assert (
        photo.read_rgb(tmp_path / "clear.png")[0].tolist()
        == [[200, 100, 50]] * 2 + [[255, 255, 255]] * 2
    )


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png"])
def test_first_frame_of_an_animation(tmp_path: Path, ending: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    file = tmp_path / f"a{ending}"
    options = {"lossless": True} if ending == ".webp" else {}
    frames[0].save(file, save_all=True, append_images=frames[1:], **options)
    assert (photo.read_rgb(file) == [255, 0, 0]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg", ".webp"])
def test_exif_rotation(tmp_path: Path, ending: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"a{ending}"
    colors().save(file, exif=exif)
    with Image.open(file) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert (photo.read_rgb(file) == expected).all()
    assert photo.read_rgb(file).shape == ((24, 40, 3) if orientation < 5 else (40, 24, 3))


def test_wrong_checksum_of_png_pixels_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    colors().save(file)
    data = bytearray(file.read_bytes())
    start = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    data[start + 4 + length] ^= 1  # first byte of the checksum
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.png: a damaged or truncated image"):
        photo.read_rgb(file)


def encoded(format: str) -> bytes:
    file = io.BytesIO()
    colors().save(file, format)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (encoded("JPEG")[:-60], "truncated"),
        (encoded("PNG")[:-60], "truncated"),
        (encoded("PNG")[:-12], "truncated"),
        (encoded("WEBP")[:-60], "truncated"),
    ],
)
def test_faults_name_the_file_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "x.jpg"
    file.write_bytes(content)
    for read in (photo.read_rgb, photo.probe):
        with pytest.raises(UserError, match=reason) as caught:
            read(file)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.png", tmp_path):
        with pytest.raises(UserError, match="cannot read it"):
            photo.read_rgb(path)


def test_what_is_no_plain_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket.jpg"))
        for name, kind in (("pipe", "a named pipe"), ("zero", "a device"), ("socket", "a socket")):
            for read in (photo.read_rgb, photo.probe, photo.read_bytes, salient_map):
                with pytest.raises(UserError, match=f"{name}.jpg: cannot read it: {kind}"):
                    read(tmp_path / f"{name}.jpg")


def test_a_file_that_is_larger_than_any_image_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.jpg").open("wb") as file:
        file.truncate(5 << 30)  # takes no room
    with pytest.raises(UserError, match=r"x\.jpg: too large \(5 GiB; at most 1 GiB\)"):
        photo.read_rgb(tmp_path / "x.jpg")


def test_a_file_that_would_have_a_program_run_is_no_image(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "x.eps")
    for read in (photo.read_rgb, salient_map):
        with pytest.raises(UserError, match="not an image"):
            read(tmp_path / "x.eps")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_image_gives_pixels_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(encoded(data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / "x.jpg"
    file.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    for read in (photo.read_rgb, photo.probe, decode):
        with contextlib.suppress(UserError):
            read(file)


def test_decompression_bomb(tmp_path: Path) -> None:
    data = bytearray(encoded("BMP"))
    data[18:26] = struct.pack("<ii", 60_000, 60_000)
    (tmp_path / "bomb.bmp").write_bytes(data)
    with pytest.raises(UserError, match=r"bomb\.bmp: Image size \(3600000000 pixels\)"):
        photo.read_rgb(tmp_path / "bomb.bmp")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "bool"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_arrays(dtype: str, shape: tuple[int, ...]) -> None:
    full = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    array = np.full(shape, full, dtype=dtype)
    array[0] = 0
    if shape[-1] == 4:
        array[..., 3] = full
    pixels = photo.array_to_pixels(array)
    assert pixels.shape == (5, 7, 3)
    assert (pixels[0] == 0).all()
    assert (pixels[1:] == 255).all()


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 5, 7)), "\\(3, 5, 7\\) has 7 bands, but 3 are needed"),
        (np.zeros((0, 7, 3)), "got \\(0, 7, 3\\)"),
        (np.zeros(4), "got \\(4,\\)"),
        (np.full((2, 2), np.nan), "NaN"),
        (np.zeros((2, 2), dtype=complex), "complex128"),
    ],
)
def test_arrays_that_are_no_images(array: np.ndarray[Any, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        photo.array_to_pixels(array)


@pytest.mark.filterwarnings("ignore")  # Pillow's, about damaged EXIF blocks and the like
@settings(deadline=None)
@given(
    format=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]),
    cut=st.integers(0, 400),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=5),
)
def test_damaged_files_give_an_image_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory,
    format: str,
    cut: int,
    changes: list[tuple[int, int]],
) -> None:
    data = bytearray(encoded(format))
    for position, value in changes:
        data[position % len(data)] = value
    file = tmp_path_factory.getbasetemp() / "damaged"
    file.write_bytes(data[: len(data) - cut])
    pixels, fault = None, None
    try:
        pixels = photo.read_rgb(file)
    except UserError as error:
        fault = str(error)
    if pixels is None:
        assert fault is not None
        assert str(file) in fault
        assert "\n" not in fault
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[-1] == 3
