"""Batches of a split, in an order and with an augmentation that a resumed run repeats."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from res2net import processor
from res2net.data.dataset import ImageDataset, Sample
from res2net.data.labelled import Split
from res2net.data.sampler import EpochSampler, derive_seed
from res2net.errors import UserError

Batch = tuple[Tensor, Tensor, Tensor]  # uint8 (B, 3, S, S), labels int64 (B,), indices int64 (B,)

MOST_WORKERS = 16


class BatchLoader(DataLoader[Sample]):
    """A loader whose workers hand over errors as values; they are raised here, as they were."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, UserError):
                raise UserError(str(batch))  # a new one: raising `batch` itself makes a cycle
            yield batch


def make_loader(
    split: Split,
    transform: Callable[[Tensor], Tensor],
    *,
    batch: int,
    shuffle: bool,
    seed: int,
    workers: int,
    min_side: int | None = None,
    rank: int = 0,
    world: int = 1,
    drop_last: bool = False,
    pin_memory: bool = False,
    skip_bad: bool = False,
) -> DataLoader[Sample]:
    """Batches of uint8 images (B, 3, S, S), labels (B,) and indices (B,), both int64.

    Args:
        split: files or arrays, with labels.
        transform: uint8 (3, H, W) to uint8 (3, S, S).
        batch: images a batch, in this process.
        shuffle: a new order each epoch (``set_epoch`` of the sampler), or the split's own order.
        seed: of the order and the augmentation.
        workers: processes that load, each with one torch thread; they live across epochs.
            0: load in this process.
        min_side: pixels of the short side that files need to be decoded at (``decode_side``).
        rank: number of this process.
        world: processes that share the epoch (``EpochSampler``).
        drop_last: leave out a last batch that is not full.
        pin_memory: for faster copies to a GPU.
        skip_bad: leave files that cannot be decoded out of their batch, with a warning.

    Raises:
        UserError: when iterating, a file that cannot be decoded; at once, a batch larger than the
            split with ``drop_last``.
    """
    sampler = EpochSampler(len(split), shuffle=shuffle, seed=seed, rank=rank, world=world)
    if drop_last and len(sampler) < batch:
        raise UserError(
            f"batch is {batch}, but there are {len(sampler)} images a process: lower the batch"
        )
    return BatchLoader(
        ImageDataset(split, transform, min_side=min_side, skip_bad=skip_bad),
        batch_size=batch,
        sampler=sampler,
        num_workers=workers,
        collate_fn=_collate,
        drop_last=drop_last,
        pin_memory=pin_memory,
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


def _collate(samples: list[Sample] | UserError) -> Batch | UserError:
    if isinstance(samples, UserError):
        return samples
    images, labels, indices = default_collate(samples)
    return images, labels, indices
