"""Optimiser and schedule as Lightning gets them."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn, optim

import res2net
from res2net.config import TrainOptions
from res2net.errors import UserError
from res2net.training import optimise
from res2net.training.optimise import is_fused, make_optimiser, parameter_groups

HALVED = (("c5", 0.4), ("c4", 0.2), ("c3", 0.1), ("c2", 0.05), ("c1", 0.025))


def _network():
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("decay_norms", "groups"),
    [(True, [(5, 0.3)]), (False, [(2, 0.3), (3, 0.0)])],  # conv and linear; norm and biases
)
def test_decay_of_norms_and_biases(decay_norms, groups):
    options = TrainOptions(decay_norms=decay_norms, weight_decay=0.3)
    found = parameter_groups(_network(), options)
    assert [(len(group["params"]), group["weight_decay"]) for group in found] == groups


def test_frozen_parameters_are_left_out():
    network = _network()
    network[0].requires_grad_(False)
    (group,) = parameter_groups(network, TrainOptions())
    assert len(group["params"]) == 4


@pytest.mark.parametrize(
    ("factor", "decay", "rates"),
    [  # train.lr is 0.8; the network has five levels, c1 to c5
        (1.0, 1.0, [("all", 0.8)]),
        (10.0, 1.0, [("c1 c2 c3 c4 c5", 0.8), ("fc", 8.0)]),
        (1.0, 0.5, [("fc", 0.8), *HALVED]),
        (2.0, 0.5, [("fc", 1.6), *HALVED]),
    ],
)
def test_the_rate_of_the_head_and_of_every_level(factor, decay, rates):
    model = res2net.create_model("res2net18", width=2, scale=2, num_classes=3)
    inside = {"c1": ("conv1", "bn1"), "fc": ("fc",)}
    inside |= {f"c{i + 1}": (f"layer{i}",) for i in (1, 2, 3, 4)}
    inside["all"] = sum(inside.values(), ())
    options = TrainOptions(lr=0.8, layer_decay=decay, schedule="constant")
    groups = make_optimiser(model, options, 1, factor, model)["optimizer"].param_groups
    assert [group["lr"] for group in groups] == pytest.approx([rate for _, rate in rates])
    for group, (places, _) in zip(groups, rates, strict=True):
        tops = [top for place in places.split() for top in inside[place]]
        own = {p for name, p in model.named_parameters() if name.split(".")[0] in tops}
        assert set(group["params"]) == own


def test_levels_that_stay_frozen_have_no_rate():
    model = res2net.create_model("res2net18", width=2, scale=2, num_classes=3)
    model.freeze(model.count_levels())
    (group,) = parameter_groups(model, TrainOptions(layer_decay=0.5), 1.0, model)
    assert group["params"] == list(model.fc.parameters())


def test_lamb_without_timm_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm.optim.lamb", None)
    with pytest.raises(UserError, match="lamb needs timm: pip install 'res2net\\[lamb\\]'"):
        make_optimiser(_network(), TrainOptions(optimizer="lamb"), 1)


def test_a_step_of_lamb_is_as_long_as_the_weights_times_the_rate():
    """Its first: Adam's direction (the sign), by the norm of the weights over its own."""
    pytest.importorskip("timm")
    network = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[3.0, 4.0]]))
    options = TrainOptions(optimizer="lamb", lr=0.1, weight_decay=0.1, schedule="constant")
    optimiser = make_optimiser(network, options, 1)["optimizer"]
    network(torch.tensor([[50.0, -2.0]])).sum().backward()
    optimiser.step()
    direction = torch.tensor([[1.0 + 0.3, -1.0 + 0.4]])
    wanted = torch.tensor([[3.0, 4.0]]) - 0.1 * 5 * direction / direction.norm()
    torch.testing.assert_close(network.weight.detach(), wanted)


@pytest.mark.parametrize(
    ("values", "kind", "settings"),
    [
        (
            {"optimizer": "sgd", "momentum": 0.8, "nesterov": True},
            optim.SGD,
            {"lr": 0.1, "momentum": 0.8, "nesterov": True},
        ),
        ({"optimizer": "adam", "weight_decay": 0.05}, optim.Adam, {"lr": 0.1}),
        ({"optimizer": "adamw", "weight_decay": 0.05}, optim.AdamW, {"lr": 0.1}),
    ],
)
def test_optimisers(values, kind, settings):
    options = TrainOptions(lr=0.1, schedule="constant", **values)
    optimiser = make_optimiser(_network(), options, 10)["optimizer"]
    assert type(optimiser) is kind
    for group in optimiser.param_groups:
        assert {name: group[name] for name in settings} == settings
    assert optimiser.param_groups[0]["weight_decay"] == options.weight_decay


def test_the_rate_of_every_step():
    """Warm-up over 2 epochs of 2 steps moves from the first step on, then half a cosine."""
    options = TrainOptions(lr=0.8, epochs=4, warmup=2.0, schedule="cosine")
    made = make_optimiser(_network(), options, 2)
    assert made["lr_scheduler"]["interval"] == "step"
    rates = []
    for _ in range(8):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    half = 0.5**0.5
    falling = [0.8, 0.4 * (1 + half), 0.4, 0.4 * (1 - half)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, *falling])
    assert made["optimizer"].param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_a_step_follows_the_gradient():
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    options = TrainOptions(lr=0.5, momentum=0.0, weight_decay=0.0, schedule="constant")
    optimiser = make_optimiser(network, options, 1)["optimizer"]
    network(torch.tensor([[3.0]])).sum().backward()
    optimiser.step()
    assert network.weight.item() == pytest.approx(1 - 0.5 * 3)


@pytest.mark.parametrize(
    ("places", "values", "fused"),
    [
        ("gg", {}, True),
        ("gg", {"clip": 1.0}, True),
        ("gg", {"precision": "fp16"}, True),
        ("gg", {"precision": "fp16", "clip": 1.0}, None),
        ("gc", {}, None),
        ("cc", {}, None),
    ],
)
def test_one_kernel_updates_all_parameters_on_a_gpu(places, values, fused):
    groups = [{"params": [SimpleNamespace(is_cuda=place == "g")]} for place in places]
    assert is_fused(groups, TrainOptions(**values)) is fused


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_first_fp16_step_that_overflows_leaves_nothing_in_a_fused_optimiser(
    monkeypatch, optimizer
):
    """What was not computed must not be what the memory held."""
    allocate = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: allocate(*a, **k).fill_(7.0))
    options = TrainOptions(precision="fp16", optimizer=optimizer, lr=0.5, schedule="constant")
    found = []
    for fused in (None, True):
        monkeypatch.setattr(optimise, "is_fused", lambda *_, fused=fused: fused)
        weight = nn.Parameter(torch.ones(3, 2))
        network = nn.Module()
        network.weight = weight
        made = make_optimiser(network, options, 1)["optimizer"]
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        for factor in (float("inf"), 0.25, 0.5):
            made.zero_grad()
            scaler.scale((weight * factor).sum()).backward()
            scaler.step(made)
            scaler.update()
        assert scaler.get_scale() == 2.0**9
        found.append(weight.detach())
    assert not torch.equal(found[0], torch.ones(3, 2))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("head_factor", [1.0, 10.0])
@pytest.mark.parametrize("decay_norms", [True, False])
def test_biases_of_norms_have_a_rate_of_their_own(decay_norms, head_factor):
    """Rate times decay stays; biases of other layers are no norms'."""
    both = nn.ModuleDict({"body": _network(), "head": _network()})
    network = nn.ModuleDict({"model": both})
    options = TrainOptions(lr=0.1, norm_bias_factor=4.0, weight_decay=0.2, decay_norms=decay_norms)
    level = SimpleNamespace(modules=[both["body"]])
    body = SimpleNamespace(count_levels=lambda: 1, depths=lambda: [(1, level)])
    made = make_optimiser(network, options, 10, head_factor, body)["optimizer"]
    found = {
        id(p): (group["initial_lr"], group["weight_decay"])
        for group in made.param_groups
        for p in group["params"]
    }
    assert all(group["params"] for group in made.param_groups)
    assert len(found) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        rate = 0.1 * (head_factor if ".head." in name else 1)
        decay = 0.2 if decay_norms or parameter.ndim > 1 else 0.0
        if name.endswith("1.bias"):
            rate, decay = rate * 4, decay / 4
        assert found[id(parameter)] == pytest.approx((rate, decay)), name


def test_without_a_factor_nothing_is_apart():
    assert len(make_optimiser(_network(), TrainOptions(), 10)["optimizer"].param_groups) == 1
