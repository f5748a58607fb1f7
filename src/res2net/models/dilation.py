"""Output stride: which strides of a network become dilations (``output_stride``).

A stride that is removed leaves its factor to everything behind it as a dilation. The convolution
that carried the stride is not yet dilated by it; whatever reads its output is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Sampling(NamedTuple):
    """How a place of a network that may have a stride is built."""

    stride: int = 1  # of the convolution that carries it
    removed: int = 1  # factor by which its stride was lowered
    dilation: int = 1  # pixels between the taps of that convolution

    @property
    def original_stride(self) -> int:
        """The stride there is without dilation."""
        return self.stride * self.removed

    @property
    def behind(self) -> Sampling:
        """The sampling of the blocks behind this place."""
        return Sampling(dilation=self.dilation * self.removed)


def plan_strides(
    strides: Sequence[int], start: int, output_stride: int | None
) -> tuple[tuple[Sampling, int], ...]:
    """For each stage its sampling, and the stride of its output in input pixels.

    Args:
        strides: of the stages, in order.
        start: stride of what the first stage reads.
        output_stride: of the last stage: the full stride, half or a quarter of it; None is the full
            one.

    Raises:
        ValueError: another output stride; names those there are.
    """
    full = start
    for stride in strides:
        full *= stride
    choices = (full, full // 2, full // 4)
    output_stride = full if output_stride is None else output_stride
    if output_stride not in choices:
        raise ValueError(
            f"output_stride is {output_stride}; this network can have "
            f"{choices[0]}, {choices[1]} or {choices[2]}"
        )
    plan = []
    reached, dilation = start, 1
    for stride in strides:
        removed = stride if reached * stride > output_stride else 1
        reached *= stride // removed
        plan.append((Sampling(stride // removed, removed, dilation), reached))
        dilation *= removed
    return tuple(plan)
