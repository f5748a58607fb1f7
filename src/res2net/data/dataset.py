"""A split as a torch data set: decode, transform, label."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from res2net.data.decode import decode
from res2net.data.labelled import Split
from res2net.data.sampler import SampleKey, seeded
from res2net.errors import UserError

Sample = tuple[Tensor, int, int]  # uint8 (3, S, S), label, index
Key = int | SampleKey


class ImageDataset(Dataset[Sample]):
    """Decoded, transformed images of a split with their labels and indices.

    Args:
        split: files or arrays, with labels.
        transform: uint8 (3, H, W) to uint8 (3, S, S).
        min_side: pixels of the short side that files need to be decoded at; None: whole.
        skip_bad: leave files that cannot be decoded out of their batch, with a warning.
    """

    def __init__(
        self,
        split: Split,
        transform: Callable[[Tensor], Tensor],
        *,
        min_side: int | None,
        skip_bad: bool = False,
    ) -> None:
        self.split = split
        self.transform = transform
        self.min_side = min_side
        self.skip_bad = skip_bad

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: Key) -> Sample:
        """The sample of an index; of a ``SampleKey``, with the augmentation of its seed.

        Raises:
            UserError: a file that cannot be decoded.
        """
        index = key.index if isinstance(key, SampleKey) else key
        image = self._image(index)
        if isinstance(key, SampleKey):
            with seeded(key.seed):
                image = self.transform(image)
        else:
            image = self.transform(image)
        return image, int(self.split.labels[index]), index

    def __getitems__(self, keys: Sequence[Key]) -> list[Sample] | UserError:
        """A batch, for the loader. An error is returned, as torch would rewrite a raised one."""
        samples: list[Sample] = []
        fault: UserError | None = None
        for key in keys:
            try:
                samples.append(self[key])
            except UserError as error:
                fault = error
                if not self.skip_bad:
                    return fault
                warnings.warn(f"skipped: {error}", stacklevel=2)
        return fault if fault is not None and not samples else samples

    def _image(self, index: int) -> Tensor:
        """Image ``index``: uint8 (3, H, W)."""
        image = self.split.images[index]
        if isinstance(image, Path):
            return decode(image, min_side=self.min_side)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
