"""A network rewritten for inference: the same numbers with fewer operations.

Folded norms, splits widened to a multiple that the matrix units load, additions and activations
fused into the convolutions, and weights of 16 bits.

Legend: B batch · s splits · w channels of a split · c groups of a split · g channels of a group
"""

from __future__ import annotations

import copy
import functools
import operator
from collections import Counter
from math import gcd, prod
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import FrozenBatchNorm2d, StochasticDepth

from res2net.nn.block import Res2NetBottleneck
from res2net.nn.fused import FusedUnit

ModuleT = TypeVar("ModuleT", bound=nn.Module)
ALIGNED = 8  # channels of 16 bits that a matrix unit loads at once


def fold_batchnorm(net: ModuleT, within: str = "") -> ModuleT:
    """A copy of a network with every batch norm behind a convolution folded into it.

    For evaluation only. A norm is kept if it precedes its convolution (DenseNet, Wide ResNet)
    or if something else also reads the convolution's output.

    Args:
        within: a submodule, if the whole network cannot be traced; "" is the whole.
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
    """Traces a frozen norm, any convolution and a fused unit as one call each."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf = isinstance(m, FrozenBatchNorm2d | nn.Conv2d | FusedUnit)
        return leaf or super().is_leaf_module(m, module_qualified_name)


def _folds(module: nn.Module) -> bool:
    if isinstance(module, nn.BatchNorm2d):
        return module.track_running_stats
    return isinstance(module, FrozenBatchNorm2d)


def _plain(norm: nn.Module) -> nn.BatchNorm2d:
    """A frozen norm as the equivalent batch norm; others unchanged."""
    if not isinstance(norm, FrozenBatchNorm2d):
        assert isinstance(norm, nn.BatchNorm2d)
        return norm
    plain = nn.BatchNorm2d(len(norm.weight), eps=norm.eps).to(norm.weight)
    plain.load_state_dict(norm.state_dict(), strict=False)  # it has no count of batches
    return plain.eval()


def pad_splits(net: nn.Module, multiple: int = ALIGNED) -> None:
    """Widen the splits of every folded bottleneck to a multiple of channels, in place, exactly.

    Added channels have zero weights, on their inputs and outputs. A unit whose norms are not
    folded is not changed.
    """
    for block in net.modules():
        if isinstance(block, Res2NetBottleneck) and block.scale > 1 and _is_folded(block):
            _pad(block, multiple)


def _is_folded(block: Res2NetBottleneck) -> bool:
    return all(isinstance(norm, nn.Identity) for norm in (block.bn1, *block.bns))


def _pad(block: Res2NetBottleneck, multiple: int) -> None:
    first = block.convs[0]
    assert isinstance(first, nn.Conv2d)
    group = first.out_channels // first.groups
    step = multiple // gcd(first.groups // (block.scale if block.grouped else 1), multiple)
    wider = -(-group // step) * step
    if wider == group:
        return
    block.conv1 = _widened(block.conv1, group, wider, out=True)
    block.convs = nn.ModuleList(
        _widened(each, group, wider, into=True, out=True)
        for each in block.convs
        if isinstance(each, nn.Conv2d)
    )
    block.conv3 = _widened(block.conv3, group, wider, into=True)
    block.width = block.width // group * wider


def _widened(
    old: nn.Conv2d, group: int, wider: int, *, into: bool = False, out: bool = False
) -> nn.Conv2d:
    """A convolution padded to groups of ``wider`` channels: inputs, outputs or both."""

    def places(channels: int) -> Tensor:
        index = torch.arange(channels, device=old.weight.device)
        return index // group * wider + index % group

    def grown(channels: int, grows: bool) -> int:
        return channels // group * wider if grows else channels

    new = nn.Conv2d(
        grown(old.in_channels, into),
        grown(old.out_channels, out),
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        old.dilation,  # type: ignore[arg-type]
        old.groups,
        bias=old.bias is not None,
    ).to(old.weight)
    every = torch.arange(old.weight.shape[1], device=old.weight.device)
    rows = places(old.out_channels) if out else torch.arange(old.out_channels, device=every.device)
    columns = places(len(every)) if into else every
    with torch.no_grad():
        new.weight.zero_()
        new.weight[rows[:, None], columns[None]] = old.weight
        if old.bias is not None and new.bias is not None:
            new.bias.zero_()
            new.bias[rows] = old.bias
    return new.requires_grad_(False)


class ConvReLU(nn.Module):
    """Convolution, an optional addition, and ReLU: on a GPU one cuDNN kernel."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        conv = self.conv
        how = conv.stride, conv.padding, conv.dilation, conv.groups
        if x.is_cuda and _has_epilogue(x.device, x.dtype, conv.weight.shape, *how):
            x = x.contiguous(memory_format=torch.channels_last)
            if z is None:
                return torch.ops.aten.cudnn_convolution_relu(x, conv.weight, conv.bias, *how)
            z = z.contiguous(memory_format=torch.channels_last)
            fused: Tensor = torch.ops.aten.cudnn_convolution_add_relu(
                x, conv.weight, z, 1.0, conv.bias, *how
            )
            return fused
        y = conv(x)
        return F.relu(y if z is None else y + z)


@functools.cache
def _has_epilogue(device: torch.device, dtype: torch.dtype, shape: torch.Size, *how: Any) -> bool:
    """Whether cuDNN computes a convolution with addition and ReLU in one call, correctly.

    Args:
        shape: of the weight.
        how: stride, padding, dilation, groups.
    """

    def waves(*shape: int) -> Tensor:
        numbers = torch.arange(prod(shape), device=device, dtype=torch.float64)
        return numbers.sin().reshape(shape).to(dtype)

    x = waves(2, shape[1] * how[-1], 9, 9).contiguous(memory_format=torch.channels_last)
    weight = waves(*shape) / prod(shape[1:]) ** 0.5
    weight, bias = weight.contiguous(memory_format=torch.channels_last), waves(shape[0])
    try:
        y = F.conv2d(x, weight, bias, *how)
        z = waves(*y.shape).contiguous(memory_format=torch.channels_last)
        found = torch.ops.aten.cudnn_convolution_add_relu(x, weight, z, 1.0, bias, *how)
    except RuntimeError:
        return False
    return torch.allclose(found.float(), F.relu(y + z).float(), rtol=0.05, atol=0.05)


def with_epilogues(net: nn.Module) -> nn.Module:
    """The network with every ReLU after a convolution, or after its addition, in one call.

    Args:
        net: folded; its submodules are shared.
    """
    for name, module in list(net.named_modules()):
        if isinstance(module, StochasticDepth):
            net.set_submodule(name, nn.Identity())
    graph = _Tracer().trace(net)
    traced = fx.GraphModule(net, graph)
    modules = dict(traced.named_modules())
    for node in list(graph.nodes):
        if node.op == "call_module" and isinstance(modules[node.target], nn.Identity):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    called = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")

    def ends_in(node: Any) -> bool:
        """Whether a value is a convolution's that nothing else reads."""
        if not isinstance(node, fx.Node) or node.op != "call_module" or len(node.users) != 1:
            return False
        return called[str(node.target)] == 1 and _has_bias(modules[node.target])

    for node in list(graph.nodes):
        if not _is_relu(node, modules):
            continue
        source = node.args[0]
        summands = [source]
        if _is_sum(source) and len(source.users) == 1:
            summands = sorted(source.args, key=ends_in)  # the convolution last
        *other, source = summands
        if not ends_in(source) or not all(isinstance(each, fx.Node) for each in other):
            continue
        traced.set_submodule(source.target, ConvReLU(modules[source.target]))
        with graph.inserting_before(node):
            fused = graph.call_module(source.target, (source.args[0], *other))
        node.replace_all_uses_with(fused)
    graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _has_bias(module: nn.Module) -> bool:
    """A plain convolution with a bias and a pad of zeros."""
    return (
        type(module) is nn.Conv2d
        and module.bias is not None
        and module.padding_mode == "zeros"
        and isinstance(module.padding, tuple)
    )


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], nn.ReLU)
    return node.target in (F.relu, torch.relu, "relu", "relu_")


def _is_sum(node: Any) -> bool:
    if not isinstance(node, fx.Node) or len(node.args) != 2 or node.kwargs:
        return False
    return node.target in (operator.add, operator.iadd, torch.add, "add", "add_")


def lowered(net: ModuleT, kind: torch.dtype) -> ModuleT:
    """Convert a network to a dtype in place, with maps in channels-last layout.

    A layer with ``keeps_type`` (the last one, which ranks and places) is not converted.
    """
    for module in net.modules():
        if not getattr(module, "keeps_type", False):
            module._apply(
                lambda each: each.to(kind) if each.is_floating_point() else each, recurse=False
            )
    return net.to(memory_format=torch.channels_last)
