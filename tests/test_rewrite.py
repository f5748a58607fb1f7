"""A network rewritten for inference gives the numbers of the network as it was."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from res2net import create_backbone, create_model
from res2net.models.factory import norm_by_name
from res2net.nn.block import Res2NetBasicBlock, Res2NetBottleneck
from res2net.paper.variant import FirstBlock
from res2net.rewrite import ConvReLU, _has_epilogue, fold_batchnorm, pad_splits, with_epilogues

# one row a family and form: name, options, batch norms that stay
FAMILIES = [
    ("resnet18", {}, 0),
    ("res2net18", {}, 0),
    ("res2net26_26w_4s", {}, 0),
    ("res2net50d", {"depth": 26}, 0),
    ("seres2net50_26w_4s", {"depth": 26}, 0),
    ("res2next50", {"depth": 26}, 0),
    ("dla60_res2net", {}, 0),
    ("blres2net50", {}, 0),
    ("res2next29_6c24w_4s", {"depth": 11, "width": 8}, 0),
    ("res2net29_small", {"depth": 11}, 0),
    ("wideresnet28_10", {"depth": 10, "width": 1}, 4),  # before each block's entry, and the last
    ("densenet_bc190_40", {"depth": 10, "width": 4}, 6),  # one a layer or transition, and the last
    ("densenet161", {}, 82),
    ("inception_v3", {}, 2),  # of the auxiliary classifier, which does not run
]


def _norms(net: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def _relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("name", "options", "left"), FAMILIES, ids=[row[0] for row in FAMILIES])
def test_every_family_keeps_its_numbers(lively, name, options, left):
    net = lively(create_model(name, num_classes=5, **options))
    side = 75 if name == "inception_v3" else 33
    images = torch.randn(2, 3, side, side, dtype=torch.float64)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.no_grad():
        wanted = net(images)
        folded = fold_batchnorm(net)
        assert _relative(folded(images), wanted) < 1e-10
        assert _norms(folded) == left
        assert type(folded) is type(net)
        pad_splits(folded)
        assert _relative(folded(images), wanted) < 1e-10
        fused = with_epilogues(folded)
        assert _relative(fused(images), wanted) < 1e-10
    assert sum(isinstance(module, ConvReLU) for module in fused.modules()) > 2
    for key, value in net.state_dict().items():  # the original is as it was
        assert torch.equal(value, before[key]), key


def test_a_frozen_norm_folds_too():
    backbone = create_backbone("res2net18", frozen_norm=True).double().eval()
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    folded = fold_batchnorm(backbone)
    assert not any("Norm" in type(module).__name__ for module in folded.modules())
    with torch.no_grad():
        wanted, found = backbone(images), folded(images)
    assert list(found) == ["c2", "c3", "c4", "c5"]
    for name, value in wanted.items():
        assert _relative(found[name], value) < 1e-10


def test_group_norm_stays():
    net = create_model(
        "res2net29_small", depth=11, num_classes=3, norm_layer=norm_by_name("group")
    ).eval()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(fold_batchnorm(net)(images), net(images))


class _Shared(nn.Module):
    """A convolution that is read before its norm too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.bn(y) + y


def test_a_convolution_with_two_readers_stays(lively):
    net = lively(_Shared())
    images = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    folded = fold_batchnorm(net)
    assert _norms(folded) == 1
    with torch.no_grad():
        assert torch.equal(folded(images), net(images))


@st.composite
def _bottlenecks(draw):
    """A bottleneck of any form, and the side of its images."""
    scale = draw(st.integers(2, 6))
    cardinality = draw(st.sampled_from([1, 1, 2, 3, 8]))
    width = cardinality * draw(st.integers(1, 11))
    first = draw(st.sampled_from([None, *FirstBlock]))
    stride = draw(st.sampled_from([1, 2])) if first else 1
    basic = draw(st.booleans())
    kind = Res2NetBasicBlock if basic else Res2NetBottleneck
    shortcut = nn.Conv2d(6, 10, 1, stride=stride)
    block = kind(
        *(6, 10, width, scale),
        cardinality=cardinality,
        stride=stride,
        first=first,
        shortcut=shortcut,
        se=draw(st.booleans()),
        act_layer=draw(st.sampled_from([nn.ReLU, nn.SiLU, nn.Sigmoid])),
    )
    return block, draw(st.integers(3, 8)), draw(st.sampled_from([2, 4, 8, 16]))


@given(drawn=_bottlenecks())
@settings(max_examples=30, deadline=None)
def test_splits_of_any_width_are_padded_without_a_change(lively, drawn):
    block, side, multiple = drawn
    net = lively(block)
    images = torch.randn(2, 6, side, side, dtype=torch.float64)
    with torch.no_grad():
        wanted, padded = net(images), fold_batchnorm(net)
        pad_splits(padded, multiple)
        assert padded.width % multiple == 0
        assert padded.width - net.width < multiple * padded.convs[0].groups
        assert {conv.out_channels % multiple for conv in padded.convs} == {0}
        torch.testing.assert_close(padded(images), wanted, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(
            with_epilogues(nn.Sequential(padded))(images), wanted, rtol=1e-10, atol=1e-10
        )


def test_splits_whose_norms_stay_are_not_padded():
    net = create_model("res2net26_26w_4s", num_classes=3, norm_layer=norm_by_name("group")).eval()
    widths = [module.width for module in net.modules() if isinstance(module, Res2NetBottleneck)]
    pad_splits(net)
    assert widths == [m.width for m in net.modules() if isinstance(m, Res2NetBottleneck)]


def test_what_the_epilogues_of_a_bottleneck_are():
    """Entry, three splits, exit with its addition; and of the whole network the stem."""
    net = create_model("res2net26_26w_4s", num_classes=3).eval()
    fused = with_epilogues(fold_batchnorm(net))
    assert sum(isinstance(module, ConvReLU) for module in fused.modules()) == 1 + 8 * 5
    assert not any(isinstance(module, nn.ReLU) for module in fused.modules())


@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize(("extra", "right"), [(0.0, True), (0.5, False)])
def test_a_fused_call_is_tried_before_it_is_used(groups, stride, extra, right):
    def fused(x, weight, z, alpha, bias, *how):
        if how[-1] == 2 and not right:
            raise RuntimeError("unable to find an engine to execute this computation")
        return torch.relu(torch.conv2d(x, weight, bias, *how) + alpha * z + extra)

    how = torch.device("cpu"), torch.float32, torch.Size([8, 6, 3, 3])
    more = (stride, stride), (1, 1), (1, 1), groups
    _has_epilogue.cache_clear()
    assert not _has_epilogue(*how, *more)  # no such operator on a CPU
    with torch.library._scoped_library("aten", "IMPL") as library:
        library.impl("cudnn_convolution_add_relu", fused, "CPU")
        _has_epilogue.cache_clear()
        assert _has_epilogue(*how, *more) is right
    _has_epilogue.cache_clear()
