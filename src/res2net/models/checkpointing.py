"""Gradient checkpointing: activations are recomputed in backward instead of stored.

``recomputed`` stores only the input of a block; ``cheaply_recomputed`` stores the
outputs of convolutions and the input of every third block, so that only norms, activations,
additions and concatenations run twice. Both update the running statistics once per batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]  # forward, recomputation


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norms inside use batch statistics without updating the running ones."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    counters = [norm.num_batches_tracked for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, counter in zip(norms, momenta, counters, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counter


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """``block(x)``, storing only the input for backward."""

    def contexts() -> Contexts:
        return nullcontext(), _statistics_kept(block)

    y: Tensor = checkpoint(block, x, use_reentrant=False, context_fn=contexts)
    return y


def cheaply_recomputed(blocks: nn.Module, x: Tensor) -> Tensor:
    """``blocks(x)``, storing the input and the outputs of convolutions for backward.

    Norms, activations, additions and concatenations are recomputed in backward, in one function.
    With several consecutive blocks, the maps between them are recomputed too.
    """
    if torch.compiler.is_compiling():  # the compiler recomputes norms and activations itself
        return cast(Tensor, blocks(x))
    parameters = [each for each in blocks.parameters() if each.requires_grad]
    return cast(Tensor, _KeepsConvolutions.apply(blocks, x, *parameters))


class _KeepsConvolutions(torch.autograd.Function):
    """(blocks, x, parameters) → blocks(x)."""

    @staticmethod
    def forward(ctx: Any, blocks: nn.Module, x: Tensor, *parameters: Tensor) -> Tensor:
        kept: list[Tensor] = []

        def keeping(module: Any, *args: Tensor) -> Tensor:
            kept.append(type(module).forward(module, *args))
            return kept[-1]

        def keeping_noise(module: Any, y: Tensor) -> Tensor:
            if not module.training or not module.p:
                return y
            kept.append(type(module).forward(module, y.new_ones(len(y), *[1] * (y.ndim - 1))))
            return y * kept[-1]

        with _in_place_of(blocks, keeping, keeping_noise):
            y = blocks(x)
        assert not any(each._version for each in kept), "a convolution's output was written over"
        ctx.blocks, ctx.number = blocks, len(kept)
        ctx.place = x.device.type
        ctx.autocast = torch.is_autocast_enabled(ctx.place), torch.get_autocast_dtype(ctx.place)
        ctx.save_for_backward(x, *kept, *parameters)
        return cast(Tensor, y)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        kept, parameters = iter(saved[: ctx.number]), saved[ctx.number :]

        def again(module: Any, y: Tensor) -> Tensor:
            return _convolved(module, y, next(kept))

        def noise_again(module: Any, y: Tensor) -> Tensor:
            return y * next(kept) if module.training and module.p else y

        enabled, dtype = ctx.autocast
        with (
            torch.enable_grad(),
            torch.autocast(ctx.place, dtype, enabled=enabled, cache_enabled=False),
            _statistics_kept(ctx.blocks),
            _in_place_of(ctx.blocks, again, noise_again),
        ):
            own = x.detach().requires_grad_(ctx.needs_input_grad[1])
            y = ctx.blocks(own)
        wanted = [own, *parameters] if ctx.needs_input_grad[1] else parameters
        found = torch.autograd.grad(y, wanted, gradients, allow_unused=True)
        return (None, *(found if ctx.needs_input_grad[1] else (None, *found)))


class _Kept(torch.autograd.Function):
    """(x, weight, bias, output, how) → output: a convolution whose output is stored."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Any, output: Tensor, how: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how, ctx.sizes = how, None if bias is None else list(bias.shape)
        return output.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        mask = list(ctx.needs_input_grad[:3])
        (gradient,) = gradients
        stride, padding, dilation, groups = ctx.how
        found = torch.ops.aten.convolution_backward(
            gradient, x, weight, ctx.sizes, stride, padding, dilation, False, [0, 0], groups, mask
        )
        return (*(each if m else None for each, m in zip(found, mask, strict=True)), None, None)


def _convolved(module: nn.Conv2d, x: Tensor, output: Tensor) -> Tensor:
    kind, bias = output.dtype, module.bias
    how = module.stride, module.padding, module.dilation, module.groups
    bias = None if bias is None else bias.to(kind)
    return cast(Tensor, _Kept.apply(x.to(kind), module.weight.to(kind), bias, output, how))


@contextmanager
def _in_place_of(blocks: nn.Module, convolve: Any, drop: Any) -> Iterator[None]:
    """Convolutions and dropped paths inside call these functions: (module, x) → output."""
    changed = []
    for module in blocks.modules():
        stands_in = convolve if _is_plain(module) else None
        stands_in = drop if isinstance(module, StochasticDepth) else stands_in
        if stands_in is not None:
            module.forward = partial(stands_in, module)
            changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _is_plain(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


RECOMPUTE = {"cheap": cheaply_recomputed, "full": recomputed}
TOGETHER = {"cheap": 3, "full": 1}  # consecutive blocks between stored inputs
