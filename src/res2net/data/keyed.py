"""What every data set for the loaders does: augmentation from the key's seed, faults as values."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from torch.utils.data import Dataset

from res2net.data.sampler import SampleKey, seeded
from res2net.errors import UserError

Key = int | SampleKey
Sample = TypeVar("Sample")


class KeyedDataset(Dataset[Sample], Generic[Sample]):
    """Samples by an index, or by a ``SampleKey`` with the augmentation of its seed.

    Args:
        skip_bad: leave files that cannot be decoded out of their batch, with a warning.
    """

    def __init__(self, *, skip_bad: bool = False) -> None:
        self.skip_bad = skip_bad

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def sample(self, index: int) -> Sample:
        """One sample; what is drawn is drawn from torch's generator.

        Raises:
            UserError: a file that cannot be decoded or does not fit; names it.
        """

    def __getitem__(self, key: Key) -> Sample:
        if not isinstance(key, SampleKey):
            return self.sample(key)
        with seeded(key.seed):
            return self.sample(key.index)

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
