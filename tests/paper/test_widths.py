"""The width that a budget allows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from res2net.errors import UserError
from res2net.paper.networks import NETWORKS, find_variant
from res2net.paper.structure import tally
from res2net.paper.variant import ResNetVariant
from res2net.paper.widths import choose_width, nearest_width


@pytest.mark.parametrize(
    ("scale", "row"),
    [
        (1, "resnet50"),
        (2, "res2net50_48w_2s"),
        (4, "res2net50_26w_4s"),
        (6, "res2net50_18w_6s"),
        (8, "res2net50_14w_8s"),
    ],
)
def test_resnet50s_parameters_give_the_papers_widths(scale: int, row: str) -> None:
    variant = NETWORKS[row]
    assert isinstance(variant, ResNetVariant)
    assert choose_width(scale) == variant.width
    assert choose_width(scale, network="resnet101") == variant.width


def test_multiply_adds_give_one_less_at_scales_2_and_4() -> None:
    assert [choose_width(scale, "macs") for scale in (2, 4, 6, 8)] == [47, 25, 18, 14]


@pytest.mark.parametrize("budget", ["params", "macs"])
@pytest.mark.parametrize("network", ["resnet50", "dla60", "blresnet50", "resnet29_small"])
@pytest.mark.parametrize("scale", [2, 5])
def test_no_neighbour_is_nearer(budget: Any, network: str, scale: int) -> None:
    width = choose_width(scale, budget, network=network)
    wanted = getattr(tally(find_variant(network)), budget)

    def miss(width: int) -> int:
        row = find_variant(network, {"scale": scale, "width": width})
        return abs(getattr(tally(row), budget) - wanted)

    assert miss(width) <= min(miss(width - 1), miss(width + 1))


def test_numbers_as_a_budget() -> None:
    assert choose_width(4, 25_699_120) == 26
    assert choose_width(4, 4_255_166_464, unit="macs") == 26
    assert choose_width(4, 1) == 1


def test_cardinality_is_the_rows_or_given() -> None:
    params = tally(NETWORKS["res2next50"]).params
    assert choose_width(4, params, cardinality=8) == 4
    assert choose_width(1, network="resnext50_32x4d") == 4


@given(st.integers(1, 60), st.integers(0, 4000))
def test_nearest_is_what_trying_all_finds(step: int, budget: int) -> None:
    def cost(width: int) -> int:
        return width * width // step

    best = min(range(1, 600), key=lambda width: abs(cost(width) - budget))
    assert abs(cost(nearest_width(cost, budget)) - budget) == abs(cost(best) - budget)


def test_of_two_equally_near_the_smaller() -> None:
    assert nearest_width(lambda width: 10 * width, 25) == 2


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"budget": "parameters"}, UserError, "counts 'params' or 'macs', not 'parameters'"),
        ({"budget": 1e6, "unit": "flops"}, UserError, "not 'flops'"),
        ({"budget": -1}, UserError, "budget is -1"),
        ({"budget": float("nan")}, UserError, "budget is nan"),
        ({"network": "resnet5"}, UserError, "Did you mean 'resnet50'"),
        ({"network": "densenet161"}, TypeError, "has no option 'scale'"),
        ({"scale": 0}, ValueError, "scale is 0"),
        ({"cardinality": 0}, ValueError, "cardinality is 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        choose_width(**{"scale": 4, **arguments})
