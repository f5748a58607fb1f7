"""Counts of the baselines against torchvision's networks, without allocating a weight."""

from __future__ import annotations

from functools import cache

import pytest

from res2net.paper.networks import NETWORKS
from res2net.paper.structure import tally

torch = pytest.importorskip("torch")
models = pytest.importorskip("torchvision.models")

NAMES = ("resnet18", "resnet50", "resnext50_32x4d", "densenet161", "inception_v3")


@cache
def _peer(name):
    extra = {"init_weights": False} if name == "inception_v3" else {}
    with torch.device("meta"):
        return getattr(models, name)(weights=None, **extra).eval()


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_torchvisions(name):
    structure, peer = tally(NETWORKS[name]), _peer(name)
    assert structure.params == sum(p.numel() for p in peer.parameters())
    assert structure.tensors == len(peer.state_dict())


@pytest.mark.parametrize("size", [107, 224])
@pytest.mark.parametrize("name", NAMES)
def test_multiply_adds_are_half_of_torchs_flops(name, size):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        _peer(name)(torch.empty(1, 3, size, size, device="meta"))
    assert tally(NETWORKS[name], size=size).macs * 2 == counter.get_total_flops()
