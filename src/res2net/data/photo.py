"""Decode photos to uint8, RGB or other channels, with Pillow and NumPy. No torch.

Legend: H, W pixels · C channels of ``Reading``, 3 by default
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from res2net.data import bands, levels
from res2net.data.bands import UnfitError
from res2net.data.foreign import LARGEST, check_file
from res2net.data.packed import File, Packed, as_file
from res2net.data.preprocess import AS_RGB, Reading
from res2net.errors import UserError, one_line

RGB = npt.NDArray[np.uint8]  # (H, W, 3)
Pixels = npt.NDArray[np.uint8]  # (H, W, C)

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
    "HEIF": (".heic", ".heif"),  # through the plugin pillow-heif
}
EXTENSIONS = frozenset(
    [*(ending for endings in _ENDINGS.values() for ending in endings), bands.ENDING]
)
FIRST_THREE = "images of more than three bands: the first three are taken as red, green and blue"
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

_COLOURS = ("RGB", "LA")  # raw modes for which Pillow keeps the upper 8 of 16 bits
_JPEG_END = b"\xff\xd9"
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")  # brands of the file
_AVIF = (b"avif", b"avis")

# Exceptions of Pillow's decoders on damaged files.
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


def read_pixels(
    path: str | File, *, min_side: int | None = None, reading: Reading = AS_RGB
) -> Pixels:
    """Decode an image file to uint8 (H, W, C), as :func:`res2net.data.decode.decode` does.

    Raises:
        UserError: names the file and what is wrong with it.
    """
    path = as_file(path)
    data = read_bytes(path)
    with faults_named(path):
        return decoded(data, min_side=min_side, reading=reading)


def read_rgb(path: str | File) -> RGB:
    """An image file for display: uint8 (H, W, 3), from the first three bands or the first of two.

    Raises:
        UserError: names the file and what is wrong with it.
    """
    path = as_file(path)
    data = read_bytes(path)
    with faults_named(path):
        stack = bands.describe(data)
        own = None if stack is None else stack.own_channels
        return shown(decoded(data, reading=Reading(own or 3)))


def shown(pixels: Pixels) -> RGB:
    """Pixels for display: (H, W, C) → (H, W, 3), the first three channels or the first one."""
    if pixels.shape[2] == 3:
        return pixels
    return np.ascontiguousarray(pixels[..., :3] if pixels.shape[2] > 3 else pixels[..., [0, 0, 0]])


def any_to_pixels(
    image: str | File | Image.Image | npt.NDArray[Any],
    min_side: int | None = None,
    reading: Reading = AS_RGB,
) -> Pixels:
    """A file, a Pillow image or an array as uint8 (H, W, C), upright.

    Raises:
        UserError: a file that cannot be read; names it.
        TypeError, ValueError: not an image.
    """
    if isinstance(image, str | File):
        return read_pixels(image, min_side=min_side, reading=reading)
    if isinstance(image, Image.Image):
        return to_pixels(upright(image), reading)
    if isinstance(image, np.ndarray):
        return array_to_pixels(image, reading)
    raise TypeError(f"an image is a path, a Pillow image or an array; got {type(image)}")


class Stored(NamedTuple):
    """The header of an image file."""

    size: tuple[int, int]  # H, W, upright
    mode: str  # Pillow's
    raw: str  # how the pixels are stored (``raw_mode``)


def probe(path: File) -> Stored:
    """The header of a readable image.

    For a JPEG that ends with its end marker the header suffices; anything else is decoded.

    Raises:
        UserError: the file is not a readable image.
    """
    check_file(path)
    found = None
    with faults_named(path), path.open("rb") as file:
        stack = bands.describe(file)
        if stack is not None and not stack.by_pillow:
            found = Stored(stack.upright, f"{stack.bands} bands", stack.dtype.name)
        elif file.peek(1):
            image = open_image(file)
            raw = raw_mode(image)  # before the pixels are loaded, as for the EXIF block of a PNG
            found = Stored(_upright_size(image), image.mode, raw)
            if image.format in JPEG_FORMATS:
                file.seek(-2, io.SEEK_END)
                if file.read() == _JPEG_END:
                    return found
            if image.format == "PNG":  # its pixels are loaded, since EXIF may follow them
                return found
    _, values = stored(path) if found else (None, None)
    if values is None:
        read_rgb(path)
    else:  # scaled later, by the range of the data set
        with faults_named(path):
            levels.least_and_greatest(values)
    assert found is not None, "an empty file"
    return found


def stored(path: File) -> tuple[bands.Stack | None, npt.NDArray[Any] | None]:
    """The header of a TIFF or an array, and the values of an image of more than 8 bits.

    Raises:
        UserError: not a readable image.
    """
    check_file(path, largest=LARGEST)
    with faults_named(path), path.open("rb") as file:
        stack = bands.describe(file)
        if stack is not None and not stack.by_pillow:
            deep = stack.dtype.kind != "b" and stack.dtype != np.uint8
            return stack, bands.read(file, stack, stack.bands) if deep else None
        image = _opened(file)
        raw = raw_mode(image)
        if image.mode[0] in "IF":
            return stack, np.asarray(image)
        if raw.startswith(_COLOURS) and ";16" in raw:
            image.load()
            return stack, _deep_values(image, file, raw)[..., :3]
        return stack, None


def image_size(path: File) -> tuple[int, int]:
    """H, W from the file's header, upright.

    Raises:
        UserError: not an image.
    """
    check_file(path)
    with faults_named(path), path.open("rb") as file:
        stack = bands.describe(file)
        if stack is not None and not stack.by_pillow:
            return stack.upright
        return _upright_size(open_image(file))


def read_bytes(path: File) -> npt.NDArray[np.uint8]:
    """The bytes of a file, uint8 (N,).

    Raises:
        UserError: missing, empty, too large, or not a plain file (a named pipe would block).
    """
    check_file(path, largest=LARGEST)
    with faults_named(path):
        data = path.read() if isinstance(path, Packed) else np.fromfile(path, np.uint8)
    if not data.size:
        raise UserError(f"{path}: the file is empty (0 bytes)")
    return data


def open_image(data: npt.NDArray[np.uint8] | io.BufferedReader) -> ImageFile.ImageFile:
    """The header of an encoded image, checked; pixels are decoded later.

    Pillow ignores wrong checksums of PNG pixels, so they are checked here.
    """
    file = io.BytesIO(data.data) if isinstance(data, np.ndarray) else data
    image = _opened(file)
    if image.format == "PNG":
        image.verify()
        file.seek(0)
        image = Image.open(file, formats=("PNG",))
    return image


def _opened(file: BinaryIO) -> ImageFile.ImageFile:
    """The header of an encoded image.

    Raises:
        UnfitError: the reader for this format is not installed; the message names it.
        UnidentifiedImageError: an unknown format.
    """
    try:
        return Image.open(file, formats=_known_formats())
    except UnidentifiedImageError:
        file.seek(4)
        kind = file.read(8)
        file.seek(0)
        if kind[:4] != b"ftyp" or kind[4:] not in (*_HEIC, *_AVIF):
            raise
        if kind[4:] in _AVIF and "AVIF" not in _known_formats():
            raise UnfitError("AVIF, which this Pillow cannot read; install Pillow 11.3") from None
        _add_heif()
        return Image.open(file, formats=("HEIF", "AVIF"))


@functools.cache
def _add_heif() -> None:
    """Let Pillow read HEIC.

    Raises:
        UnfitError: the plugin is missing.
    """
    try:
        import pillow_heif
    except ModuleNotFoundError:
        raise UnfitError("HEIC, which needs a plugin: pip install 'res2net[heic]'") from None
    pillow_heif.register_heif_opener()


def decoded(
    data: npt.NDArray[np.uint8],
    *,
    min_side: int | None = None,
    reading: Reading = AS_RGB,
    check: Callable[[tuple[int, int]], None] | None = None,
) -> Pixels:
    """An encoded image as uint8 (H, W, C): its first frame, upright.

    Args:
        check: called with H, W before decoding; raises to refuse them.
    """
    stack = bands.describe(data)
    paged = stack is not None and 1 < stack.pages == reading.channels
    if stack is not None and (paged or stack.own_channels or not stack.by_pillow):
        if check is not None:
            check(stack.size)
        values = bands.read(data, stack, reading.channels)
        if reading.range is not None and values.dtype == np.uint8:
            levels.note_narrow(reading)
        if reading.channels == 3 < values.shape[2]:
            levels.say_once(levels.cut, FIRST_THREE)
            values = values[..., :3]
        return array_to_pixels(values, reading)
    image = open_image(data)
    if check is not None:
        check((image.height, image.width))
    return opened_to_pixels(image, min_side=min_side, reading=reading)


def opened_to_pixels(
    image: ImageFile.ImageFile, *, min_side: int | None = None, reading: Reading = AS_RGB
) -> Pixels:
    """First frame of a freshly opened image, upright: uint8 (H, W, C)."""
    if min_side is not None and image.format in JPEG_FORMATS:
        image.draft(None, (min_side, min_side))
    file, stored = image.fp, raw_mode(image)
    image.load()
    if stored.startswith(_COLOURS) and ";16" in stored and file is not None:
        return _deep_colours(image, file, stored, reading)
    return to_pixels(upright(image), reading)


def raw_mode(image: ImageFile.ImageFile) -> str:
    """Pillow's raw mode of a freshly opened image; "" if unknown."""
    if not image.tile:
        return ""
    args: Any = image.tile[0][3]
    return str(args[0] if isinstance(args, tuple) and args else args)


def _deep_colours(image: Image.Image, file: Any, stored: str, reading: Reading) -> Pixels:
    """Restore 16-bit colours, of which Pillow keeps the upper 8 bits, if the lower bits matter.

    Args:
        image: the loaded image.
        file: what it was read from.
        stored: its raw mode, "RGB;16B" and the like.
    """
    if reading.range is None and np.asarray(image)[..., :3].max() >= 64:  # more than 14 bits
        return to_pixels(upright(image), reading)
    return array_to_pixels(_deep_values(image, file, stored), reading)


def _deep_values(image: Image.Image, file: Any, stored: str) -> npt.NDArray[np.uint16]:
    """All 16 bits of colours: uint16 (H, W, 3), or with transparency (H, W, 4), upright."""
    file.seek(0)
    again = Image.open(file, formats=(str(image.format),))
    other = stored[:-1] + ("B" if stored[-1] != "B" else "L")  # with the other byte as upper one
    if stored.startswith("LA"):
        other = "RGBA"  # four bytes of grey and transparency
    tiles = []
    for tile in again.tile:
        args: Any = tile[3]
        tiles.append(tile._replace(args=(other, *args[1:]) if isinstance(args, tuple) else other))
    again.tile = tiles
    again.load()
    if stored.startswith("LA"):
        pairs = np.asarray(upright(again)).astype(np.uint16)
        grey, alpha = (pairs[..., i] * np.uint16(256) + pairs[..., i + 1] for i in (0, 2))
        return np.dstack([grey, grey, grey, alpha])
    upper, lower = (np.asarray(upright(each)).astype(np.uint16) for each in (image, again))
    return upper * np.uint16(256) + lower


def upright(image: Image.Image) -> Image.Image:
    """The image rotated by its EXIF orientation; a damaged EXIF block is ignored."""
    turn = turn_of(image)
    return image if turn is None else image.transpose(turn)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """H, W of the image after ``upright``."""
    swapped = turn_of(image) in _SWAPPING
    return image.size if swapped else (image.height, image.width)


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """The transposition for the EXIF orientation; None if there is none or it is damaged."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION))
    except _FAULTS:
        return None


def to_pixels(image: Image.Image, reading: Reading = AS_RGB) -> Pixels:
    """Convert any Pillow mode to uint8 (H, W, C).

    Grey of more than 8 bits is scaled (:func:`res2net.data.levels.to_uint8`); transparency is
    composited on white unless it is one of the channels.

    Raises:
        UnfitError: other channels.
    """
    if image.mode[0] in "IF":
        return array_to_pixels(np.asarray(image), reading)
    if reading.range is not None:
        levels.note_narrow(reading)
    if reading.channels == len(image.getbands()) != 3 and image.mode in ("L", "LA", "RGBA"):
        pixels = np.array(image)
        return pixels[..., None] if pixels.ndim == 2 else pixels
    if image.mode == "LAB":
        raise UnfitError("its colours are stored as LAB; convert it to RGB")
    if image.has_transparency_data:
        return _fitted(_on_white(image.convert("RGBA")), reading)
    return _fitted(np.array(image if image.mode == "RGB" else image.convert("RGB")), reading)


def array_to_pixels(array: npt.NDArray[Any], reading: Reading = AS_RGB) -> Pixels:
    """Convert an array (H, W) or (H, W, B) to uint8 (H, W, C).

    B is C; or for C = 3 or 1 it may be 1, 3 or (with transparency) 4.

    Raises:
        ValueError: no pixels, or values that are not finite numbers.
        UnfitError: another number of bands.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or not array.size:
        raise ValueError(f"an image array has shape (H, W) or (H, W, channels); got {array.shape}")
    if array.shape[2] == 4 and reading.channels in (1, 3) and array.dtype != np.uint8:
        colours = levels.to_uint8(array[..., :3], reading.range)
        return _fitted(np.dstack([colours, levels.to_uint8(array[..., 3])]), reading)
    return _fitted(levels.to_uint8(array, reading.range), reading)


def _fitted(pixels: Pixels, reading: Reading) -> Pixels:
    """(H, W, B) → (H, W, C).

    Raises:
        UnfitError: bands that cannot be converted to these channels.
    """
    count, wanted = pixels.shape[2], reading.channels
    if count == wanted:
        return pixels
    if count == 4 and wanted in (1, 3):
        return _fitted(_on_white(Image.fromarray(pixels)), reading)
    if count == 1 and wanted == 3:
        return np.repeat(pixels, 3, axis=2)
    if count == 3 and wanted == 1:
        return np.array(Image.fromarray(pixels).convert("L"))[..., None]
    raise UnfitError(
        f"an image of shape {pixels.shape} has {count} {'band' if count == 1 else 'bands'}, "
        f"but {wanted} {'is' if wanted == 1 else 'are'} needed"
    )


def is_rescaled(path: File) -> bool:
    """Whether an image file is scaled by its own bits or range; False for unreadable files."""
    try:
        check_file(path)
        with faults_named(path), path.open("rb") as file:
            image = open_image(file)
            if image.mode[0] not in "IF":
                return False
            array = np.asarray(image)
            return levels.scale_of(float(array.min()), float(array.max()), array.dtype)[2]
    except (UserError, ValueError):
        return False


@contextmanager
def faults_named(path: File) -> Iterator[None]:
    """Turn any exception from a damaged file into a one-line error that names it."""
    try:
        yield
    except UserError:
        raise
    except UnfitError as error:
        raise UserError(f"{path}: {error}") from error
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise UserError(f"{path}: cannot read it ({error.strerror})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{path}: {one_line(error)} Scale it down.") from error
    except UnidentifiedImageError as error:
        raise UserError(
            f"{path}: not an image (or of an unknown format); delete it, or convert it to JPEG "
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
