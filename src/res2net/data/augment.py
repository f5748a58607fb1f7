"""Options of the augmentation; ``transforms`` turns them into functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Crop = Literal["random_resized", "pad", "none"]
Border = Literal["black", "reflect"]
Flip = Literal["random", "alternate"]
Where = Literal["auto", "workers", "device"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Augment:
    """Augmentation of training images; the defaults are the paper's (4.1)."""

    crop: Crop = "random_resized"  # random_resized (photos), pad (CIFAR) or none (centre crop)
    crop_scale: float = 0.08  # crop random_resized: smallest share of the image's area, 0..1
    pad: int = 4  # crop pad: border in pixels before the random crop
    border: Border = "black"  # crop pad: black, or the image reflected at its edges
    flip: Flip = "random"  # left-right flips: random, or alternate: each image every second epoch
    hflip: float = 0.5  # flip random: probability of a left-right flip, 0..1
    scale: tuple[float, ...] = ()  # LO,HI of a random size; default: 0.5,2 (segment) or none
    sides: tuple[int, ...] = ()  # short sides in pixels that training draws from; default: one
    mosaic: float = 0.0  # probability that three more images join the image in a square, 0..1
    copy_paste: float = 0.0  # probability of pasting objects of another image, by mask, 0..1
    color_jitter: float = 0.0  # strength for brightness, contrast and saturation; 0.4 is usual
    randaugment: int = 0  # RandAugment operations per image; 0: off
    randaugment_magnitude: int = 9  # RandAugment strength, 0..30
    random_erasing: float = 0.0  # probability of erasing a rectangle, 0..1
    mixup: float = 0.0  # mixup alpha; 0: off, 0.2 is usual
    cutmix: float = 0.0  # CutMix alpha; 0: off, 1.0 is usual
    where: Where = "auto"  # who augments: workers or device; auto: device for arrays on a GPU

    def __post_init__(self) -> None:
        for name, kind in (("crop", Crop), ("border", Border), ("flip", Flip), ("where", Where)):
            value = getattr(self, name)
            if value not in get_args(kind):
                raise ValueError(f"{name} is {value!r}; choose from {', '.join(get_args(kind))}")
        if not 0 < self.crop_scale <= 1:
            raise ValueError(f"crop_scale is {self.crop_scale}; it must be above 0, at most 1")
        for name in ("hflip", "random_erasing", "mosaic", "copy_paste"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; a probability lies in 0..1")
        for name in ("pad", "color_jitter", "randaugment", "mixup", "cutmix"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"{name} is {value}; it must be 0 or more")
        rising = len(self.scale) in (0, 2) and list(self.scale) == sorted(self.scale)
        if not rising or not all(0.05 <= factor <= 20 for factor in self.scale):
            raise ValueError(
                f"scale is {list(self.scale)}; give LO,HI within 0.05..20, such as 0.5,2"
            )
        if any(not 32 <= side <= 8192 for side in self.sides):
            raise ValueError(f"sides is {list(self.sides)}; short sides lie in 32..8192 pixels")
        if self.sides and self.scale:
            raise ValueError("sides and --augment.scale both draw the size; give one of them")
        if not 0 <= self.randaugment_magnitude <= 30:
            raise ValueError(
                f"randaugment_magnitude is {self.randaugment_magnitude}; it must lie in 0..30"
            )
