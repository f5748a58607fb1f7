"""What the processes of a run found, brought together."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import distributed

Value = TypeVar("Value")


def gathered(own: dict[int, Value]) -> dict[int, Value]:
    """The union of what each process holds by index, in the order of the index."""
    parts: list[Any] = [own]
    if distributed.is_available() and distributed.is_initialized():
        parts = [None] * distributed.get_world_size()
        distributed.all_gather_object(parts, own)
    together = {index: value for part in parts for index, value in part.items()}
    return dict(sorted(together.items()))
