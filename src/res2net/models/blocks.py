"""From a row of the table to a residual block: the one place where ``scale`` picks the class."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn

from res2net.models.dilation import Sampling
from res2net.nn.bottleneck import BasicBlock, Bottleneck, Res2NetBasicBlock, Res2NetBottleneck
from res2net.nn.layers import ActLayer, NormLayer
from res2net.paper.variant import (
    BigLittleVariant,
    DLAVariant,
    FirstBlock,
    ParallelVariant,
    ResNetVariant,
    split_channels,
)

# What a rule that is decided by stride means where output_stride took the stride away.
_AS_IF_STRIDED = {
    FirstBlock.STRIDED_ONLY: FirstBlock.POOL,
    FirstBlock.STRIDED_EXCLUDE_PAD: FirstBlock.POOL_EXCLUDE_PAD,
}
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
    """A block of ``variant``: plain where its scale is 1, with a Res2Net unit above.

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
        first = _AS_IF_STRIDED.get(first, first)
    stride, dilation, dilation_behind = sampling.stride, sampling.dilation, sampling.behind.dilation
    width = split_channels(planes, variant.width, variant.cardinality)
    if variant.scale == 1 and basic:
        return BasicBlock(
            channels_in,
            channels_out,
            width,
            cardinality=variant.cardinality,
            stride=stride,
            dilation=dilation,
            second_dilation=dilation_behind,
            shortcut=shortcut,
            se=variant.se,
            drop_path=drop_path,
            norm_layer=norm_layer,
            act_layer=act_layer,
        )
    if variant.scale == 1:
        return Bottleneck(
            channels_in,
            channels_out,
            width,
            cardinality=variant.cardinality,
            stride=stride,
            dilation=dilation,
            shortcut=shortcut,
            se=variant.se,
            drop_path=drop_path,
            last_act=last_act,
            norm_layer=norm_layer,
            act_layer=act_layer,
        )
    kind = Res2NetBasicBlock if basic else Res2NetBottleneck
    stride_at_entry = basic or first is FirstBlock.PAPER
    block = kind(
        channels_in,
        channels_out,
        width,
        variant.scale,
        cardinality=variant.cardinality,
        stride=stride,
        dilation=dilation_behind if stride_at_entry else dilation,
        pool_dilation=pool_dilation,
        entry_dilation=dilation,
        first=first,
        shortcut=shortcut,
        se=variant.se,
        drop_path=drop_path,
        last_act=last_act,
        norm_layer=norm_layer,
        act_layer=act_layer,
    )
    if isinstance(variant, ParallelVariant):
        block.hierarchical = False
    return block


def drop_path_rates(last: float, blocks: int) -> Iterator[float]:
    """Rates of a network's blocks in order, growing linearly from 0 to ``last``.

    Raises:
        ValueError: a rate outside [0, 1).
    """
    if not 0 <= last < 1:
        raise ValueError(f"drop_path is {last}; it must be at least 0 and below 1")
    return iter([last * i / max(1, blocks - 1) for i in range(blocks)])


def zero_residual_branches(model: nn.Module) -> None:
    """Set the weight of the norm before each addition to 0, so every block starts as identity."""
    for module in model.modules():
        norm = getattr(module, "last_norm", None)
        if norm is not None:
            nn.init.zeros_(norm.weight)
