"""Gradient checkpointing: what backward needs is computed again instead of kept.

Two ways: ``recomputed`` keeps nothing of a block but its input; ``cheaply_recomputed`` keeps the
outputs of its convolutions too, so that only norms, activations, additions and concatenations run
twice. Both count each batch once in the running statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]  # forward, second run
_COSTLY = (torch.ops.aten.convolution.default, torch.ops.aten.addmm.default)


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norms inside use the batch's statistics but leave the running ones as they are."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    counters = [norm.num_batches_tracked for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, counter in zip(norms, momenta, counters, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counter


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """``block(x)`` of which nothing but the input is kept for backward."""

    def contexts() -> Contexts:
        return nullcontext(), _statistics_kept(block)

    y: Tensor = checkpoint(block, x, use_reentrant=False, context_fn=contexts)
    return y


def cheaply_recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """``block(x)`` of which the input and the convolutions' outputs are kept for backward."""

    def contexts() -> Contexts:
        forward, again = create_selective_checkpoint_contexts(_policy)
        return forward, _both(again, _statistics_kept(block))

    y: Tensor = checkpoint(block, x, use_reentrant=False, context_fn=contexts)
    return y


def _policy(_context: Any, operator: Any, *_: Any, **__: Any) -> CheckpointPolicy:
    costly = operator in _COSTLY
    return CheckpointPolicy.MUST_SAVE if costly else CheckpointPolicy.PREFER_RECOMPUTE


@contextmanager
def _both(outer: AbstractContextManager[Any], inner: AbstractContextManager[Any]) -> Iterator[None]:
    with outer, inner:
        yield


RECOMPUTE = {"cheap": cheaply_recomputed, "full": recomputed}
