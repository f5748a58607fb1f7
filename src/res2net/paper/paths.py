"""Exact counts of the paths through a network by receptive field (paper 3.1).

A path leads from the image to a value: at an addition or a concatenation it may come from any of
the parts, and each split is a separate part; channels and groups are not distinguished. A
convolution or pooling of kernel k adds dilation · (k − 1) · stride so far to the receptive field of
a path; the global path of squeeze-and-excitation is left out. Counts are whole numbers of any size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from res2net.paper.tally import Block, Trail

Reach = tuple[int, int]  # pixels beyond the first, (height, width)


@dataclass(frozen=True, slots=True)
class Paths:
    """Number of paths per receptive field."""

    counts: Mapping[int, int]  # side of the field in pixels, the larger one → paths; by side

    @property
    def total(self) -> int:
        """Total number of paths."""
        return sum(self.counts.values())

    @property
    def largest(self) -> int:
        """Side of the largest field: the receptive field in `res2net info`."""
        return max(self.counts)

    @property
    def mean(self) -> float:
        """Mean side of the field over all paths."""
        return float(Fraction(sum(side * n for side, n in self.counts.items()), self.total))

    def quantile(self, share: Fraction) -> int:
        """The smallest side that contains the fields of this share of the paths."""
        below = 0
        for side, number in self.counts.items():
            below += number
            if below >= share * self.total:
                return side
        raise ValueError(f"share is {share}; it must be at most 1")

    def shares(self) -> dict[int, float]:
        """Side → share of all paths."""
        return {side: float(Fraction(n, self.total)) for side, n in self.counts.items()}


def paths_of(start: Trail, ends: Sequence[Trail], *, stride: int = 1) -> list[Paths]:
    """The paths from one map to each of several others.

    Args:
        stride: input pixels from one pixel of ``start`` to the next; fields are in its pixels.
    """
    found: dict[Trail, Counter[Reach]] = {start: Counter({(0, 0): 1})}
    for end in ends:
        for trail in _in_order(end, found):
            found[trail] = _arriving(trail, found)
    return [_by_side(found[end], stride) for end in ends]


def paths_in(block: Block) -> Paths:
    """The paths of one block, in pixels of its input map."""
    return paths_of(block.start.trail, [block.end.trail], stride=block.start.stride)[0]


def _arriving(trail: Trail, found: Mapping[Trail, Counter[Reach]]) -> Counter[Reach]:
    """Extend the sources' paths by one step; none if it does not depend on the start."""
    dh, dw = trail.reach
    sums: Counter[Reach] = Counter()
    for source in trail.sources:
        for (h, w), number in found[source].items():
            sums[h + dh, w + dw] += number
    return sums


def _in_order(end: Trail, known: Mapping[Trail, object]) -> list[Trail]:
    """The uncounted trails up to ``end``, sources first (iterative, since networks are deep)."""
    order: dict[Trail, None] = {}
    waiting = [end]
    while waiting:
        trail = waiting[-1]
        missing = [s for s in trail.sources if s not in known and s not in order]
        if missing and trail not in known:
            waiting.extend(missing)
            continue
        waiting.pop()
        if trail not in known:
            order[trail] = None
    return list(order)


def _by_side(reaches: Mapping[Reach, int], stride: int) -> Paths:
    sides: Counter[int] = Counter()
    for reach, number in reaches.items():
        sides[max(reach) // stride + 1] += number
    return Paths(dict(sorted(sides.items())))
