"""The receptive field of a value, computed operation by operation.

As in ``res2net.paper.tally``: the largest along any path, ignoring global means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reach:
    """Receptive field and stride of values in pixels of the image, (height, width)."""

    field: tuple[int, int]
    stride: tuple[int, int]


PIXEL = Reach((1, 1), (1, 1))
NOTHING = Reach((0, 0), (0, 0))

_Window = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # kernel, stride, dilation


def _pair(value: Any) -> tuple[int, int]:
    """(height, width) from one number or a list of one or two."""
    sides = [value] if isinstance(value, int) else list(value)
    return sides[0], sides[-1]


def _argument(args: Sequence[Any], position: int, otherwise: Any) -> Any:
    """An argument that may be left out or empty."""
    given = args[position] if len(args) > position else []
    return otherwise if given in ([], ()) else given


_WINDOWS: dict[str, Callable[[Sequence[Any]], _Window]] = {
    "convolution": lambda a: (_pair(a[1].shape[2:]), _pair(a[3]), _pair(a[5])),
    "avg_pool2d": lambda a: (_pair(a[1]), _pair(_argument(a, 2, a[1])), (1, 1)),
    "max_pool2d_with_indices": lambda a: (
        _pair(a[1]),
        _pair(_argument(a, 2, a[1])),
        _pair(_argument(a, 4, 1)),
    ),
}


def reach_behind(
    op: str, args: Sequence[Any], inputs: Sequence[Reach], shape: Sequence[int]
) -> Reach:
    """The reach of an operation's output: windows widen it, others keep the widest input's.

    Args:
        op: name of the operation.
        args: what it was called with.
        inputs: reaches of the tensors it reads.
        shape: of what it puts out.
    """
    is_map = len(shape) == 4
    if op in ("mean", "_adaptive_avg_pool2d") and (not is_map or tuple(shape[2:]) == (1, 1)):
        return NOTHING
    fields = [max(x.field[axis] for x in inputs) for axis in (0, 1)]
    strides = [max(x.stride[axis] for x in inputs) for axis in (0, 1)]
    if is_map and op in _WINDOWS:
        kernel, stride, dilation = _WINDOWS[op](args)
        for axis in (0, 1):
            fields[axis] += (kernel[axis] - 1) * dilation[axis] * strides[axis]
            strides[axis] *= stride[axis]
    return Reach((fields[0], fields[1]), (strides[0], strides[1]))
