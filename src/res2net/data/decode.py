"""Image files, arrays and Pillow images to uint8 RGB tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from res2net.data import photo

_RGB_MODE = 3  # torchvision's ImageReadMode.RGB
_DRAFT_FROM = 2  # JPEG's reduced scales are 1/2, 1/4, 1/8


def decode(path: str | Path, *, min_side: int | None = None) -> Tensor:
    """Decode an image file to uint8 (3, H, W), upright by its EXIF rotation.

    Grey, CMYK and palette images become RGB; grey of more than 8 bits is scaled to 0..255, not
    clipped (:func:`res2net.data.photo.to_uint8`); transparency is composited on white, as a page
    shows it; of an animation it is the first frame. The strides may be those of (H, W, 3).

    Args:
        path: the file; its content decides the format, not its name.
        min_side: pixels of the short side that are enough. A larger JPEG is decoded at 1/2, 1/4 or
            1/8 of its scale, as long as the short side does not fall below this.

    Raises:
        UserError: missing, empty, truncated, not an image, or too large to be safe; names the file.
    """
    path = Path(path)
    data = photo.read_bytes(path)
    with photo.faults_named(path):
        image = photo.open_image(data)
        fast = _jpeg_decoder()
        if fast is not None and _is_plain_jpeg(image) and not _can_reduce(image, min_side):
            with suppress(RuntimeError):  # damaged: Pillow, below, says how
                return fast(torch.from_numpy(data), _RGB_MODE, True)
        return _channels_first(photo.opened_to_rgb(image, min_side=min_side))


def as_rgb(image: str | Path | Image.Image | npt.NDArray[Any] | Tensor) -> Tensor:
    """Any image a caller may hand over, as uint8 (3, H, W).

    Args:
        image: a file, a Pillow image, an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or a
            tensor (H, W), (1, H, W), (3, H, W) or (4, H, W). Values of other types than uint8 are
            scaled as :func:`res2net.data.photo.to_uint8` says; floats are meant in 0..1.

    Raises:
        UserError: a file that cannot be decoded.
        ValueError: a shape or values that are not an image's.
        TypeError: something else altogether.
    """
    if isinstance(image, str | Path):
        return decode(image)
    if isinstance(image, Image.Image):
        return _channels_first(photo.to_rgb(photo.upright(image)))
    if isinstance(image, Tensor):
        if image.ndim == 3 and image.shape[0] not in (1, 3, 4):
            raise ValueError(
                f"an image tensor has shape (H, W) or (1, 3 or 4, H, W); got {tuple(image.shape)}"
            )
        array = image.detach().cpu().numpy()
        return to_rgb_tensor(array.transpose(1, 2, 0) if array.ndim == 3 else array)
    if isinstance(image, np.ndarray):
        return to_rgb_tensor(image)
    raise TypeError(f"an image is a path, a Pillow image, an array or a tensor; got {type(image)}")


def to_rgb_tensor(array: npt.NDArray[Any]) -> Tensor:
    """An array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) as uint8 (3, H, W).

    Raises:
        ValueError: another shape, or values that are not finite numbers.
    """
    return _channels_first(photo.array_to_rgb(array))


def _channels_first(pixels: photo.RGB) -> Tensor:
    """(H, W, 3) to (3, H, W), without a copy where torch can share the memory."""
    if not pixels.flags.writeable or min(pixels.strides) < 0:
        pixels = pixels.copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _is_plain_jpeg(image: Image.Image) -> bool:
    """A grey or RGB JPEG: those that torchvision decodes to the very pixels of Pillow."""
    return image.format in photo.JPEG_FORMATS and image.mode in ("L", "RGB")


def _can_reduce(image: Image.Image, min_side: int | None) -> bool:
    return min_side is not None and min(image.size) // min_side >= _DRAFT_FROM


@functools.cache
def _jpeg_decoder() -> Callable[[Tensor, int, bool], Tensor] | None:
    """torchvision's JPEG decoder, the faster one; None in a torchvision without it.

    The operator itself: its Python wrapper warns on every call that it will move to torchcodec.
    """
    import torchvision  # noqa: F401  registers the operators

    return getattr(torch.ops.image, "decode_jpeg", None)
