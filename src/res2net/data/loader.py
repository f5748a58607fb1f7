"""Batches of a split, in an order and with an augmentation that a resumed run repeats."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from res2net import processor
from res2net.data.sampler import EpochSampler, KeyedDataset, derive_seed
from res2net.errors import UserError

Collate = Callable[[list[Any]], Any]
MOST_WORKERS = 16


class BatchLoader(DataLoader[Any]):
    """A loader whose workers hand over errors as values; they are raised here, as they were."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, UserError):
                raise UserError(str(batch))  # a new one: raising `batch` itself makes a cycle
            yield batch


def make_loader(
    dataset: KeyedDataset[Any],
    collate: Collate,
    *,
    batch: int,
    shuffle: bool,
    seed: int = 0,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    drop_last: bool = False,
    factors: npt.NDArray[np.float64] | None = None,
) -> DataLoader[Any]:
    """Batches of a data set, the same for every task.

    Args:
        collate: samples of a batch → what the task takes.
        batch: images a batch, in this process.
        shuffle: a new order each epoch (``set_epoch`` of the sampler), or the data set's own.
        seed: of the order and the augmentation.
        workers: processes that load, each with one torch thread; they live across epochs.
            0: load in this process.
        rank: number of this process.
        world: processes that share the epoch (``EpochSampler``).
        drop_last: leave out a last batch that is not full.
        factors: how often images are drawn (``EpochSampler``).

    Raises:
        UserError: when iterating, a file that cannot be decoded; at once, a batch larger than the
            data set with ``drop_last``.
    """
    sampler = EpochSampler(
        len(dataset), shuffle=shuffle, seed=seed, rank=rank, world=world, factors=factors
    )
    if drop_last and len(sampler) < batch:
        raise UserError(
            f"batch is {batch}, but there are {len(sampler)} images a process: lower the batch"
        )

    return BatchLoader(
        dataset,
        batch_size=batch,
        sampler=sampler,
        num_workers=workers,
        collate_fn=partial(_collated, collate),  # what spawned workers can unpickle
        drop_last=drop_last,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        # Of its own, so that loading draws nothing from the generator of the training.
        generator=torch.Generator().manual_seed(derive_seed(seed)),
    )


def default_workers() -> int:
    """Loader processes that leave one core to the training; those of torchrun share the cores.

    On a CPU they keep within OMP_NUM_THREADS, as the training does. A GPU waits for its images, and
    clusters set that variable to 1 for everybody: there only the cores count.
    """
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    gpu = torch.cuda.is_available()
    share = processor.cores() // local if gpu else processor.threads(local)
    return min(max(share - 1, 0), MOST_WORKERS)


def _collated(collate: Collate, samples: list[Any] | UserError) -> Any:
    return samples if isinstance(samples, UserError) else collate(samples)
