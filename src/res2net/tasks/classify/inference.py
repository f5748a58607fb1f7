"""A network over many images: for evaluation after training and by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from res2net import machine
from res2net.data.labelled import Split
from res2net.data.loader import default_workers, make_loader
from res2net.data.preprocess import Preprocess
from res2net.data.transforms import eval_transform, normalise
from res2net.errors import UserError
from res2net.models.network import Network
from res2net.runtime.session import Runtime

Track = Callable[[Iterable[Any], int, str], Iterable[Any]]  # (things, count, label)


@torch.inference_mode()
def logits_of(model: Network, images: Tensor, preprocess: Preprocess, precision: str) -> Tensor:
    """uint8 (B, 3, S, S) → float32 logits (B, N), on the model's device."""
    weight = next(model.parameters())
    x = normalise(images.to(weight.device), preprocess, dtype=weight.dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    with machine.autocast(weight.device, precision):
        return model(x).float()


def run_over(
    model: Network,
    split: Split,
    preprocess: Preprocess,
    *,
    batch: int = 64,
    workers: int | None = None,
    precision: str = "auto",
    limit: int | None = None,
    skip_bad: bool = False,
    track: Track | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (n, N), classes (n,) and indices (n,) of a split's images in order.

    ``limit`` counts batches; with ``skip_bad`` unreadable images are missing.

    ``track`` wraps the batches in a progress bar.
    """
    model.to(machine.best_device()).to(memory_format=torch.channels_last).eval()
    loader = make_loader(
        split,
        eval_transform(preprocess),
        batch=batch,
        shuffle=False,
        seed=0,
        workers=default_workers() if workers is None else workers,
        min_side=preprocess.decode_side,
        skip_bad=skip_bad,
    )
    batches = islice(loader, limit)
    count = len(loader) if limit is None else min(limit, len(loader))
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for images, labels, indices in track(batches, count, "evaluating") if track else batches:
        parts.append((logits_of(model, images, preprocess, precision).cpu(), labels, indices))
    logits, targets, seen = (torch.cat(column) for column in zip(*parts, strict=True))
    return logits, targets, seen


def run_deployed(
    runtime: Runtime,
    split: Split,
    *,
    batch: int = 64,
    workers: int | None = None,
    skip_bad: bool = False,
    track: Track | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (n, N), classes (n,) and indices (n,) of a split's images in order.

    Raises:
        UserError: the artifact is not a classifier.
    """
    if runtime.artifact.card.task != "classify":
        raise UserError(f"{runtime.artifact.folder} gives maps, not classes; nothing to evaluate")
    loader = make_loader(
        split,
        eval_transform(runtime.preprocess),
        batch=batch,
        shuffle=False,
        seed=0,
        workers=default_workers() if workers is None else workers,
        min_side=runtime.preprocess.decode_side,
        skip_bad=skip_bad,
    )
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for images, labels, indices in track(loader, len(loader), "evaluating") if track else loader:
        pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())  # (B, S, S, 3)
        parts.append((torch.from_numpy(np.asarray(runtime(pixels))), labels, indices))
    logits, targets, seen = (torch.cat(column) for column in zip(*parts, strict=True))
    return logits, targets, seen
