"""The cost of a network at a width, without building it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from res2net.nn.block import SplitUnit
from res2net.plug.find import ConvSequence
from res2net.plug.record import Record
from res2net.plug.replace import Setting, replace

Budget = Literal["match-params", "match-macs"]


def count_params(model: nn.Module) -> int:
    """Learned parameters."""
    return sum(p.numel() for p in model.parameters())


def cost_of_width(
    model: nn.Module, run: Record, sequences: list[ConvSequence], setting: Setting, budget: Budget
) -> Callable[[int], int]:
    """Width → parameters or multiply-adds of the whole network, from a copy without values."""
    skeleton = _skeleton(model)
    touched = {name for sequence in sequences for name in sequence.modules}
    macs = {name: sum(s.macs for s in run.steps if s.module == name) for name in touched}
    weights = {name: _weights(layer) for name, layer in model.named_modules() if name in touched}

    def cost(width: int) -> int:
        net = copy.deepcopy(skeleton)
        for sequence in sequences:
            replace(net, sequence, setting, width)
        if budget == "match-params":
            return count_params(net)
        layers = dict(net.named_modules())
        total = run.macs
        for name, count in macs.items():
            if count and weights[name]:  # each weight is used as often as before
                total += count * _weights(layers[name]) // weights[name] - count
        return total

    return cost


def _skeleton(model: nn.Module) -> nn.Module:
    """A copy whose tensors have only shapes."""
    memo: dict[int, object] = {}
    for p in model.parameters():
        memo[id(p)] = nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad)
    for b in model.buffers():
        memo[id(b)] = torch.empty_like(b, device="meta")
    return copy.deepcopy(model, memo)


def _weights(layer: nn.Module) -> int:
    """Number of multiplying weights of a layer: its largest tensor, or those of a unit."""
    if isinstance(layer, SplitUnit):
        return sum(_weights(conv) for conv in layer.convs)
    own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
    return max((tensor.numel() for tensor in own), default=0)
