"""The contract that every row of the model table keeps."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import nn

from res2net import create_model, list_models
from res2net.bench.memory import bytes_kept
from res2net.models.checkpointing import cheaply_recomputed
from res2net.models.network import Checkpointing, Network
from res2net.nn.block import Res2NetBottleneck
from res2net.nn.layers import group_norm
from res2net.paper.networks import NETWORKS
from res2net.paper.variant import FirstBlock

pytestmark = pytest.mark.usefixtures("shapes_only")
# One row of each structure in the fast suite, all of them in the slow one.
FAST = (
    *("res2net18", "res2net50d", "res2next29_6c24w_4s_se", "res2net29_small", "parallel29_small"),
    *("dla60_res2next", "blres2net50", "inception_v3", "densenet161", "wideresnet28_10"),
)
ROWS = [pytest.param(x, marks=() if x in FAST else pytest.mark.slow) for x in list_models()]
SMALL = ("res2net29_small", "res2net18", "dla60_res2net", "blres2net50")
ODD = 99  # pixels; every family must take odd sizes


@pytest.mark.parametrize("name", ROWS)
def test_levels_and_logits_of_every_row(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name, num_classes=7, in_channels=4).eval()
        image = torch.empty(2, 4, ODD, ODD)
        maps = model.forward_levels(image)
        assert model(image).shape == (2, 7)
    expected = ["c1", "c2", "c3"] if NETWORKS[name].size == 32 else ["c1", "c2", "c3", "c4", "c5"]
    assert [level.name for level in model.levels] == expected == list(maps)
    for level in model.levels:
        assert maps[level.name].shape[:2] == (2, level.channels)
        if name not in ("inception_v3", "densenet161"):  # torchvision's round down
            assert maps[level.name].shape[-1] == -(-ODD // level.stride), level
    assert model.num_features == model.levels[-1].channels


@pytest.mark.parametrize("name", ROWS)
def test_features_and_new_classifier_of_every_row(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name, num_classes=0).train()
        image = torch.empty(2, 3, 96, 96)
        assert model(image).shape == (2, model.num_features)
        model.reset_classifier(5)
        outputs = model.training_outputs(image)
    assert {tuple(logits.shape) for _, logits in outputs} == {(2, 5)}
    assert outputs[0][0] == 1.0
    assert model.num_classes == 5


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("res2net26_26w_4s", {"width": 4}),
        ("dla60", {"width": 8}),
        ("blres2net50", {"width": 4, "zero_init": False}),
        ("wideresnet28_10", {"depth": 10, "width": 1}),
    ],
)
def test_every_parameter_learns(name: str, options: dict[str, Any]) -> None:
    """No dead weights: they stop distributed training."""
    model = create_model(name, num_classes=3, **options)
    model(torch.randn(2, 3, 33, 33)).square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None] == []


def test_an_unknown_level_is_refused_with_those_there_are() -> None:
    model = create_model("res2net29_small")
    with pytest.raises(ValueError, match=r"no level 'c5'; this network has c1, c2, c3"):
        model.forward_levels(torch.empty(1, 3, 32, 32), ["c5"])


def test_levels_come_in_the_order_asked_for() -> None:
    maps = create_model("res2net18").forward_levels(torch.randn(1, 3, 64, 64), ["c4", "c2"])
    assert list(maps) == ["c4", "c2"]


@pytest.mark.parametrize("pool", ["avg", "max", "avgmax"])
def test_global_pool(pool: str) -> None:
    model = create_model("res2net29_small", num_classes=0, global_pool=pool).eval()  # type: ignore[arg-type]
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        y = model.forward_features(image).flatten(2)
        expected = {"avg": y.mean(2), "max": y.amax(2), "avgmax": (y.mean(2) + y.amax(2)) / 2}
        torch.testing.assert_close(model(image), expected[pool])


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("res2net29_small", {"depth": 11}, "cheap"),
        ("res2net29_small", {"depth": 11}, "full"),
        ("res2net18", {"width": 4}, "cheap"),
        ("dla60_res2net", {"width": 4}, "full"),
        *(
            pytest.param(name, {}, kind, marks=pytest.mark.slow)
            for name in SMALL
            for kind in ("cheap", "full")
        ),
    ],
)
def test_gradient_checkpointing_changes_nothing_but_memory(
    name: str, options: dict[str, Any], kind: Checkpointing
) -> None:
    """Same loss, gradients and running statistics, batch counters included."""
    torch.manual_seed(0)
    plain = create_model(name, num_classes=4, **options).double()
    saving = copy.deepcopy(plain)
    saving.gradient_checkpointing = kind
    image = torch.randn(2, 3, 33, 33, dtype=torch.float64)
    saved = {}
    for key, model in (("plain", plain), ("saving", saving)):
        start = {name: value.clone() for name, value in model.state_dict().items()}
        saved[key] = bytes_kept(lambda model=model: model(image).square().sum())
        model.load_state_dict(start)
        model(image).square().sum().backward()
    assert saved["saving"] < {"cheap": 0.95, "full": 0.85}[kind] * saved["plain"]
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(saving.state_dict()[key], value, msg=key)
    for (key, p), q in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(q.grad, p.grad, msg=key)


def test_cheap_checkpointing_keeps_at_most_six_tenths() -> None:
    kept = {}
    for kind in ("none", "cheap"):
        model = create_model("res2net50_26w_4s", num_classes=4)
        model.gradient_checkpointing = kind  # type: ignore[assignment]
        image = torch.randn(1, 3, 64, 64)
        kept[kind] = bytes_kept(lambda model=model, image=image: model(image).sum())
    assert kept["cheap"] <= 0.6 * kept["none"]


@pytest.mark.parametrize("bias", [False, True])
def test_gradients_of_what_is_recomputed_are_those_of_numbers(bias: bool) -> None:
    """In float64, against finite differences; of the images and of every parameter."""
    torch.manual_seed(0)
    block = Res2NetBottleneck(
        *(4, 8, 2, 3), shortcut=torch.nn.Conv2d(4, 8, 1, bias=bias), act_layer=torch.nn.SiLU
    ).double()
    image = torch.randn(2, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in block.named_parameters()]

    def run(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        for name, value in zip(names, values, strict=True):
            owner, _, own = name.rpartition(".")
            block.get_submodule(owner)._parameters[own] = value  # type: ignore[assignment]
        return cheaply_recomputed(block, x)

    torch.autograd.gradcheck(run, (image, *(p for _, p in block.named_parameters())))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_dropped_paths_and_low_precision_are_recomputed_as_they_were(precision: Any) -> None:
    torch.manual_seed(0)
    model = create_model("res2net29_small", depth=20, num_classes=3, drop_path=0.5).train()
    image = torch.randn(4, 3, 16, 16)
    found = []
    for kind in ("none", "cheap"):
        model.gradient_checkpointing = kind  # type: ignore[assignment]
        model.zero_grad()
        torch.manual_seed(1)
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            y = model(image)
        y.float().square().sum().backward()
        found.append((y, *(p.grad for p in model.parameters())))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "side"),
    [
        ("res2net29_small", {"depth": 11}, 16),
        *((name, {"width": 4}, 33) for name in SMALL[1:]),
        ("inception_v3", {}, 80),
        ("densenet161", {}, 33),
        ("densenet_bc190_40", {"depth": 10, "width": 12}, 16),
    ],
)
def test_frozen_levels_stay_as_they_are(name: str, options: dict[str, Any], side: int) -> None:
    model = create_model(name, num_classes=4, **options)
    model.freeze(2)
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    image = torch.randn(2, 3, side, side)
    sum(y.square().sum() for _, y in model.training_outputs(image)).backward()  # type: ignore[union-attr]
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.data -= 0.1 * parameter.grad.sign()
    frozen = {key for key, p in model.named_parameters() if not p.requires_grad}
    moved = {key for key, v in model.state_dict().items() if not torch.equal(v, before[key])}
    assert frozen
    assert not frozen & moved
    with torch.no_grad():  # up to c2 nothing moved, running statistics included
        model.eval()
        c2 = model.forward_levels(image, ["c2"])["c2"]
        model.load_state_dict(before)
        torch.testing.assert_close(model.forward_levels(image, ["c2"])["c2"], c2)
    with pytest.raises(ValueError, match="cannot freeze 9 levels"):
        model.freeze(9)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("res2net50_26w_4s", {"widht": 3}, r"no option 'widht'.*Did you mean 'width'"),
        ("res2net50_26w_4s", {"num_class": 3}, "Did you mean 'num_classes'"),
        ("dla60_res2net", {"depth": 50}, r"no option 'depth' \(it has: width, scale, cardinality"),
        ("inception_v3", {"width": 3}, r"no option 'width' \(it has: none\)"),
        ("inception_v3", {"norm_layer": nn.Identity}, "has no option norm_layer"),
        ("densenet161", {"drop_path": 0.1}, "has no option drop_path"),
        ("wideresnet28_10", {"first_block": "pool"}, "has no option first_block"),
        ("resnet50", {"first_block": "pool"}, "has no option first_block: the rule needs"),
        ("res2net50_26w_4s", {"first_block": "pool", "scale": 1}, "has no option first_block"),
        ("resnet50", {"norm_layer": "group"}, "norm_layer is 'group'; it must be a class"),
        ("resnet50", {"act_layer": 3}, "act_layer is 3"),
        ("resnet50", {"pool": "avg"}, "Did you mean 'global_pool'"),
    ],
)
def test_options_that_a_row_lacks(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        create_model(name, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("res2net50", {}, r"unknown model 'res2net50'. Did you mean 'res2net50_48w_2s' or"),
        ("resnet-50", {}, "Did you mean 'resnet50'"),
        ("res2net50_26w_4s", {"depth": 51}, "depth is 51; this family has 18, 26, 34, 50"),
        ("res2next29_6c24w_4s", {"depth": 30}, r"9n\+2"),
        ("res2net50_26w_4s", {"scale": 0}, "scale is 0"),
        ("res2net50_26w_4s", {"scale": 2.5}, "scale is 2.5"),
        ("res2net50_26w_4s", {"drop_path": 1.5}, "drop_path is 1.5"),
        ("res2net50_26w_4s", {"drop_path": "a"}, "drop_path is 'a'"),
        ("res2net50_26w_4s", {"num_classes": -1}, "num_classes is -1; .* at least 0"),
        ("res2net50_26w_4s", {"num_classes": 2.5}, "num_classes is 2.5; .* whole number"),
        ("res2net50_26w_4s", {"num_classes": "10"}, "num_classes is '10'"),
        ("inception_v3", {"in_channels": 0}, "in_channels is 0; .* at least 1"),
        ("res2net50_26w_4s", {"in_channels": True}, "in_channels is True"),
        ("res2net50_26w_4s", {"zero_init": "no"}, "zero_init is 'no'; it must be True, False"),
        ("res2net50_26w_4s", {"global_pool": "mean"}, "global_pool is 'mean'"),
        ("res2net50_26w_4s", {"first_block": "pooled"}, "not a valid FirstBlock; it can be pool,"),
        (None, {}, "unknown model None"),
        (50, {}, "unknown model 50"),
    ],
)
def test_values_out_of_range(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        create_model(name, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", list(FirstBlock))
def test_first_block_rules_in_a_network(rule: FirstBlock) -> None:
    with torch.device("meta"):
        model = create_model("res2net50_26w_4s", first_block=rule)
        assert model(torch.empty(2, 3, 65, 65)).shape == (2, 1000)
    first, second = model.layer1[0], model.layer1[1]  # type: ignore[attr-defined, index]
    assert second.hierarchical
    assert second.pool is None
    pooled = rule in (FirstBlock.POOL, FirstBlock.POOL_EXCLUDE_PAD)
    assert (first.pool is not None) == pooled  # layer1.0 has stride 1
    assert len(first.convs) == (1 if rule is FirstBlock.GROUP else 3)


def test_dla_decides_by_stride_and_others_by_position() -> None:
    with torch.device("meta"):
        dla = create_model("dla60_res2net")
        bl = create_model("blres2net50")
    pooled = {name for name, m in dla.named_modules() if getattr(m, "pool", None) is not None}
    assert pooled == {
        "level2.tree1",
        "level3.tree1.tree1",
        "level4.tree1.tree1.tree1",
        "level5.tree1",
    }
    for i in (1, 2, 3):  # the third fusion block has stride 1 and is a first block all the same
        assert getattr(bl, f"layer{i}").fusion[0].pool is not None


def test_zero_init_and_drop_path_reach_the_blocks() -> None:
    model = create_model("res2net18", zero_init=True, drop_path=0.2)
    blocks = [block for i in range(1, 5) for block in getattr(model, f"layer{i}")]
    assert all(float(b.last_norm.weight.detach().abs().max()) == 0 for b in blocks)
    rates = [getattr(block.drop_path, "p", 0.0) for block in blocks]
    assert rates == pytest.approx([0.2 * i / 7 for i in range(8)])
    assert float(create_model("blresnet50").layer4[0].bn3.weight.detach().abs().max()) == 0  # type: ignore[attr-defined, index]


def test_group_norm_network_has_no_batch_statistics() -> None:
    model = create_model("res2net18", norm_layer=group_norm, act_layer=nn.SiLU)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert any(isinstance(m, nn.SiLU) for m in model.modules())


@pytest.mark.parametrize("stride", [8, pytest.param(16, marks=pytest.mark.slow), 32])
def test_output_stride_dilates_as_timm_does(stride: int) -> None:
    import timm

    from res2net.models.resnet import ResNet

    for name in ("res2net50_26w_4s", "resnet18"):
        theirs = timm.create_model(name, output_stride=stride, num_classes=10).eval()
        ours = ResNet(NETWORKS[name], num_classes=10, output_stride=stride).eval()  # type: ignore[arg-type]
        ours.load_state_dict(theirs.state_dict())
        image = torch.randn(1, 3, 65, 65)
        with torch.no_grad():
            torch.testing.assert_close(ours(image), theirs(image), rtol=1e-4, atol=1e-5)
        assert ours.levels[-1].stride == stride


def test_output_stride_out_of_range() -> None:
    from res2net.models.resnet import ResNet

    with pytest.raises(ValueError, match="output_stride is 4; this network can have 32, 16 or 8"):
        ResNet(NETWORKS["resnet18"], num_classes=2, output_stride=4)  # type: ignore[arg-type]


def test_public_names_load_and_are_documented() -> None:
    import res2net

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in res2net.__all__:
            assert getattr(res2net, name) is not None
    assert issubclass(res2net.Network, nn.Module)
    assert res2net.Network is Network
    with pytest.raises(AttributeError, match="no attribute 'create_modell'"):
        res2net.create_modell  # noqa: B018
