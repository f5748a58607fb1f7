"""Files to tensors: the fast decoder against Pillow, reduced scales, whatever callers hand over."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from res2net.data import photo
from res2net.data.decode import as_pixels, decode
from res2net.errors import UserError

MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"]
ENDING = {"CMYK": ".jpg", "YCbCr": ".jpg", "I": ".tif", "F": ".tif"}


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_jpeg_is_pixel_for_pixel_pillows(tmp_path: Path, mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "a.jpg"
    noise(33, 20).convert(mode).save(file, exif=exif)
    assert (decode(file).permute(1, 2, 0).numpy() == photo.read_rgb(file)).all()


def test_real_photos_are_pixel_for_pixel_pillows(sample_photos: list[Path]) -> None:
    assert len(sample_photos) == 2
    check_against_pillow(sample_photos)


def test_many_real_photos_are_pixel_for_pixel_pillows(shared_data: Path) -> None:
    files = sorted((shared_data / "imagenette224" / "val").glob("*/*.JPEG"))[::10]
    assert len(files) == 25
    check_against_pillow(files)


def check_against_pillow(files: list[Path]) -> None:
    for file in files:
        with Image.open(file) as image:
            expected = np.asarray(image.convert("RGB"))
        assert (decode(file).permute(1, 2, 0).numpy() == expected).all()


def test_cmyk_is_not_inverted(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (250, 10, 10)).convert("CMYK").save(tmp_path / "red.jpg")
    red, green, blue = decode(tmp_path / "red.jpg").float().mean(dim=(1, 2)).tolist()
    assert red > 240
    assert max(green, blue) < 20


@pytest.mark.parametrize(
    ("min_side", "short"),
    [(None, 600), (600, 600), (301, 600), (300, 300), (151, 300), (150, 150), (10, 75)],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_reduced_scale_keeps_the_short_side(
    tmp_path: Path, min_side: int | None, short: int, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (800, 600), (200, 100, 50)).save(tmp_path / "a.jpg", exif=exif)
    image = decode(tmp_path / "a.jpg", min_side=min_side)
    long = short * 4 // 3
    assert image.shape == ((3, short, long) if orientation == 1 else (3, long, short))
    assert (image.float().mean(dim=(1, 2)) - torch.tensor([200.0, 100, 50])).abs().max() < 3


def test_png_is_not_reduced(tmp_path: Path) -> None:
    noise(80, 60).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", min_side=10).shape == (3, 60, 80)


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    noise(9, 7).save(tmp_path / "really_png.jpg", "PNG")
    assert (decode(tmp_path / "really_png.jpg").permute(1, 2, 0).numpy() == noise(9, 7)).all()


def test_truncated_jpeg(tmp_path: Path) -> None:
    file = tmp_path / "half.jpg"
    noise(64, 64).save(file)
    file.write_bytes(file.read_bytes()[:1500])
    with pytest.raises(UserError, match=r"half\.jpg: a damaged or truncated image"):
        decode(file)


def test_decoding_says_nothing(tmp_path: Path) -> None:
    noise(8, 8).save(tmp_path / "a.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(tmp_path / "a.jpg")


@pytest.mark.filterwarnings("ignore:images of more than 8 bits")
@settings(deadline=None)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    mode=st.sampled_from(MODES),
    seed=st.just(3),
)
def test_any_size_and_mode(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, mode: str, seed: int
) -> None:
    image = noise(width, height, seed)
    image = (image.convert("L") if mode in ("I;16", "I", "F") else image).convert(mode)
    file = tmp_path_factory.getbasetemp() / f"any{ENDING.get(mode, '.png')}"
    image.save(file)
    for tensor in (decode(file), as_pixels(image)):
        assert tensor.shape == (3, height, width)
        assert tensor.dtype == torch.uint8


def test_every_kind_of_image_is_the_same_image(tmp_path: Path) -> None:
    image = noise(12, 10)
    image.save(tmp_path / "a.png")
    array = np.asarray(image)  # (10, 12, 3), read-only
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    candidates: list[Any] = [
        str(tmp_path / "a.png"),
        tmp_path / "a.png",
        image,
        array,
        array[:, ::-1][:, ::-1],
        tensor,
        tensor.float() / 255,
        np.dstack([array, np.full((10, 12), 255, np.uint8)]),
    ]
    for candidate in candidates:
        assert torch.equal(as_pixels(candidate), tensor)


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (3, 4, 6), (4, 4, 6)])
def test_tensors(shape: tuple[int, ...]) -> None:
    assert as_pixels(torch.full(shape, 255, dtype=torch.uint8)).shape == (3, 4, 6)


def test_grey_array_has_three_equal_channels() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert as_pixels(grey).tolist() == [grey.tolist()] * 3


def test_a_callers_image_is_left_alone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(12, 10).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        assert as_pixels(image).shape == (3, 12, 10)
        assert image.size == (12, 10)


def test_what_is_no_image() -> None:
    with pytest.raises(ValueError, match=r"got \(2, 4, 6\)"):
        as_pixels(torch.zeros(2, 4, 6))
    with pytest.raises(TypeError, match="list"):
        as_pixels([1, 2, 3])  # type: ignore[arg-type]
