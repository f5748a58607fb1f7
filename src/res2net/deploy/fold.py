"""A network rewritten for inference: the same numbers with fewer operations."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TypeVar

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import FrozenBatchNorm2d

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def fold_batchnorm(net: ModuleT, within: str = "") -> ModuleT:
    """A copy of a network with every batch norm behind a convolution folded into it.

    For evaluation only. A norm stays where it stands before its convolution (DenseNet, Wide ResNet)
    or where the convolution's output is read by something else too.

    Args:
        within: a submodule, where not all of the network can be traced; "" is the whole.
    """
    whole = _for_inference(net)
    _fold(whole.get_submodule(within))
    return whole


def _fold(net: nn.Module) -> None:
    for convolution, norm in _pairs(net):
        layer = net.get_submodule(convolution)
        assert isinstance(layer, nn.Conv2d)
        dtype = layer.weight.dtype  # folded in double precision: one rounding, at the end
        with torch.no_grad():
            folded = fuse_conv_bn_eval(layer.double(), _plain(net.get_submodule(norm)).double())
        net.set_submodule(convolution, folded.to(dtype).requires_grad_(False))
        net.set_submodule(norm, nn.Identity())


def _for_inference(net: ModuleT) -> ModuleT:
    return copy.deepcopy(net).eval().requires_grad_(False)


def _pairs(net: nn.Module) -> list[tuple[str, str]]:
    """Names of (convolution, batch norm) where the norm alone reads the convolution."""
    graph = _Tracer().trace(net)
    called = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    modules = dict(net.named_modules())
    found = []
    for node in graph.nodes:
        if node.op != "call_module" or not _folds(modules[node.target]):
            continue
        source = node.args[0]
        if source.op != "call_module" or type(modules[source.target]) is not nn.Conv2d:
            continue
        if len(source.users) == 1 and called[source.target] == called[node.target] == 1:
            found.append((source.target, node.target))
    return found


class _Tracer(fx.Tracer):
    """Takes a frozen norm and any convolution as one call, not as their arithmetic."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, FrozenBatchNorm2d | nn.Conv2d) or super().is_leaf_module(
            m, module_qualified_name
        )


def _folds(module: nn.Module) -> bool:
    if isinstance(module, nn.BatchNorm2d):
        return module.track_running_stats
    return isinstance(module, FrozenBatchNorm2d)


def _plain(norm: nn.Module) -> nn.BatchNorm2d:
    """A frozen norm as the batch norm it equals; others as they are."""
    if not isinstance(norm, FrozenBatchNorm2d):
        assert isinstance(norm, nn.BatchNorm2d)
        return norm
    plain = nn.BatchNorm2d(len(norm.weight), eps=norm.eps).to(norm.weight)
    plain.load_state_dict(norm.state_dict(), strict=False)  # it has no count of batches
    return plain.eval()
