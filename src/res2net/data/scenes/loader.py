"""Batches of scenes, in an order and with an augmentation that a resumed run repeats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from res2net.data.keyed import KeyedDataset
from res2net.data.loader import BatchLoader
from res2net.data.sampler import EpochSampler, derive_seed
from res2net.data.scenes.dataset import Sample
from res2net.errors import UserError

SceneSet = KeyedDataset[Any]
Collate = Callable[[list[Any]], Any]


def make_scene_loader(
    dataset: SceneSet,
    collate: Collate,
    *,
    batch: int,
    shuffle: bool,
    seed: int,
    workers: int,
    rank: int = 0,
    world: int = 1,
) -> DataLoader[Any]:
    """A loader with the sampler of classification (``data.sampler``).

    Args:
        collate: samples of a batch → what the task takes (``stacked``, or ``listed``).
        batch: images a batch, in this process; a last batch that is not full is left out of
            training.

    Raises:
        UserError: when iterating, a file that cannot be decoded.
    """
    sampler = EpochSampler(len(dataset), shuffle=shuffle, seed=seed, rank=rank, world=world)

    def whole(samples: list[Any] | UserError) -> Any:
        return samples if isinstance(samples, UserError) else collate(samples)

    return BatchLoader(
        dataset,
        batch_size=batch,
        sampler=sampler,
        num_workers=workers,
        collate_fn=whole,
        drop_last=shuffle and len(sampler) > batch,
        pin_memory=shuffle and torch.cuda.is_available(),
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(derive_seed(seed)),
    )


def stacked(samples: list[Sample]) -> tuple[Tensor, Tensor]:
    """Crops of one size: uint8 (B, 3, S, S) and maps (B, S, S)."""
    images = torch.stack([image.as_subclass(Tensor) for image, _, _ in samples])
    maps = torch.stack([target["map"].as_subclass(Tensor) for _, target, _ in samples])
    return images, maps


def listed(samples: list[Sample]) -> list[Sample]:
    """Images of their own sizes."""
    return samples
