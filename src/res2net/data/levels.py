"""Convert numbers of any type to the 256 levels that networks take. No torch."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data.preprocess import Reading

FEW = 32  # levels; images that would keep fewer are stretched


def to_uint8(
    array: npt.NDArray[Any], within: tuple[float, float] | None = None
) -> npt.NDArray[np.uint8]:
    """Scale numbers of any type to 0..255; one rule for training, prediction and serving.

    uint8 stays, bool becomes 0 and 255, floats within 0..1 are scaled by 255. Whole numbers are
    scaled by the smallest of 8, 10, 12, 14 or 16 bits that holds them, floats above 255 by their
    maximum. Negative values, whole numbers beyond 16 bits, and values that would keep fewer than 32
    of the 256 levels (a thermal image) are stretched from minimum to maximum. Scaling by another
    range than the type's own is reported by a warning, once per process.

    Args:
        within: the values that become 0 and 255 instead, except for 8 bits; values outside are
            clipped, with a warning once per process.

    Raises:
        ValueError: not numbers, or not finite.
    """
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "u" and size == 1:
        return array
    low, high = least_and_greatest(array)
    if within is None:
        start, end, own = scale_of(low, high, array.dtype)
        if own:
            say_once(told, RESCALED)
    else:
        start, end = within
        if low < start or high > end:
            array = _clipped(array, start, end)
    if (start, end) == (0, 65535):
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if start == end:
        return np.zeros(array.shape, np.uint8)
    values = (array.astype(np.float64) - start) / (end - start) * 255
    return values.round().astype(np.uint8)


def least_and_greatest(array: npt.NDArray[Any]) -> tuple[float, float]:
    """The range of numbers of any type.

    Raises:
        ValueError: not numbers, or not finite.
    """
    if array.dtype.kind not in "biuf":
        raise ValueError(f"pixels of type {array.dtype} are not numbers")
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high, high - low]).all():
        raise ValueError("pixels hold NaN or infinite values")
    return low, high


def scale_of(low: float, high: float, dtype: npt.DTypeLike) -> tuple[float, float, bool]:
    """The values that become 0 and 255, and whether they come from the image, not its type."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        end, own = 1.0 if high <= 1 else 255.0 if high <= 255 else high, high > 255
    else:
        bits = next((bits for bits in (8, 10, 12, 14, 16) if high < 1 << bits), 0)
        end, own = (1 << bits) - 1.0 if bits else high, bits < 16
        if bits == 8 and low >= 0 and dtype != np.uint16:  # 8 bits in a wider type
            return 0, end, False
    if low < 0 or end == high > 65535 or (low < high and (high - low) * 256 < FEW * end):
        return low, high, True
    return 0, end, own


RESCALED = (
    "images of more than 8 bits are scaled to 0..255 by the bits or the range of each file, so "
    "equal values in two files may differ in brightness; to avoid this, convert them to 8 bits"
)
told, narrow, clipped, cut = (threading.Event() for _ in range(4))  # warnings issued so far


def say_once(event: threading.Event, message: str) -> None:
    """Warn once per process (forked ones inherit it) of how values are scaled."""
    if not event.is_set():
        event.set()
        warnings.warn(message, stacklevel=5)


def note_narrow(reading: Reading) -> None:
    """Warn that an 8-bit image is not rescaled although a range of values is set."""
    assert reading.range is not None
    low, high = reading.range
    say_once(
        narrow,
        f"8-bit images stay unchanged, while values {low:g}..{high:g} of images of more bits "
        "become 0..255; equal values of the two differ in brightness",
    )


def _clipped(array: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[Any]:
    outside = int(((array < low) | (array > high)).sum())
    say_once(
        clipped,
        f"{outside} of {array.size} values of an image lie outside the range {low:g}..{high:g} of "
        "the training images and are clipped; other images may be clipped too",
    )
    return array.clip(low, high)
