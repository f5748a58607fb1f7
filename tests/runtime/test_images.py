"""The runtime shapes images as evaluation in PyTorch does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from res2net.data.decode import as_pixels, decode
from res2net.data.preprocess import Preprocess, default_preprocess
from res2net.data.transforms import eval_transform
from res2net.runtime.images import shaped


def _apart(pixels: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    theirs = eval_transform(preprocess)(as_pixels(pixels)).permute(1, 2, 0).numpy()
    ours = shaped(pixels, preprocess)
    assert ours.shape == theirs.shape
    return np.abs(ours.astype(int) - theirs.astype(int))


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 120),
    width=st.integers(1, 120),
    size=st.sampled_from([32, 48, 65]),
    bicubic=st.booleans(),
)
def test_any_shape_is_what_training_made_of_it(
    height: int, width: int, size: int, bicubic: bool
) -> None:
    chance = np.random.default_rng(height * 1000 + width)
    pixels = chance.integers(0, 255, (height, width, 3), dtype=np.uint8)
    preprocess = default_preprocess(size)
    if bicubic:
        preprocess = Preprocess(**{**preprocess.as_dict(), "interpolation": "bicubic"})
    apart = _apart(pixels, preprocess)
    # levels of 255; noise is the hardest picture there is: bicubic overshoots, and Pillow cuts that
    # off after each of its two passes
    assert apart.max() <= (48 if bicubic else 2)
    assert apart.mean() < 0.5


def test_a_large_photo_is_decoded_smaller_and_looks_the_same(tmp_path: Path) -> None:
    y, x = np.mgrid[0:1200, 0:1600]
    waves = np.stack([np.sin(x / 90), np.cos(y / 70), np.sin((x + y) / 120)], axis=-1)
    Image.fromarray((127 * (waves + 1)).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    preprocess = default_preprocess(224)
    theirs = eval_transform(preprocess)(decode(tmp_path / "a.jpg", min_side=preprocess.decode_side))
    ours = shaped(tmp_path / "a.jpg", preprocess).astype(int)
    assert np.abs(ours - theirs.permute(1, 2, 0).numpy().astype(int)).max() <= 3


def test_something_else_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="an image is a path"):
        shaped(3, default_preprocess(32))  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_every_band_is_resized_as_in_training(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 83, channels), np.uint8)
    preprocess = replace(default_preprocess(224), mean=(0.5,) * channels, std=(0.2,) * channels)
    ours = shaped(pixels, preprocess)
    reading = preprocess.reading
    theirs = eval_transform(preprocess)(as_pixels(pixels, reading)).permute(1, 2, 0).numpy()
    assert ours.shape == theirs.shape == (224, 224, channels)
    assert np.abs(ours.astype(int) - theirs).max() <= 2
