"""Change one block: replace its k×k convolution by the unit and resize the layers around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from res2net.errors import UserError
from res2net.nn.block import SplitUnit
from res2net.nn.layers import ActLayer, NormLayer
from res2net.nn.res2conv import same_pool
from res2net.paper.variant import FirstBlock, split_channels
from res2net.plug.find import ConvSequence, Tail
from res2net.plug.resize import another_conv, another_layer, resize_conv, resize_layer

_FUNCTIONS: dict[str, ActLayer] = {"relu": nn.ReLU}  # activations that may be functions


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Options shared by all units of a conversion, except the width."""

    scale: int  # splits
    cardinality: int | None  # groups of each split; None divides the convolution's groups
    first_block: FirstBlock
    norm_layer: NormLayer | None  # None takes the block's own
    act_layer: ActLayer | None

    def groups(self, conv: nn.Conv2d) -> int:
        """Groups of each split's convolution."""
        return self.cardinality or max(1, conv.groups // self.scale)

    def split_width(self, conv: nn.Conv2d, width: int) -> int:
        """Channels of one split: floor(channels·width/64), down to a multiple of the groups."""
        groups = self.groups(conv)
        return split_channels(conv.out_channels, width) // groups * groups

    def least_width(self, conv: nn.Conv2d) -> int:
        """The least width that leaves every group a channel."""
        return math.ceil(64 * self.groups(conv) / conv.out_channels)


def replace(model: nn.Module, sequence: ConvSequence, setting: Setting, width: int) -> None:
    """Change one block of the model in place.

    Raises:
        UserError: an activation that cannot be removed, or channels that cannot be grouped.
    """
    layers = dict(model.named_modules())
    conv, entry, exit_ = (layers[n] for n in (sequence.conv, sequence.entry, sequence.exit))
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(entry, nn.Conv2d)
    assert isinstance(exit_, nn.Conv2d)
    try:
        unit = _unit(layers, sequence, setting, width)
        channels = unit.scale * unit.width
        leaving = {sequence.tail.norm, sequence.tail.act_module}
        resize_conv(entry, channels_out=channels)
        resize_conv(exit_, channels_in=channels)
        for name in sequence.before:
            resize_layer(layers[name], conv.in_channels, channels)
        for name in sequence.after:
            if name not in leaving:
                resize_layer(layers[name], conv.out_channels, channels)
    except UserError as error:
        raise UserError(f"{sequence.block or sequence.conv}: {error}") from None
    if setting.first_block.stride_at_entry and sequence.first:
        entry.stride = tuple(a * b for a, b in zip(entry.stride, conv.stride, strict=True))
    model.set_submodule(sequence.conv, unit)
    if sequence.tail.norm is not None:
        model.set_submodule(sequence.tail.norm, nn.Identity())
    if sequence.tail.act_module is not None and sequence.tail.act_alone:
        model.set_submodule(sequence.tail.act_module, nn.Identity())


def _unit(
    layers: dict[str, nn.Module], sequence: ConvSequence, setting: Setting, width: int
) -> SplitUnit:
    """The unit for the place of ``sequence.conv``, with the norm and activation found there."""
    conv = layers[sequence.conv]
    assert isinstance(conv, nn.Conv2d)
    first = setting.first_block if sequence.first else None
    stride = (1, 1) if first is not None and first.stride_at_entry else conv.stride

    def make_conv(channels: int, groups: int) -> nn.Module:
        other = another_conv(conv, channels, groups)
        other.stride = stride
        return other

    def make_pool(count_pad: bool) -> nn.Module:
        return nn.AvgPool2d(**same_pool(conv.kernel_size, stride), count_include_pad=count_pad)  # type: ignore[arg-type]

    split = setting.split_width(conv, width)
    act_channels = split * (setting.scale if first is not None and first.grouped else 1)
    unit = SplitUnit(
        split,
        setting.scale,
        make_conv=make_conv,
        make_pool=make_pool,
        cardinality=setting.groups(conv),
        strided=max(stride) > 1,
        first=first,
        norm_layer=setting.norm_layer or _norm_like(layers, sequence),
        act_layer=setting.act_layer or _act_like(layers, sequence, act_channels),
    )
    _settle_act(unit, sequence.tail, setting)
    unit.to(conv.weight.device, conv.weight.dtype)
    return unit.train(conv.training)


def _norm_like(layers: dict[str, nn.Module], sequence: ConvSequence) -> NormLayer:
    """The norm after the convolution, or that after the entry, or none."""
    for tail, conv in ((sequence.tail, sequence.conv), (sequence.entry_tail, sequence.entry)):
        if tail.norm is not None:
            norm, old = layers[tail.norm], layers[conv].out_channels
            assert isinstance(old, int)
            return lambda channels: another_layer(norm, old, channels)
    return lambda _channels: nn.Identity()


def _act_like(layers: dict[str, nn.Module], sequence: ConvSequence, channels: int) -> ActLayer:
    """The activation after the convolution or after the entry; none if a norm includes it."""
    tail, conv = sequence.tail, sequence.conv
    if tail.act is None:
        tail, conv = sequence.entry_tail, sequence.entry
    if tail.act is None or tail.act_in_norm:
        return nn.Identity
    if tail.act_module is None:
        return _FUNCTIONS.get(tail.act, nn.Identity)  # others are refused by _settle_act
    act, old = layers[tail.act_module], layers[conv].out_channels
    assert isinstance(old, int)
    return lambda: another_layer(act, old, channels)


def _settle_act(unit: SplitUnit, tail: Tail, setting: Setting) -> None:
    """Ensure that the activation after the convolution is not applied twice.

    It moves into the splits. If it is shared with other places or a function, it cannot be removed
    after the unit: a ReLU is harmless there, any other activation is refused.
    """
    if tail.act_in_norm and setting.norm_layer is not None and setting.act_layer is None:
        raise UserError(f"{tail.norm} is norm and activation in one: give act_layer as well")
    if tail.act is None or tail.act_in_norm or tail.act_alone:
        return
    known = tail.act_module is not None or tail.act in _FUNCTIONS
    if not (tail.once_is_enough and known) or setting.act_layer is not None:
        where = f"{tail.act_module} is shared" if tail.act_module else "it is a function"
        raise UserError(
            f"the activation {tail.act} after the convolution cannot be removed, since {where}, "
            "and would be applied twice: give it a separate module"
        )
    if unit.grouped:
        unit.act = nn.Identity()  # the one that stays does it
