"""The contract of backbones: every row, every output stride, every level."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from res2net import create_model, list_models
from res2net.models.backbone import Backbone, create_backbone, network_at_stride
from res2net.models.network import Network
from res2net.models.weights import save_weights
from res2net.nn.layers import frozen_batch_norm, group_norm
from res2net.paper.networks import NETWORKS
from res2net.paper.variant import ResNetVariant

pytestmark = pytest.mark.usefixtures("shapes_only")
ALL = list_models()
OWN_STRIDE_ONLY = ("inception_v3", "densenet161", "wideresnet28_10", "densenet_bc190_40")
# One row of each structure in the fast suite, all of them in the slow one.
FAST = (
    *("res2net50d", "res2net18", "res2net29_small", "res2next29_6c24w_4s_se", "dla60_res2next"),
    *("blres2net50", "parallel29_small", *OWN_STRIDE_ONLY),
)
CASES = [
    pytest.param(
        name,
        full // factor,
        marks=() if name in FAST else pytest.mark.slow,
    )
    for name in ALL
    for full in [4 if NETWORKS[name].size == 32 else 32]
    for factor in ([1] if name in OWN_STRIDE_ONLY else [1, 2, 4])
]
# One row a family, in its smallest form: (name, options, side of the image)
SMALL = [
    ("res2net18", {}, 33),
    ("res2net29_small", {}, 16),
    ("parallel29_small", {}, 16),
    ("dla60_res2net", {"width": 4}, 33),
    ("blres2net50", {"width": 4}, 33),
    ("wideresnet28_10", {"depth": 10, "width": 1}, 16),
    ("densenet_bc190_40", {"depth": 10, "width": 12}, 16),
    ("densenet161", {}, 33),
    ("inception_v3", {}, 80),
]
FULL_LEVELS = {
    "c1c2c3c4c5": ("c1", "c2", "c3", "c4", "c5"),
    "c1c2c3": ("c1", "c2", "c3"),
}


def _side(name: str, level: str, stride: int, side: int) -> int:
    """Pixels of a level's map along a side; torchvision's two networks round in their own ways."""
    if name == "inception_v3":  # 3×3 convolutions and pools without padding
        sizes = {"c1": (side - 3) // 2 - 1}  # stride 2, then a 3×3
        sizes["c2"] = (sizes["c1"] - 3) // 2 - 1
        for last, this in (("c2", "c3"), ("c3", "c4"), ("c4", "c5")):
            sizes[this] = (sizes[last] - 3) // 2 + 1
        return sizes[level]
    if name == "densenet161" and level in ("c3", "c4", "c5"):  # transitions cut an odd row
        return -(-side // 4) // (stride // 4)
    return -(-side // stride)


@pytest.mark.parametrize(("name", "output_stride"), CASES)
def test_every_row_keeps_what_its_levels_say(name: str, output_stride: int) -> None:
    names = FULL_LEVELS["c1c2c3" if NETWORKS[name].size == 32 else "c1c2c3c4c5"]
    height, width = (75, 98) if name == "inception_v3" else (32, 77)
    with torch.device("meta"):
        backbone = create_backbone(name, out_levels=names, output_stride=output_stride)
        assert tuple(level.name for level in backbone.levels) == names
        assert backbone.levels[-1].stride == output_stride
        maps = backbone(torch.empty(2, 3, height, width))
    assert list(maps) == list(names)
    for level in backbone.levels:
        own = 2 ** int(level.name[1]) // (2 if len(names) == 3 else 1)
        assert level.stride == min(own, output_stride)
        assert maps[level.name].shape == (
            2,
            level.channels,
            _side(name, level.name, level.stride, height),
            _side(name, level.name, level.stride, width),
        ), level


@given(case=st.sampled_from(SMALL), height=st.integers(32, 140), width=st.integers(32, 140))
@settings(max_examples=6, deadline=None)
def test_any_size_from_32_on(
    case: tuple[str, dict[str, int], int], height: int, width: int
) -> None:
    name, options, _ = case
    if name == "inception_v3":
        height, width = height + 43, width + 43
    with torch.device("meta"):
        backbone = create_backbone(name, **options).eval()  # type: ignore[arg-type]
        maps = backbone(torch.empty(1, 3, height, width))
    for level in backbone.levels:
        assert maps[level.name].shape[2:] == (
            _side(name, level.name, level.stride, height),
            _side(name, level.name, level.stride, width),
        )


@pytest.mark.parametrize(
    "name", ["res2net50_26w_4s", "res2next29_6c24w_4s", "dla60", "densenet161"]
)
def test_default_levels(name: str) -> None:
    with torch.device("meta"):
        backbone = create_backbone(name)
    small = NETWORKS[name].size == 32
    expected = ["c1", "c2", "c3"] if small else ["c2", "c3", "c4", "c5"]
    assert [level.name for level in backbone.levels] == expected


def _maps(name: str) -> list[tuple[str, ...]]:
    small = NETWORKS[name].size == 32
    if name in ("densenet161", "inception_v3"):
        return [("c4",)]
    return [("c1",), ("c2",), ("c3", "c1")] if small else [("c2",), ("c3",), ("c5", "c1")]


@pytest.mark.parametrize(
    ("name", "options", "side", "names"),
    [(*case, names) for case in SMALL for names in _maps(case[0])],
)
def test_nothing_but_what_the_maps_need_is_left(
    name: str, options: dict[str, int], side: int, names: tuple[str, ...]
) -> None:
    """Same maps as the network's, the network's own names, and a gradient for every parameter."""
    network = create_model(name, **options)  # type: ignore[arg-type]
    backbone = create_backbone(name, out_levels=names, **options)  # type: ignore[arg-type]
    state = backbone.state_dict()
    assert state.keys() <= network.state_dict().keys()
    if names[0] != network.levels[-1].name:
        assert len(state) < len(network.state_dict()) - 3
    assert not any(key.startswith((f"{network.HEAD}.", "AuxLogits.")) for key in state)
    network.load_state_dict(state, strict=False)
    image = torch.randn(2, 3, side, side)
    with torch.no_grad():
        expected = network.eval().forward_levels(image, names)
        maps = backbone.eval()(image)
    assert list(maps) == list(names)
    for key, value in expected.items():
        torch.testing.assert_close(maps[key], value)
    sum(y.square().sum() for y in backbone.train()(image).values()).backward()  # type: ignore[union-attr]
    assert [key for key, p in backbone.named_parameters() if p.grad is None] == []
    deepest = dict(zip(names, backbone.levels, strict=True))[max(names)]
    assert backbone.forward_features(image).shape[1] == deepest.channels


@pytest.mark.parametrize(
    ("name", "stages"),
    [("res2net18", 0), ("res2net18", 1), ("res2net18", 5), ("dla60", 2), ("blresnet50", 3)],
)
def test_frozen_stages_count_levels_from_the_stem(name: str, stages: int) -> None:
    backbone = create_backbone(name, frozen_stages=stages).train()
    reached: dict[str, int] = {}  # parameter → levels complete before it is used
    complete = 0
    names = {id(p): key for key, p in backbone.named_parameters()}
    for step in backbone.steps():
        for module in step.modules:
            reached.update({names[id(p)]: complete for p in module.parameters()})
        complete += step.level is not None
    assert reached.keys() == set(names.values())
    for key, parameter in backbone.named_parameters():
        assert parameter.requires_grad == (reached[key] >= stages), key
    for key, module in backbone.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training == (reached[f"{key}.weight"] >= stages), key


def test_frozen_stages_out_of_range() -> None:
    with pytest.raises(ValueError, match="cannot freeze 6 levels; this network has 5"):
        create_backbone("res2net18", frozen_stages=6)
    backbone = create_backbone("res2net18", out_levels=("c3",))
    backbone.freeze(3)
    assert not any(p.requires_grad for p in backbone.parameters())
    with pytest.raises(ValueError, match="cannot freeze 4 levels; this network has 3"):
        backbone.freeze(4)
    assert [level.name for level in backbone.levels] == ["c3"]


@pytest.mark.parametrize(("name", "options", "side"), SMALL[:7])
def test_frozen_norm_is_the_evaluation_mode_of_batch_norm(
    name: str, options: dict[str, int], side: int
) -> None:
    torch.manual_seed(0)
    plain = create_backbone(name, **options)  # type: ignore[arg-type]
    with torch.no_grad():  # statistics that matter
        for module in plain.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
    frozen = create_backbone(name, frozen_norm=True, **options)  # type: ignore[arg-type]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in frozen.modules())
    counters = {key for key in plain.state_dict() if key.endswith("num_batches_tracked")}
    assert frozen.state_dict().keys() == plain.state_dict().keys() - counters
    frozen.load_state_dict(plain.state_dict())  # the same file loads, counters and all
    image = torch.randn(2, 3, side, side)
    before = copy.deepcopy(frozen.state_dict())
    with torch.no_grad():
        expected, maps = plain.eval()(image), frozen.train()(image)
    for key, value in expected.items():
        assert (maps[key] - value).norm() < 1e-5 * value.norm()
    for key, value in frozen.state_dict().items():
        assert torch.equal(value, before[key])
    assert not any(".bn" in key for key, _ in frozen.named_parameters())


def test_frozen_norm_keeps_eps_and_needs_batch_norm() -> None:
    with torch.device("meta"):
        inception = create_backbone("inception_v3", frozen_norm=True)
        assert {m.eps for m in inception.modules() if isinstance(m, FrozenBatchNorm2d)} == {1e-3}
        create_backbone("res2net18", frozen_norm=True, norm_layer=frozen_batch_norm)
        with pytest.raises(ValueError, match="frozen_norm is for batch norm"):
            create_backbone("res2net18", frozen_norm=True, norm_layer=group_norm)


@pytest.mark.parametrize(
    ("name", "output_stride"),
    [
        ("res2net29_small", None),
        ("res2net18", 16),
        pytest.param("dla60_res2net", 8, marks=pytest.mark.slow),
        ("blresnet50", 8),
    ],
)
def test_weights_of_the_network_serve_every_stride(
    name: str, output_stride: int | None, tmp_path
) -> None:
    network = create_model(name, num_classes=4, width=4)
    save_weights(network, tmp_path / "net.safetensors")
    weights = str(tmp_path / "net.safetensors")
    backbone = create_backbone(name, output_stride=output_stride, pretrained=weights, width=4)
    for key, value in backbone.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[key], msg=key)


def test_the_rule_and_notice_of_the_weights_stay_with_every_stride(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def create(name: str, **options: object) -> Network:
        network = create_model(name, first_block="group", **options)  # type: ignore[arg-type]
        network.weights_notice = "trained elsewhere"
        return network

    monkeypatch.setattr("res2net.models.backbone.create_model", create)
    for stride in (None, 16):
        network = network_at_stride("res2net26_26w_4s", stride, num_classes=3)
        assert network.layer4[0].grouped  # type: ignore[index, union-attr]
        assert (network.first_block, network.weights_notice) == ("group", "trained elsewhere")
        assert network.num_classes == 3


def test_options_reach_the_network_at_every_stride() -> None:
    for output_stride in (32, 16):
        backbone = create_backbone(
            "res2net50_26w_4s",
            output_stride=output_stride,
            in_channels=5,
            drop_path=0.3,
            first_block="group",
            norm_layer=group_norm,
            act_layer=nn.SiLU,
            zero_init=True,
            depth=26,
            width=16,
            se=True,
        )
        block = backbone.layer4[1]  # type: ignore[attr-defined, index]
        assert backbone.conv1.in_channels == 5  # type: ignore[union-attr]
        assert block.drop_path.p == pytest.approx(0.3)
        assert float(block.bn3.weight.detach().abs().max()) == 0
        assert (block.width, block.scale) == (128, 4)
        assert backbone.layer1[0].grouped  # type: ignore[attr-defined, index]
        kinds = {type(m) for m in backbone.modules()}
        assert {nn.GroupNorm, nn.SiLU} <= kinds
        assert not {nn.BatchNorm2d, nn.ReLU} & {type(m) for m in backbone.layer1.modules()} - {
            nn.ReLU  # inside torchvision's SqueezeExcitation
        }


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("res2net18", {"out_levels": ("c6",)}, ValueError, "no level 'c6'.*has c1, c2, c3, c4, c5"),
        ("res2net29_small", {"out_levels": ("c4",)}, ValueError, "no level 'c4'.*has c1, c2, c3$"),
        ("res2net18", {"out_levels": ()}, ValueError, "out_levels is .*; give different names"),
        ("res2net18", {"out_levels": "c5"}, ValueError, "out_levels is 'c5'; give different names"),
        ("res2net18", {"out_levels": ("c5", "c5")}, ValueError, "give different names"),
        ("res2net18", {"output_stride": 4}, ValueError, "can have 32, 16 or 8"),
        ("res2net29_small", {"output_stride": 32}, ValueError, "can have 4, 2 or 1"),
        *(
            (name, {"output_stride": 8}, ValueError, f"output_stride is 8; {name} has (4|32) only")
            for name in OWN_STRIDE_ONLY
        ),
        ("res2net18", {"num_classes": 5}, TypeError, "takes no num_classes: a backbone has no"),
        ("res2net18", {"widht": 5}, TypeError, "no option 'widht'.*Did you mean 'width'"),
        ("res2net18", {"out_level": ("c5",)}, TypeError, "Did you mean 'out_levels'"),
        ("res2net18", {"frozen_stages": "1"}, ValueError, "cannot freeze '1' levels"),
        ("inception_v3", {"drop_path": 0.1}, TypeError, "has no option drop_path"),
        ("res2net19", {}, ValueError, "unknown model 'res2net19'.*res2net18"),
    ],
)
def test_what_is_refused(
    name: str, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message), torch.device("meta"):
        create_backbone(name, **options)  # type: ignore[arg-type]


def test_a_backbone_gets_no_classifier() -> None:
    with pytest.raises(TypeError, match="a backbone has no classifier"):
        create_backbone("res2net18").reset_classifier(3)


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_a_backbone_can_be_copied(way: str) -> None:
    backbone = create_backbone("res2net18", out_levels=("c4", "c3"), frozen_stages=1).eval()
    image = torch.randn(1, 3, 40, 40)
    if way == "deepcopy":
        other = copy.deepcopy(backbone)
    elif way == "pickle":
        other = pickle.loads(pickle.dumps(backbone))
    else:
        file = io.BytesIO()
        torch.save(backbone, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
    assert isinstance(other, Backbone)
    assert other.levels == backbone.levels
    with torch.no_grad():
        before, after = backbone(image), other(image)
        for parameter in other.parameters():
            parameter.zero_()
        again = backbone(image)
    for key, value in before.items():
        torch.testing.assert_close(after[key], value, rtol=0, atol=0)
        torch.testing.assert_close(again[key], value, rtol=0, atol=0)


def test_what_replaces_modules_reaches_the_maps() -> None:
    """As SyncBatchNorm's conversion does; a hidden second reference would keep the old one."""
    backbone = create_backbone("res2net18")
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(backbone)
    assert isinstance(converted, Backbone)
    assert isinstance(converted.bn1, nn.SyncBatchNorm)
    bypassed = copy.deepcopy(backbone)
    bypassed.bn1 = nn.Identity()
    converted = bypassed.eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        c1 = converted.act(converted.conv1(image))  # type: ignore[operator]
        expected = converted.layer1(converted.maxpool(c1))  # type: ignore[operator]
        torch.testing.assert_close(converted(image)["c2"], expected)


def test_functional_call_and_export_see_the_networks_names() -> None:
    backbone = create_backbone("res2net29_small", out_levels=("c1", "c3")).eval()
    image = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        expected = backbone(image)
        called: dict[str, Tensor] = torch.func.functional_call(
            backbone, dict(backbone.state_dict()), (image,)
        )
        exported = torch.export.export(backbone, (image,)).module()(image)
    for key, value in expected.items():
        torch.testing.assert_close(called[key], value)
        torch.testing.assert_close(exported[key], value)


def test_gradient_checkpointing_works_in_a_backbone() -> None:
    backbone = create_backbone("res2net29_small").train()
    image = torch.randn(2, 3, 16, 16)
    plain = backbone(image)["c3"].square().sum()
    backbone.gradient_checkpointing = "full"
    saved = backbone(image)["c3"].square().sum()
    torch.testing.assert_close(saved, plain)
    saved.backward()
    assert all(p.grad is not None for p in backbone.parameters())


def test_rows_of_every_kind_are_in_the_small_set() -> None:
    kinds = {type(NETWORKS[name]) for name, _, _ in SMALL}
    assert kinds == {type(row) for row in NETWORKS.values()}
    assert ResNetVariant in kinds
