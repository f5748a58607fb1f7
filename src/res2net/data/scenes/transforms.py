"""How scenes are varied and shaped: (image, target) → the same, marks moved with the pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
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
        return _crop(*_resized(image, target, (height, width)), side, fill, void)

    return run


def large_scale(side: int, least: float, most: float, fill: Sequence[float]) -> Transform:
    """A random size, ``least`` to ``most`` of what fits, in a square of ``side``, objects cut.

    Large-scale jitter (Ghiasi et al. 2021). What the image does not cover is ``fill``.
    """

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        factor = least + (most - least) * float(torch.rand(()))
        image, before = _fitted(image, target, factor * side)
        image, after = _crop(image, before, side, fill)
        return image, _left_over(after, before)

    return run


def short_side(sides: Sequence[int], longest: int) -> Transform:
    """One of the short sides, each as likely, in pixels; the long side is ``longest`` at most."""

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        side = sides[int(torch.randint(len(sides), ()))]
        factor = min(side / min(image.shape[-2:]), longest / max(image.shape[-2:]))
        return _fitted(image, target, factor * max(image.shape[-2:]))

    return run


Draw = Callable[[], tuple[Tensor, Target]]  # a random image of the data with its marks


def mosaic(probability: float, draw: Draw, side: int, fill: Sequence[float]) -> Transform:
    """The image and three others around a random point of a square of two ``side``s.

    Each fits a square of ``side``. The point lies in the inner half; objects are cut at the edges.
    """

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        if torch.rand(()) >= probability:
            return image, target
        x, y = (int(side * (0.5 + value)) for value in torch.rand(2).tolist())
        whole = torch.tensor(fill).to(torch.uint8)[:, None, None].repeat(1, 2 * side, 2 * side)
        parts: list[Target] = []
        for corner in range(4):  # upper left, upper right, lower left, lower right
            image, own = _fitted(*((image, target) if corner == 0 else draw()), side)
            height, width = image.shape[-2:]
            left, top = x - width * (corner % 2 == 0), y - height * (corner < 2)
            frame = {"top": -top, "left": -left, "height": 2 * side, "width": 2 * side}
            inside = slice(max(top, 0), top + height), slice(max(left, 0), left + width)
            whole[:, *inside] = F.crop(image, **frame)[:, *inside]
            parts.append(_left_over(_moved(own, partial(F.crop, **frame)), own))
        return tv_tensors.Image(whole), _joined(parts)

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


_PLACES = (tv_tensors.BoundingBoxes, tv_tensors.Mask)


def _moved(target: Target, step: Callable[[Any], Any]) -> Target:
    return {name: step(v) if isinstance(v, _PLACES) else v for name, v in target.items()}


def _resized(image: Tensor, target: Target, size: tuple[int, int]) -> tuple[Tensor, Target]:
    """In another size; maps and masks by their nearest neighbours."""
    marks = _moved(target, lambda value: F.resize(value, list(size)))
    return F.resize(image, list(size), antialias=True), marks


def _fitted(image: Tensor, target: Target, longest: float) -> tuple[Tensor, Target]:
    """In the same proportions with a long side of so many pixels."""
    factor = longest / max(image.shape[-2:])
    height, width = (max(1, round(n * factor)) for n in image.shape[-2:])
    return _resized(image, target, (height, width))


def _crop(
    image: Tensor, target: Target, side: int, fill: Sequence[float], void: int = 0
) -> tuple[Tensor, Target]:
    """A random square; the image fills the upper left corner where it is smaller."""
    height, width = image.shape[-2:]
    right, below = max(0, side - width), max(0, side - height)
    top = int(torch.randint(height + below - side + 1, ()))
    left = int(torch.randint(width + right - side + 1, ()))

    def cut(value: Any, fill: Any) -> Any:
        return F.crop(F.pad(value, [0, 0, right, below], fill=fill), top, left, side, side)

    return cut(image, list(fill)), _moved(target, lambda value: cut(value, void))


LEAST_SHARE, LEAST_SIDE = 0.1, 2  # of an object that is cut: of its area, and pixels of its box


def _left_over(after: Target, before: Target) -> Target:
    """Objects without those of which a cut left less than a tenth or under 2 pixels a side."""
    sides = after["boxes"][:, 2:] - after["boxes"][:, :2]
    left, whole = _areas(after), _areas(before)
    return _chosen(after, (sides >= LEAST_SIDE).all(1) & (left > 0) & (left >= LEAST_SHARE * whole))


def _areas(target: Target) -> Any:
    """Of the masks, or where there are none of the boxes: (N,)."""
    if "masks" in target:
        return target["masks"].as_subclass(Tensor).flatten(1).sum(1, dtype=torch.float32)
    return (target["boxes"][:, 2:] - target["boxes"][:, :2]).prod(1)


def _chosen(target: Target, kept: Tensor) -> Target:
    """Some of the objects, by a mask (N,)."""
    return {name: _as(value, torch.as_tensor(value)[kept]) for name, value in target.items()}


def _joined(parts: Sequence[Target]) -> Target:
    """The objects of several images in one."""
    joined = {name: [torch.as_tensor(part[name]) for part in parts] for name in parts[0]}
    return {name: _as(parts[0][name], torch.cat(values)) for name, values in joined.items()}


def _as(like: Any, value: Tensor) -> Any:
    return tv_tensors.wrap(value, like=like) if isinstance(like, _PLACES) else value
