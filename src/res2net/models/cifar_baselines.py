"""The two baselines of Table 4 besides ResNeXt: Wide ResNet and DenseNet-BC, for 32×32 images.

Legend: B batch · C channels · k growth rate
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from res2net.models.network import (
    GlobalPool,
    Level,
    Network,
    Step,
    drop_path_rates,
    initialise,
)
from res2net.nn.layers import ActLayer, NormLayer, conv, relu
from res2net.paper.variant import DenseNetVariant, WideResNetVariant


class PreActivationBlock(nn.Module):
    """norm, act, 3×3, norm, act, 3×3, added to the input: (B, Cin, H, W) → (B, Cout, H', W')."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        stride: int,
        drop_path: float,
        norm_layer: NormLayer,
        act_layer: ActLayer,
    ) -> None:
        super().__init__()
        self.bn1 = norm_layer(channels_in)
        self.conv1 = conv(channels_in, channels_out, 3, stride=stride)
        self.bn2 = norm_layer(channels_out)
        self.conv2 = conv(channels_out, channels_out, 3)
        self.act = act_layer()
        self.shortcut: nn.Module | None = None
        if channels_in != channels_out or stride > 1:
            self.shortcut = conv(channels_in, channels_out, 1, stride=stride)
        self.drop_path = StochasticDepth(drop_path, mode="row") if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        activated = self.act(self.bn1(x))
        residual = x if self.shortcut is None else self.shortcut(activated)
        y = self.conv2(self.act(self.bn2(self.conv1(activated))))
        out: Tensor = self.drop_path(y) + residual
        return out


class WideResNet(Network):
    """Wide ResNet (Zagoruyko and Komodakis): (B, in_channels, H, W) → (B, num_classes)."""

    def __init__(
        self,
        variant: WideResNetVariant,
        *,
        num_classes: int,
        in_channels: int = 3,
        drop_path: float = 0.0,
        norm_layer: NormLayer = nn.BatchNorm2d,
        act_layer: ActLayer = relu,
        global_pool: GlobalPool = "avg",
    ) -> None:
        super().__init__(global_pool=global_pool)
        self.variant = variant
        blocks = (variant.depth - 4) // 6
        rates = drop_path_rates(drop_path, 3 * blocks)
        self.conv1 = conv(in_channels, 16, 3)
        channels, levels = 16, []
        for stage in range(3):
            out, stride = 16 * variant.width * 2**stage, 1 if stage == 0 else 2
            layer = nn.Sequential(
                *(
                    PreActivationBlock(
                        channels if i == 0 else out,
                        out,
                        stride if i == 0 else 1,
                        next(rates),
                        norm_layer,
                        act_layer,
                    )
                    for i in range(blocks)
                )
            )
            setattr(self, f"layer{stage + 1}", layer)
            levels.append(Level(f"c{stage + 1}", out, 2**stage))
            channels = out
        self.norm = norm_layer(channels)
        self.act = act_layer()
        self.levels = tuple(levels)
        initialise(self)
        self.reset_classifier(num_classes)

    def steps(self) -> tuple[Step, ...]:
        layers = [getattr(self, f"layer{i}") for i in (1, 2, 3)]
        run = [partial(self.run_blocks, layer) for layer in layers]
        return (
            Step(None, self.conv1, (self.conv1,)),
            Step("c1", run[0], (layers[0],)),
            Step("c2", run[1], (layers[1],)),
            Step(None, run[2], (layers[2],)),
            Step("c3", lambda x: self.act(self.norm(x)), (self.norm,)),
        )


class DenseLayer(nn.Module):
    """norm, act, 1×1 to 4k, norm, act, 3×3 to k, concatenated to the input: C → C + k channels."""

    def __init__(
        self, channels_in: int, growth: int, norm_layer: NormLayer, act_layer: ActLayer
    ) -> None:
        super().__init__()
        self.norm1 = norm_layer(channels_in)
        self.conv1 = conv(channels_in, 4 * growth, 1)
        self.norm2 = norm_layer(4 * growth)
        self.conv2 = conv(4 * growth, growth, 3)
        self.act = act_layer()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.act(self.norm1(x)))
        return torch.cat([x, self.conv2(self.act(self.norm2(y)))], dim=1)


class DenseNetBC(Network):
    """DenseNet-BC, compression 0.5 (Huang et al.): (B, in_channels, H, W) → (B, num_classes)."""

    def __init__(
        self,
        variant: DenseNetVariant,
        *,
        num_classes: int,
        in_channels: int = 3,
        norm_layer: NormLayer = nn.BatchNorm2d,
        act_layer: ActLayer = relu,
        global_pool: GlobalPool = "avg",
    ) -> None:
        super().__init__(global_pool=global_pool)
        self.variant = variant
        growth, layers = variant.width, (variant.depth - 4) // 6
        channels, levels = 2 * growth, []
        self.conv1 = conv(in_channels, channels, 3)
        for stage in range(3):
            dense = [
                DenseLayer(channels + i * growth, growth, norm_layer, act_layer)
                for i in range(layers)
            ]
            channels += layers * growth
            setattr(self, f"block{stage + 1}", nn.Sequential(*dense))
            levels.append(Level(f"c{stage + 1}", channels, 2**stage))
            if stage < 2:
                transition = nn.Sequential(
                    norm_layer(channels),
                    act_layer(),
                    conv(channels, channels // 2, 1),
                    nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),
                )
                setattr(self, f"transition{stage + 1}", transition)
                channels //= 2
        self.norm = norm_layer(channels)
        self.act = act_layer()
        self.levels = tuple(levels)
        initialise(self)
        self.reset_classifier(num_classes)

    def steps(self) -> tuple[Step, ...]:
        steps = [Step(None, self.conv1, (self.conv1,))]
        for i in (1, 2, 3):
            block = getattr(self, f"block{i}")
            last = i == 3
            steps.append(Step(None if last else f"c{i}", partial(self.run_blocks, block), (block,)))
            if not last:
                transition = getattr(self, f"transition{i}")
                steps.append(Step(None, transition, (transition,)))
        steps.append(Step("c3", lambda x: self.act(self.norm(x)), (self.norm,)))
        return tuple(steps)
