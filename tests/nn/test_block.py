"""The unit against Eq. 1 and the first-block rules, and the blocks around it.

In the blocks: where stride, SE, drop path and the shortcut go.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from res2net.nn import (
    BasicBlock,
    Bottleneck,
    Res2NetBasicBlock,
    Res2NetBottleneck,
    Res2NetUnit,
)
from res2net.nn.layers import conv
from res2net.paper.variant import FirstBlock


def _trained(unit: Res2NetUnit) -> Res2NetUnit:
    """Norms that do something, in evaluation mode and double precision."""
    generator = torch.Generator().manual_seed(3)
    for norm in unit.bns:
        for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            value.data.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return unit.double().eval()


def _k(unit: Res2NetUnit, i: int, x: Tensor) -> Tensor:
    """K_i of the paper: 3×3, norm, activation."""
    return F.relu(unit.bns[i](unit.convs[i](x)))


def test_hierarchy_is_equation_1_with_the_last_split_passing() -> None:
    unit = _trained(Res2NetUnit(5, 4))
    x = torch.randn(2, 20, 7, 9, dtype=torch.float64)
    x1, x2, x3, x4 = x.chunk(4, dim=1)
    y1 = _k(unit, 0, x1)
    y2 = _k(unit, 1, x2 + y1)
    y3 = _k(unit, 2, x3 + y2)
    torch.testing.assert_close(unit(x), torch.cat([y1, y2, y3, x4], dim=1))


def test_last_split_bypassing_is_equation_1_up_to_a_permutation() -> None:
    """Eq. 1 lets split 1 pass; moving it to the end gives our unit, exactly."""
    w, s = 3, 5
    unit = _trained(Res2NetUnit(w, s))
    x = torch.randn(2, s * w, 6, 6, dtype=torch.float64)
    splits = x.chunk(s, dim=1)
    ys = [splits[0]]  # y_1 = x_1
    ys.append(_k(unit, 0, splits[1]))  # y_2 = K_2(x_2)
    for i in range(2, s):
        ys.append(_k(unit, i - 1, splits[i] + ys[-1]))  # y_i = K_i(x_i + y_{i-1})
    equation_1 = torch.cat(ys, dim=1)
    to_the_end = torch.arange(s * w).roll(-w)  # (x_2, ..., x_s, x_1)
    torch.testing.assert_close(unit(x[:, to_the_end]), equation_1[:, to_the_end])


@pytest.mark.parametrize(
    ("first", "counted"), [("pool", True), ("pool_exclude_pad", False), ("strided_only", True)]
)
@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_pooled_first_block_has_no_additions(
    first: str, counted: bool, size: tuple[int, int]
) -> None:
    unit = _trained(Res2NetUnit(4, 3, stride=2, first=first))
    x = torch.randn(1, 12, *size, dtype=torch.float64)
    x1, x2, x3 = x.chunk(3, dim=1)
    pooled = F.avg_pool2d(x3, 3, stride=2, padding=1, count_include_pad=counted)
    expected = torch.cat([_k(unit, 0, x1), _k(unit, 1, x2), pooled], dim=1)
    torch.testing.assert_close(unit(x), expected)


def test_pool_averages_at_stride_1_too() -> None:
    unit = Res2NetUnit(4, 3, first="pool").eval()
    x = torch.randn(1, 12, 6, 6)
    last = F.avg_pool2d(x[:, 8:], 3, stride=1, padding=1)
    torch.testing.assert_close(unit(x)[:, 8:], last)
    assert not torch.allclose(last, x[:, 8:])


@pytest.mark.parametrize("first", ["strided_only", "paper", None])
def test_other_rules_are_a_normal_block_at_stride_1(first: str | None) -> None:
    unit, normal = _trained(Res2NetUnit(4, 3, first=first)), _trained(Res2NetUnit(4, 3))
    unit.load_state_dict(normal.state_dict())
    x = torch.randn(1, 12, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(unit(x), normal(x))


def test_group_is_one_convolution_over_all_splits() -> None:
    unit = _trained(Res2NetUnit(6, 4, cardinality=2, stride=2, first=FirstBlock.GROUP))
    (convolution,) = unit.convs
    assert convolution.groups == 8
    assert convolution.weight.shape == (24, 3, 3, 3)
    x = torch.randn(1, 24, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(unit(x), _k(unit, 0, x))


def test_scale_1_has_one_convolution_and_no_bypass() -> None:
    unit = _trained(Res2NetUnit(6, 1))
    x = torch.randn(1, 6, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(unit(x), _k(unit, 0, x))


def test_an_earlier_output_is_not_changed_by_a_later_addition() -> None:
    """y_i is kept for the concatenation while y_i + x_{i+1} is computed from it."""
    unit = Res2NetUnit(2, 3, norm_layer=nn.Identity, act_layer=nn.Identity)
    for convolution in unit.convs:
        nn.init.dirac_(convolution.weight)  # K_i is the identity
    x = torch.randn(1, 6, 4, 4)
    x1, x2, x3 = x.chunk(3, dim=1)
    torch.testing.assert_close(unit(x), torch.cat([x1, x1 + x2, x3], dim=1))


def test_norm_and_activation_are_the_callers_choice() -> None:
    unit = Res2NetUnit(8, 4, norm_layer=lambda c: nn.GroupNorm(4, c), act_layer=nn.SiLU)
    assert all(isinstance(norm, nn.GroupNorm) for norm in unit.bns)
    assert isinstance(unit.act, nn.SiLU)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0, "scale": 4}, "width is 0"),
        ({"width": 4, "scale": 0}, "scale is 0"),
        ({"width": 5, "scale": 4, "cardinality": 2}, "does not divide into 2 groups"),
        ({"width": 4, "scale": 4, "stride": 2, "first": "paper"}, "moves the stride"),
        ({"width": 4, "scale": 4, "first": "pol"}, "'pol' is not a valid FirstBlock"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Res2NetUnit(**arguments)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 7),
    scale=st.integers(1, 6),
    cardinality=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    first=st.sampled_from([None, *FirstBlock]),
    height=st.integers(1, 12),
    breadth=st.integers(1, 12),
)
def test_shapes(
    width: int,
    scale: int,
    cardinality: int,
    stride: int,
    dilation: int,
    first: FirstBlock | None,
    height: int,
    breadth: int,
) -> None:
    if first is FirstBlock.PAPER:
        stride = 1
    channels = width * cardinality
    with torch.device("meta"):
        unit = Res2NetUnit(
            channels,
            scale,
            cardinality=cardinality,
            stride=stride,
            dilation=dilation,
            first=first,
        )
        y = unit(torch.empty(2, channels * scale, height, breadth))
    assert y.shape == (2, channels * scale, -(-height // stride), -(-breadth // stride))


def _shortcut(cin: int, cout: int, stride: int) -> nn.Module:
    return nn.Sequential(conv(cin, cout, 1, stride=stride), nn.BatchNorm2d(cout))


def test_official_parameter_names() -> None:
    block = Res2NetBottleneck(64, 256, 26, shortcut=_shortcut(64, 256, 1))
    names = {name.rpartition(".")[0] for name, _ in block.named_parameters()}
    assert names == {
        *("conv1", "bn1", "convs.0", "convs.1", "convs.2", "bns.0", "bns.1", "bns.2"),
        *("conv3", "bn3", "downsample.0", "downsample.1"),
    }


def test_stride_sits_in_the_3x3_except_in_the_papers_form() -> None:
    official = Res2NetBottleneck(8, 32, 2, stride=2, first="pool", shortcut=_shortcut(8, 32, 2))
    assert official.conv1.stride == (1, 1)
    assert {conv.stride for conv in official.convs} == {(2, 2)}
    paper = Res2NetBottleneck(8, 32, 2, stride=2, first="paper", shortcut=_shortcut(8, 32, 2))
    assert paper.conv1.stride == (2, 2)
    assert {conv.stride for conv in paper.convs} == {(1, 1)}
    assert paper.pool is None
    x = torch.randn(1, 8, 9, 7)
    assert official(x).shape == paper(x).shape == (1, 32, 5, 4)


def test_squeeze_excitation_stands_right_before_the_addition() -> None:
    """With the gate closed, only the residual is left."""
    block = Res2NetBottleneck(32, 32, 4, se=True).eval()
    assert block.se.fc1.out_channels == 2  # 32 channels, reduction 16
    nn.init.constant_(block.se.fc2.bias, -1e9)
    x = torch.rand(2, 32, 5, 5)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("kind", [Bottleneck, Res2NetBottleneck, BasicBlock, Res2NetBasicBlock])
def test_zero_last_norm_makes_the_block_the_identity(kind: type) -> None:
    block = kind(16, 16, 4).eval()
    nn.init.zeros_(block.last_norm.weight)
    x = torch.rand(2, 16, 5, 5)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("kind", [Bottleneck, Res2NetBottleneck, BasicBlock, Res2NetBasicBlock])
def test_drop_path_drops_whole_images_and_only_in_training(kind: type) -> None:
    block = kind(16, 16, 4, drop_path=0.5)
    x = torch.rand(64, 16, 3, 3)
    torch.manual_seed(0)
    changed = (block.train()(x) - x).abs().amax(dim=(1, 2, 3)) > 1e-6
    assert 10 < int(changed.sum()) < 54
    assert bool(((block.eval()(x) - x).abs().amax(dim=(1, 2, 3)) > 1e-6).all())


def test_a_residual_handed_in_is_what_is_added() -> None:
    block = Res2NetBottleneck(16, 16, 4).eval()
    nn.init.zeros_(block.last_norm.weight)
    x, residual = torch.rand(1, 16, 4, 4), torch.rand(1, 16, 4, 4)
    torch.testing.assert_close(block(x, residual), residual)


def test_last_activation_can_be_left_to_the_caller() -> None:
    x = torch.randn(1, 16, 4, 4)
    block = Bottleneck(16, 16, 4, last_act=False).eval()
    assert float(block(x).detach().min()) < 0
    block.last_act = True
    assert float(block(x).detach().min()) >= 0


def test_basic_block_strides_in_its_first_3x3() -> None:
    block = Res2NetBasicBlock(8, 16, 4, stride=2, first="paper", shortcut=_shortcut(8, 16, 2))
    assert block.conv1.kernel_size == (3, 3)
    assert block.conv1.stride == (2, 2)
    assert {conv.stride for conv in block.convs} == {(1, 1)}
    assert block(torch.randn(1, 8, 9, 9)).shape == (1, 16, 5, 5)
