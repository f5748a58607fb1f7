"""Images that Pillow has no mode for: multi-band TIFF, unusual types, NumPy arrays. No torch.

Legend: H, W pixels · B bands that a file stores, C channels that a network takes
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from res2net.data.foreign import LARGEST
from res2net.errors import one_line

ENDING = ".npy"
MOST_PAGES = 1024  # pages counted at most
LONGEST_BANDS = 16  # a longer axis of an array is taken for pixels
_NUMPY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0")
_ALPHA = (1, 2)  # values of the TIFF tag ExtraSamples
_GREY, _RGB = (0, 1), 2  # values of the TIFF tag PhotometricInterpretation


class UnfitError(ValueError):
    """An intact image that cannot be used; the message gives the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The header of a TIFF or an array."""

    size: tuple[int, int]  # H, W as stored
    samples: int  # values per pixel
    alpha: tuple[int, ...] = ()  # indices of the transparency samples
    dtype: np.dtype[Any] = np.dtype(np.uint8)  # noqa: RUF009  immutable
    pages: int = 1  # pages of one size in the file
    orientation: int = 1  # EXIF number
    photometric: int = 1
    by_rows: bool = False  # tifffile wrote an array (H, W, B) as H pages
    by_pillow: bool = False  # Pillow reads the first page (of several bands, the colours) correctly

    @property
    def bands(self) -> int:
        """Values per pixel, without transparency."""
        return self.samples - len(self.alpha)

    @property
    def upright(self) -> tuple[int, int]:
        """H, W of the upright image."""
        return self.size[::-1] if self.orientation >= 5 else self.size

    @property
    def own_channels(self) -> int | None:
        """The channels given by the file itself; None: it is read as RGB."""
        if self.photometric not in (*_GREY, _RGB):
            return None
        return None if self.by_pillow or self.bands == 3 else self.bands


def describe(data: npt.NDArray[np.uint8] | BinaryIO) -> Stack | None:
    """The header of a TIFF or an array; None for other files and for a damaged header.

    Raises:
        UnfitError: an array that is no image.
    """
    file: BinaryIO = io.BytesIO(data.data) if isinstance(data, np.ndarray) else data
    start = file.tell()
    head = file.read(8)
    file.seek(start)
    try:
        if head.startswith(_NUMPY):
            return _of_array(*_array_head(file))
        return _of_tiff(file) if head[:4] in _TIFF else None
    except UnfitError:
        raise
    except Exception:  # a damaged header can raise anything; the decoder reports it
        return None
    finally:
        file.seek(start)


def read(
    data: npt.NDArray[np.uint8] | BinaryIO, stack: Stack, channels: int
) -> npt.NDArray[np.generic]:
    """The stored values, upright: (H, W, B).

    Args:
        channels: the number to return. A file with that many including transparency returns it
            too; a file with that many pages returns one band per page.

    Raises:
        UnfitError: tifffile is not installed, or cannot read the file.
        ValueError: damaged.
    """
    content = data.data if isinstance(data, np.ndarray) else data.read()
    if bytes(content[:6]) == _NUMPY:
        return _array(content)
    _check_size(stack)
    if stack.by_rows:
        return _with_tifffile(content, stack, lambda file: [file.series[0].asarray()])
    if stack.pages > 1 and stack.samples == 1 and channels == stack.pages:
        values = _pages(content, stack, range(stack.pages))
    else:
        values = _pages(content, stack, (0,))
        if stack.alpha and channels != stack.samples:
            values = np.delete(values, stack.alpha, axis=2)
    return _turned(values, stack.orientation)


def _array_head(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def _of_array(shape: tuple[int, ...], _: bool, dtype: np.dtype[Any]) -> Stack:
    if dtype.hasobject or dtype.kind not in "buif":
        raise UnfitError(f"an array of {dtype}; images need numbers")
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or not min(shape):
        raise UnfitError(f"an array of shape {shape}; images have (H, W) or (H, W, channels)")
    if shape[2] > LONGEST_BANDS >= shape[0]:
        raise UnfitError(
            f"an array of shape {shape}, which looks like (channels, H, W); save it as "
            "(H, W, channels)"
        )
    return Stack((shape[0], shape[1]), shape[2], dtype=dtype)


def _array(content: Any) -> npt.NDArray[np.generic]:
    file = io.BytesIO(content)
    shape, by_column, dtype = _array_head(file)
    count = int(np.prod(shape, dtype=object))
    values = np.frombuffer(content, dtype, count, file.tell())  # ValueError where it is cut off
    values = values.reshape(shape, order="F" if by_column else "C")
    return values[..., None] if values.ndim == 2 else values


def _of_tiff(file: BinaryIO) -> Stack:
    start = file.tell()
    head = file.read(8)
    if head[2] == 43:  # BigTIFF
        head += file.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(head)
    file.seek(start + tags.next)
    tags.load(file)
    samples = int(tags.get(277, 1))
    bits = max(tags.get(258) or (1,))
    kind = max(tags.get(339) or (1,))
    extra = tuple(tags.get(338) or ())[:samples]
    size = int(tags[257]), int(tags[256])
    letter = {1: "u", 2: "i", 3: "f"}.get(kind, "u")
    width = next(each for each in (8, 16, 32, 64) if bits <= each)
    stack = Stack(
        size=size,
        samples=samples,
        alpha=tuple(samples - len(extra) + i for i, each in enumerate(extra) if each in _ALPHA),
        dtype=np.dtype(f"{letter}{width // 8}") if (letter, width) != ("f", 8) else np.dtype("u1"),
        orientation=int(tags.get(274, 1)),
        photometric=int(tags.get(262, 1)),
    )
    if (array := _array_in_pages(str(tags.get(270, "")), size)) is not None:
        return replace(stack, size=array[:2], samples=array[2], by_rows=True)
    planes = int(tags.get(284, 1))
    stack = replace(stack, by_pillow=_pillow_reads(stack, planes))
    return replace(stack, pages=_count_pages(file, tags, stack, start))


def _array_in_pages(description: str, page: tuple[int, int]) -> tuple[int, int, int] | None:
    """H, W, B of an array whose rows tifffile wrote as pages (it notes this); None for others."""
    if not description.startswith('{"shape": ['):
        return None
    shape = json.loads(description)["shape"]
    if len(shape) != 3 or tuple(shape[1:]) != page or not shape[2] <= LONGEST_BANDS < shape[0]:
        return None
    return shape[0], shape[1], shape[2]


def _pillow_reads(stack: Stack, planes: int) -> bool:
    """Whether Pillow returns the stored values: it misreads some types and layouts.

    Found by comparison with tifffile: signed bytes are read as unsigned, unsigned 32 bits as
    signed, planar 16 bits are scrambled, and bands beyond three are dropped.
    """
    if stack.photometric not in (*_GREY, _RGB):
        return True
    if stack.bands != (3 if stack.photometric == _RGB else 1):
        return False
    if stack.dtype == np.uint8:
        return True
    if stack.samples == 1 and stack.photometric == 1:
        return stack.dtype in (np.uint16, np.int16, np.int32, np.float32)
    return stack.dtype == np.uint16 and planes == 1 and stack.photometric == _RGB


def _count_pages(file: BinaryIO, tags: Any, first: Stack, start: int) -> int:
    """Number of pages of the first page's size; thumbnails and reduced copies do not count."""
    pages, seen = 1, {0}
    while tags.next not in seen and len(seen) < MOST_PAGES:
        seen.add(tags.next)
        file.seek(start + tags.next)
        tags.load(file)
        pages += (tags.get(257), tags.get(256), tags.get(277, 1)) == (*first.size, first.samples)
    return pages


def _check_size(stack: Stack) -> None:
    """Refuse images that would exhaust the memory.

    Raises:
        DecompressionBombError: too many pixels, as in Pillow.
        UnfitError: too many bytes.
    """
    pixels, most = stack.size[0] * stack.size[1], Image.MAX_IMAGE_PIXELS
    if most is not None and pixels > 2 * most:
        raise Image.DecompressionBombError(
            f"Image size ({pixels} pixels) exceeds limit of {2 * most} pixels, could be "
            "decompression bomb DOS attack."
        )
    if pixels * max(stack.samples, stack.pages) * stack.dtype.itemsize > 4 * LARGEST:
        raise UnfitError("more than 4 GiB of pixels; scale it down")


def _pages(content: Any, stack: Stack, numbers: Sequence[int]) -> npt.NDArray[np.generic]:
    """The values of these pages, stacked as bands: (H, W, B)."""

    def read_pages(file: Any) -> list[npt.NDArray[Any]]:
        pages = [file.pages[number] for number in numbers]
        return [_bands_last(page.asarray(), page.axes) for page in pages]

    return _with_tifffile(content, stack, read_pages)


def _with_tifffile(
    content: Any, stack: Stack, take: Callable[[Any], list[npt.NDArray[Any]]]
) -> npt.NDArray[np.generic]:
    """The arrays that ``take`` reads from the file, stacked as bands: (H, W, B).

    Raises:
        UnfitError: tifffile or a codec that it needs is not installed.
        ValueError: damaged.
    """
    try:
        import tifffile
    except ModuleNotFoundError:
        raise UnfitError(
            f"a TIFF of {stack.samples} band(s) of type {stack.dtype}, which Pillow does not read; "
            "pip install 'res2net[tiff]'"
        ) from None
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            found = np.concatenate(take(file), axis=2)
    except Exception as error:  # its own classes, only some of them ValueErrors
        if "imagecodecs" in str(error):
            raise UnfitError(
                f"compressed ({one_line(error)}): pip install 'res2net[tiff]'"
            ) from None
        raise ValueError(one_line(error)) from None
    if stack.photometric == 0 and found.dtype.kind == "u":
        found = np.iinfo(found.dtype).max - found  # 0 is white
    return found


def _bands_last(values: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
    if axes == "YX":
        return values[..., None]
    if axes == "SYX":
        return np.moveaxis(values, 0, 2)
    if axes != "YXS":
        raise UnfitError(f"a TIFF with the axes {axes}; give images of rows and columns")
    return values


def _turned(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """The array turned upright by its EXIF orientation number."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)
