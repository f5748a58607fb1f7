"""The order of an epoch and the randomness of each sample, from seed and epoch alone.

Also the base of all data sets for loaders: augmentation from the key's seed, errors returned as
values, one copy of the arrays for all processes.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from multiprocessing.context import get_spawning_popen
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from res2net.errors import UserError


class SampleKey(NamedTuple):
    """One sample of one epoch."""

    index: int  # type: ignore[assignment]  # of the image in its split
    seed: int  # for its augmentation
    turned: bool = False  # alternates between epochs; half of the images start with each value


def derive_seed(*parts: int) -> int:
    """A 64-bit seed hashed from whole numbers: similar ones give unrelated seeds."""
    packed = struct.pack(f"<{len(parts)}q", *parts)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator inside the context, and restore its state afterwards.

    ``torch.manual_seed`` would reseed every accelerator too.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


class EpochSampler(Sampler[SampleKey]):
    """Keys of one epoch for one of ``world`` processes.

    The order depends only on (seed, epoch), and every key has a seed derived from (seed,
    epoch, index): the same images with the same augmentation whatever the number of workers or
    processes, and after a resume. Rank r takes positions r, r + world, ... of that order, so the
    k-th batch of all ranks together is the k-th global batch of a single process.

    Shuffled (training), every rank gets ``count // world`` keys and the last ``count % world`` of
    the order are left out of this epoch. In order (evaluation), every image occurs once: no
    padding, no duplicates, and ranks may differ by one.

    Args:
        factors: relative frequency of each image, shuffled: (count,). An image occurs as often as
            its share of the epoch, rounded down or up; None: once.

    Raises:
        UserError: fewer images than processes, when shuffled.
    """

    def __init__(
        self,
        count: int,
        *,
        shuffle: bool,
        seed: int,
        rank: int = 0,
        world: int = 1,
        factors: npt.NDArray[np.float64] | None = None,
    ) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"rank is {rank}; it must lie in 0..{world - 1}")
        if shuffle and count < world:
            raise UserError(f"{count} training image(s) cannot be shared by {world} processes")
        self.count, self.shuffle, self.seed = count, shuffle, seed
        self.rank, self.world = rank, world
        self.factors = factors
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; called by Lightning."""
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
            if self.factors is not None:
                order = self._drawn(self.factors, float(torch.rand((), generator=generator)))[order]
        else:
            order = torch.arange(self.count)
        copies = _earlier(order) if self.factors is not None else torch.zeros_like(order)
        own = slice(self.rank, None, self.world)
        pairs = zip(order[own].tolist(), copies[own].tolist(), strict=True)
        return (self._key(epoch, *each) for each in islice(pairs, len(self)))

    def _drawn(self, factors: npt.NDArray[np.float64], start: float) -> Tensor:
        """Ascending indices at equal steps of the cumulative factors: (count,)."""
        sums = factors.cumsum()
        places = (np.arange(self.count) + start) * (sums[-1] / self.count)
        return torch.from_numpy(np.searchsorted(sums, places, "right").clip(max=self.count - 1))

    def _key(self, epoch: int, index: int, copy: int) -> SampleKey:
        first = derive_seed(self.seed, -1, index)
        seed = derive_seed(self.seed, epoch, index, *([copy] if copy else []))
        return SampleKey(index, seed, bool((first + epoch + copy) % 2))


def _earlier(order: Tensor) -> Tensor:
    """How often each index occurred earlier in the order: (N,)."""
    rows = order.numpy()
    by_index = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[by_index], rows[by_index])
    copies = np.empty_like(rows)
    copies[by_index] = np.arange(len(rows)) - first
    return torch.from_numpy(copies)


Key = int | SampleKey
Sample = TypeVar("Sample")


class KeyedDataset(Dataset[Sample], Generic[Sample]):
    """Samples by index, or by ``SampleKey`` with augmentation from its seed.

    Args:
        skip_bad: leave undecodable files out of their batch, with a warning.
    """

    def __init__(self, *, skip_bad: bool = False) -> None:
        self.skip_bad = skip_bad
        # address and size of an array → the array and its shared copy
        self._shared: dict[tuple[int, int], tuple[memoryview, Tensor]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shared": {}}

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pass large arrays to spawned processes as shared memory.

        Forked processes share all memory until it is written to.
        """
        if get_spawning_popen() is None:
            return super().__reduce_ex__(protocol)
        tensors: list[Tensor] = []

        def inside(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < _LEAST_SHARED:
                return True
            key = (np.frombuffer(raw, np.uint8).ctypes.data, raw.nbytes)
            if key not in self._shared:
                copy = torch.empty(raw.nbytes, dtype=torch.uint8).share_memory_()
                copy.numpy()[:] = raw
                self._shared[key] = raw, copy
            tensors.append(self._shared[key][1])
            return False

        stream = io.BytesIO()
        _Pickler(stream, 5, buffer_callback=inside).dump(self)
        return unshared, (stream.getvalue(), tensors)

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def sample(self, index: int) -> Sample:
        """One sample; random numbers come from torch's generator.

        Raises:
            UserError: a file, named in the message, that cannot be decoded or does not fit.
        """

    def __getitem__(self, key: Key) -> Sample:
        if not isinstance(key, SampleKey):
            return self.sample(key)
        with seeded(key.seed):
            return self.sample(key.index)

    def __getitems__(self, keys: Sequence[Key]) -> list[Sample] | UserError:
        """A batch for the loader. Errors are returned, since torch would rewrite raised ones."""
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


_LEAST_SHARED = 1 << 16  # bytes of an array


class _Pickler(pickle.Pickler):
    """Pickler for data sets, including nested ones."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, KeyedDataset):
            return object.__reduce_ex__(value, 2)
        return NotImplemented


def unshared(stream: bytes, tensors: Sequence[Tensor]) -> Any:
    """Rebuild a data set in a spawned process, with its arrays in shared memory."""
    return pickle.loads(stream, buffers=[each.numpy() for each in tensors])
