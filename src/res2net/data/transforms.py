"""Augmentation and preprocessing as torchvision v2 transforms.

Input is uint8 (3, H, W) of any size, output is uint8 (3, size, size), so that the loader moves
bytes. Normalisation and mixing work on whole batches, on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from res2net.data.augment import Augment
from res2net.data.preprocess import Preprocess

CROPS = 5  # test-time views of an image: centre and corners
LONGEST = 8  # aspect ratio; longer images are cropped to it before resizing


def train_transform(augment: Augment, preprocess: Preprocess) -> v2.Transform:
    """Random crop, flip and the other steps of ``augment``, drawn from torch's generator.

    Alternating flips depend on the epoch and are done by the data set.
    """
    steps = _crop(augment, preprocess)
    if augment.hflip and augment.flip == "random":
        steps.append(v2.RandomHorizontalFlip(augment.hflip))
    if augment.randaugment:
        steps.append(v2.RandAugment(augment.randaugment, augment.randaugment_magnitude))
    if augment.color_jitter:
        jitter = augment.color_jitter
        steps.append(v2.ColorJitter(brightness=jitter, contrast=jitter, saturation=jitter))
    if augment.random_erasing:
        steps.append(v2.RandomErasing(augment.random_erasing, value=_mean_color(preprocess)))
    return v2.Compose(steps)


def eval_transform(preprocess: Preprocess) -> v2.Transform:
    """Resize the short side to ``preprocess.resize``, then centre-crop to ``preprocess.size``."""
    return v2.Compose(_centre(preprocess.resize, preprocess))


def crops_transform(preprocess: Preprocess) -> Callable[[Tensor], Tensor]:
    """The four corners and the centre of the resized image: uint8 (``CROPS``, C, S, S)."""
    resized = v2.Compose(_short_side(preprocess.resize, preprocess))
    return partial(_five, resized, preprocess.size)


def _five(resized: v2.Transform, size: int, image: Tensor) -> Tensor:
    return torch.stack(F.five_crop(resized(image), [size, size]))


def normalise(batch: Tensor, preprocess: Preprocess, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normalise uint8 (B, 3, S, S) to (value/255 - mean)/std of ``dtype``, on the batch's device.

    Types of less than 32 bits are rounded once, at the end. The memory format is kept.
    """
    values = F.to_dtype(batch, torch.promote_types(dtype, torch.float32), scale=True)
    values = F.normalize(values, list(preprocess.mean), list(preprocess.std), inplace=True)
    return values.to(dtype)


def mix(
    images: Tensor, targets: Tensor, augment: Augment, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Mix each image of a batch with another by mixup or CutMix, at random if both are set.

    Draws from torch's default generator (see ``res2net.data.sampler.seeded``).

    Args:
        images: float (B, 3, S, S), normalised.
        targets: int64 (B,).

    Returns:
        images (B, 3, S, S) and soft targets: float (B, num_classes), rows sum to 1; one-hot
        if ``augment`` mixes nothing.
    """
    mixers = []
    if augment.mixup:
        mixers.append(v2.MixUp(alpha=augment.mixup, num_classes=num_classes))
    if augment.cutmix:
        mixers.append(v2.CutMix(alpha=augment.cutmix, num_classes=num_classes))
    if not mixers:
        return images, torch.nn.functional.one_hot(targets, num_classes).float()
    return v2.RandomChoice(mixers)(images, targets)


def _crop(augment: Augment, preprocess: Preprocess) -> list[Any]:
    if augment.crop == "random_resized":
        crop = v2.RandomResizedCrop(
            preprocess.size,
            scale=(augment.crop_scale, 1.0),
            interpolation=InterpolationMode(preprocess.interpolation),
            antialias=True,
        )
        return [crop]
    if augment.crop == "pad":
        mode = "reflect" if augment.border == "reflect" else "constant"
        pad = v2.RandomCrop(preprocess.size, padding=augment.pad, padding_mode=mode)
        return [*_short_side(preprocess.size, preprocess), pad]
    return _centre(preprocess.resize, preprocess)


def _centre(resize: int, preprocess: Preprocess) -> list[Any]:
    return [*_short_side(resize, preprocess), v2.CenterCrop(preprocess.size)]


def _short_side(resize: int, preprocess: Preprocess) -> list[Any]:
    mode = InterpolationMode(preprocess.interpolation)
    return [v2.Lambda(_cut_long, Tensor), v2.Resize(resize, interpolation=mode, antialias=True)]


def _cut_long(image: Tensor) -> Tensor:
    """The middle of a long image: resizing 5000x3 pixels uncropped would take 300 MB."""
    height, width = image.shape[-2:]
    if max(height, width) <= LONGEST * min(height, width):
        return image
    return F.center_crop(image, [min(height, LONGEST * width), min(width, LONGEST * height)])


def _mean_color(preprocess: Preprocess) -> list[int]:
    """The colour that normalises to about 0."""
    return [round(255 * channel) for channel in preprocess.mean]
