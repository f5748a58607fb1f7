"""How scenes are varied and shaped: (image, target) → the same, marks moved with the pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from res2net.data.scene import IGNORED
from res2net.data.scenes.dataset import Target, Transform
from res2net.errors import UserError


def chain(*steps: Transform) -> Transform:
    """One after the other."""

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        for step in steps:
            image, target = step(image, target)
        return image, target

    return run


def flip(probability: float, mirrored: Sequence[int] | None = None) -> Transform:
    """A left-right flip; key-points (columns of pixels) trade places by ``Skeleton.mirrored``."""

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        if torch.rand(()) >= probability:
            return image, target
        width = image.shape[-1]
        moved: Target = {}
        for name, value in target.items():
            if isinstance(value, tv_tensors.BoundingBoxes | tv_tensors.Mask):
                moved[name] = F.horizontal_flip(value)
            elif name == "keypoints":
                points = value.clone()
                points[..., 0] = torch.where(
                    points[..., 2] > 0, width - 1 - points[..., 0], points[..., 0]
                )
                moved[name] = points if mirrored is None else points[:, list(mirrored)]
            else:
                moved[name] = value
        return F.horizontal_flip(image), moved

    return run


def scale_and_crop(
    side: int, least: float, most: float, fill: Sequence[float], void: int = IGNORED
) -> Transform:
    """A random size, ``least`` to ``most`` of the image's, then a random square of ``side``.

    What the image does not cover is ``fill`` (0..255, R G B) and does not count (DeepLab's way).
    """

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        factor = least + (most - least) * float(torch.rand(()))
        height, width = (max(1, round(n * factor)) for n in image.shape[-2:])
        image, target = _resized(image, target, (height, width))
        right, below = max(0, side - width), max(0, side - height)
        top = int(torch.randint(height + below - side + 1, ()))
        left = int(torch.randint(width + right - side + 1, ()))
        whole = F.pad(image, [0, 0, right, below], fill=list(fill))
        cut = F.crop(whole, top, left, side, side)
        marks = F.pad(target["map"], [0, 0, right, below], fill=void)
        return cut, {**target, "map": F.crop(marks, top, left, side, side)}

    return run


def crop_with_boxes(least: float) -> Transform:
    """A random part of the image around some of its boxes (SSD's way), or all of it.

    Boxes whose centre is outside are left out, with their masks; the others are cut.

    Args:
        least: share of the image's sides, at least.
    """
    crop = v2.RandomIoUCrop(min_scale=least)
    sanitise = v2.SanitizeBoundingBoxes(
        labels_getter=lambda inputs: (inputs[1]["labels"], inputs[1]["ignored"])
    )

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        if not len(target["boxes"]):
            return image, target
        image, target = sanitise(*crop(image, target))
        return image, target

    return run


def colours(strength: float, channels: int) -> Transform:
    """Random brightness, contrast and saturation; nothing at a strength of 0.

    Raises:
        UserError: images of other channels than one or three.
    """
    if not strength:
        return as_it_is
    if channels not in (1, 3):
        raise UserError(
            f"--augment.color-jitter needs images of 1 or 3 channels, these have {channels}; set "
            "it to 0"
        )
    jitter = v2.ColorJitter(brightness=strength, contrast=strength, saturation=strength)
    return lambda image, target: (jitter(image), target)


def square(side: int) -> Transform:
    """The whole image and its map as a square of ``side``, proportions given up."""
    return lambda image, target: _resized(image, target, (side, side))


def as_it_is(image: Tensor, target: Target) -> tuple[Tensor, Target]:
    """Nothing changed."""
    return image, target


def _resized(image: Tensor, target: Target, size: tuple[int, int]) -> tuple[Tensor, Target]:
    resized = F.resize(image, list(size), antialias=True)
    marks = F.resize(target["map"], list(size), interpolation=InterpolationMode.NEAREST)
    return resized, {**target, "map": marks}
