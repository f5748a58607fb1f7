"""Change the channels of layers: matching tensors are kept, others are reinitialised.

New convolutions and linear layers use He initialisation (fan out, as in the authors' code), new
norms start as the identity; other tensors are filled with the mean of the old values.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from res2net.errors import UserError

_NORM_STARTS = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
_CHANNEL_ATTRIBUTES = ("num_features", "num_channels", "num_parameters", "channels", "dim")
_GROUP_ATTRIBUTES = ("num_groups", "groups")  # of nn.GroupNorm, of timm's EvoNorm

NewShape = Callable[[Tensor], tuple[int, ...]]
Layer = TypeVar("Layer", bound=nn.Module)


def resize_conv(
    conv: nn.Conv2d,
    *,
    channels_in: int | None = None,
    channels_out: int | None = None,
    groups: int | None = None,
) -> None:
    """Change a convolution in place; None keeps a value. Without changes it stays untouched."""
    inputs = conv.in_channels if channels_in is None else channels_in
    outputs = conv.out_channels if channels_out is None else channels_out
    groups = conv.groups if groups is None else groups
    if (inputs, outputs, groups) == (conv.in_channels, conv.out_channels, conv.groups):
        return
    if inputs % groups or outputs % groups:
        raise UserError(f"{inputs} channels in, {outputs} out do not divide into {groups} groups")
    weight, old_outputs = conv.weight.shape, conv.out_channels
    fan_in = conv.weight[0].numel()

    def new_shape(tensor: Tensor) -> tuple[int, ...]:
        if tensor.shape == weight:
            return (outputs, inputs // groups, *weight[2:])
        if tensor.ndim and tensor.shape[0] == old_outputs:
            return (outputs, *tensor.shape[1:])
        return tuple(tensor.shape)

    _renew(conv, new_shape)
    conv.in_channels, conv.out_channels, conv.groups = inputs, outputs, groups
    factor = getattr(conv, "scale", None)  # of timm's scaled standardised convolution: 1/√fan-in
    if isinstance(factor, float):
        setattr(conv, "scale", factor * math.sqrt(fan_in / conv.weight[0].numel()))  # noqa: B010


def resize_layer(layer: nn.Module, old: int, new: int) -> None:
    """Turn every channel dimension of size ``old`` of this layer (not its children) to ``new``."""
    if old == new:
        return
    if isinstance(layer, nn.modules.conv._ConvNd):
        depthwise = layer.groups == layer.in_channels == old
        resize_conv(
            layer,  # type: ignore[arg-type]  # of any dimension
            channels_in=new if layer.in_channels == old else None,
            channels_out=new if layer.out_channels == old else None,
            groups=new if depthwise else None,
        )
        return

    def swapped(sizes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(new if size == old else size for size in sizes)

    changed = _renew(layer, lambda tensor: (*swapped(tensor.shape[:2]), *tensor.shape[2:]))
    if not changed and next(layer.children(), None) is not None:
        return  # a block, whose numbers are about itself
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    for name in _CHANNEL_ATTRIBUTES:
        if getattr(layer, name, None) == old:
            setattr(layer, name, new)
    if isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = swapped(layer.normalized_shape)
    for name in _GROUP_ATTRIBUTES:
        groups = getattr(layer, name, None)
        if isinstance(groups, int):
            setattr(layer, name, _norm_groups(old, groups, new))


def another_conv(conv: nn.Conv2d, channels: int, groups: int) -> nn.Conv2d:
    """A new convolution like ``conv``: its class, kernel, stride, padding and bias."""
    other = _shell(conv)
    _renew(other, lambda tensor: tuple(tensor.shape), always=True)
    resize_conv(other, channels_in=channels, channels_out=channels, groups=groups)
    return other


def another_layer(layer: nn.Module, old: int, channels: int) -> nn.Module:
    """A new norm or activation like ``layer``, of which ``old`` is the number of channels."""
    other = _shell(layer)
    _renew(other, lambda tensor: tuple(tensor.shape), always=True)
    resize_layer(other, old, channels)
    return other


def _shell(layer: Layer) -> Layer:
    """A copy that shares its tensors with the layer, to be reinitialised."""
    own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
    return copy.deepcopy(layer, {id(tensor): tensor for tensor in own})


def _norm_groups(old: int, groups: int, new: int) -> int:
    """The most groups that divide ``new``: no more, and none of fewer channels, than before."""
    most = min(groups, new * groups // old)
    return next((g for g in range(most, 0, -1) if new % g == 0), 1)


def _renew(layer: nn.Module, new_shape: NewShape, *, always: bool = False) -> bool:
    """Replace the layer's tensors whose shape changes (or all); return whether any did."""
    changed = False
    for group in (layer._parameters, layer._buffers):
        for name, tensor in group.items():
            if tensor is None or (not always and new_shape(tensor) == tuple(tensor.shape)):
                continue
            fresh = _started(layer, name, tensor, new_shape(tensor))
            if isinstance(tensor, nn.Parameter):
                fresh = nn.Parameter(fresh)  # trained even where the old one was frozen
            group[name] = fresh  # type: ignore[assignment]
            changed = True
    return changed


def _started(layer: nn.Module, name: str, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A tensor for the start of training."""
    fresh = torch.empty(shape, dtype=tensor.dtype, device=tensor.device)
    if fresh.is_meta:
        return fresh  # has no numbers
    if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear) and name == "weight":
        return nn.init.kaiming_normal_(fresh, mode="fan_out", nonlinearity="relu")
    if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear) and name == "bias":
        return fresh.zero_()
    if tensor.ndim == 1 and name in _NORM_STARTS and not isinstance(layer, nn.PReLU):
        return fresh.fill_(_NORM_STARTS[name])
    if not tensor.is_floating_point():
        return fresh.zero_()  # num_batches_tracked
    changed = [axis for axis, size in enumerate(shape) if size != tensor.shape[axis]]
    return fresh.copy_(tensor.detach().mean(changed, keepdim=True) if changed else tensor.detach())
