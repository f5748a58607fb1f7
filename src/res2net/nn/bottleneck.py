"""Residual blocks: bottleneck and basic, plain and with the Res2Net unit inside.

Legend: B batch · Cin, Cout channels · s splits · w channels of one split · H', W' after the stride

All blocks share one signature and are chosen by ``scale``: 1 is the plain ResNet/ResNeXt block with
torchvision's keys (conv2, bn2); above 1 the 3×3 becomes a Res2Net unit with the official keys
(convs.i, bns.i). ``shortcut`` is a built module (or None for the identity), and ``forward`` takes
an optional residual, since DLA's trees hand one in.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from res2net.nn.layers import ActLayer, NormLayer, conv, relu, squeeze_excitation
from res2net.nn.unit import Res2NetUnit
from res2net.paper.variant import FirstBlock


def _drop_path(probability: float) -> nn.Module:
    """Drops the residual branch of whole images with this probability while training."""
    return StochasticDepth(probability, mode="row") if probability > 0 else nn.Identity()


def _check_groups(width: int, cardinality: int) -> None:
    if width < 1 or cardinality < 1 or width % cardinality:
        raise ValueError(f"width {width} cannot be cut into {cardinality} groups of channels")


class Bottleneck(nn.Module):
    """1×1 → 3×3 → 1×1, added to the shortcut: (B, Cin, H, W) → (B, Cout, H', W').

    Args:
        channels_in, channels_out: Cin, Cout.
        width: channels of the 3×3.
        cardinality: groups of the 3×3.
        stride, dilation: of the 3×3.
        shortcut: module for the skipped path; None is the identity.
        se: squeeze-and-excitation right before the addition (paper 3.2.2).
        drop_path: probability of dropping the residual branch of an image in training.
        last_act: activation after the addition.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        width: int,
        *,
        cardinality: int = 1,
        stride: int = 1,
        dilation: int = 1,
        shortcut: nn.Module | None = None,
        se: bool = False,
        drop_path: float = 0.0,
        last_act: bool = True,
        norm_layer: NormLayer = nn.BatchNorm2d,
        act_layer: ActLayer = relu,
    ) -> None:
        super().__init__()
        _check_groups(width, cardinality)
        self.conv1 = conv(channels_in, width, 1)
        self.bn1 = norm_layer(width)
        self.conv2 = conv(width, width, 3, stride=stride, dilation=dilation, groups=cardinality)
        self.bn2 = norm_layer(width)
        self.conv3 = conv(width, channels_out, 1)
        self.bn3 = norm_layer(channels_out)
        self.se = squeeze_excitation(channels_out) if se else nn.Identity()
        self.downsample = shortcut
        self.drop_path = _drop_path(drop_path)
        self.act = act_layer()
        self.last_act = last_act

    @property
    def last_norm(self) -> nn.Module:
        """The norm right before the addition, which zero-init sets to 0."""
        return self.bn3

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if residual is None:
            residual = x if self.downsample is None else self.downsample(x)
        y = self.act(self.bn1(self.conv1(x)))  # (B, width, H, W)
        y = self.act(self.bn2(self.conv2(y)))  # (B, width, H', W')
        y = self.se(self.bn3(self.conv3(y)))  # (B, Cout, H', W')
        y = self.drop_path(y) + residual
        return self.act(y) if self.last_act else y


class Res2NetBottleneck(Res2NetUnit):
    """1×1 → Res2Net unit → 1×1, added to the shortcut (paper Fig. 2b, Fig. 3).

    (B, Cin, H, W) → (B, Cout, H', W'). It is a unit between two 1×1 convolutions, and its
    parameters carry the official names: conv1, bn1, convs.i, bns.i, conv3, bn3.

    Args:
        channels_in, channels_out: Cin, Cout.
        width: channels of one split (w).
        scale: splits (s).
        cardinality: groups of each 3×3 (c).
        stride: of the 3×3 convolutions; with ``first="paper"`` of the first 1×1.
        dilation, pool_dilation: of the unit's convolutions and pool (see ``Res2NetUnit``).
        entry_dilation: of the first convolution where that is a 3×3; None takes ``dilation``.
        first: the rule for the first block of a stage, None elsewhere (see ``Res2NetUnit``).
        shortcut, se, drop_path, last_act: as in ``Bottleneck``.
    """

    ENTRY_KERNEL = 1

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        width: int,
        scale: int = 4,
        *,
        cardinality: int = 1,
        stride: int = 1,
        dilation: int = 1,
        pool_dilation: int = 1,
        entry_dilation: int | None = None,
        first: FirstBlock | str | None = None,
        shortcut: nn.Module | None = None,
        se: bool = False,
        drop_path: float = 0.0,
        last_act: bool = True,
        norm_layer: NormLayer = nn.BatchNorm2d,
        act_layer: ActLayer = relu,
    ) -> None:
        stride_at_entry = self.ENTRY_KERNEL > 1 or first == FirstBlock.PAPER
        if entry_dilation is None:
            entry_dilation = dilation
        super().__init__(
            width,
            scale,
            cardinality=cardinality,
            stride=1 if stride_at_entry else stride,
            dilation=dilation,
            pool_dilation=pool_dilation,
            first=first,
            norm_layer=norm_layer,
            act_layer=act_layer,
        )
        self.conv1 = conv(
            channels_in,
            scale * width,
            self.ENTRY_KERNEL,
            stride=stride if stride_at_entry else 1,
            dilation=entry_dilation if self.ENTRY_KERNEL > 1 else 1,
        )
        self.bn1 = norm_layer(scale * width)
        self.conv3 = conv(scale * width, channels_out, 1)
        self.bn3 = norm_layer(channels_out)
        self.se = squeeze_excitation(channels_out) if se else nn.Identity()
        self.downsample = shortcut
        self.drop_path = _drop_path(drop_path)
        self.last_act = last_act

    @property
    def last_norm(self) -> nn.Module:
        """The norm right before the addition, which zero-init sets to 0."""
        return self.bn3

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if residual is None:
            residual = x if self.downsample is None else self.downsample(x)
        y = self.act(self.bn1(self.conv1(x)))  # (B, s·w, H, W), strided if the entry is
        y = self.forward_unit(y)  # (B, s·w, H', W')
        y = self.se(self.bn3(self.conv3(y)))  # (B, Cout, H', W')
        y = self.drop_path(y) + residual
        return self.act(y) if self.last_act else y


class BasicBlock(nn.Module):
    """3×3 → 3×3, added to the shortcut: (B, Cin, H, W) → (B, Cout, H', W') (ResNet-18, -34).

    ``width`` is the channels of the first 3×3, which carries the stride and ``dilation``;
    ``second_dilation`` is that of the second. Other arguments as in ``Bottleneck``.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        width: int,
        *,
        cardinality: int = 1,
        stride: int = 1,
        dilation: int = 1,
        second_dilation: int = 1,
        shortcut: nn.Module | None = None,
        se: bool = False,
        drop_path: float = 0.0,
        norm_layer: NormLayer = nn.BatchNorm2d,
        act_layer: ActLayer = relu,
    ) -> None:
        super().__init__()
        _check_groups(width, cardinality)
        self.conv1 = conv(channels_in, width, 3, stride=stride, dilation=dilation)
        self.bn1 = norm_layer(width)
        self.conv2 = conv(width, channels_out, 3, dilation=second_dilation, groups=cardinality)
        self.bn2 = norm_layer(channels_out)
        self.se = squeeze_excitation(channels_out) if se else nn.Identity()
        self.downsample = shortcut
        self.drop_path = _drop_path(drop_path)
        self.act = act_layer()

    @property
    def last_norm(self) -> nn.Module:
        """The norm right before the addition, which zero-init sets to 0."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        residual = x if self.downsample is None else self.downsample(x)
        y = self.act(self.bn1(self.conv1(x)))  # (B, width, H', W')
        y = self.se(self.bn2(self.conv2(y)))  # (B, Cout, H', W')
        return self.act(self.drop_path(y) + residual)


class Res2NetBasicBlock(Res2NetBottleneck):
    """3×3 → Res2Net unit → 1×1, added to the shortcut: (B, Cin, H, W) → (B, Cout, H', W').

    Not in the paper; users ask for forms of ResNet-18 and -34. The first 3×3 carries the stride, so
    the unit never has one. The 1×1 fuses the splits, as in the bottleneck: without it the bypassed
    split would leave the block untouched, and the residual branch would end in an activation.
    """

    ENTRY_KERNEL = 3
