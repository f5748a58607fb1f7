"""The block: the Res2Net unit (paper 3.1, Eq. 1), the bottleneck around it, their plain forms.

Legend: B batch · Cin, Cout channels · s splits · w channels of one split · H, W space (H', W' after
the stride)

The unit divides its channels into s splits; each split's convolution also receives the output of
the previous one. In Eq. 1 the *first* split passes unchanged, in the published weights the *last*.
For a normal block the two are equivalent up to a permutation of the channels before and after it
(``tests/nn/test_block.py`` proves it), and this module keeps the published order.

All blocks share one signature, and ``res2net.models.resnet.residual_block`` chooses among them by
the scale: 1 is the plain ResNet/ResNeXt block with torchvision's keys (conv2, bn2); above 1 the 3×3
becomes a Res2Net unit with the official keys (convs.i, bns.i). ``shortcut`` is a module (or None
for the identity), and ``forward`` takes an optional residual, which DLA's trees pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from res2net.nn.layers import (
    ActLayer,
    NormLayer,
    average_pool,
    conv,
    relu,
    squeeze_excitation,
)
from res2net.paper.variant import FirstBlock

MakeConv = Callable[[int, int], nn.Module]  # (channels in and out, groups) → convolution
MakePool = Callable[[bool], nn.Module]  # whether padding counts in the mean → average pool


def _drop_path(probability: float) -> nn.Module:
    """Drop the residual branch of whole images with this probability in training."""
    return StochasticDepth(probability, mode="row") if probability > 0 else nn.Identity()


def _check_groups(width: int, cardinality: int) -> None:
    if width < 1 or cardinality < 1 or width % cardinality:
        raise ValueError(f"width {width} does not divide into {cardinality} groups of channels")


class SplitUnit(nn.Module):
    """The unit of any convolution, in any dimension: (B, s·w, ...) → (B, s·w, ...).

    Args:
        make_conv: builds the convolution of a split.
        make_pool: builds the pool that gives the last split the size of strided splits.
        strided: whether ``make_conv`` has a stride.
        width, scale, cardinality, first, norm_layer, act_layer: as in ``Res2NetUnit``.

    Raises:
        ValueError: as ``Res2NetUnit``.
    """

    def __init__(
        self,
        width: int,
        scale: int,
        *,
        make_conv: MakeConv,
        make_pool: MakePool,
        cardinality: int = 1,
        strided: bool = False,
        first: FirstBlock | str | None = None,
        norm_layer: NormLayer,
        act_layer: ActLayer,
    ) -> None:
        super().__init__()
        for what, value in (("width", width), ("scale", scale), ("cardinality", cardinality)):
            if value < 1:
                raise ValueError(f"{what} is {value}; it must be at least 1")
        _check_groups(width, cardinality)
        rule = FirstBlock(first) if first is not None else None
        if strided and rule is not None and rule.stride_at_entry:
            raise ValueError(
                f"first='{rule}' moves the stride to the 1×1 before the unit; give stride=1"
            )

        self.width = width
        self.scale = scale
        self.grouped = rule is not None and rule.grouped and scale > 1
        pooled = strided or (rule is not None and rule.pools)
        self.hierarchical = not pooled

        if self.grouped:  # all splits in one convolution, none passes unchanged
            convs, channels, groups = 1, width * scale, cardinality * scale
        else:
            convs, channels, groups = max(1, scale - 1), width, cardinality
        self.convs = nn.ModuleList(make_conv(channels, groups) for _ in range(convs))
        self.bns = nn.ModuleList(norm_layer(channels) for _ in range(convs))
        self.act = act_layer()
        self.pool: nn.Module | None = None  # applied to the last split
        if pooled and scale > 1 and not self.grouped:
            self.pool = make_pool(rule is None or rule.counts_pad)

    def forward_unit(self, x: Tensor) -> Tensor:
        """(B, s·w, H, W) → (B, s·w, H', W')."""
        if self.grouped or self.scale == 1:
            return self.act(self.bns[0](self.convs[0](x)))
        splits = x.chunk(self.scale, dim=1)  # s × (B, w, H, W)
        ys: list[Tensor] = []
        y = splits[0]
        for i, (convolution, norm) in enumerate(zip(self.convs, self.bns, strict=True)):
            if i > 0:
                y = splits[i] + y if self.hierarchical else splits[i]
            y = self.act(norm(convolution(y)))  # (B, w, H', W')
            ys.append(y)
        last = splits[-1] if self.pool is None else self.pool(splits[-1])
        return torch.cat([*ys, last], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_unit(x)

    @property
    def form(self) -> str:
        """The form of the unit: grouped, hierarchy or pooled."""
        return "grouped" if self.grouped else "hierarchy" if self.hierarchical else "pooled"

    def extra_repr(self) -> str:
        return f"{self.width}w x {self.scale}s, {self.form}"


class Res2NetUnit(SplitUnit):
    """Split, convolve in a hierarchy, concatenate: (B, s·w, H, W) → (B, s·w, H', W').

    Split i is convolved after the output of split i−1 was added to it; each convolution is followed
    by norm and activation, and the addition takes what comes after those. The last split bypasses.

    Args:
        width: channels of one split (w).
        scale: number of splits (s). With 1 the unit is one convolution without bypass.
        cardinality: groups of each 3×3 (c); must divide ``width``.
        stride: of the 3×3 convolutions. Above 1 sizes differ between the splits' inputs and
            outputs, so nothing is added and the last split is pooled instead of passed on.
        dilation: of the 3×3 convolutions.
        pool_dilation: of the last split's pool; it has no stride then.
        first: what to do as the first block of a stage; None for any other block. A strided unit
            with None pools (the ``strided_only`` rule).
        norm_layer: channels → normalisation.
        act_layer: () → activation.

    Raises:
        ValueError: a number below 1, a cardinality that does not divide the width, or
            ``first="paper"`` with a stride (there the 1×1 before the unit carries it).
    """

    def __init__(
        self,
        width: int,
        scale: int,
        *,
        cardinality: int = 1,
        stride: int = 1,
        dilation: int = 1,
        pool_dilation: int = 1,
        first: FirstBlock | str | None = None,
        norm_layer: NormLayer = nn.BatchNorm2d,
        act_layer: ActLayer = relu,
    ) -> None:
        super().__init__(
            width,
            scale,
            make_conv=lambda channels, groups: conv(
                channels, channels, 3, stride=stride, dilation=dilation, groups=groups
            ),
            make_pool=lambda count_pad: average_pool(stride, pool_dilation, count_pad),
            cardinality=cardinality,
            strided=stride > 1,
            first=first,
            norm_layer=norm_layer,
            act_layer=act_layer,
        )


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
        rule = FirstBlock(first) if first is not None else None
        stride_at_entry = self.ENTRY_KERNEL > 1 or (rule is not None and rule.stride_at_entry)
        if entry_dilation is None:
            entry_dilation = dilation
        super().__init__(
            width,
            scale,
            cardinality=cardinality,
            stride=1 if stride_at_entry else stride,
            dilation=dilation,
            pool_dilation=pool_dilation,
            first=rule,
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
        y = self.act(self.bn1(self.conv1(x)))  # (B, s·w, H, W), smaller if conv1 is strided
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
