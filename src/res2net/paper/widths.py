"""The split width at which a network matches the cost of its plain form."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal

from res2net.errors import UserError
from res2net.paper.networks import find_variant
from res2net.paper.structure import tally

Unit = Literal["params", "macs"]


def choose_width(
    scale: int,
    budget: Unit | float = "params",
    *,
    network: str = "resnet50",
    cardinality: int | None = None,
    unit: Unit = "params",
) -> int:
    """The width w at which a network with ``scale`` splits comes nearest to a budget.

    With ResNet-50's parameters, scales 2, 4 and 8 give 48, 26 and 14: the paper's Table 3.

    Args:
        scale: number of splits (s).
        budget: "params" or "macs" for the value of ``network`` itself, or a number of either.
        network: the model whose depth, stem and shortcuts are kept.
        cardinality: groups of each 3×3; None keeps the row's.
        unit: unit of ``budget`` if it is a number.

    Returns:
        w: channels of one split (per group) where the plain network's 3×3 has 64; the smaller one
        of two equally near widths.

    Raises:
        UserError: no such network, an unknown unit, or a budget that is not positive.
        TypeError: a row that has no width or scale.
        ValueError: a scale or cardinality out of range.
    """
    row = find_variant(network)
    if isinstance(budget, str):
        unit = budget
    if unit not in ("params", "macs"):
        raise UserError(f"a budget counts 'params' or 'macs', not {unit!r}")
    wanted = getattr(tally(row), unit) if isinstance(budget, str) else budget
    if not wanted > 0:
        raise UserError(f"budget is {budget}; it must be above 0")
    options = {"scale": scale} | ({} if cardinality is None else {"cardinality": cardinality})
    find_variant(network, options)  # a scale or cardinality out of range

    def cost(width: int) -> int:
        try:
            variant = find_variant(network, {**options, "width": width})
        except ValueError:
            return 0  # a split would have no channel
        return int(getattr(tally(variant), unit))

    return nearest_width(cost, wanted)


def nearest_width(cost: Callable[[int], int], budget: float, *, least: int = 1) -> int:
    """The whole number from ``least`` up whose cost is nearest to the budget.

    Args:
        cost: non-decreasing function; called about 2·log2(result) times.
        budget: in the unit of ``cost``.
        least: lower bound.
    """
    known = cache(cost)
    below, above = least, least
    while known(above) < budget:
        below, above = above, 2 * above
    while above - below > 1:  # cost(below) < budget <= cost(above)
        middle = (below + above) // 2
        below, above = (middle, above) if known(middle) < budget else (below, middle)
    return min(below, above, key=lambda width: abs(known(width) - budget))
