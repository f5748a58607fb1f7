"""A split as a torch data set: decode, transform, label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor
from torch.utils.data import default_collate

from res2net.data.decode import as_pixels, decode
from res2net.data.labelled import Split
from res2net.data.packed import File
from res2net.data.preprocess import AS_RGB, Reading
from res2net.data.sampler import KeyedDataset

Sample = tuple[Tensor, int, int]  # uint8 (C, S, S), label, index
Batch = tuple[Tensor, Tensor, Tensor]  # uint8 (B, C, S, S), labels int64 (B,), indices int64 (B,)


class ImageDataset(KeyedDataset[Sample]):
    """Decoded, transformed images of a split with their labels and indices.

    Args:
        split: files or arrays, with labels.
        transform: uint8 (C, H, W) to uint8 (C, S, S).
        min_side: pixels of the short side that files need to be decoded at; None: whole.
        skip_bad: leave files that cannot be decoded out of their batch, with a warning.
        reading: channels C and range of values.
    """

    def __init__(
        self,
        split: Split,
        transform: Callable[[Tensor], Tensor],
        *,
        min_side: int | None,
        skip_bad: bool = False,
        reading: Reading = AS_RGB,
    ) -> None:
        super().__init__(skip_bad=skip_bad)
        self.split = split
        self.transform = transform
        self.min_side = min_side
        self.reading = reading

    def __len__(self) -> int:
        return len(self.split)

    def sample(self, index: int) -> Sample:
        """Image, label and index."""
        return self.transform(self._image(index)), int(self.split.labels[index]), index

    def _image(self, index: int) -> Tensor:
        """Image ``index``: uint8 (C, H, W)."""
        image = self.split.images[index]
        if isinstance(image, File):
            return decode(image, min_side=self.min_side, reading=self.reading)
        return as_pixels(np.array(image), self.reading)


def batched(samples: list[Sample]) -> Batch:
    """Images of one size as a batch."""
    images, labels, indices = default_collate(samples)
    return images, labels, indices
