"""Res2Net without the additions of Eq. 1: what the hierarchy is measured against."""

from __future__ import annotations

from torch import nn

from res2net.models.network import GlobalPool
from res2net.models.resnet import ResNet
from res2net.nn.layers import ActLayer, NormLayer, relu
from res2net.nn.unit import SplitUnit
from res2net.paper.variant import FirstBlock, ParallelVariant


class ParallelResNet(ResNet):
    """A ``ResNet`` whose splits never see each other: (B, in_channels, H, W) → (B, num_classes).

    Its convolutions, their names and its cost are those of the Res2Net of the same row; only the
    additions between splits are missing. Arguments as in ``ResNet``.
    """

    def __init__(
        self,
        variant: ParallelVariant,
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
        super().__init__(
            variant,
            num_classes=num_classes,
            in_channels=in_channels,
            drop_path=drop_path,
            first_block=first_block,
            zero_init=zero_init,
            norm_layer=norm_layer,
            act_layer=act_layer,
            global_pool=global_pool,
            output_stride=output_stride,
        )
        for module in self.modules():
            if isinstance(module, SplitUnit):
                module.hierarchical = False
