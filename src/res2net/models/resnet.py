"""ResNet, ResNeXt, SE-ResNet and their Res2Net forms, for ImageNet and for CIFAR.

From top to bottom: a row of the table becomes a block (``residual_block``; DLA and Big-Little Net
take their blocks from it too), the shortcuts beside it, the network. The blocks themselves are in
``res2net.nn.block``.

Legend: B batch · C channels · H, W space

Parameter names are torchvision's and the official files' (conv1, bn1, layer1.0.convs.0, fc).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from res2net.models.network import (
    GlobalPool,
    Level,
    Network,
    Sampling,
    Step,
    drop_path_rates,
    initialise,
    plan_strides,
    zero_residual_branches,
)
from res2net.nn.block import BasicBlock, Bottleneck, Res2NetBasicBlock, Res2NetBottleneck
from res2net.nn.layers import ActLayer, NormLayer, conv, relu
from res2net.paper.variant import (
    BigLittleVariant,
    DLAVariant,
    FirstBlock,
    ParallelVariant,
    ResNetVariant,
    split_channels,
)

STRIDES = (1, 2, 2, 2)  # of the stages; CIFAR rows have the first three
# (channels in, channels out, sampling, norm) → module
MakeShortcut = Callable[[int, int, Sampling, NormLayer], nn.Module]


def residual_block(
    variant: ResNetVariant | DLAVariant | BigLittleVariant,
    channels_in: int,
    channels_out: int,
    planes: int,
    *,
    sampling: Sampling,
    basic: bool = False,
    pool_dilation: int = 1,
    first: FirstBlock | None = None,
    make_shortcut: MakeShortcut | None = None,
    drop_path: float = 0.0,
    last_act: bool = True,
    norm_layer: NormLayer,
    act_layer: ActLayer,
) -> nn.Module:
    """A block of ``variant``: plain if its scale is 1, else with a Res2Net unit.

    Args:
        planes: inner width of a plain bottleneck here; the split width follows from it.
        sampling: stride and dilation. Where a stride was removed the block keeps the form it has
            with the stride, and what reads the output of its strided convolution is dilated.
        basic: two 3×3 instead of a bottleneck.
        pool_dilation: of the last split's pool.
        first: rule of the first block of a stage; None for other blocks.
        make_shortcut: builds the skipped path where size or channels change; None where the caller
            hands the residual in.
    """
    shortcut: nn.Module | None = None
    if make_shortcut is not None and (sampling.original_stride > 1 or channels_in != channels_out):
        shortcut = make_shortcut(channels_in, channels_out, sampling, norm_layer)
    if first is not None and sampling.removed > 1:
        first = first.as_if_strided
    stride, dilation, dilation_behind = sampling.stride, sampling.dilation, sampling.behind.dilation
    width = split_channels(planes, variant.width, variant.cardinality)
    options: dict[str, Any] = {
        "cardinality": variant.cardinality,
        "stride": stride,
        "shortcut": shortcut,
        "se": variant.se,
        "drop_path": drop_path,
        "norm_layer": norm_layer,
        "act_layer": act_layer,
    }
    if variant.scale == 1 and basic:
        return BasicBlock(
            channels_in,
            channels_out,
            width,
            dilation=dilation,
            second_dilation=dilation_behind,
            **options,
        )
    options["last_act"] = last_act
    if variant.scale == 1:
        return Bottleneck(channels_in, channels_out, width, dilation=dilation, **options)
    stride_at_entry = basic or (first is not None and first.stride_at_entry)
    block = (Res2NetBasicBlock if basic else Res2NetBottleneck)(
        channels_in,
        channels_out,
        width,
        variant.scale,
        dilation=dilation_behind if stride_at_entry else dilation,
        pool_dilation=pool_dilation,
        entry_dilation=dilation,
        first=first,
        **options,
    )
    if isinstance(variant, ParallelVariant):
        block.hierarchical = False
    return block


def strided_shortcut(
    channels_in: int, channels_out: int, sampling: Sampling, norm_layer: NormLayer
) -> nn.Sequential:
    """1×1 at the block's stride, and norm: the shortcut of ResNet."""
    return nn.Sequential(
        conv(channels_in, channels_out, 1, stride=sampling.stride), norm_layer(channels_out)
    )


def pooled_shortcut(
    channels_in: int, channels_out: int, sampling: Sampling, norm_layer: NormLayer
) -> nn.Sequential:
    """Average-pool, 1×1 at stride 1, and norm: the shortcut of the "d" models (official v1b).

    At odd sizes the last window is cut, not padded, so the map is as large as the convolutions'.
    Where the stride was removed the pool is timm's: 2×2 at stride 1, zeros beyond the right and
    lower border. Without a stride it is the identity and keeps its place, so the keys stay 1 and 2.
    """
    pool: nn.Module = nn.Identity()
    if sampling.removed > 1:
        pool = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, stride=1))
    elif (stride := sampling.stride) > 1:
        pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, conv(channels_in, channels_out, 1), norm_layer(channels_out))


def _stem(
    variant: ResNetVariant, in_channels: int, norm_layer: NormLayer, act_layer: ActLayer
) -> nn.Module:
    """The convolutions before the first norm of the network."""
    channels = variant.planes
    if variant.stem == "cifar":
        return conv(in_channels, channels, 3)
    if variant.stem == "7x7":
        return conv(in_channels, channels, 7, stride=2)
    half = channels // 2
    return nn.Sequential(
        conv(in_channels, half, 3, stride=2),
        norm_layer(half),
        act_layer(),
        conv(half, half, 3),
        norm_layer(half),
        act_layer(),
        conv(half, channels, 3),
    )


class ResNet(Network):
    """A network of the ResNet family: (B, in_channels, H, W) → (B, num_classes).

    Args:
        variant: the row.
        drop_path: probability of dropping the last block's residual branch; grows linearly from 0.
        first_block: rule for the first block of each stage; None takes the row's.
        zero_init: start every residual branch at zero (its last norm's weight).
        output_stride: 32, 16 or 8, for CIFAR rows 4, 2 or 1; None is the largest. Removed strides
            become dilations as in timm, where the pool of a last split is not dilated.

    Raises:
        ValueError: another output stride.
    """

    def __init__(
        self,
        variant: ResNetVariant,
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
        cifar = variant.stem == "cifar"
        stem_channels = variant.planes
        self.conv1 = _stem(variant, in_channels, norm_layer, act_layer)
        self.bn1 = norm_layer(stem_channels)
        self.act = act_layer()
        self.maxpool = nn.Identity() if cifar else nn.MaxPool2d(3, stride=2, padding=1)

        levels = [] if cifar else [Level("c1", stem_channels, 2)]
        strides = STRIDES[: len(variant.blocks)]
        plan = plan_strides(strides, 1 if cifar else 4, output_stride)
        make_shortcut = pooled_shortcut if variant.average_down else strided_shortcut
        rates = drop_path_rates(drop_path, sum(variant.blocks))
        channels = stem_channels
        for index, (blocks, (sampling, stride)) in enumerate(
            zip(variant.blocks, plan, strict=True)
        ):
            planes = variant.planes * 2**index
            stage = nn.Sequential(
                *(
                    residual_block(
                        variant,
                        channels if position == 0 else planes * variant.expansion,
                        planes * variant.expansion,
                        planes,
                        basic=variant.basic,
                        sampling=sampling if position == 0 else sampling.behind,
                        first=(first_block or variant.first_block) if position == 0 else None,
                        make_shortcut=make_shortcut,
                        drop_path=next(rates),
                        norm_layer=norm_layer,
                        act_layer=act_layer,
                    )
                    for position in range(blocks)
                )
            )
            setattr(self, f"layer{index + 1}", stage)
            channels = planes * variant.expansion
            levels.append(Level(f"c{index + (1 if cifar else 2)}", channels, stride))
        self.levels = tuple(levels)
        initialise(self)
        if zero_init:
            zero_residual_branches(self)
        self.reset_classifier(num_classes)

    def make_head(self, features: int, classes: int) -> nn.Module:
        head = nn.Linear(features, classes)
        if self.variant.stem == "cifar":  # He initialisation, as in ResNeXt's CIFAR code
            nn.init.kaiming_normal_(head.weight)
            nn.init.zeros_(head.bias)
        return head

    def steps(self) -> tuple[Step, ...]:
        cifar = self.variant.stem == "cifar"
        steps = [Step(None if cifar else "c1", self._stem, (self.conv1, self.bn1))]
        if not cifar:
            steps.append(Step(None, self.maxpool, ()))
        for index in range(1, len(self.variant.blocks) + 1):
            layer = getattr(self, f"layer{index}")
            level = f"c{index if cifar else index + 1}"
            steps.append(Step(level, partial(self.run_blocks, layer), (layer,)))
        return tuple(steps)

    def _stem(self, x: Tensor) -> Tensor:
        return self.act(self.bn1(self.conv1(x)))  # (B, C, H/2, W/2); CIFAR keeps the size
