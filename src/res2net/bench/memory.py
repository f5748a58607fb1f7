"""Bytes that a forward pass keeps alive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def bytes_kept(forward: Callable[[], Tensor]) -> int:
    """Bytes of all that ``forward`` made and that still lives while its result does.

    In training that is what backward needs. Each storage counts once; what was there before
    (parameters, images) does not count.
    """
    made = _Made()
    with made:
        result = forward()
    kept = made.alive()
    del result
    return kept


class _Made(TorchDispatchMode):
    """Remembers, weakly, every storage that an operator returns and did not get."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_key(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and _key(tensor) not in given:
                storage = tensor.untyped_storage()
                self.storages[_key(tensor)] = (StorageWeakRef(storage), storage.nbytes())
        return result

    def alive(self) -> int:
        """Bytes of the storages that are still there."""
        return sum(size for storage, size in self.storages.values() if not storage.expired())


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
