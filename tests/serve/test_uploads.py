"""What somebody sent, as the pixels that a network takes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from res2net.data.preprocess import Reading
from res2net.serve.refusal import Refusal
from res2net.serve.uploads import read_upload

RAMP = np.linspace(0, 4000, 20 * 30).reshape(20, 30).astype(np.uint16)


def _bytes(values: np.ndarray[Any, Any], kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, values)
    else:
        Image.fromarray(values).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
def test_an_upload_is_read_with_the_range_and_channels_of_the_network(channels: int) -> None:
    reading = Reading(channels, (0.0, 4095.0))
    pixels = read_upload(_bytes(RAMP, "PNG"), "a.png", max_pixels=1000, reading=reading)
    assert pixels.shape == (20, 30, channels)
    assert np.abs(pixels - RAMP[..., None] / 4095 * 255).max() <= 0.51


@pytest.mark.filterwarnings("ignore:images of more than 8 bits")
def test_other_channels_and_too_many_pixels_are_refused() -> None:
    stack = _bytes(np.zeros((20, 30, 5), np.uint8), "npy")
    assert read_upload(stack, "a.npy", max_pixels=600, reading=Reading(5)).shape == (20, 30, 5)
    with pytest.raises(Refusal, match="30 x 20 pixels are more") as large:
        read_upload(stack, "a.npy", max_pixels=599, reading=Reading(5))
    assert large.value.status == 413
    with pytest.raises(Refusal, match="has 1 band, but 5 are needed") as other:
        read_upload(_bytes(RAMP, "PNG"), "a.png", max_pixels=600, reading=Reading(5))
    assert other.value.status == 422
