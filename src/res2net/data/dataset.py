"""A split as a torch ``Dataset``: decode, transform, label."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from res2net.data.decode import as_pixels, decode, whole_jpeg
from res2net.data.labelled import Split
from res2net.data.packed import File
from res2net.data.preprocess import AS_RGB, Reading
from res2net.data.sampler import Key, KeyedDataset, SampleKey, seeded

Sample = tuple[Tensor, int | Tensor, int]  # uint8 (C, S, S), label, index
# uint8 (B, C, S, S); labels int64 (B,), multi-label float (B, classes); indices int64 (B,)
Batch = tuple[Tensor, Tensor, Tensor]


class ImageDataset(KeyedDataset[Sample]):
    """Decoded, transformed images of a split with their labels and indices.

    Args:
        split: files or arrays, with labels.
        transform: uint8 (C, H, W) to uint8 (C, S, S).
        min_side: smallest short side in pixels to decode files at; None: full size.
        skip_bad: leave undecodable files out of their batch, with a warning.
        reading: channels C and range of values.
        alternate: flip each image horizontally in every second epoch.
    """

    def __init__(
        self,
        split: Split,
        transform: Callable[[Tensor], Tensor],
        *,
        min_side: int | None,
        skip_bad: bool = False,
        reading: Reading = AS_RGB,
        alternate: bool = False,
    ) -> None:
        super().__init__(skip_bad=skip_bad)
        self.split = split
        self.transform = transform
        self.min_side = min_side
        self.reading = reading
        self.alternate = alternate

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: Key) -> Sample:
        image, label, index = super().__getitem__(key)
        return self._turned(image, key), label, index

    def sample(self, index: int) -> Sample:
        """Image, label and index."""
        label = self.split.labels[index]
        target = torch.from_numpy(label).float() if label.ndim else int(label)
        return self.transform(self.stored(index)), target, index

    def varied(self, image: Tensor, key: Key) -> Tensor:
        """The sample of a key, made from the image of ``stored`` on any device."""
        with seeded(key.seed) if isinstance(key, SampleKey) else nullcontext():
            return self._turned(self.transform(image), key)

    def _turned(self, image: Tensor, key: Key) -> Tensor:
        turned = self.alternate and isinstance(key, SampleKey) and key.turned
        return image.flip(-1) if turned else image

    def stored(self, index: int, *, coded: bool = False) -> Tensor:
        """Image ``index`` before the transform: uint8 (C, H, W).

        Args:
            coded: return a JPEG that ``decode.whole_jpeg`` accepts as its bytes, (n,).

        Raises:
            UserError: as ``decode``.
        """
        image = self.split.images[index]
        if isinstance(image, File):
            data = whole_jpeg(image, self.min_side, self.reading) if coded else None
            if data is not None:
                return data
            return decode(image, min_side=self.min_side, reading=self.reading)
        return as_pixels(np.array(image), self.reading)


def batched(samples: list[Sample]) -> Batch:
    """Images of one size as a batch."""
    images, labels, indices = default_collate(samples)
    return images, labels, indices
