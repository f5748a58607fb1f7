"""``convert`` against the networks of the paper, and what it promises of any other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from res2net import convert, create_model
from res2net.errors import UserError
from res2net.nn.block import SplitUnit
from res2net.paper.networks import find_variant
from res2net.paper.structure import tally

# the plain network, w, s, and the row of the model table that it becomes
BECOMES = [
    ("torchvision/resnet50", 26, 4, "res2net50_26w_4s"),
    ("torchvision/resnet50", 48, 2, "res2net50_48w_2s"),
    ("torchvision/resnet50", 14, 8, "res2net50_14w_8s"),
    ("timm/resnet26", 26, 4, "res2net26_26w_4s"),
    ("torchvision/resnext50_32x4d", 16, 4, "res2next50"),  # 4w where a plain ResNet has 64
    ("timm/resnet50d", 26, 4, "res2net50d"),
    ("timm/seresnet50", 26, 4, "seres2net50_26w_4s"),
    ("timm/dla60", 28, 4, "dla60_res2net"),
    ("timm/dla60x", 16, 4, "dla60_res2next"),
]
FAST_ROWS = ("res2net50_26w_4s", "res2next50", "seres2net50_26w_4s", "dla60_res2net")
# network, bottlenecks, first ones of a stage, pixels of a training step (0: shapes only)
NETWORKS = [
    ("timm/ecaresnet26t", 8, 4, 64),
    ("timm/resnetaa50", 16, 4, 0),  # average pools that carry the strides
    ("timm/resnetv2_50x1_bit", 16, 4, 0),  # norm first, group norm, standardised weights
    ("timm/regnety_002", 13, 4, 64),  # SE on the 3×3's output
    ("timm/nf_regnet_b0", 16, 4, 64),  # no norm, scaled standardised weights
    ("timm/dla46_c", 12, 4, 64),
    ("timm/cspresnet50", 13, 0, 0),
    ("timm/tresnet_m", 14, 2, 0),  # leaky ReLU in the norm, 48 channels in the first convolution
]
MORE_NETWORKS = [
    ("torchvision/regnet_y_400mf", 16, 4, 64),
    ("torchvision/wide_resnet50_2", 16, 4, 64),
    ("torchvision/regnet_x_400mf", 22, 4, 64),
    ("timm/seresnet50", 16, 4, 64),
    ("timm/resnetblur50", 16, 4, 64),
    ("timm/resnet50_gn", 16, 4, 64),
    ("timm/resnetv2_50", 16, 4, 64),
    ("timm/regnetv_040", 22, 4, 64),  # norm and activation first, SE between
    ("timm/gcresnet50t", 16, 4, 64),  # context added to every pixel
    ("timm/hrnet_w18_small", 5, 5, 64),
    ("timm/dpn68", 22, 22, 64),
]


def _build(name: str) -> nn.Module:
    library, _, network = name.partition("/")
    if library == "timm":
        return timm.create_model(network)
    return torchvision.models.get_model(network)


def _three(act: Callable[[], nn.Module]) -> Callable[[], list[nn.Module]]:
    return lambda: [act(), act(), act()]


@pytest.mark.parametrize(
    ("plain", "width", "scale", "row"),
    [pytest.param(*x, marks=() if x[3] in FAST_ROWS else pytest.mark.slow) for x in BECOMES],
)
def test_structure_is_that_of_the_paper(plain: str, width: int, scale: int, row: str) -> None:
    with torch.device("meta"):
        converted, report = convert(_build(plain), width=width, scale=scale)
    structure = tally(find_variant(row))
    assert sum(p.numel() for p in converted.parameters()) == report.params[1] == structure.params
    assert report.macs[1] == structure.macs
    seen = {layer.name: layer.receptive_field for layer in structure.layers}
    for block in report.blocks:
        assert block.receptive_field[1] == seen[f"{block.name}.conv3"], block.name


def test_resnet50_becomes_res2net50_26w_4s_of_25699120_parameters() -> None:
    with torch.device("meta"):
        converted, _ = convert(torchvision.models.resnet50(), width=26, scale=4)
    assert sum(p.numel() for p in converted.parameters()) == 25_699_120


@pytest.mark.parametrize(
    ("plain", "width", "row"), [BECOMES[i][:2] + BECOMES[i][3:] for i in (0, 4, 7)]
)
def test_outputs_are_those_of_the_paper(plain: str, width: int, row: str) -> None:
    ours = create_model(row).eval()
    for name, tensor in ours.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            tensor.normal_()
    converted, _ = convert(_build(plain).eval(), width=width, image_size=64)
    keys = {name.replace(".conv2.convs.", ".convs.").replace(".conv2.bns.", ".bns."): name
            for name in converted.state_dict()}  # fmt: skip
    state = ours.state_dict()
    if row.startswith("dla"):  # a linear classifier here, a 1×1 convolution there
        shape = converted.state_dict()["fc.weight"].shape
        state["fc.weight"] = state["fc.weight"].reshape(shape)
    converted.load_state_dict({keys[name]: tensor for name, tensor in state.items()})
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = ours(x)
        difference = (converted(x) - expected).norm() / expected.norm()
    assert difference < 1e-5


@pytest.mark.parametrize(
    ("name", "blocks", "first", "pixels"),
    [*NETWORKS, *(pytest.param(*row, marks=pytest.mark.slow) for row in MORE_NETWORKS)],
)
def test_networks_of_other_libraries(name: str, blocks: int, first: int, pixels: int) -> None:
    with torch.device("cpu" if pixels else "meta"):
        model = _build(name)
        converted, report = convert(model, width=16, image_size=pixels or 224)
    assert len(report.blocks) == blocks
    assert sum(block.form == "pooled" for block in report.blocks) == first
    assert sum(isinstance(m, SplitUnit) for m in converted.modules()) == blocks
    for block in report.blocks:
        assert block.receptive_field[1] >= block.receptive_field[0]
    if pixels:
        y = converted.train()(torch.randn(2, 3, pixels, pixels))
        y.square().mean().backward()
        for key, parameter in converted.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key


def test_the_given_network_and_untouched_layers_stay_as_they_are() -> None:
    model = timm.create_model("regnetx_002").eval()
    state = copy.deepcopy(model.state_dict())
    text = str(model)
    converted, _ = convert(model, image_size=64)
    assert str(model) == text
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    kept = converted.state_dict()
    same = [n for n in kept if n in state and torch.equal(kept[n], state[n])]
    for part in ("stem.conv.weight", "s2.b1.downsample.bn.running_var", "s1.b1.conv3.bn.weight"):
        assert part in same
    assert not converted.training
    assert not any(m.training for m in converted.modules() if isinstance(m, SplitUnit))


def test_1x1s_that_keep_their_channels_keep_their_weights(make_net: Any) -> None:
    net = make_net(norm=nn.BatchNorm2d)
    net.blocks[0].norm_a.running_mean.fill_(3)
    converted, _ = convert(net, width=16, scale=4, image_size=32)  # 4 splits of 4: 16 channels
    for name in ("reduce", "norm_a", "expand", "norm_c", "shortcut"):
        old, new = getattr(net.blocks[0], name), getattr(converted.blocks[0], name)
        for key, tensor in old.state_dict().items():
            assert torch.equal(new.state_dict()[key], tensor), (name, key)


def test_new_layers_can_be_trained_even_in_a_frozen_network(make_net: Any) -> None:
    net = make_net().requires_grad_(False)
    converted, _ = convert(net, width=26, image_size=32)
    trained = {n.rsplit(".", 1)[0] for n, p in converted.named_parameters() if p.requires_grad}
    assert {"blocks.0.reduce", "blocks.0.middle.convs.0", "blocks.1.expand"} <= trained
    assert "stem" not in trained
    assert "blocks.0.norm_c" not in trained


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("timm/dla46_c", "match-macs"),
        *(
            pytest.param(name, width, marks=pytest.mark.slow)
            for name, width in (
                ("timm/dla46_c", "match-params"),
                ("timm/regnetx_002", "match-macs"),
                ("timm/regnetx_002", "match-params"),
            )
        ),
    ],
)
def test_matched_width_is_the_nearest(name: str, width: Any) -> None:
    with torch.device("meta"):
        model = _build(name)
        _, report = convert(model, width=width, scale=2)
        others = [convert(model, width=report.width + i, scale=2)[1] for i in (-1, 1)]

    def miss(report: Any) -> int:
        before, after = report.params if width == "match-params" else report.macs
        return abs(after - before)

    assert all(miss(report) <= miss(other) for other in others)


def test_the_block_computes_what_the_paper_says(make_net: Any) -> None:
    """Norm and activation once, inside the splits; nothing of them behind the unit."""
    acts = _three(nn.SiLU)
    converted, _ = convert(make_net(acts=acts).eval(), width=16, scale=2, image_size=32)
    block, x = converted.blocks[1], torch.randn(2, 64, 5, 5)
    unit = block.middle

    def k(i: int, split: Tensor) -> Tensor:
        return nn.functional.silu(unit.bns[i](unit.convs[i](split)))

    x1, x2 = nn.functional.silu(block.norm_a(block.reduce(x))).chunk(2, dim=1)
    inside = torch.cat([k(0, x1), x2], dim=1)
    expected = nn.functional.silu(block.norm_c(block.expand(inside)) + x)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("rule", ["pool", "group", "paper", "strided_only", "pool_exclude_pad"])
@pytest.mark.parametrize("shared", [True, False])
def test_every_rule_for_first_blocks_trains(make_net: Any, rule: str, shared: bool) -> None:
    one = [nn.ReLU(inplace=True)] * 3
    net = make_net(acts=(lambda: one) if shared else _three(lambda: nn.ReLU(inplace=True)))
    converted, report = convert(net, width=16, first_block=rule, image_size=32)
    assert report.blocks[0].form == {"group": "grouped", "paper": "hierarchy"}.get(rule, "pooled")
    assert report.blocks[1].form == "hierarchy"
    assert converted.blocks[0].reduce.stride == ((2, 2) if rule == "paper" else (1, 1))
    converted(torch.randn(2, 3, 32, 32)).square().mean().backward()
    assert all(p.grad is not None for p in converted.parameters())


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_functions_as_activations(make_net: Any, kernel: int) -> None:
    if kernel == 1:
        with pytest.raises(UserError, match="nothing to replace"):
            convert(make_net(kernel=kernel), image_size=32)
        return
    _, report = convert(make_net(kernel=kernel), image_size=32)
    assert [block.kernel for block in report.blocks] == [(kernel, kernel)] * 2
    assert any("changes nothing" in note for note in report.notes)


@pytest.mark.parametrize(
    ("norm", "kind"),
    [
        (lambda c: nn.GroupNorm(8, c), nn.GroupNorm),
        (nn.InstanceNorm2d, nn.InstanceNorm2d),
        (torchvision.ops.FrozenBatchNorm2d, torchvision.ops.FrozenBatchNorm2d),
        (timm.layers.LayerNorm2d, timm.layers.LayerNorm2d),
        (timm.layers.FilterResponseNormAct2d, timm.layers.FilterResponseNormAct2d),
        (lambda _: nn.Identity(), nn.Identity),
    ],
)
def test_splits_have_the_blocks_own_norm(make_net: Any, norm: Any, kind: type) -> None:
    acts = _three(nn.LeakyReLU)
    if kind is timm.layers.FilterResponseNormAct2d:
        acts = _three(nn.Identity)
    converted, _ = convert(make_net(norm=norm, acts=acts), width=26, image_size=32)
    for block in converted.blocks:
        assert all(isinstance(norm, kind) for norm in block.middle.bns)
    converted(torch.randn(2, 3, 32, 32)).sum().backward()


def test_a_group_norm_keeps_its_group_size(make_net: Any) -> None:
    acts = _three(nn.ReLU)
    net = make_net(64, norm=lambda c: nn.GroupNorm(32, c), acts=acts)
    converted, _ = convert(net, width=26, image_size=32)
    norms = [converted.blocks[0].middle.bns[0], converted.blocks[0].norm_a]
    assert [(n.num_groups, n.num_channels) for n in norms] == [(13, 26), (26, 104)]


def test_learned_activations_are_cut_too(make_net: Any) -> None:
    net = make_net(acts=lambda: [nn.PReLU(c) for c in (16, 16, 64)])
    converted, _ = convert(net, width=26, image_size=32)
    assert converted.blocks[0].act_a.weight.shape == (24,)
    assert converted.blocks[0].middle.act.weight.shape == (6,)


def test_norm_and_activation_of_the_callers_choice(make_net: Any) -> None:
    acts = _three(nn.ReLU)
    converted, _ = convert(
        make_net(acts=acts),
        width=32,
        image_size=32,
        norm_layer=lambda c: nn.GroupNorm(2, c),
        act_layer=nn.GELU,
    )
    unit = converted.blocks[1].middle
    assert isinstance(unit.bns[0], nn.GroupNorm)
    assert isinstance(unit.act, nn.GELU)
    assert isinstance(converted.blocks[1].norm_a, nn.BatchNorm2d)


def test_groups_are_shared_out_or_given(make_net: Any) -> None:
    net = make_net(64, groups=32)
    assert [b.cardinality for b in convert(net, width=26, image_size=32)[1].blocks] == [8, 8]
    _, report = convert(net, width=26, cardinality=3, image_size=32)
    assert {(b.width, b.cardinality) for b in report.blocks} == {(24, 3)}


def test_report_counts_what_pytorch_counts(make_net: Any) -> None:
    net = make_net(norm=nn.BatchNorm2d)
    converted, report = convert(net, image_size=48)
    for model, macs in zip((net, converted), report.macs, strict=True):
        with FlopCounterMode(display=False) as counter:
            model.eval()(torch.zeros(1, 3, 48, 48))
        assert counter.get_total_flops() == 2 * macs
    outside = report.params[0] - sum(block.params[0] for block in report.blocks)
    assert report.params[1] - sum(block.params[1] for block in report.blocks) == outside


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        ("torchvision/resnet18", {}, "nothing to replace in ResNet: no sequence of 1×1, k×k"),
        ("torchvision/vgg11", {}, "not a plain 1×1"),
        ("torchvision/mobilenet_v2", {}, "is depthwise"),
        ("torchvision/densenet121", {}, "nothing to replace in DenseNet"),
        ("timm/res2net50_26w_4s", {}, r"it is a Res2Net already \(layer1.0\)"),
        ("timm/dla60_res2net", {}, "it is a Res2Net already"),
        ("timm/resnest14d", {}, "nothing to replace"),
        ("torchvision/resnet50", {"where": ["layr1"]}, "no module 'layr1'. Did you mean 'layer1"),
        ("torchvision/resnet50", {"where": ["fc"]}, "nothing to replace in fc"),
        ("torchvision/resnet50", {"where": lambda *_: False}, "`where` took none of 16"),
        ("torchvision/vgg11", {"where": ["features.3", "features.6"]}, "follow each other"),
        ("torchvision/resnet50", {"image_size": 0}, "cannot be run on an image of 0x0"),
        ("torchvision/resnet50", {"width": 0}, "width is 0; .* needs 1 or more"),
        ("torchvision/resnet50", {"width": "macs"}, "it must be match-params"),
        ("torchvision/resnet50", {"scale": 1}, "scale is 1"),
        ("torchvision/resnet50", {"cardinality": 0}, "cardinality is 0"),
        ("torchvision/resnet50", {"first_block": "pol"}, "'pol' is not a valid FirstBlock"),
        ("torchvision/resnet50", {"act_layer": nn.SiLU}, "layer1.0: .*relu is shared"),
        ("timm/regnetx_002", {"norm_layer": nn.BatchNorm2d}, "give act_layer as well"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    build: str, options: dict[str, Any], message: str
) -> None:
    with torch.device("meta"):
        model = _build(build)
        with pytest.raises(ValueError, match=message) as caught:
            convert(model, **options)
    assert "\n" not in str(caught.value)


def test_an_activation_that_would_act_twice_is_refused(make_net: Any) -> None:
    act = nn.SiLU()
    with pytest.raises(UserError, match=r"blocks.0: .* silu .* blocks.0.act_a is shared"):
        convert(make_net(acts=lambda: [act] * 3), image_size=32)
    with pytest.raises(UserError, match="it is a function"):
        convert(make_net(acts=lambda: [nn.functional.silu] * 3), image_size=32)


def test_a_name_is_no_network() -> None:
    with pytest.raises(UserError, match=r"takes a built network .* not 'resnet50'"):
        convert("resnet50")  # type: ignore[arg-type]


def test_twice_is_once_too_often(make_net: Any) -> None:
    converted, _ = convert(make_net(), image_size=32)
    with pytest.raises(UserError, match=r"a Res2Net already \(blocks.0.middle\)"):
        convert(converted, image_size=32)


def test_where_takes_names_and_questions(make_net: Any) -> None:
    net = make_net()

    def blocks(where: Any) -> list[str]:
        return [block.name for block in convert(net, where=where, image_size=32)[1].blocks]

    assert blocks(["blocks.1"]) == blocks(["blocks.1.middle"]) == ["blocks.1"]
    assert blocks("blocks") == ["blocks.0", "blocks.1"]
    assert blocks(lambda name, conv, _: conv.stride == (2, 2) and "blocks" in name) == ["blocks.0"]
    assert blocks(lambda *args: args[2].is_bottleneck and not args[2].first) == ["blocks.1"]


def test_where_can_take_what_is_no_bottleneck() -> None:
    with torch.device("meta"):
        _, report = convert(
            torchvision.models.mobilenet_v2(),
            where=lambda *args: args[2].exit.startswith("features.5."),
        )
        vgg, _ = convert(torchvision.models.vgg11(), where=["features.8"], width=16)
    assert [block.groups for block in report.blocks] == [192]
    assert isinstance(vgg.features[8], SplitUnit)
    assert vgg.features[8].width == 64
