"""DLA-60 and its X, Res2Net and Res2NeXt forms: deep layer aggregation.

Legend: B batch · C channels · H, W space

The official network computes three projections whose result it throws away (level3.project,
level4.project, level4.tree1.project: no gradient, so distributed training stops). They are not
here. Max-pools round up, so odd sizes work; at even sizes nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from res2net.models.network import (
    GlobalPool,
    Level,
    Network,
    PointwiseLinear,
    Sampling,
    Step,
    drop_path_rates,
    initialise,
    plan_strides,
    zero_residual_branches,
)
from res2net.models.resnet import residual_block
from res2net.nn.layers import ActLayer, DilatedMaxPool2d, NormLayer, conv, relu
from res2net.paper.variant import DLAVariant, FirstBlock


class Root(nn.Module):
    """Aggregation node: concatenate, 1×1, norm, activation."""

    def __init__(
        self, channels_in: int, channels_out: int, norm_layer: NormLayer, act_layer: ActLayer
    ) -> None:
        super().__init__()
        self.conv = conv(channels_in, channels_out, 1)
        self.bn = norm_layer(channels_out)
        self.act = act_layer()

    def forward(self, maps: list[Tensor]) -> Tensor:  # each (B, Ci, H, W) → (B, C, H, W)
        y: Tensor = self.act(self.bn(self.conv(torch.cat(maps, dim=1))))
        return y


class Tree(nn.Module):
    """A binary tree of blocks whose outputs are aggregated in a root.

    Args:
        depth: 1 is two blocks and a root; n is two trees of depth n−1.
        level_root: the (pooled) input joins the root of this level.
        sampling: stride and dilation of the first block, and of the pool beside it.
        root_channels: channels that meet in the root; 0 derives it for a tree that is on top.
    """

    def __init__(
        self,
        variant: DLAVariant,
        depth: int,
        channels_in: int,
        channels_out: int,
        *,
        sampling: Sampling,
        level_root: bool = False,
        root_channels: int = 0,
        first_block: FirstBlock,
        rates: Iterator[float],
        norm_layer: NormLayer,
        act_layer: ActLayer,
    ) -> None:
        super().__init__()
        self.depth = depth
        self.level_root = level_root
        root_channels = root_channels or 2 * channels_out
        if level_root:
            root_channels += channels_in
        self.downsample = _downsample(sampling)
        self.project: nn.Module = nn.Identity()
        if depth == 1:
            # The projection is used only here: deeper trees pass the residual to their subtrees.
            if channels_in != channels_out:
                self.project = nn.Sequential(
                    conv(channels_in, channels_out, 1), norm_layer(channels_out)
                )
            self.tree1, self.tree2 = (
                residual_block(
                    variant,
                    cin,
                    channels_out,
                    channels_out // 2,
                    sampling=part,
                    pool_dilation=part.dilation,
                    # a first block by stride, not by position
                    first=first_block if part.original_stride > 1 else None,
                    drop_path=next(rates),
                    norm_layer=norm_layer,
                    act_layer=act_layer,
                )
                for cin, part in ((channels_in, sampling), (channels_out, sampling.behind))
            )
            self.root = Root(root_channels, channels_out, norm_layer, act_layer)
        else:
            self.tree1, self.tree2 = (
                Tree(
                    variant,
                    depth - 1,
                    cin,
                    channels_out,
                    sampling=part,
                    root_channels=root,
                    first_block=first_block,
                    rates=rates,
                    norm_layer=norm_layer,
                    act_layer=act_layer,
                )
                for cin, part, root in (
                    (channels_in, sampling, 0),
                    (channels_out, sampling.behind, root_channels + channels_out),
                )
            )

    def forward(self, x: Tensor, earlier: list[Tensor] | None = None) -> Tensor:
        maps = list(earlier or [])  # maps collected for the roots above
        bottom: Tensor = self.downsample(x)
        if self.level_root:
            maps.append(bottom)
        if self.depth == 1:
            first = self.tree1(x, self.project(bottom))
            return self.root([self.tree2(first), first, *maps])
        first = self.tree1(x)
        return self.tree2(first, [*maps, first])


def _downsample(sampling: Sampling) -> nn.Module:
    if sampling.removed > 1:
        return DilatedMaxPool2d(sampling.removed, sampling.dilation)
    return nn.MaxPool2d(sampling.stride, ceil_mode=True) if sampling.stride > 1 else nn.Identity()


class DLA(Network):
    """Deep layer aggregation: (B, in_channels, H, W) → (B, num_classes).

    Args: as in ``ResNet``. ``first_block`` applies to strided blocks: here the stride decides.
    With ``output_stride`` 16 or 8 the convolutions and pools behind a removed stride are dilated,
    so that the maps at every second (fourth) pixel are those of the strided network.
    """

    def __init__(
        self,
        variant: DLAVariant,
        *,
        num_classes: int,
        in_channels: int = 3,
        drop_path: float = 0.0,
        first_block: FirstBlock | None = None,
        zero_init: bool = False,
        norm_layer: NormLayer = nn.BatchNorm2d,
        act_layer: ActLayer = relu,
        global_pool: GlobalPool = "avg",
        output_stride: int | None = None,
    ) -> None:
        super().__init__(global_pool=global_pool)
        self.variant = variant
        channels = variant.channels

        def layer(cin: int, cout: int, kernel: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                conv(cin, cout, kernel, stride=stride), norm_layer(cout), act_layer()
            )

        self.base_layer = layer(in_channels, channels[0], 7, 1)
        self.level0 = layer(channels[0], channels[0], 3, 1)
        self.level1 = layer(channels[0], channels[1], 3, 2)
        blocks = sum(2**depth for depth in variant.levels[2:])
        rates = drop_path_rates(drop_path, blocks)
        plan = plan_strides((2, 2, 2, 2), 2, output_stride)
        for i, (sampling, _) in enumerate(plan, start=2):
            tree = Tree(
                variant,
                variant.levels[i],
                channels[i - 1],
                channels[i],
                sampling=sampling,
                level_root=i > 2,
                first_block=first_block or variant.first_block,
                rates=rates,
                norm_layer=norm_layer,
                act_layer=act_layer,
            )
            setattr(self, f"level{i}", tree)
        self.levels = (
            Level("c1", channels[1], 2),
            *(Level(f"c{i}", channels[i], stride) for i, (_, stride) in enumerate(plan, start=2)),
        )
        initialise(self)
        if zero_init:
            zero_residual_branches(self)
        self.reset_classifier(num_classes)

    def make_head(self, features: int, classes: int) -> nn.Module:
        return PointwiseLinear(features, classes)

    def steps(self) -> tuple[Step, ...]:
        trees = [getattr(self, f"level{i}") for i in range(2, 6)]
        return (
            Step(None, self.base_layer, (self.base_layer,)),
            Step(None, self.level0, (self.level0,)),
            Step("c1", self.level1, (self.level1,)),
            *(
                Step(f"c{i}", partial(self.run_blocks, tree), (tree,))
                for i, tree in enumerate(trees, start=2)
            ),
        )
