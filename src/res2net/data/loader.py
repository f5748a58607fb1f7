"""Batches of a split, in an order and with augmentation that a resumed run reproduces."""

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
    """A loader whose workers return errors as values; they are raised here unchanged."""

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
        collate: samples of a batch → the input of the task.
        batch: images per batch in this process.
        shuffle: a new order each epoch (``set_epoch`` of the sampler), or the data set's order.
        seed: random seed for order and augmentation.
        workers: loader processes with one torch thread each, kept across epochs; 0: load in this
            process.
        rank: index of this process.
        world: processes that share the epoch (``EpochSampler``).
        drop_last: drop an incomplete last batch.
        factors: sampling frequency of the images (``EpochSampler``).

    Raises:
        UserError: a file that cannot be decoded (during iteration); a batch larger than the data
            set with ``drop_last`` (at once).
    """
    sampler = EpochSampler(
        len(dataset), shuffle=shuffle, seed=seed, rank=rank, world=world, factors=factors
    )
    if drop_last and len(sampler) < batch:
        raise UserError(
            f"batch is {batch}, but there are {len(sampler)} images per process: lower the batch"
        )

    return BatchLoader(
        dataset,
        batch_size=batch,
        sampler=sampler,
        num_workers=workers,
        collate_fn=partial(_collated, collate),  # picklable for spawned workers
        drop_last=drop_last,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        # A separate generator, so that loading draws nothing from that of training.
        generator=torch.Generator().manual_seed(derive_seed(seed)),
    )


def default_workers() -> int:
    """Number of loader processes: leaves one core to training; torchrun processes share the cores.

    On a CPU it stays within OMP_NUM_THREADS, as training does. With a GPU only the cores count,
    since loading is the bottleneck there and clusters often set that variable to 1.
    """
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    gpu = torch.cuda.is_available()
    share = processor.cores() // local if gpu else processor.threads(local)
    return min(max(share - 1, 0), MOST_WORKERS)


def _collated(collate: Collate, samples: list[Any] | UserError) -> Any:
    return samples if isinstance(samples, UserError) else collate(samples)
