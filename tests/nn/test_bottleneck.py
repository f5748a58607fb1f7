"""The blocks around the unit: where stride, SE, drop path and the shortcut go."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from res2net.nn import BasicBlock, Bottleneck, Res2NetBasicBlock, Res2NetBottleneck
from res2net.nn.layers import frozen_batch_norm, group_norm, pooled_shortcut, strided_shortcut


def _shortcut(cin: int, cout: int, stride: int) -> nn.Module:
    return strided_shortcut(cin, cout, stride, nn.BatchNorm2d)


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


def test_pooled_shortcut_matches_the_convolution_at_odd_sizes() -> None:
    for size in (7, 8):
        x = torch.rand(1, 4, size, size)
        shortcut = pooled_shortcut(4, 8, 2, nn.Identity)
        assert shortcut(x).shape[-1] == (size + 1) // 2
    whole = pooled_shortcut(1, 1, 2, nn.Identity)
    nn.init.ones_(whole[1].weight)
    torch.testing.assert_close(whole(torch.ones(1, 1, 3, 3)), torch.ones(1, 1, 2, 2))


def test_norms_by_name() -> None:
    assert group_norm(64).num_groups == 32
    assert group_norm(26).num_groups == 26
    assert group_norm(104).num_groups == 26
    frozen = frozen_batch_norm(3)
    assert list(frozen.parameters()) == []
    x = torch.randn(2, 3, 2, 2)
    torch.testing.assert_close(frozen(x), nn.BatchNorm2d(3).eval()(x))
