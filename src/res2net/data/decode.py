"""Decode image files, arrays and Pillow images to uint8 tensors, RGB or other channels.

Legend: H, W pixels · C channels of ``Reading``, 3 by default
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from res2net.data import levels, photo
from res2net.data.packed import File, as_file
from res2net.data.preprocess import AS_RGB, Reading
from res2net.errors import one_line

_RGB_MODE = 3  # torchvision's ImageReadMode.RGB
_JPEG_START = b"\xff\xd8"
JpegDecoder = Callable[[list[Tensor]], list[Tensor]]  # bytes (n,) of files → uint8 (3, H, W)
_DRAFT_FROM = 2  # JPEG's reduced scales are 1/2, 1/4, 1/8


def decode(path: str | File, *, min_side: int | None = None, reading: Reading = AS_RGB) -> Tensor:
    """Decode an image file to uint8 (C, H, W), upright by its EXIF rotation.

    Grey, CMYK and palette images become RGB; grey of more than 8 bits is scaled to 0..255, not
    clipped (:func:`res2net.data.levels.to_uint8`); transparency is composited on white;
    an animation gives its first frame. The strides may be those of (H, W, C).

    Args:
        path: the file; its content decides the format, not its name.
        min_side: short side in pixels that suffices. A larger JPEG is decoded at 1/2, 1/4 or 1/8
            scale, as long as its short side stays at or above this.
        reading: channels and range of values.

    Raises:
        UserError: missing, empty, truncated, not an image, of other channels, or too large to be
            safe; names the file.
    """
    path = as_file(path)
    data = photo.read_bytes(path)
    with photo.faults_named(path):
        if bytes(data[:2]) == _JPEG_START and reading.channels == 3:
            image = photo.open_image(data)
            fast = _jpeg_decoder()
            if fast is not None and _is_plain_jpeg(image) and not _can_reduce(image, min_side):
                if reading.range is not None:
                    levels.note_narrow(reading)
                with suppress(RuntimeError):  # damaged: Pillow, below, reports how
                    return fast(torch.from_numpy(data), _RGB_MODE, True)
            return _channels_first(
                photo.opened_to_pixels(image, min_side=min_side, reading=reading)
            )
        return _channels_first(photo.decoded(data, min_side=min_side, reading=reading))


def whole_jpeg(path: str | File, min_side: int | None, reading: Reading) -> Tensor | None:
    """The bytes of an RGB JPEG that ``decode`` neither scales nor rotates: uint8 (n,).

    None for any other file.

    Raises:
        UserError: missing, empty, too large, or not an image.
    """
    path = as_file(path)
    data = photo.read_bytes(path)
    if bytes(data[:2]) != _JPEG_START or reading != AS_RGB:
        return None
    with photo.faults_named(path):
        image = photo.open_image(data)
        whole = image.format == "JPEG" and image.mode == "RGB" and not _can_reduce(image, min_side)
        return torch.from_numpy(data) if whole and photo.turn_of(image) is None else None


def gpu_jpeg_decoder() -> tuple[JpegDecoder | None, str]:
    """nvJPEG on the current GPU through torchvision; else None and the reason."""
    import torchvision  # noqa: F401  registers the operators

    operator = getattr(torch.ops.image, "decode_jpegs_cuda", None)
    if not torch.cuda.is_available():
        return None, "there is no GPU"
    if operator is None:
        return None, "this torchvision does not decode on GPUs"

    def decode_all(files: list[Tensor]) -> list[Tensor]:
        found: list[Tensor] = operator(files, _RGB_MODE, torch.device("cuda"))
        return found

    try:
        decode_all([_smallest_jpeg()])
    except RuntimeError as error:
        return None, one_line(error)
    return decode_all, ""


def _smallest_jpeg() -> Tensor:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


def as_pixels(
    image: str | Path | Image.Image | npt.NDArray[Any] | Tensor, reading: Reading = AS_RGB
) -> Tensor:
    """Any supported image as uint8 (C, H, W).

    Args:
        image: a file, a Pillow image, an array (H, W) or (H, W, C), or a tensor (H, W) or
            (C, H, W); for C = 3, of 1, 3 or 4 channels. Types other than uint8 are scaled by
            :func:`res2net.data.levels.to_uint8`; floats lie in 0..1 unless a range is set.
        reading: channels and range of values.

    Raises:
        UserError: a file that cannot be decoded.
        ValueError: a shape or values that cannot be an image.
        TypeError: an unsupported type.
    """
    if isinstance(image, str | Path):
        return decode(image, reading=reading)
    if isinstance(image, Image.Image):
        return _channels_first(photo.to_pixels(photo.upright(image), reading))
    if isinstance(image, Tensor):
        image = channels_last(image, reading)
    if isinstance(image, np.ndarray):
        return _channels_first(photo.array_to_pixels(image, reading))
    raise TypeError(f"an image is a path, a Pillow image, an array or a tensor; got {type(image)}")


def channels_last(image: Tensor, reading: Reading = AS_RGB) -> npt.NDArray[Any]:
    """A tensor (H, W) or (C, H, W) as an array (H, W) or (H, W, C), values unchanged.

    Raises:
        ValueError: another shape.
    """
    if image.ndim == 3 and image.shape[0] not in (1, 3, 4, reading.channels):
        raise ValueError(
            f"an image tensor has shape (H, W) or ({reading.channels}, H, W); got "
            f"{tuple(image.shape)}"
        )
    array = image.detach().cpu().numpy()
    return array.transpose(1, 2, 0) if array.ndim == 3 else array


def _channels_first(pixels: photo.Pixels) -> Tensor:
    """(H, W, C) to (C, H, W), without a copy where torch can share the memory."""
    if not pixels.flags.writeable or min(pixels.strides) < 0:
        pixels = pixels.copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _is_plain_jpeg(image: Image.Image) -> bool:
    """Whether a JPEG is grey or RGB: torchvision decodes those to exactly Pillow's pixels."""
    return image.format in photo.JPEG_FORMATS and image.mode in ("L", "RGB")


def _can_reduce(image: Image.Image, min_side: int | None) -> bool:
    return min_side is not None and min(image.size) // min_side >= _DRAFT_FROM


@functools.cache
def _jpeg_decoder() -> Callable[[Tensor, int, bool], Tensor] | None:
    """torchvision's JPEG decoder, the faster one; None in a torchvision without it.

    This is the operator itself, since its Python wrapper issues a deprecation warning per call.
    """
    import torchvision  # noqa: F401  registers the operators

    return getattr(torch.ops.image, "decode_jpeg", None)
