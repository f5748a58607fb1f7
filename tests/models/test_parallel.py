"""The ablation of the hierarchy: the same convolutions at the same cost, without the additions."""

from __future__ import annotations

import torch

from res2net.models.factory import create_model
from res2net.paper.networks import find_variant
from res2net.paper.structure import tally

NAME, HIERARCHY = "parallel29_small", "res2net29_small"


def _pair(**options):
    torch.manual_seed(0)
    parallel, hierarchy = (
        create_model(name, num_classes=5, depth=20, **options).eval() for name in (NAME, HIERARCHY)
    )
    hierarchy.load_state_dict(parallel.state_dict())  # the same names and shapes
    return parallel, hierarchy


def test_no_split_sees_another():
    parallel, hierarchy = _pair()
    for network, apart in ((parallel, True), (hierarchy, False)):
        unit = network.layer1[1]
        x = torch.randn(1, unit.scale * unit.width, 8, 8, requires_grad=True)
        second = unit.forward_unit(x)[:, unit.width : 2 * unit.width]
        (gradient,) = torch.autograd.grad(second.sum(), x)
        first, own = gradient[:, : unit.width], gradient[:, unit.width : 2 * unit.width]
        assert own.abs().sum() > 0
        assert bool((first == 0).all()) == apart


def test_with_the_same_weights_it_is_another_function():
    parallel, hierarchy = _pair()
    x = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(parallel(x), hierarchy(x))


def test_two_splits_have_nothing_to_add():
    parallel, hierarchy = _pair(scale=2)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(parallel(x), hierarchy(x))


def test_same_cost_and_a_smaller_receptive_field():
    parallel, hierarchy = (tally(find_variant(name)) for name in (NAME, HIERARCHY))
    assert (parallel.params, parallel.macs) == (hierarchy.params, hierarchy.macs)
    assert parallel.levels[-1].receptive_field < hierarchy.levels[-1].receptive_field
