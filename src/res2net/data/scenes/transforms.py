"""Augmentation and resizing of scenes: (image, target) → (image, target)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from res2net.data.scene import IGNORED
from res2net.data.scenes.dataset import Target, Transform
from res2net.errors import UserError


def chain(*steps: Transform) -> Transform:
    """Transforms in sequence."""

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        for step in steps:
            image, target = step(image, target)
        return image, target

    return run


def flip(probability: float, mirrored: Sequence[int] | None = None) -> Transform:
    """A horizontal flip; key-points (pixel columns) are swapped by ``Skeleton.mirrored``."""

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
    """Scale by ``least`` to ``most`` at random, then crop a random square of ``side``.

    Padding is ``fill`` (0..255, R G B) and ignored, as in DeepLab.
    """

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        factor = least + (most - least) * float(torch.rand(()))
        height, width = (max(1, round(n * factor)) for n in image.shape[-2:])
        return _crop(*_resized(image, target, (height, width)), side, fill, void)

    return run


def large_scale(side: int, least: float, most: float, fill: Sequence[float]) -> Transform:
    """Scale to ``least`` to ``most`` of the fitting size, in a square of ``side``; clip objects.

    Large-scale jitter (Ghiasi et al. 2021). Padding is ``fill``.
    """

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        factor = least + (most - least) * float(torch.rand(()))
        image, before = _fitted(image, target, factor * side)
        image, after = _crop(image, before, side, fill)
        return image, _left_over(after, before)

    return run


def short_side(sides: Sequence[int], longest: int) -> Transform:
    """Resize to a random short side in pixels, with a long side of at most ``longest``."""

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        side = sides[int(torch.randint(len(sides), ()))]
        factor = min(side / min(image.shape[-2:]), longest / max(image.shape[-2:]))
        return _fitted(image, target, factor * max(image.shape[-2:]))

    return run


Draw = Callable[[], tuple[Tensor, Target]]  # a random image of the data with its annotations


def mosaic(probability: float, draw: Draw, side: int, fill: Sequence[float]) -> Transform:
    """Mosaic: the image and three others around a random point of a square of two ``side``s.

    Each fits a square of ``side``. The point is in the inner half; objects are clipped at edges.
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


def copy_paste(probability: float, draw: Draw) -> Transform:
    """Simple copy-paste (Ghiasi et al. 2021): objects of another image are pasted by their masks.

    The other image is scaled to fit at a random place. Each of its objects is pasted with a
    probability of one half, ignored ones never; what they cover of the others is cut.
    """

    def run(image: Tensor, target: Target) -> tuple[Tensor, Target]:
        if torch.rand(()) >= probability:
            return image, target
        height, width = image.shape[-2:]
        other, found = draw()
        fit = min(height / other.shape[-2], width / other.shape[-1])
        other, found = _fitted(other, found, fit * max(other.shape[-2:]))
        top, left = (
            -int(torch.randint(room + 1, ()))
            for room in (height - other.shape[-2], width - other.shape[-1])
        )
        found = _chosen(found, ~found["ignored"] & (torch.rand(len(found["labels"])) < 0.5))
        cut = partial(F.crop, top=top, left=left, height=height, width=width)
        other, found = cut(other), _moved(found, cut)
        over = found["masks"].as_subclass(Tensor).bool().any(0)
        mixed = tv_tensors.Image(torch.where(over, other, image))
        return mixed, _joined([_left_over(_uncovered(target, over), target), found])

    return run


def _uncovered(target: Target, over: Tensor) -> Target:
    """The objects without the covered pixels (H, W); boxes only change with their masks."""
    before = target["masks"].as_subclass(Tensor)
    after, boxes = before * ~over, torch.as_tensor(target["boxes"]).clone()
    for i in (after != before).flatten(1).any(1).nonzero()[:, 0].tolist():
        if after[i].any():
            left, top, right, bottom = masks_to_boxes(after[i : i + 1])[0].tolist()
            boxes[i] = torch.tensor([left, top, right + 1, bottom + 1])
    moved = {"masks": after, "boxes": boxes}
    return {**target, **{name: _as(target[name], value) for name, value in moved.items()}}


def without_masks(image: Tensor, target: Target) -> tuple[Tensor, Target]:
    """Boxes alone, for detectors, after the steps that need masks."""
    return image, {name: value for name, value in target.items() if name != "masks"}


def crop_with_boxes(least: float) -> Transform:
    """A random crop of the image around some of its boxes, as in SSD, or the whole image.

    Boxes with their centre outside are dropped with their masks; the others are clipped.

    Args:
        least: minimum share of the image's sides.
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
    """Random brightness, contrast and saturation; the identity at a strength of 0.

    Raises:
        UserError: images without one or three channels.
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
    """Resize the whole image and its map to a square of ``side``, ignoring the aspect ratio."""
    return lambda image, target: _resized(image, target, (side, side))


def as_it_is(image: Tensor, target: Target) -> tuple[Tensor, Target]:
    """Nothing changed."""
    return image, target


_PLACES = (tv_tensors.BoundingBoxes, tv_tensors.Mask)


def _moved(target: Target, step: Callable[[Any], Any]) -> Target:
    return {name: step(v) if isinstance(v, _PLACES) else v for name, v in target.items()}


def _resized(image: Tensor, target: Target, size: tuple[int, int]) -> tuple[Tensor, Target]:
    """Resize; maps and masks by nearest neighbour."""
    marks = _moved(target, lambda value: F.resize(value, list(size)))
    return F.resize(image, list(size), antialias=True), marks


def _fitted(image: Tensor, target: Target, longest: float) -> tuple[Tensor, Target]:
    """Resize the long side to a number of pixels, keeping the aspect ratio."""
    factor = longest / max(image.shape[-2:])
    height, width = (max(1, round(n * factor)) for n in image.shape[-2:])
    return _resized(image, target, (height, width))


def _crop(
    image: Tensor, target: Target, side: int, fill: Sequence[float], void: int = 0
) -> tuple[Tensor, Target]:
    """Crop a random square; a smaller image is placed in the upper left corner."""
    height, width = image.shape[-2:]
    right, below = max(0, side - width), max(0, side - height)
    top = int(torch.randint(height + below - side + 1, ()))
    left = int(torch.randint(width + right - side + 1, ()))

    def cut(value: Any, fill: Any) -> Any:
        return F.crop(F.pad(value, [0, 0, right, below], fill=fill), top, left, side, side)

    return cut(image, list(fill)), _moved(target, lambda value: cut(value, void))


LEAST_SHARE, LEAST_SIDE = 0.1, 2  # of a clipped object: share of its area, pixels of its box


def _left_over(after: Target, before: Target) -> Target:
    """Drop objects clipped to less than a tenth of their area or a side under 2 pixels."""
    sides = after["boxes"][:, 2:] - after["boxes"][:, :2]
    left, whole = _areas(after), _areas(before)
    return _chosen(after, (sides >= LEAST_SIDE).all(1) & (left > 0) & (left >= LEAST_SHARE * whole))


def _areas(target: Target) -> Any:
    """Areas of the masks, or of the boxes if there are none: (N,)."""
    if "masks" in target:
        return target["masks"].as_subclass(Tensor).flatten(1).sum(1, dtype=torch.float32)
    return (target["boxes"][:, 2:] - target["boxes"][:, :2]).prod(1)


def _chosen(target: Target, kept: Tensor) -> Target:
    """The objects selected by a mask (N,)."""
    return {name: _as(value, torch.as_tensor(value)[kept]) for name, value in target.items()}


def _joined(parts: Sequence[Target]) -> Target:
    """The objects of several images, concatenated."""
    joined = {name: [torch.as_tensor(part[name]) for part in parts] for name in parts[0]}
    return {name: _as(parts[0][name], torch.cat(values)) for name, values in joined.items()}


def _as(like: Any, value: Tensor) -> Any:
    return tv_tensors.wrap(value, like=like) if isinstance(like, _PLACES) else value
