"""Gradient checkpointing that counts each batch once in the running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


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
    """``block(x)`` whose activations are recomputed in backward instead of kept.

    The second run would update batch norms' running statistics again; it is kept from doing so.
    """
    y: Tensor = checkpoint(
        block,
        x,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _statistics_kept(block)),
    )
    return y
