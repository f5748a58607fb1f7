"""The order of an epoch and the randomness of each sample, from the seed and the epoch alone.

Also what every data set for the loaders does with them: augmentation from the key's seed, faults
as values.
"""

from __future__ import annotations

import hashlib
import struct
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

import torch
from torch.utils.data import Dataset, Sampler

from res2net.errors import UserError


class SampleKey(NamedTuple):
    """One sample of one epoch."""

    index: int  # type: ignore[assignment]  # of the image in its split
    seed: int  # of its augmentation


def derive_seed(*parts: int) -> int:
    """A 64-bit seed from whole numbers, by a hash: near parts give unrelated seeds."""
    packed = struct.pack(f"<{len(parts)}q", *parts)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's CPU generator as seeded; afterwards it continues where it was.

    Only the CPU's: ``torch.manual_seed`` would reseed every accelerator too.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


class EpochSampler(Sampler[SampleKey]):
    """Keys of one epoch for one of ``world`` processes.

    The order follows only from (seed, epoch), and every key carries a seed derived from (seed,
    epoch, index): the same images with the same augmentation whatever the number of workers or
    processes, and after a resume. Rank r takes positions r, r + world, ... of that order, so the
    k-th batch of all ranks together is the k-th global batch of a single process.

    Shuffled (training), every rank gets ``count // world`` keys and the last ``count % world`` of
    the order sit out this epoch. In order (evaluation), every image is dealt once: no padding, no
    duplicates, and ranks may differ by one.

    Raises:
        UserError: shuffled, and fewer images than processes.
    """

    def __init__(
        self, count: int, *, shuffle: bool, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"rank is {rank}; it must lie in 0..{world - 1}")
        if shuffle and count < world:
            raise UserError(f"{count} training image(s) cannot be shared by {world} processes")
        self.count, self.shuffle, self.seed = count, shuffle, seed
        self.rank, self.world = rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration is of; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.shuffle:
            return self.count // self.world
        return len(range(self.rank, self.count, self.world))

    def __iter__(self) -> Iterator[SampleKey]:
        epoch = self.epoch
        if self.shuffle:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
            order = torch.randperm(self.count, generator=generator)
        else:
            order = torch.arange(self.count)
        own = order[self.rank :: self.world][: len(self)].tolist()
        return (SampleKey(index, derive_seed(self.seed, epoch, index)) for index in own)


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
