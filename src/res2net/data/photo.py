"""Photos as people have them, to RGB: Pillow and NumPy alone, no torch."""

from __future__ import annotations

import functools
import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from res2net.data.foreign import LARGEST, check_file
from res2net.errors import UserError, one_line

RGB = npt.NDArray[np.uint8]  # (H, W, 3)

# Formats with a signature that Pillow decodes itself (no EPS, which runs Ghostscript) -> endings.
_ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k"),
    "AVIF": (".avif",),
}
EXTENSIONS = frozenset(ending for endings in _ENDINGS.values() for ending in endings)
FEW = 32  # grey levels; an image that would keep fewer is stretched
JPEG_FORMATS = ("JPEG", "MPO")  # MPO: several JPEGs in one file, as some cameras write

_ORIENTATION = 0x0112  # EXIF tag
_TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_SWAPPING = [_TURNS[tag] for tag in (5, 6, 7, 8)]  # width and height trade places

_JPEG_END = b"\xff\xd9"

# What Pillow's decoders raise on damaged files.
_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    LookupError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)


def read_rgb(path: str | Path, *, min_side: int | None = None) -> RGB:
    """Decode an image file to uint8 (H, W, 3), as :func:`res2net.data.decode.decode` does.

    Raises:
        UserError: names the file and what is wrong with it.
    """
    path = Path(path)
    data = read_bytes(path)
    with faults_named(path):
        return opened_to_rgb(open_image(data), min_side=min_side)


def any_to_rgb(
    image: str | Path | Image.Image | npt.NDArray[Any], min_side: int | None = None
) -> RGB:
    """A file, a Pillow image or an array as uint8 (H, W, 3), upright.

    Raises:
        UserError: a file that cannot be read; names it.
        TypeError, ValueError: something that is no image.
    """
    if isinstance(image, str | Path):
        return read_rgb(image, min_side=min_side)
    if isinstance(image, Image.Image):
        return to_rgb(upright(image))
    if isinstance(image, np.ndarray):
        return array_to_rgb(image)
    raise TypeError(f"an image is a path, a Pillow image or an array; got {type(image)}")


class Stored(NamedTuple):
    """What the header of an image file tells."""

    size: tuple[int, int]  # H, W, upright
    mode: str  # Pillow's
    raw: str  # how the pixels are stored (``raw_mode``)


def probe(path: Path) -> Stored:
    """The header of a readable image.

    A JPEG that ends with its end marker passes on its header; anything else is decoded.

    Raises:
        UserError: the file is not a readable image.
    """
    check_file(path)
    stored = None
    with faults_named(path), path.open("rb") as file:
        image = open_image(file) if file.peek(1) else None
        if image is not None:
            raw = raw_mode(image)  # before the pixels are loaded, as for the EXIF block of a PNG
            stored = Stored(_upright_size(image), image.mode, raw)
            if image.format in JPEG_FORMATS:
                file.seek(-2, io.SEEK_END)
                if file.read() == _JPEG_END:
                    return stored
            if image.format == "PNG":  # its pixels are loaded, since EXIF may follow them
                return stored
    read_rgb(path)
    assert stored is not None, "an empty file"
    return stored


def image_size(path: Path) -> tuple[int, int]:
    """H, W from the file's head, upright.

    Raises:
        UserError: not an image.
    """
    check_file(path)
    with faults_named(path), path.open("rb") as file:
        return _upright_size(open_image(file))


def read_bytes(path: Path) -> npt.NDArray[np.uint8]:
    """The bytes of a file, uint8 (N,).

    Raises:
        UserError: missing, empty, too large, or no plain file (a named pipe is waited for).
    """
    check_file(path, largest=LARGEST)
    with faults_named(path):
        data = np.fromfile(path, dtype=np.uint8)
    if not data.size:
        raise UserError(f"{path}: the file is empty (0 bytes)")
    return data


def open_image(data: npt.NDArray[np.uint8] | io.BufferedReader) -> ImageFile.ImageFile:
    """The header of an encoded image, checked; pixels are decoded later.

    Pillow passes over a wrong checksum of PNG pixels, so checksums are read here.
    """
    file = io.BytesIO(data.data) if isinstance(data, np.ndarray) else data
    image = Image.open(file, formats=_known_formats())
    if image.format == "PNG":
        image.verify()
        file.seek(0)
        image = Image.open(file, formats=("PNG",))
    return image


def opened_to_rgb(image: ImageFile.ImageFile, *, min_side: int | None = None) -> RGB:
    """First frame of a freshly opened image, upright: uint8 (H, W, 3)."""
    if min_side is not None and image.format in JPEG_FORMATS:
        image.draft(None, (min_side, min_side))
    file, stored = image.fp, raw_mode(image)
    image.load()
    if stored.startswith("RGB") and ";16" in stored and file is not None:
        return _deep_colours(image, file, stored)
    return to_rgb(upright(image))


def raw_mode(image: ImageFile.ImageFile) -> str:
    """How the pixels of a freshly opened image are stored, in Pillow's words; "" if not known."""
    if not image.tile:
        return ""
    args: Any = image.tile[0][3]
    return str(args[0] if isinstance(args, tuple) and args else args)


def _deep_colours(image: Image.Image, file: Any, stored: str) -> RGB:
    """Colours of 16 bits, of which Pillow keeps the upper 8: the lower ones where those are few.

    Args:
        image: the loaded image.
        file: what it was read from.
        stored: its raw mode, "RGB;16B" and the like.
    """
    if np.asarray(image)[..., :3].max() >= 64:  # more than 14 bits
        return to_rgb(upright(image))
    file.seek(0)
    again = Image.open(file, formats=(str(image.format),))
    other = stored[:-1] + ("B" if stored[-1] != "B" else "L")  # read the other byte as the upper
    tiles = []
    for tile in again.tile:
        args: Any = tile[3]
        tiles.append(tile._replace(args=(other, *args[1:]) if isinstance(args, tuple) else other))
    again.tile = tiles
    again.load()
    upper, lower = (np.asarray(upright(each)).astype(np.uint16) for each in (image, again))
    deep = upper * np.uint16(256) + lower
    pixels = to_uint8(deep[..., :3])
    if deep.shape[-1] == 3:
        return pixels
    return _on_white(Image.fromarray(np.dstack([pixels, to_uint8(deep[..., 3])])))


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; a damaged EXIF block turns nothing."""
    turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """H, W of the image as ``upright`` turns it."""
    swapped = _turn(image) in _SWAPPING
    return image.size if swapped else (image.height, image.width)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION))
    except _FAULTS:
        return None


def to_rgb(image: Image.Image) -> RGB:
    """Any Pillow mode to uint8 (H, W, 3).

    Grey of more than 8 bits is scaled (see :func:`to_uint8`), never clipped; transparency is
    composited on white, as a page shows it.
    """
    if image.mode[0] in "IF":
        return array_to_rgb(np.asarray(image))
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def array_to_rgb(array: npt.NDArray[Any]) -> RGB:
    """An array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) to uint8 (H, W, 3).

    Raises:
        ValueError: another shape, no pixels, or values that are not finite numbers.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or not array.size:
        raise ValueError(
            f"an image array has shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); got {array.shape}"
        )
    pixels = to_uint8(array)
    if pixels.shape[-1] == 4:
        return _on_white(Image.fromarray(pixels))
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels


def to_uint8(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Numbers of any type to 0..255, shape kept; one rule for training, prediction and serving.

    uint8 stays, bool is 0 and 255, floats within 0..1 are scaled by 255. Whole numbers are scaled
    by the least of 8, 10, 12, 14 or 16 bits that holds them, floats above 255 by their greatest
    value. Negative values, whole numbers beyond 16 bits, and values that would keep fewer than 32
    of the 256 levels (a thermal image) are stretched from the least to the greatest. Where it is
    not the type's own range that counts, a warning says so, once in a process.

    Raises:
        ValueError: not numbers, or not finite.
    """
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "u" and size == 1:
        return array
    if kind not in "iuf":
        raise ValueError(f"pixels of type {array.dtype} are not numbers")
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high, high - low]).all():
        raise ValueError("pixels hold NaN or infinite values")
    start, end, own = _scale(low, high, array.dtype)
    if own:
        say_rescaled(RESCALED)
    if (start, end) == (0, 65535):
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if start == end:
        return np.zeros(array.shape, np.uint8)
    values = (array.astype(np.float64) - start) / (end - start) * 255
    return values.round().astype(np.uint8)


def _scale(low: float, high: float, dtype: npt.DTypeLike) -> tuple[float, float, bool]:
    """The values that become 0 and 255, and whether they are the image's own, not its type's."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        end, own = 1.0 if high <= 1 else 255.0 if high <= 255 else high, high > 255
    else:
        bits = next((bits for bits in (8, 10, 12, 14, 16) if high < 1 << bits), 0)
        end, own = (1 << bits) - 1.0 if bits else high, bits < 16
        if bits == 8 and low >= 0 and dtype != np.uint16:  # an image of 8 bits in a wider type
            return 0, end, False
    if low < 0 or end == high > 65535 or (low < high and (high - low) * 256 < FEW * end):
        return low, high, True
    return 0, end, own


RESCALED = (
    "images of more than 8 bits are scaled to 0..255 by the bits or the range of each file, so "
    "equal values of two files may differ in brightness; to avoid that, convert them to 8 bits"
)
told = threading.Event()  # whether this process has said so; forked ones take it over


def say_rescaled(message: str) -> None:
    """Warn once in a process that images are scaled by their own bits or range."""
    if not told.is_set():
        told.set()
        warnings.warn(message, stacklevel=5)


def is_rescaled(path: Path) -> bool:
    """Whether an image file is scaled by its own bits or range; not of one that cannot be read."""
    try:
        check_file(path)
        with faults_named(path), path.open("rb") as file:
            image = open_image(file)
            if image.mode[0] not in "IF":
                return False
            array = np.asarray(image)
            return _scale(float(array.min()), float(array.max()), array.dtype)[2]
    except (UserError, ValueError):
        return False


@contextmanager
def faults_named(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises into one line that names it."""
    try:
        yield
    except UserError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise UserError(f"{path}: cannot read it ({error.strerror})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{path}: {one_line(error)} Scale it down.") from error
    except UnidentifiedImageError as error:
        raise UserError(
            f"{path}: not an image (or of a format unknown here); delete it, or convert it to JPEG "
            "or PNG"
        ) from error
    except _FAULTS as error:
        raise UserError(
            f"{path}: a damaged or truncated image ({one_line(error)}); replace it"
        ) from error


def _on_white(rgba: Image.Image) -> RGB:
    white = Image.new("RGBA", rgba.size, "white")
    return np.array(Image.alpha_composite(white, rgba).convert("RGB"))


@functools.cache
def _known_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _ENDINGS if name in Image.OPEN)
