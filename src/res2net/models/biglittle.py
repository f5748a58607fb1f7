"""Big-Little Net (bLResNet) and its Res2Net form, bLRes2Net.

Legend: B batch · C channels · H, W space

bLRes2Net has no public code; we follow IBM's bLResNet and put the Res2Net bottleneck in, the first
block of every sequence (big, little, fusion, layer4) being a first block (docs/errata.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

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
from res2net.models.resnet import residual_block
from res2net.nn.layers import ActLayer, NormLayer, average_pool, conv, relu
from res2net.paper.variant import BigLittleVariant, FirstBlock

STAGE_CHANNELS = (256, 512, 1024, 2048)
STRIDES = (2, 2, 1, 2)  # of the modules' fusion blocks and of layer4


def _shortcut(
    channels_in: int, channels_out: int, sampling: Sampling, norm_layer: NormLayer
) -> nn.Sequential:
    """3×3 average pool where strided, then 1×1 and norm where the channels change."""
    parts: list[nn.Module] = []
    if sampling.original_stride > 1:
        parts.append(average_pool(sampling.stride, sampling.dilation, count_include_pad=True))
    if channels_in != channels_out:
        parts += [conv(channels_in, channels_out, 1), norm_layer(channels_out)]
    return nn.Sequential(*parts)


class _Sequences:
    """Builds sequences of blocks with the network's options; drop-path rates are used in order."""

    def __init__(
        self,
        variant: BigLittleVariant,
        first_block: FirstBlock,
        rates: Iterator[float],
        norm_layer: NormLayer,
        act_layer: ActLayer,
    ) -> None:
        self.variant, self.first_block, self.rates = variant, first_block, rates
        self.norm_layer, self.act_layer = norm_layer, act_layer

    def make(
        self,
        channels_in: int,
        channels_out: int,
        blocks: int,
        sampling: Sampling,
        last_act: bool = True,
    ) -> nn.Sequential:
        parts = [sampling, *[sampling.behind] * (blocks - 1)]
        return nn.Sequential(
            *(
                residual_block(
                    self.variant,
                    channels_in if i == 0 else channels_out,
                    channels_out,
                    channels_out // 4,
                    sampling=part,
                    pool_dilation=part.dilation,
                    first=self.first_block if i == 0 else None,
                    make_shortcut=_shortcut,
                    drop_path=next(self.rates),
                    # a single block keeps its activation, as in the reference
                    last_act=last_act or blocks == 1 or i < blocks - 1,
                    norm_layer=self.norm_layer,
                    act_layer=self.act_layer,
                )
                for i, part in enumerate(parts)
            )
        )


class BigLittleModule(nn.Module):
    """A deep branch at half size and a light one at full size, merged, then fused by one block.

    Where the module reads dilated maps, the deep branch keeps the grid it has without dilation
    (that is what makes the network cheap), and its result is spread over more pixels.
    """

    def __init__(
        self,
        make: _Sequences,
        channels_in: int,
        channels_out: int,
        blocks: int,
        sampling: Sampling,
    ) -> None:
        super().__init__()
        narrow = channels_out // make.variant.alpha
        little_blocks = max(1, blocks // make.variant.beta - 1)
        self.dilation = sampling.dilation
        self.big = make.make(channels_in, channels_out, blocks - 1, Sampling(2), last_act=False)
        self.little = make.make(
            channels_in, narrow, little_blocks, Sampling(dilation=self.dilation)
        )
        self.little_e = nn.Sequential(conv(narrow, channels_out, 1), make.norm_layer(channels_out))
        self.act = make.act_layer()
        self.fusion = make.make(channels_out, channels_out, 1, sampling)

    def merge(self, x: Tensor) -> Tensor:
        """Both branches added: (B, Cin, H, W) → (B, C, H, W)."""
        little = self.little_e(self.little(x))
        H, W = little.shape[-2:]
        d = self.dilation
        if d == 1:
            big = F.interpolate(self.big(x), size=(H, W))  # nearest
        else:
            big = self.big(x[..., ::d, ::d])  # (B, C, H/2d, W/2d)
            big = F.interpolate(big, scale_factor=2 * d)[..., :H, :W]
        y: Tensor = self.act(big + little)
        return y


class BigLittleNet(Network):
    """bLResNet / bLRes2Net: (B, in_channels, H, W) → (B, num_classes).

    Levels: c2 and c3 are the merged maps of modules 1 and 2 before their fusion block (which
    carries the stride), c4 is module 3, c5 is layer4. Args: as in ``ResNet``, ``output_stride`` as
    in ``DLA``.
    """

    def __init__(
        self,
        variant: BigLittleVariant,
        *,
        num_classes: int,
        in_channels: int = 3,
        drop_path: float = 0.0,
        first_block: FirstBlock | None = None,
        zero_init: bool = True,
        norm_layer: NormLayer = nn.BatchNorm2d,
        act_layer: ActLayer = relu,
        global_pool: GlobalPool = "avg",
        output_stride: int | None = None,
    ) -> None:
        super().__init__(global_pool=global_pool)
        self.variant = variant
        stem, light = 64, 64 // variant.alpha
        self.conv1 = conv(in_channels, stem, 7, stride=2)
        self.bn1 = norm_layer(stem)
        self.b_conv0 = conv(stem, stem, 3, stride=2)
        self.bn_b0 = norm_layer(stem)
        self.l_conv0 = conv(stem, light, 3)
        self.bn_l0 = norm_layer(light)
        self.l_conv1 = conv(light, light, 3, stride=2)
        self.bn_l1 = norm_layer(light)
        self.l_conv2 = conv(light, stem, 1)
        self.bn_l2 = norm_layer(stem)
        self.bl_init = conv(stem, stem, 1)
        self.bn_bl_init = norm_layer(stem)
        self.act = act_layer()

        *module_blocks, last_blocks = variant.blocks
        total = sum(n - 1 + max(1, n // variant.beta - 1) + 1 for n in module_blocks) + last_blocks
        make = _Sequences(
            variant,
            first_block or variant.first_block,
            drop_path_rates(drop_path, total),
            norm_layer,
            act_layer,
        )
        channels = stem
        *module_plan, (last, last_stride) = plan_strides(STRIDES, 4, output_stride)
        modules = zip(STAGE_CHANNELS, module_blocks, module_plan, strict=False)
        for i, (out, blocks, (sampling, _)) in enumerate(modules, start=1):
            setattr(self, f"layer{i}", BigLittleModule(make, channels, out, blocks, sampling))
            channels = out
        self.layer4 = make.make(channels, STAGE_CHANNELS[3], last_blocks, last)
        # c2 and c3 are taken before the fusion block, c4 and c5 after it
        strides = (4, module_plan[0][1], module_plan[2][1], last_stride)
        self.levels = (
            Level("c1", stem, 2),
            *(
                Level(f"c{i}", out, stride)
                for i, (out, stride) in enumerate(
                    zip(STAGE_CHANNELS, strides, strict=True), start=2
                )
            ),
        )
        initialise(self)
        if zero_init:
            zero_residual_branches(self)
        self.reset_classifier(num_classes)

    def steps(self) -> tuple[Step, ...]:
        modules = [getattr(self, f"layer{i}") for i in (1, 2, 3)]
        fuse = [partial(self.run_blocks, module.fusion) for module in modules]
        branches = [(module.big, module.little, module.little_e) for module in modules]
        stem = (self.b_conv0, self.bn_b0, self.l_conv0, self.bn_l0, self.l_conv1, self.bn_l1)
        stem_end = (self.l_conv2, self.bn_l2, self.bl_init, self.bn_bl_init)
        return (
            Step("c1", self._conv1, (self.conv1, self.bn1)),
            Step(None, self._stem, stem + stem_end),
            Step("c2", modules[0].merge, branches[0]),
            Step(None, fuse[0], (modules[0].fusion,)),
            Step("c3", modules[1].merge, branches[1]),
            Step(None, fuse[1], (modules[1].fusion,)),
            Step(None, modules[2].merge, branches[2]),
            Step("c4", fuse[2], (modules[2].fusion,)),
            Step("c5", partial(self.run_blocks, self.layer4), (self.layer4,)),
        )

    def _conv1(self, x: Tensor) -> Tensor:
        return self.act(self.bn1(self.conv1(x)))  # (B, 64, H/2, W/2)

    def _stem(self, x: Tensor) -> Tensor:
        big = self.bn_b0(self.b_conv0(x))  # (B, 64, H/4, W/4)
        little = self.act(self.bn_l0(self.l_conv0(x)))
        little = self.act(self.bn_l1(self.l_conv1(little)))
        little = self.bn_l2(self.l_conv2(little))  # (B, 64, H/4, W/4)
        return self.act(self.bn_bl_init(self.bl_init(self.act(big + little))))
