"""The Res2Net unit: s small convolutions in a hierarchy (paper 3.1, Eq. 1).

Legend: B batch · s splits · w channels of one split · H, W space (H', W' after the stride)

In Eq. 1 the *first* split passes through. Published weights let the *last* one pass; for a normal
block this is the same function up to a permutation of the channels around it
(``tests/nn/test_unit.py`` proves it), and we keep the published order.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from res2net.nn.layers import ActLayer, NormLayer, conv, relu
from res2net.nn.pooling import average_pool
from res2net.paper.variant import FirstBlock

_PAD_NOT_COUNTED = (FirstBlock.POOL_EXCLUDE_PAD, FirstBlock.STRIDED_EXCLUDE_PAD)
MakeConv = Callable[[int, int], nn.Module]  # (channels in and out, groups) → convolution
MakePool = Callable[[bool], nn.Module]  # is the pad counted? → average pool


class SplitUnit(nn.Module):
    """The unit of any convolution, in any dimension: (B, s·w, ...) → (B, s·w, ...).

    Args:
        make_conv: builds the convolution of a split.
        make_pool: builds what makes the last split as large as the others where they are strided.
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
        if width % cardinality:
            raise ValueError(f"width {width} cannot be cut into {cardinality} groups of channels")
        first = FirstBlock(first) if first is not None else None
        if first is FirstBlock.PAPER and strided:
            raise ValueError(
                "first='paper' moves the stride to the 1×1 before the unit; give stride=1"
            )

        self.width = width
        self.scale = scale
        self.grouped = first is FirstBlock.GROUP and scale > 1
        pooled = strided or first in (FirstBlock.POOL, FirstBlock.POOL_EXCLUDE_PAD)
        self.hierarchical = not pooled

        if self.grouped:  # all splits in one convolution, no bypass
            convs, channels, groups = 1, width * scale, cardinality * scale
        else:
            convs, channels, groups = max(1, scale - 1), width, cardinality
        self.convs = nn.ModuleList(make_conv(channels, groups) for _ in range(convs))
        self.bns = nn.ModuleList(norm_layer(channels) for _ in range(convs))
        self.act = act_layer()
        self.pool: nn.Module | None = None  # of the last split
        if pooled and scale > 1 and not self.grouped:
            self.pool = make_pool(first not in _PAD_NOT_COUNTED)

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
        """What it does with its splits: grouped, hierarchy or pooled."""
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
