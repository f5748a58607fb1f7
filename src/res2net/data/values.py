"""Range, channels, mean and standard deviation of the training images, for a run.

Legend: C channels of the network · B bands that a file stores. No torch.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data import levels, photo
from res2net.data.bands import UnfitError
from res2net.data.files import spread
from res2net.data.labelled import LabelledImages
from res2net.data.packed import File
from res2net.data.preprocess import Preprocess, Reading
from res2net.data.scene import Scenes
from res2net.errors import UserError

LOOKED = 256  # images sampled at even steps, or all if there are fewer
MEASURED = 64  # images used for mean and standard deviation
_INNER = (0.1, 99.9)  # percentiles that exclude dead pixels
_SAMPLED = 1 << 16  # values per image used for percentiles

Images = Sequence[Any] | npt.NDArray[np.uint8]  # files, arrays (H, W, B), or (N, H, W, B)


def training_images(found: LabelledImages | Scenes) -> Images:
    """The images of the training part."""
    if isinstance(found, LabelledImages):
        return found.train.images
    return [scene.image for scene in found.train]


@dataclass(frozen=True, slots=True)
class _Look:
    """Properties of the values that an image stores."""

    path: File
    channels: int  # given by the file, else 3
    pages: int
    dtype: np.dtype[Any]
    span: tuple[float, float] | None  # minimum and maximum; None for 8 bits
    inner: tuple[float, float]  # range of the central 99.8 % of the values


def fit_to_values(
    preprocess: Preprocess,
    images: Images,
    where: str,
    *,
    within: Sequence[float] = (),
    channels: int | None = None,
) -> Preprocess:
    """The preprocessing of a run, with the range and the channels of its training images.

    Three channels keep the mean and standard deviation of published weights; other numbers of
    channels use those of the data. 8-bit images in three channels change nothing.

    Args:
        where: the data, for messages.
        within: values that become 0 and 255; () takes them from the images.
        channels: the requested number; None: that of the images.

    Raises:
        UserError: a range for 8-bit images, images with different numbers of bands, or bands that
            cannot be converted to the channels.
    """
    files = [] if isinstance(images, np.ndarray) else images
    paths = [each for each in spread(files, LOOKED) if isinstance(each, File)]
    with ThreadPoolExecutor() as pool:
        looks = [each for each in pool.map(_look, paths) if each is not None]
    count = channels or _own_channels(looks, where)
    _note_pages(looks, where, count)
    found = replace(preprocess, range=_range(looks, where, within))
    if count == 3:
        return found
    mean, std = _mean_and_std(images, Reading(count, found.range), where)
    return replace(found, mean=mean, std=std)


def _look(path: File) -> _Look | None:
    """Values of a file; None if it is unreadable, which is reported when it is used."""
    try:
        stack, values = photo.stored(path)
    except UserError:
        return None
    channels, pages = (stack.own_channels or 3, stack.pages) if stack else (3, 1)
    if values is None:
        return _Look(path, channels, pages, np.dtype(np.uint8), None, (0, 255))
    thinned = values.ravel()[:: max(1, values.size // _SAMPLED)].astype(np.float64)
    low, high = np.percentile(thinned, _INNER)
    span = float(values.min()), float(values.max())
    return _Look(path, channels, pages, values.dtype, span, (float(low), float(high)))


def _own_channels(looks: Sequence[_Look], where: str) -> int:
    """The number of channels of the images.

    Raises:
        UserError: they differ.
    """
    counts = Counter(look.channels for look in looks)
    if len(counts) > 1:
        firsts = [
            f"{number} of {bands} ({next(x.path for x in looks if x.channels == bands)})"
            for bands, number in counts.most_common()
        ]
        raise UserError(
            f"{where}: the images have different numbers of bands: {', '.join(firsts)}; give "
            "--input.channels 3 to use the first three bands, or leave some images out"
        )
    return next(iter(counts), 3)


def _note_pages(looks: Sequence[_Look], where: str, channels: int) -> None:
    several = [look for look in looks if look.pages not in (1, channels)]
    if several:
        pages = several[0].pages
        warnings.warn(
            f"{where}: {len(several)} of {len(looks)} sampled images have more than one "
            f"page, only the first is read; the first: {several[0].path} ({pages} pages). If the "
            f"pages are bands of one image, give --input.channels {pages}",
            stacklevel=3,
        )


def _range(
    looks: Sequence[_Look], where: str, within: Sequence[float]
) -> tuple[float, float] | None:
    """The values that become 0 and 255; None if all images have 8 bits.

    Applies the rule for a single image (``levels.scale_of``) to the overall minimum and maximum.

    Raises:
        UserError: a range is given for 8-bit images, or the images have no range.
    """
    deep = [look for look in looks if look.span is not None]
    if not deep:
        if within:
            raise UserError(
                f"{where}: --input.range is for images of more than 8 bits, and these have 8; "
                "leave it out"
            )
        return None
    plain = [look for look in looks if look.span is None]
    if plain:
        levels.narrow.set()
        warnings.warn(
            f"{where}: {len(plain)} of {len(looks)} sampled images have 8 bits and stay "
            f"unchanged (the first: {plain[0].path}); one range of values applies to the "
            f"{len(deep)} others (the first: {deep[0].path})",
            stacklevel=3,
        )
    if within:
        low, high = within
        if not np.isfinite(high - low):
            raise UserError(f"--input.range is {list(within)}; it must be two numbers")
        return float(low), float(high)
    spans = np.array([look.span for look in deep])  # (N, 2)
    low, high = float(spans[:, 0].min()), float(spans[:, 1].max())
    if not np.isfinite(high - low):
        raise UserError(f"{where}: the values {low:g}..{high:g} are no range; give --input.range")
    kinds = [look.dtype for look in deep]
    start, end, _ = levels.scale_of(low, high, np.result_type(*kinds))
    if start == end:
        end = start + 1
    inner = np.array([look.inner for look in deep])
    middle = float(inner[:, 0].min()), float(inner[:, 1].max())
    if (middle[1] - middle[0]) * 256 < levels.FEW * (end - start):
        warnings.warn(
            f"{where}: 99.8 % of the values lie in {middle[0]:g}..{middle[1]:g}, where few levels "
            f"are left of the range {start:g}..{end:g}; --input.range "
            f"{middle[0]:g},{middle[1]:g} would spread them",
            stacklevel=3,
        )
    return float(start), float(end)


def _mean_and_std(
    images: Images, reading: Reading, where: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel in 0..1, over up to 64 of the images.

    Raises:
        UserError: an image with other bands, or no readable image.
    """

    def sums(image: File | photo.Pixels) -> npt.NDArray[np.float64] | UserError:
        try:
            pixels = photo.any_to_pixels(image, reading=reading).astype(np.float64) / 255
        except UserError as error:
            return error
        flat = pixels.reshape(-1, reading.channels)
        return np.stack([flat.mean(0), (flat**2).mean(0)])

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(sums, [images[i] for i in spread(range(len(images)), MEASURED)]))
    faults = [each for each in found if isinstance(each, UserError)]
    for fault in faults:
        if isinstance(fault.__cause__, UnfitError) or len(faults) == len(found):
            raise fault
    means, squares = np.mean([each for each in found if not isinstance(each, UserError)], axis=0)
    deviations = np.sqrt(np.maximum(squares - means**2, 0))
    flat = [str(band) for band, each in enumerate(deviations, 1) if each * 255 < 2]
    if flat:
        warnings.warn(
            f"{where}: nearly constant channels, with a deviation of less than 2 of the 256 levels "
            f"from their mean: {', '.join(flat)} of {reading.channels}; --input.range sets the "
            "values that become 0 and 255",
            stacklevel=3,
        )
    spreads = np.maximum(deviations, 1 / 255)
    return tuple(means.round(6).tolist()), tuple(spreads.round(6).tolist())
