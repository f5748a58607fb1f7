"""Map files: class maps, by value or colour, and saliency maps.

Legend: H, W pixels
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from res2net.data import photo
from res2net.data.files import spread
from res2net.data.scene import IGNORED, Colour, Legend, Pixels, Scene
from res2net.data.scenes.legend import Classes
from res2net.data.scenes.options import Marks
from res2net.errors import UserError

FOREGROUND = 128  # brighter pixels of a saliency map are salient
LOOKED = 128  # maps read to find the meaning of the values
_BORDER = (224, 224, 192)  # VOC's colour of ignored pixels
_GREY_UNITS = {"L;2": 85, "L;4": 17}  # 2- and 4-bit grey, which Pillow spreads over 0..255
_NOISE = 24  # difference in levels between the channels of a grey map after JPEG
_CLEAR = 0.9  # share of the pixels of a black-and-white JPEG that are near 0 or 255
_MOST_LABELS = 20  # values up to this, with at most 255 besides, are class indices, not brightness
_HOW_COLOURS = (
    "name the colours in classes.txt (a line: name r g b), labelmap.txt (name:r,g,b::) or "
    "class_dict.csv (name,r,g,b)"
)
Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Raw:
    """A map as stored."""

    values: Numbers | None  # (H, W): grey or palette indices; None for a map in colours
    colours: Pixels | None  # (H, W, 3) for a map in colours
    palette: Pixels | None  # (256, 3)
    unit: int  # grey value that means 1: 255 in 1-bit maps
    alpha: Pixels | None  # (H, W) if it varies
    lossy: bool  # JPEG


def map_of(
    scene: Scene, marks: Marks, size: tuple[int, int], classes: int, legend: Legend
) -> Pixels:
    """The class of each pixel, 255 if ignored, or 1 for salient pixels and 0 for others: (H, W).

    Args:
        marks: "classes" or "salient".
        size: H, W of the image.

    Raises:
        UserError: a map that is unreadable, of another size, or has values that are not classes.
    """
    if marks == "classes":
        assert scene.classes is not None
        values = class_map(scene.classes, classes, legend)
    else:
        assert scene.salient is not None
        values = (salient_map(scene.salient) > FOREGROUND).astype(np.uint8)
    if values.shape != size:
        turned = " after its EXIF rotation" if values.shape == size[::-1] else ""
        raise UserError(f"{scene.name}: is {size}{turned}, its map {values.shape} (H, W)")
    return values


def class_map(source: Path | Pixels, classes: int, legend: Legend) -> Pixels:
    """The class of each pixel: (H, W); 255 is ignored.

    Args:
        classes: number of classes; values other than these and 255 are errors.
        legend: meaning of the values.

    Raises:
        UserError: not a class map, or a value or colour that is not a class; the message has it
            and its number of pixels.
    """
    if legend.order:
        own = class_map(source, len(legend.order), replace(legend, order=()))
        numbers = np.full(IGNORED + 1, IGNORED, np.uint8)
        numbers[: len(legend.order)] = legend.order
        return numbers[own]
    if not isinstance(source, Path):
        return _checked(source.astype(np.int64), classes, legend, "a map")
    raw = _exact(_read(source), classes, source)
    if legend.colours:
        return _by_colour(_packed(raw), legend.colours, source)
    if raw.values is None:
        raise UserError(f"{source}: a class map in colours; {_HOW_COLOURS}")
    return _checked(_indices(raw, classes, legend, source), classes, legend, str(source))


def salient_map(source: Path | Pixels) -> Pixels:
    """The saliency of each pixel: (H, W), 0..255.

    In a map of two values, one of them 0, the other becomes 255; other maps are brightness. In a
    palette or two colours, everything that is not black is salient.

    Raises:
        UserError: another kind of map, or one with ambiguous values.
    """
    if not isinstance(source, Path):
        return source.copy()
    raw = _read(source)
    grey = _grey(raw, source)
    if raw.alpha is not None:
        grey = grey * (raw.alpha / 255)
    present = _present(grey)
    if not np.isfinite(present).all():
        raise UserError(f"{source}: holds values that are not finite numbers")
    if present[0] == 0 and len(present) <= 2:
        return np.where(grey > 0, np.uint8(255), np.uint8(0))
    if len(present) == 1 and present[0] in (1, 65535):
        return np.full(grey.shape, 255, np.uint8)
    _check_brightness(present, source)
    scale = 255 if present[-1] <= 1 else 1 if present[-1] <= 255 else 1 / 257
    found: Pixels = np.rint(grey * scale).astype(np.uint8)
    return found


def object_map(path: Path) -> npt.NDArray[np.int64]:
    """The number of the object at each pixel, 0 for none: (H, W).

    Raises:
        UserError: a map in colours, in JPEG or with values that are not whole numbers from 0.
    """
    raw = _read(path)
    if raw.lossy or raw.values is None or raw.alpha is not None:
        raise UserError(f"{path}: numbers of objects need a grey or palette PNG or TIFF")
    whole = np.isfinite(raw.values) & (raw.values >= 0) & (raw.values == np.rint(raw.values))
    if not whole.all() or raw.values.max() >= 2**31:
        raise UserError(f"{path}: has values that are not whole numbers of objects")
    return raw.values.astype(np.int64) // raw.unit


def choose_legend(
    where: Path,
    maps: Sequence[Path],
    classes: int,
    table: Mapping[Colour, int],
    *,
    values: Mapping[int, int] | None = None,
) -> Legend:
    """The meaning of the values in a data set's class maps, from up to 128 of them.

    Colours are used if maps are in colours, or if all grey or palette colours are in the table.
    With two classes and only 0 and 255 in the maps, 255 is the second class.

    Args:
        where: the data, for messages.
        table: colour → class, if colours are known.
        values: value → class, if a list names values.

    Raises:
        UserError: none of them is a class map, or all are in unknown colours.
    """
    looked = at_once(lambda path: _facts(path, classes), spread(maps, LOOKED))
    facts = [each for each in looked if not isinstance(each, UserError)]
    if lossy := sum(each.lossy for each in facts):
        text = f"{lossy} of {len(looked)} class maps are JPEG: pixels above {FOREGROUND} are the"
        warnings.warn(f"{where}: {text} second class", stacklevel=3)
    if looked and not facts:
        raise UserError(f"{where}: none of {len(looked)} class maps can be used; {looked[0]}")
    if facts and not table and all(each.values is None for each in facts):
        raise UserError(f"{where}: the class maps are in colours; {_HOW_COLOURS}")
    known = {_number(colour) for colour in (*table, _BORDER)}
    if table and any(each.values is None for each in facts):
        return Legend(colours={_BORDER: IGNORED, **table})
    if table and facts and all(each.colours <= known for each in facts):
        return Legend(colours={_BORDER: IGNORED, **table})
    if values:
        return Legend(values=values)
    held = [each.values for each in facts if each.values is not None and not each.bits]
    union = frozenset[int]().union(*held)
    if classes != 2 or IGNORED not in union:
        return Legend()
    if union <= {0, IGNORED}:
        return Legend(binary=True)
    odd = sum(IGNORED in each and 1 not in each for each in held)
    if odd and not any({1, IGNORED} <= each for each in held):
        raise UserError(
            f"{where}: {odd} of {len(held)} class maps hold 255 and no 1, the others 1 and no 255, "
            "so 255 is ambiguous; save all maps with 0 and 1"
        )
    if odd:
        warnings.warn(
            f"{where}: {odd} of {len(held)} class maps hold 255 and no 1; 255 is ignored, "
            "since other maps hold 1",
            stacklevel=3,
        )
    return Legend()


def two_classes(maps: Sequence[Path]) -> Classes | None:
    """Background and foreground, if that is what maps without a list of classes show.

    Up to 128 of them hold only 0 and 1, 0 and 255, or black and one other colour.
    """
    looked = at_once(lambda path: _facts(path, 2), spread(maps, LOOKED))
    facts = [each for each in looked if not isinstance(each, UserError)]
    names = ("background", "foreground")
    if not facts:
        return None
    if all(each.values is not None for each in facts):
        grey = frozenset[int]().union(*(each.values or () for each in facts))
        return Classes(names=names) if grey in ({0, 1}, {0, IGNORED}) else None
    black, *others = sorted(frozenset[int]().union(*(each.colours for each in facts)))
    if black or len(others) != 1:
        return None
    red, green, blue = (others[0] >> shift & 255 for shift in (16, 8, 0))
    return Classes(names=names, colours=((0, 0, 0), (red, green, blue)))


def held_values(path: Path) -> frozenset[int]:
    """The values of a class map, or its colours as numbers; empty for unreadable maps.

    They identify maps with equal content before the meaning of the values is known.
    """
    try:
        raw = _read(path)
    except UserError:
        return frozenset()
    numbers = _packed(raw) if raw.values is None else np.nan_to_num(raw.values).astype(np.int64)
    present = _present(numbers)
    return frozenset(present.tolist()) if len(present) <= IGNORED + 1 else frozenset()


def pixel_counts(
    scenes: Sequence[Scene], marks: Marks, classes: int, legend: Legend
) -> npt.NDArray[np.int64]:
    """Pixels of each class in all maps of a part: (classes,); for saliency of 0 and 1.

    Raises:
        UserError: a map that cannot be read.
    """

    def count(scene: Scene) -> npt.NDArray[np.int64]:
        if marks == "classes":
            assert scene.classes is not None
            values = class_map(scene.classes, classes, legend)
        else:
            assert scene.salient is not None
            values = (salient_map(scene.salient) > FOREGROUND).astype(np.uint8)
        return np.bincount(values.ravel(), minlength=IGNORED + 1)[:classes]

    return np.sum(at_once(count, scenes), axis=0, dtype=np.int64)


def at_once(function: Any, things: Sequence[Any]) -> list[Any]:
    """``map`` in a few threads: decoders release the GIL."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(function, things))


@dataclass(frozen=True, slots=True)
class _Facts:
    values: frozenset[int] | None  # None: in colours
    colours: frozenset[int]  # as numbers
    bits: bool  # one bit a pixel
    lossy: bool  # JPEG, black and white


def _facts(path: Path, classes: int) -> _Facts | UserError:
    """The content of a map, or why it is not a class map."""
    values = None
    try:
        stored = _read(path)
        raw = _exact(stored, classes, path)
        if raw.values is not None:
            values = frozenset(_present(_indices(raw, classes, Legend(), path)).tolist())
    except UserError as error:
        return error
    colours = _packed(raw)[:: 1 if raw.colours is None else 3]  # a third of the rows is enough
    held = frozenset(_present(colours).tolist())
    return _Facts(values, held, bits=raw.unit == 255, lossy=stored.lossy)


def _read(path: Path) -> _Raw:
    """Raise ``UserError`` for a file that is not an image or has a bit depth that would be cut."""
    data = photo.read_bytes(path)
    with photo.faults_named(path):
        image = photo.open_image(data)
        lossy, stored = image.format in photo.JPEG_FORMATS, photo.raw_mode(image)
        image.load()
        if ";16" in stored and image.mode in ("RGB", "RGBA", "LA"):
            raise UserError(f"{path}: 16 bits per colour are not supported; save it with 8 bits")
        unit = _GREY_UNITS.get(stored[:3], 1)
        return _stored(photo.upright(image), lossy=lossy, unit=unit)


def _stored(image: Image.Image, *, lossy: bool, unit: int) -> _Raw:
    values = colours = palette = alpha = None
    if image.mode in ("P", "PA"):
        flat = np.zeros(768, np.uint8)
        stored = image.getpalette("RGB") or []
        flat[: len(stored)] = stored
        palette = flat.reshape(256, 3)
        values = np.asarray(image.getchannel(0) if image.mode == "PA" else image)
    elif image.mode == "1":
        values, unit = np.asarray(image).astype(np.uint8) * np.uint8(255), 255
    elif image.mode[0] in "IFL" and image.mode != "LAB":
        values = np.asarray(image.getchannel(0) if image.mode in ("LA", "La") else image)
    else:
        colours = np.asarray(image if image.mode == "RGBA" else image.convert("RGB"))[..., :3]
        if (colours == colours[..., :1]).all():
            values, colours = colours[..., 0], None
    if image.mode in ("LA", "PA", "RGBA"):
        alpha = np.asarray(image.getchannel("A"))
        alpha = None if alpha.min() == alpha.max() else alpha
    return _Raw(values, colours, palette, unit, alpha, lossy)


def _indices(raw: _Raw, classes: int, legend: Legend, path: Path) -> npt.NDArray[np.int64]:
    """The stored whole numbers (H, W), not yet checked against the classes."""
    assert raw.values is not None
    values = raw.values
    if values.dtype.kind == "f":
        whole = np.isfinite(values) & (values == np.rint(values)) & (np.abs(values) < 2**31)
        if not whole.all():
            raise UserError(f"{path}: has values that are not whole numbers and cannot be classes")
    elif raw.palette is not None and classes == 2:
        used = raw.palette[_present(values)]
        if np.isin(used.view([("", np.uint8)] * 3), _BLACK_AND_WHITE).all():
            values = raw.palette[values][..., 0]  # resized masks of 0 and 255
    if values.dtype == np.uint16:
        values = np.where(values == 65535, IGNORED, values.astype(np.int64))
    return values.astype(np.int64) // (1 if legend.binary else raw.unit)


_BLACK_AND_WHITE = np.array([[0] * 3, [255] * 3], np.uint8).view([("", np.uint8)] * 3)


def _checked(values: npt.NDArray[np.int64], classes: int, legend: Legend, where: str) -> Pixels:
    """Classes (H, W) from whole numbers."""
    if legend.values:
        return _by_value(values, legend.values, where)
    for each in legend.void:
        values[values == each] = IGNORED
    right = (values >= 0) & (values < classes) | (values == IGNORED)
    if legend.binary:
        right = (values == 0) | (values == IGNORED)
    if not right.all():
        wrong, counts = np.unique(values[~right], return_counts=True)
        meant = f"classes are 0..{classes - 1}, {IGNORED} is ignored"
        if legend.binary:
            meant = "other maps of this data set have only 0 and 255"
        elif wrong.tolist() == [classes] and (values > 0).all():
            meant += "; if value 1 is the first class, number the lines of classes.txt: '1 NAME'"
        more = f" and {len(wrong) - 1} other values" if len(wrong) > 1 else ""
        raise UserError(f"{where}: holds the value {wrong[0]} ({counts[0]} pixels){more}; {meant}")
    if legend.binary:
        values = values // IGNORED
    return values.astype(np.uint8)


def _by_value(values: npt.NDArray[np.int64], table: Mapping[int, int], where: str) -> Pixels:
    """Classes (H, W) from the values of a list; 255 is ignored unless the list has it."""
    classes = np.full(values.shape, IGNORED, np.uint8)
    for each in _present(values).tolist():
        if each not in table and each != IGNORED:
            count = int((values == each).sum())
            raise UserError(
                f"{where}: holds the value {each} ({count} pixels), which the list of classes does "
                "not name"
            )
        classes[values == each] = table.get(each, IGNORED)
    return classes


def _by_colour(packed: npt.NDArray[np.int64], table: Mapping[Colour, int], path: Path) -> Pixels:
    """Classes (H, W) from colours (H, W) as numbers."""
    order = sorted(table, key=_number)
    known = np.array([_number(colour) for colour in order])
    classes = np.array([table[colour] for colour in order], np.uint8)
    at = np.searchsorted(known, packed).clip(0, len(known) - 1)
    strange = packed[known[at] != packed]
    if strange.size:
        colours, counts = np.unique(strange, return_counts=True)
        most = int(counts.argmax())
        red, green, blue = (int(colours[most]) >> shift & 255 for shift in (16, 8, 0))
        more = f" and {len(colours) - 1} other colours" if len(colours) > 1 else ""
        raise UserError(
            f"{path}: holds the colour {red} {green} {blue} ({counts[most]} pixels){more}, which "
            "is not in the colour table"
        )
    return classes[at]


def _packed(raw: _Raw) -> npt.NDArray[np.int64]:
    """The colours as numbers, (H, W)."""
    if raw.colours is not None:
        return _number(raw.colours.astype(np.int64))
    assert raw.values is not None
    if raw.palette is not None:
        return _number(raw.palette.astype(np.int64))[raw.values]
    grey = raw.values.astype(np.float64)
    whole = (grey >= 0) & (grey <= 255) & (grey == np.rint(grey))
    return np.where(whole, np.nan_to_num(grey), -1).astype(np.int64) * 0x010101


def _number(colour: Any) -> Any:
    """A colour, or an array of them (..., 3), as one number."""
    if isinstance(colour, tuple):
        return colour[0] << 16 | colour[1] << 8 | colour[2]
    return colour[..., 0] << 16 | colour[..., 1] << 8 | colour[..., 2]


def _exact(raw: _Raw, classes: int, path: Path) -> _Raw:
    """The map as stored, or the 0 and 255 of a black-and-white JPEG if there are two classes.

    Raises:
        UserError: any other JPEG, or transparent pixels with a value other than 0.
    """
    if raw.lossy:
        grey = _grey(raw, path) if classes == 2 else np.full(1, _NOISE)
        clear = (np.abs(grey - 127.5) > 127.5 - _NOISE).mean() > _CLEAR
        if clear and not 0 < grey.max() <= FOREGROUND:
            white = np.where(grey > FOREGROUND, np.uint8(255), np.uint8(0))
            return replace(raw, values=white, colours=None)
        raise UserError(
            f"{path}: JPEG changes values ({_levels(raw)} levels in this map), so they cannot be "
            "classes; save class maps as PNG"
        )
    if raw.alpha is None:
        return raw
    unclear = (raw.alpha < 255) & ((_packed(raw) != 0) | (raw.alpha > 0))
    if unclear.any():
        raise UserError(
            f"{path}: {int(unclear.sum())} transparent pixels have a value; save the map "
            "without an alpha channel"
        )
    return raw


def _grey(raw: _Raw, path: Path) -> Numbers:
    """Brightness (H, W), or 0 and 255 for two colours and colour palettes."""
    if raw.colours is not None:
        if (np.ptp(raw.colours, axis=2) <= _NOISE).all():
            return np.rint(raw.colours.mean(axis=2)).astype(np.uint8)
        packed = _packed(raw)
        if len(np.unique(packed)) == 2 and (packed == 0).any() and not raw.lossy:
            return np.where(packed > 0, np.uint8(255), np.uint8(0))
        raise UserError(f"{path}: a saliency map in colours; save it as grey, 0 to 255")
    assert raw.values is not None
    if raw.palette is None:
        return raw.values
    used = raw.palette[_present(raw.values)]
    if (used == used[:, :1]).all():
        return raw.palette[raw.values][..., 0]
    black = (used == 0).all(axis=1)
    if (not black.any() and len(used) > 1) or (used == _BORDER).all(axis=1).any():
        raise UserError(
            f"{path}: the palette has {len(used)} used colours, and it is unclear which are "
            "salient; save the map as grey, 0 to 255"
        )
    return np.where((raw.palette[raw.values] > 0).any(axis=2), np.uint8(255), np.uint8(0))


def _check_brightness(present: Numbers, path: Path) -> None:
    """Refuse values that are not brightness: class indices, or an unknown bit depth."""
    high = present[-1]
    labels = (present > 0) & (present <= _MOST_LABELS)
    if labels.any() and high == 255 and (labels | (present == 0) | (present == 255)).all():
        raise UserError(
            f"{path}: has {_some(present)}, which are class indices, not brightness; save "
            "salient pixels as 255 and all others as 0"
        )
    if present[0] < 0 or 1 < high <= FOREGROUND or 255 < high < 32768 or high > 65535:
        raise UserError(
            f"{path}: its maximum is {high:g}, so it is unclear what is salient; save it as grey, "
            "0 to 255"
        )


def _some(present: Numbers) -> str:
    return ", ".join(f"{value:g}" for value in present[:6].tolist())


def _present(values: Numbers) -> Numbers:
    """The values that occur, sorted."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return np.flatnonzero(np.bincount(values.ravel()))
    return np.unique(values)


def _levels(raw: _Raw) -> int:
    return len(_present(raw.values if raw.values is not None else _packed(raw)))
