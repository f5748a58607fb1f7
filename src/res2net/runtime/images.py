"""Preprocess images for the exported graph with Pillow and NumPy.

The same geometry as ``res2net.data.transforms.eval_transform``: short side to ``resize`` with
antialiasing, then the central square. Both are antialiased with the same filter; rounding differs
by a level of 255 here and there (``tests/runtime/test_images.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from res2net.data import photo
from res2net.data.preprocess import Preprocess

Picture = str | Path | Image.Image | npt.NDArray[Any]
LONGEST = 8  # aspect ratio; longer images are cropped to it before resizing
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def shaped(image: Picture, preprocess: Preprocess) -> photo.Pixels:
    """Any image as uint8 (S, S, C).

    Args:
        image: a file, a Pillow image, or an array (H, W), (H, W, 3) or (H, W, 4), of a network
            with C input channels (H, W, C).

    Raises:
        UserError: a file, named in the message, that cannot be read.
        TypeError, ValueError: not an image.
    """
    return fit(photo.any_to_pixels(image, preprocess.decode_side, preprocess.reading), preprocess)


def fit(pixels: photo.Pixels, preprocess: Preprocess) -> photo.Pixels:
    """An image (H, W, C) resized and cropped: uint8 (S, S, C)."""
    if pixels.shape[2] == 3:
        return _fit(Image.fromarray(pixels), preprocess)
    return np.dstack(
        [_fit(Image.fromarray(band), preprocess) for band in np.moveaxis(pixels, 2, 0)]
    )


def _fit(image: Image.Image, preprocess: Preprocess) -> photo.Pixels:
    image = _cut_long(image)
    width, height = image.size
    short, long = sorted((width, height))
    longer = int(preprocess.resize * long / short)
    target = (preprocess.resize, longer) if width <= height else (longer, preprocess.resize)
    if target != image.size:
        image = image.resize(target, _FILTERS[preprocess.interpolation])
    return np.ascontiguousarray(_centre(image, preprocess.size, preprocess.size))


def _cut_long(image: Image.Image) -> Image.Image:
    """The middle of a strip, as in training."""
    width, height = image.size
    if max(width, height) <= LONGEST * min(width, height):
        return image
    return _centre(image, min(width, LONGEST * height), min(height, LONGEST * width))


def _centre(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
