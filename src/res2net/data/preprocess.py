"""Preprocessing of images for a network, as data that a run saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from res2net.errors import UserError, did_you_mean

Interpolation = Literal["bilinear", "bicubic"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The usual CIFAR recipe of the ResNeXt authors, in 8-bit levels.
CIFAR_MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
CIFAR_STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)

CROP_SHARE = 224 / 256  # centre crop 224 of short side 256
SMALL = 64  # pixels; images up to this size are not cropped
ENOUGH = 512  # pixels; photos are decoded to at least this short side, whatever the network's input


@dataclass(frozen=True, slots=True)
class Reading:
    """Conversion of stored values to bytes with a number of channels."""

    channels: int = 3
    # values beyond 8 bits that become 0 and 255; None: by the bits or range of each file
    range: tuple[float, float] | None = None


AS_RGB = Reading()


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """Resize, centre crop and normalisation at evaluation.

    ``mean`` and ``std`` have a value per channel: three (R, G, B) unless the network takes grey or
    multi-band images.
    """

    size: int  # pixels, side of the network's square input
    resize: int  # pixels, short side before the centre crop; same as size: no margin
    mean: tuple[float, ...]  # of each channel (R, G, B) in 0..1
    std: tuple[float, ...]  # of each channel (R, G, B) in 0..1
    interpolation: Interpolation = "bilinear"  # of the resizing, antialiased
    range: tuple[float, float] | None = None  # see ``Reading``

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size is {self.size}; it must be at least 1 pixel")
        if self.resize < self.size:
            raise ValueError(f"resize is {self.resize}; it must be at least size ({self.size})")
        if not self.mean or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise ValueError(
                f"mean {self.mean} and std {self.std} must have a value for each channel, and std "
                "must be above 0"
            )
        if self.range is not None and not (len(self.range) == 2 and self.range[0] < self.range[1]):
            raise ValueError(f"range is {self.range}; it must be two numbers, the lower one first")
        if self.interpolation not in get_args(Interpolation):
            raise ValueError(
                f"interpolation is {self.interpolation!r}; choose from "
                f"{', '.join(get_args(Interpolation))}"
            )

    @property
    def channels(self) -> int:
        """Number of channels of the network's input."""
        return len(self.mean)

    @property
    def reading(self) -> Reading:
        """The conversion of a file's values, before normalisation."""
        return Reading(self.channels, self.range)

    @property
    def decode_side(self) -> int:
        """Smallest short side in pixels to decode images at: the ``min_side`` of ``decode``.

        Twice the resized side: a JPEG decoded at a smaller scale differs so much from the resized
        full image that small networks predict other classes (docs/lab-notebook.md). Random crops of
        a quarter of the image also keep all their pixels.
        """
        return max(2 * self.resize, ENOUGH)

    def as_dict(self) -> dict[str, Any]:
        """As plain types, for JSON and YAML."""
        values = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        values["range"] = self.range and list(self.range)
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """The inverse of :meth:`as_dict`.

        Raises:
            UserError: an unknown or a missing key, or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise UserError(f"preprocess has no key {key!r}.{did_you_mean(key, known)}")
        try:
            lists = {key: tuple(values[key]) for key in ("mean", "std", "range") if values.get(key)}
            return cls(**{**values, **lists})
        except (TypeError, ValueError) as error:
            raise UserError(f"preprocess: {error}") from error


def default_preprocess(
    size: int, *, cifar: bool = False, native_size: int | None = None
) -> Preprocess:
    """The recipes' preprocessing: photos with a margin of 1/8, small images uncropped.

    Args:
        size: pixels, side of the network's square input.
        cifar: use the mean and std of the CIFAR recipe instead of ImageNet's.
        native_size: side of the images in pixels if all are equal (``LabelledImages.native_size``).
    """
    small = min(size, native_size or size) <= SMALL
    return Preprocess(
        size=size,
        resize=size if small else round(size / CROP_SHARE),
        mean=CIFAR_MEAN if cifar else IMAGENET_MEAN,
        std=CIFAR_STD if cifar else IMAGENET_STD,
    )
