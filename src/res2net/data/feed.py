"""Training batches that are completed on the network's device, after the loader.

The images equal those of the plain data set (``ImageDataset``) for the same keys: bit for bit on a
CPU, and on a GPU if pixels are only moved. Resizing and nvJPEG round differently on a GPU.

Legend: N images · B batch · C channels · S side in pixels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from res2net.data.augment import Augment
from res2net.data.dataset import Batch, ImageDataset, batched
from res2net.data.decode import JpegDecoder
from res2net.data.labelled import Labels, Pixels
from res2net.data.preprocess import Preprocess
from res2net.data.sampler import Key, KeyedDataset, SampleKey
from res2net.errors import UserError

MOST_BYTES = 1 << 30  # largest data set kept on a GPU by default


@dataclass(frozen=True)
class Feed:
    """The data set for the loader, and the function that completes its batches."""

    dataset: KeyedDataset[Any]
    collate: Callable[[list[Any]], Any]  # returns anything but a tuple, which is a completed batch
    finish: Callable[[Any, torch.device], Batch]


# ---------------------------------------------------------------- images that stay on the device


def moves_pixels(plain: ImageDataset, augment: Augment, preprocess: Preprocess) -> bool:
    """Whether the images are one array, and augmentation is only shift and flip."""
    images, side = plain.split.images, preprocess.size
    as_they_are = augment.crop == "pad" or (augment.crop == "none" and preprocess.resize == side)
    recolours = augment.color_jitter or augment.randaugment or augment.random_erasing
    return (
        isinstance(images, np.ndarray)
        and images.dtype == np.uint8
        and images.shape[1:] == (side, side, preprocess.channels)
        and preprocess.range is None
        and as_they_are
        and not recolours
    )


def gathered(plain: ImageDataset, augment: Augment) -> Feed:
    """The images of an array, kept on the device, and shifted and flipped per batch."""
    images = plain.split.images
    assert isinstance(images, np.ndarray)
    drawn = DrawnShifts(plain.split.labels, augment)
    reach = augment.pad if augment.crop == "pad" else 0
    return Feed(drawn, torch.tensor, Gather(images, reach, reflect=augment.border == "reflect"))


class DrawnShifts(KeyedDataset[list[int]]):
    """The draws of ``train_transform`` for an image: [top, left, flipped], its label, index."""

    def __init__(self, labels: Labels, augment: Augment) -> None:
        super().__init__()
        self.labels, self.augment = labels, augment

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> list[int]:
        top, left, flipped, *more = super().__getitem__(key)
        if self.augment.flip == "alternate":
            flipped = isinstance(key, SampleKey) and key.turned
        return [top, left, int(flipped), *more]

    def sample(self, index: int) -> list[int]:
        """Draw in the same order as the transform."""
        given = self.augment
        reach = 2 * given.pad if given.crop == "pad" else 0
        top, left = (int(torch.randint(reach + 1, ())) if reach else 0 for _ in range(2))
        flips = given.hflip > 0 and given.flip == "random"
        flipped = flips and bool(torch.rand(1) < given.hflip)
        return [top, left, int(flipped), int(self.labels[index]), index]


class Gather:
    """Batches from an array of images, uint8 (N, S, S, C), that stays on the device.

    Args:
        reach: width in pixels of the border around each image.
        reflect: reflect the image in the border; else the border is black.
    """

    def __init__(self, images: Pixels, reach: int, *, reflect: bool) -> None:
        self.images, self.reach, self.reflect = images, reach, reflect
        self._kept: Tensor | None = None

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself, so that a network and its moving average share the images."""
        return self

    def __call__(self, drawn: Tensor, device: torch.device) -> Batch:
        """Rows of ``DrawnShifts`` (B, 5) to uint8 (B, C, S, S), labels and indices."""
        if self._kept is None or self._kept.device != device:
            self._kept = torch.from_numpy(np.require(self.images, requirements="W")).to(device)
        top, left, flipped, labels, index = drawn.to(device, non_blocking=True).unbind(1)
        side = self._kept.shape[1]
        steps = torch.arange(side, device=device)
        across = torch.where(flipped[:, None] > 0, side - 1 - steps, steps)
        y, inside_y = self._source(steps + top[:, None])
        x, inside_x = self._source(across + left[:, None])
        found = self._kept[index[:, None, None], y[:, :, None], x[:, None, :]]  # (B, S, S, C)
        if self.reach and not self.reflect:
            found *= (inside_y[:, :, None] & inside_x[:, None, :])[..., None]
        return found.permute(0, 3, 1, 2), labels, index

    def _source(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Image coordinates for positions (B, S) in the bordered image, and which are inside."""
        assert self._kept is not None
        last, at = self._kept.shape[1] - 1, place - self.reach
        if self.reflect:
            return last - (last - at.abs()).abs(), at
        return at.clamp(0, last), (at >= 0) & (at <= last)


# ---------------------------------------------------------------- images that are sent there


@dataclass(frozen=True)
class Sent:
    """A batch as stored: pixels uint8 (C, H, W) or the bytes of a JPEG file (n,) per image."""

    images: list[Tensor]
    keys: list[Key]
    labels: list[int]


def sent(plain: ImageDataset, jpeg: JpegDecoder | None) -> Feed:
    """Images augmented one by one on the device; with ``jpeg``, JPEG is decoded there too."""
    return Feed(StoredImages(plain, coded=jpeg is not None), _sent, Augmenter(plain, jpeg))


class StoredImages(KeyedDataset[tuple[Tensor, Key, int]]):
    """Images before augmentation.

    Args:
        coded: keep plain JPEG files encoded.
    """

    def __init__(self, plain: ImageDataset, *, coded: bool) -> None:
        super().__init__(skip_bad=plain.skip_bad)
        self.plain, self.coded = plain, coded

    def __len__(self) -> int:
        return len(self.plain)

    def __getitem__(self, key: Key) -> tuple[Tensor, Key, int]:
        index = key.index if isinstance(key, SampleKey) else key
        image, label = self.sample(index)[::2]
        return image, key, label

    def sample(self, index: int) -> tuple[Tensor, Key, int]:
        """Image, key and label."""
        label = int(self.plain.split.labels[index])
        return self.plain.stored(index, coded=self.coded), index, label


def _sent(samples: Sequence[tuple[Tensor, Key, int]]) -> Sent:
    images, keys, labels = map(list, zip(*samples, strict=True))
    return Sent(images, keys, labels)


class Augmenter:
    """Decode and augment images one by one on the device, with the transform of ``plain``."""

    def __init__(self, plain: ImageDataset, jpeg: JpegDecoder | None) -> None:
        self.plain, self.jpeg = plain, jpeg

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself, so that a network and its moving average share the data set."""
        return self

    def __call__(self, batch: Sent, device: torch.device) -> Batch:
        """Augmented images uint8 (B, C, S, S), labels and indices.

        Raises:
            UserError: a damaged file.
        """
        try:
            images = self._decoded(batch.images, device)
        except RuntimeError:  # a damaged file: the plain data set reports it or leaves it out
            samples = self.plain.__getitems__(batch.keys)
            if isinstance(samples, UserError):
                raise samples from None
            found = batched(samples)
            return found[0].to(device), found[1].to(device), found[2].to(device)
        made = [self.plain.varied(x, key) for x, key in zip(images, batch.keys, strict=True)]
        indices = [key.index if isinstance(key, SampleKey) else key for key in batch.keys]
        labels = torch.tensor([batch.labels, indices]).to(device, non_blocking=True)
        return torch.stack(made), labels[0], labels[1]

    def _decoded(self, images: Sequence[Tensor], device: torch.device) -> list[Tensor]:
        coded = [image for image in images if image.ndim == 1]
        decoded = iter(self.jpeg(coded) if self.jpeg and coded else ())
        return [next(decoded) if x.ndim == 1 else x.to(device, non_blocking=True) for x in images]
