"""A recorded run against what PyTorch counts, and what it must not touch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from res2net.errors import UserError
from res2net.paper.networks import find_variant
from res2net.paper.structure import tally
from res2net.plug.record import record


@pytest.mark.parametrize("name", ["regnety_002", "nf_regnet_b0", "resnet50_gn", "cspresnet50"])
def test_multiply_adds_are_pytorchs(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, 96, 96))
        assert 2 * record(model, 96).macs == counter.get_total_flops()


@pytest.mark.parametrize("row", ["resnet50", "dla60", "inception_v3"])
def test_receptive_fields_are_the_tallys(row: str) -> None:
    from res2net import create_model

    with torch.device("meta"):
        run = record(create_model(row), tally(find_variant(row)).size)
    fields = {step.module: step.receptive_field for step in run.steps if "convolution" in step.ops}
    counted = {layer.name: layer for layer in tally(find_variant(row)).layers}
    shared = fields.keys() & counted.keys()
    assert len(shared) > 50
    for name in shared:
        assert fields[name] == counted[name].receptive_field, name


def test_nothing_is_left_behind(make_net: Any) -> None:
    net = make_net()
    net.blocks[1].eval()
    modes = [m.training for m in net.modules()]
    state = copy.deepcopy(net.state_dict())
    record(net, 32)
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_functions_between_modules_are_seen(make_net: Any) -> None:
    run = record(make_net(), 32)
    functions = [step.ops for step in run.steps if not step.whole and step.module == "blocks.1"]
    assert functions == [["relu"], ["relu"], ["add"], ["relu"]]


def test_what_fails_is_named_in_a_line() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(UserError, match=r"image of 32x32 with 3 channels; 2: ") as caught:
        record(net, 32)
    assert "\n" not in str(caught.value)
