"""ResNet, ResNeXt, SE-ResNet and their Res2Net forms, for ImageNet and for CIFAR.

Legend: B batch · C channels · H, W space

Parameter names are torchvision's and the official files' (conv1, bn1, layer1.0.convs.0, fc).
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from res2net.models.blocks import drop_path_rates, residual_block, zero_residual_branches
from res2net.models.dilation import Sampling, plan_strides
from res2net.models.network import GlobalPool, Level, Network, Step, initialise
from res2net.nn.layers import (
    ActLayer,
    NormLayer,
    conv,
    pooled_shortcut,
    relu,
    strided_shortcut,
)
from res2net.nn.pooling import same_average_pool
from res2net.paper.variant import FirstBlock, ResNetVariant

STRIDES = (1, 2, 2, 2)  # of the stages; CIFAR rows have the first three


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
        make_shortcut = _average_down if variant.average_down else _strided
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
        if self.variant.stem == "cifar":  # ResNeXt's CIFAR code draws it by He's rule
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


def _strided(
    channels_in: int, channels_out: int, sampling: Sampling, norm_layer: NormLayer
) -> nn.Module:
    return strided_shortcut(channels_in, channels_out, sampling.stride, norm_layer)


def _average_down(
    channels_in: int, channels_out: int, sampling: Sampling, norm_layer: NormLayer
) -> nn.Module:
    shortcut = pooled_shortcut(channels_in, channels_out, sampling.stride, norm_layer)
    if sampling.removed > 1:
        shortcut[0] = same_average_pool()
    return shortcut


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
