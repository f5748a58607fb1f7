"""What the training images decide for a run: range, channels, mean and deviation."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from res2net.data import levels, photo
from res2net.data.preprocess import IMAGENET_MEAN, Preprocess, Reading, default_preprocess
from res2net.data.values import LOOKED, fit_to_values
from res2net.errors import UserError

RAMP = np.linspace(0, 1, 24 * 40).reshape(24, 40)  # (H, W), dark to bright
PLAIN = default_preprocess(32)


def saved(folder: Path, name: str, values: np.ndarray[Any, Any]) -> Path:
    """The file, in the format of its ending."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    if file.suffix == ".npy":
        np.save(file, values)
    else:
        Image.fromarray(values).save(file)
    return file


def fitted(files: list[Path], **options: Any) -> Preprocess:
    return fit_to_values(PLAIN, files, "folder:x", **options)


@pytest.mark.parametrize(
    ("dtype", "ending", "lows", "highs", "expected"),
    [
        (np.uint16, ".png", (0, 100), (900, 4095), (0, 4095)),  # 12 bits in 16
        (np.uint16, ".tif", (0, 100), (900, 3000), (0, 4095)),
        (np.uint16, ".png", (0, 100), (900, 65535), (0, 65535)),
        (np.uint16, ".png", (29000, 29100), (30000, 31000), (29000, 31000)),  # a thermal camera
        (np.float32, ".tif", (20, 21), (30, 38), (20, 38)),  # degrees
        (np.float32, ".tif", (-1, 0), (30, 38), (-1, 38)),
        (np.float32, ".tif", (0, 0), (0.5, 0.9), (0, 1)),
        (np.float32, ".npy", (0, 0), (200, 255), (0, 255)),
        (np.int32, ".tif", (0, 0), (1000, 70000), (0, 70000)),
    ],
)
def test_one_range_holds_for_all_images(
    tmp_path: Path,
    dtype: type,
    ending: str,
    lows: tuple[float, float],
    highs: tuple[float, float],
    expected: tuple[float, float],
) -> None:
    scaled = [RAMP * (high - low) + low for low, high in zip(lows, highs, strict=True)]
    files = [saved(tmp_path, f"{i}{ending}", each.astype(dtype)) for i, each in enumerate(scaled)]
    found = fitted(files, channels=3)
    assert found.range == expected
    start, end = expected
    for file, values in zip(files, scaled, strict=True):
        levels_ = photo.read_pixels(file, reading=found.reading)[..., 0]
        exact = (values.astype(dtype).astype(float) - start) / (end - start) * 255
        assert np.abs(levels_ - exact).max() <= 0.51


def test_images_of_8_bits_change_nothing(tmp_path: Path) -> None:
    files = [saved(tmp_path, f"{i}.png", (RAMP * 255).astype(np.uint8)) for i in range(3)]
    files.append(saved(tmp_path, "rgb.jpg", np.zeros((8, 8, 3), np.uint8)))
    assert fitted(files) == PLAIN
    assert fit_to_values(PLAIN, np.zeros((2, 8, 8, 3), np.uint8), "cifar10") == PLAIN
    with pytest.raises(UserError, match="--input.range is for images of more than 8 bits"):
        fitted(files, within=(0, 100))


def test_images_of_8_and_more_bits_together_are_told(tmp_path: Path) -> None:
    files = [saved(tmp_path, "a.png", (RAMP * 255).astype(np.uint8))]
    files.append(saved(tmp_path, "b.png", (RAMP * 4000).astype(np.uint16)))
    with pytest.warns(UserWarning, match=r"1 of 2 sampled .* have 8 bits and stay.*a\.png.*b\.png"):
        found = fitted(files)
    assert found.range == (0, 4095)
    narrow = photo.read_pixels(files[0], reading=found.reading)
    assert (narrow[..., 0] == (RAMP * 255).astype(np.uint8)).all()


def test_a_range_that_is_given_is_taken_and_what_lies_beyond_is_counted(tmp_path: Path) -> None:
    values = np.array([[0, 1000, 2000, 3000]], np.uint16)
    found = fitted([saved(tmp_path, "a.png", values)], within=(1000, 2000))
    assert found.range == (1000, 2000)
    levels.clipped.clear()
    with pytest.warns(
        UserWarning, match=r"2 of 4 values .* outside the range 1000\.\.2000"
    ) as said:
        pixels = [photo.read_pixels(tmp_path / "a.png", reading=found.reading) for _ in "ab"]
    assert len(said) == 1
    assert pixels[1][0, :, 0].tolist() == [0, 0, 255, 255]


def test_a_network_of_more_bits_says_that_8_bits_stay(tmp_path: Path) -> None:
    file = saved(tmp_path, "a.png", (RAMP * 255).astype(np.uint8))
    levels.narrow.clear()
    with pytest.warns(UserWarning, match="8-bit images stay unchanged"):
        photo.read_pixels(file, reading=Reading(3, (0.0, 4095.0)))


def test_a_dead_pixel_is_told_with_the_range_that_would_do(tmp_path: Path) -> None:
    values = (RAMP * 300 + 100).astype(np.uint16)
    values[0, 0] = 65535
    with pytest.warns(UserWarning, match=r"99\.8 % of the values lie in .*--input\.range 1"):
        assert fitted([saved(tmp_path, "a.png", values)]).range == (0, 65535)


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_arrays_have_their_own_channels_with_mean_and_deviation_of_each(
    tmp_path: Path, count: int
) -> None:
    chance = np.random.default_rng(0)
    stored = [chance.integers(0, 200, (8, 9, count)).astype(np.uint8) for _ in range(5)]
    files = [saved(tmp_path, f"{i}.npy", each) for i, each in enumerate(stored)]
    found = fitted(files)
    assert found.channels == count
    assert found.mean == pytest.approx(np.mean(stored, (0, 1, 2)) / 255, abs=1e-5)
    assert found.std == pytest.approx(np.std(stored, (0, 1, 2)) / 255, abs=1e-5)
    assert found.range is None


def test_photos_become_grey_where_one_channel_is_asked_for(tmp_path: Path) -> None:
    file = saved(tmp_path, "a.png", np.dstack([(RAMP * 255).astype(np.uint8)] * 3))
    found = fitted([file], channels=1)
    assert found.mean == pytest.approx([np.floor(RAMP * 255).mean() / 255], abs=1e-5)
    assert photo.read_pixels(file, reading=found.reading).shape == (24, 40, 1)
    assert fitted([file]).mean == IMAGENET_MEAN


def test_transparency_is_a_fourth_channel_where_four_are_asked_for(tmp_path: Path) -> None:
    values = np.dstack([(RAMP * 255).astype(np.uint8)] * 4)
    file = saved(tmp_path, "a.png", values)
    assert fitted([file]).channels == 3
    found = fitted([file], channels=4)
    assert (photo.read_pixels(file, reading=found.reading) == values).all()


def test_bands_that_do_not_fit_are_told_before_the_first_step(tmp_path: Path) -> None:
    file = saved(tmp_path, "a.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r"a\.png: an image .* has 3 bands, but 4 are needed"):
        fitted([file], channels=4)
    other = saved(tmp_path, "b.npy", np.zeros((8, 8, 5), np.uint8))
    with pytest.raises(UserError, match=r"different numbers of bands: 1 of 3 .*, 1 of 5 .*b\.npy"):
        fitted([file, other])


def test_a_channel_without_contrast_is_told(tmp_path: Path) -> None:
    values = np.dstack([RAMP * 4000, RAMP * 10]).astype(np.uint16)
    with pytest.warns(UserWarning, match="nearly constant channels.* 2 of 2"):
        found = fitted([saved(tmp_path, "a.npy", values)])
    assert min(found.std) > 0


def test_pages_are_told(tmp_path: Path) -> None:
    pages = [Image.fromarray((RAMP * 255).astype(np.uint8)) for _ in range(5)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match=r"1 of 1 .*more than one page.*--input\.channels 5"):
        assert fitted([tmp_path / "a.tif"]).channels == 3


def test_no_more_than_a_sample_is_read(tmp_path: Path) -> None:
    file = saved(tmp_path, "a.png", (RAMP * 4000).astype(np.uint16))
    files = [file] * LOOKED + [tmp_path / "missing.png"]  # the last of 257 is not looked at
    assert fitted(files).range == (0, 4095)


def test_what_cannot_be_read_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fitted([tmp_path / "bad.png"]) == PLAIN
