"""From a folded network of the ResNet family to the native engine's list of operations.

The fusions are decided here: the unit's splits are channels of one buffer, the last one is written
by the first 1×1 to where the last 1×1 reads it, each 3×3 adds its result into the split
that comes next, and a shortcut's 1×1 is a second source of the last 1×1's sum.

Legend: B batch · C channels · H, W space · s splits · w channels of one split
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation, StochasticDepth

from res2net.deploy.program import Program
from res2net.errors import UserError
from res2net.models.resnet import ResNet
from res2net.native.program import NativeProgram
from res2net.nn.block import BasicBlock, Bottleneck, Res2NetBottleneck
from res2net.tasks.network import LOGITS


@dataclass(frozen=True)
class _Map:
    """A buffer, and its spatial size among the network's."""

    buffer: int
    channels: int
    level: int  # number of strides before it


def walk(program: Program) -> NativeProgram:
    """The list of operations of a program whose batch norms are folded.

    Raises:
        UserError: a network of another family, or with parts that the engine lacks.
    """
    net = program.net
    if not isinstance(net, ResNet):
        raise _refusal(f"networks of the ResNet family only, not {type(net).__name__}")
    if net.global_pool.kind != "avg":
        raise _refusal("a global average pool only")
    return _Walk(net).all(program)


def _refusal(what: str) -> UserError:
    return UserError(f"--to native: the engine supports {what}; use --to openvino or onnx")


class _Walk:
    def __init__(self, net: ResNet) -> None:
        self.net = net
        self.found = NativeProgram()
        self.free: dict[tuple[int, int, int], list[int]] = {}  # channels, border, level → buffers

    def all(self, program: Program) -> NativeProgram:
        outputs: dict[str, _Map] = {}
        wanted = () if program.outputs == (LOGITS,) else program.outputs
        x = self.stem(program)
        for step in self.net.steps():
            if step.level == "c1" and self.net.variant.stem != "cifar":
                outputs["c1"] = x
            elif isinstance(step.run, nn.MaxPool2d):
                x = self.max_pool(x, step.run, kept=self.levels(outputs, wanted))
            elif step.level is not None:
                for name, block in step.modules[0].named_children():
                    x = self.block(f"{step.level}.{name}", x, block, self.levels(outputs, wanted))
                outputs[step.level] = x
        if wanted:
            self.found.outputs = [{"map": outputs[name].buffer} for name in program.outputs]
        else:
            self.head(x)
        return self.found

    @staticmethod
    def levels(outputs: dict[str, _Map], wanted: Iterable[str]) -> set[int]:
        """Buffers of levels that are outputs, so nothing may write over them."""
        return {outputs[name].buffer for name in wanted if name in outputs}

    # buffers and weights

    def make(self, channels: int, level: int, border: int = 0) -> _Map:
        """A buffer that is no longer read, or a new one."""
        free = self.free.get((channels, border, level))
        return _Map(free.pop() if free else self.buffer(channels, border), channels, level)

    def buffer(self, channels: int, border: int, *, packed: bool = False) -> int:
        self.found.buffers.append({"channels": channels, "border": border, "packed": packed})
        return len(self.found.buffers) - 1

    def release(self, *maps: _Map, kept: Iterable[int] = ()) -> None:
        for each in maps:
            border = self.found.buffers[each.buffer]["border"]
            free = self.free.setdefault((each.channels, border, each.level), [])
            if each.buffer not in kept and each.buffer not in free:
                free.append(each.buffer)

    def vector(self, size: int) -> int:
        self.found.vectors.append(size)
        return len(self.found.vectors) - 1

    def tensor(self, name: str, value: Tensor) -> str:
        self.found.tensors[name] = value.detach().float().contiguous().numpy()
        return name

    def op(self, kind: str, name: str, **what: Any) -> None:
        self.found.ops.append({"op": kind, "name": name, **what})

    # operations

    def conv(
        self,
        name: str,
        convolution: nn.Module,
        x: _Map,
        y: _Map,
        *,
        from_channel: int = 0,
        to_channel: int = 0,
        shortcut: tuple[_Map, nn.Conv2d] | None = None,
        rows: bool = False,
        **what: Any,
    ) -> None:
        """One convolution; ``shortcut`` is a 1×1 of another map in the same sum."""
        assert isinstance(convolution, nn.Conv2d)
        kernel = convolution.kernel_size[0]
        if convolution.dilation[0] > 1:
            what["dilation"] = convolution.dilation[0]
        bias = _bias(convolution)
        if shortcut is not None:
            second, layer = shortcut
            assert layer.kernel_size == (1, 1)
            bias = bias + _bias(layer)
            what |= {
                "second": second.buffer,
                "second_channels": layer.in_channels,
                "second_stride": layer.stride[0],
                "weights2": self.tensor(f"{name}.shortcut", layer.weight.flatten(1)),
            }
        self.op(
            "conv",
            name,
            input=x.buffer,
            input_channel=from_channel,
            channels=convolution.in_channels,
            outputs=convolution.out_channels,
            groups=convolution.groups,
            kernel=kernel,
            stride=convolution.stride[0],
            rows=int(rows),
            output=y.buffer,
            output_channel=to_channel,
            weights=self.tensor(f"{name}.weight", convolution.weight),
            bias=self.tensor(f"{name}.bias", bias),
            **what,
        )

    def average(
        self, name: str, pool: nn.AvgPool2d, x: _Map, y: _Map, channels: range, **what: Any
    ) -> None:
        self.op(
            "pool",
            name,
            average=1,
            input=x.buffer,
            input_channel=channels.start,
            channels=len(channels),
            output=y.buffer,
            output_channel=channels.start,
            kernel=_side(pool.kernel_size),
            stride=_side(pool.stride),
            pad=_side(pool.padding),
            ceil=int(pool.ceil_mode),
            count_pad=int(pool.count_include_pad),
            **what,
        )

    def stem(self, program: Program) -> _Map:
        """Images → c1 (for CIFAR models: the input of the first stage)."""
        net = self.net
        _check_plain(net.bn1, net.act)
        parts = list(net.conv1) if isinstance(net.conv1, nn.Sequential) else [net.conv1]
        convolutions = [part for part in parts if isinstance(part, nn.Conv2d)]
        _check_plain(*(part for part in parts if not isinstance(part, nn.Conv2d)))
        first = convolutions[0]
        images = _Map(self.buffer(3, first.kernel_size[0] // 2, packed=True), 3, -2)
        scale, shift = (
            self.tensor(f"images.{name}", getattr(program, name).flatten())
            for name in ("scale", "shift")
        )
        self.op("normalise", "images", output=images.buffer, scale=scale, shift=shift)
        x = images
        for i, convolution in enumerate(convolutions):
            last = i + 1 == len(convolutions)
            border = self.border if last and isinstance(net.maxpool, nn.Identity) else int(not last)
            y = self.make(convolution.out_channels, -1, border)
            self.conv(f"stem.{i}", convolution, x, y, rows=i == 0, relu=1)
            x = y
        return x

    @property
    def border(self) -> int:
        """The border that blocks read: basic blocks begin with a 3×3, which may be dilated."""
        blocks = (m for m in self.net.modules() if isinstance(m, BasicBlock | Res2NetBottleneck))
        return max((_reach(block.conv1) for block in blocks), default=0)

    def max_pool(self, x: _Map, pool: nn.MaxPool2d, kept: Iterable[int]) -> _Map:
        y = self.make(x.channels, 0, self.border)
        self.op(
            "pool",
            "stem.pool",
            input=x.buffer,
            channels=x.channels,
            output=y.buffer,
            kernel=pool.kernel_size,
            stride=pool.stride,
            pad=pool.padding,
        )
        self.release(x, kept=kept)
        return y

    def block(self, name: str, x: _Map, block: nn.Module, kept: Iterable[int]) -> _Map:
        assert isinstance(block, BasicBlock | Bottleneck | Res2NetBottleneck)
        _check_plain(block.bn1, block.act, block.drop_path)
        if isinstance(block, Res2NetBottleneck):
            y, last = self.unit(name, x, block), block.conv3
        elif isinstance(block, Bottleneck):
            y, last = self.inner(name, x, block), block.conv3
        else:
            border = _reach(block.conv2)
            y = self.make(block.conv1.out_channels, _level(x, block.conv1), border)
            self.conv(f"{name}.conv1", block.conv1, x, y, relu=1)
            last = block.conv2
        _check_plain(block.last_norm)
        z = self.finish(name, x, y, block, last)
        self.release(x, y, kept=kept)
        return z

    def inner(self, name: str, x: _Map, block: Bottleneck) -> _Map:
        """The first two convolutions of a plain bottleneck."""
        _check_plain(block.bn2)
        t = self.make(block.conv1.out_channels, x.level, _reach(block.conv2))
        y = self.make(block.conv2.out_channels, _level(x, block.conv2))
        self.conv(f"{name}.conv1", block.conv1, x, t, relu=1)
        self.conv(f"{name}.conv2", block.conv2, t, y, relu=1)
        self.release(t)
        return y

    def unit(self, name: str, x: _Map, block: Res2NetBottleneck) -> _Map:
        """The first convolution and the splits: s·w channels, ready for the last 1×1."""
        _check_plain(*block.bns)
        w, s = block.width, block.scale
        first = block.convs[0]
        t = self.make(s * w, _level(x, block.conv1), _reach(first))
        y = self.make(s * w, _level(t, first))
        if block.grouped or block.pool is not None:
            self.conv(f"{name}.conv1", block.conv1, x, t, relu=1)
        else:  # the last split is only passed on
            last = (s - 1) * w
            into: dict[str, Any] = {"split": last, "output2": y.buffer, "output2_channel": last}
            self.conv(f"{name}.conv1", block.conv1, x, t, relu=1, **into)
        for i, convolution in enumerate(block.convs):
            chained = block.hierarchical and not block.grouped and i + 1 < len(block.convs)
            what: dict[str, Any] = {"barrier": int(chained or i + 1 == len(block.convs))}
            if chained:
                what |= {"add": t.buffer, "add_channel": (i + 1) * w}
            at = i * w
            self.conv(
                f"{name}.convs.{i}",
                convolution,
                t,
                y,
                from_channel=at,
                to_channel=at,
                relu=1,
                **what,
            )
        if block.pool is not None:
            if not isinstance(block.pool, nn.AvgPool2d):
                raise _refusal("no dilated pools (output_stride)")
            self.found.ops[-1]["barrier"] = 0
            self.average(f"{name}.pool", block.pool, t, y, range((s - 1) * w, s * w))
        self.release(t)
        return y

    def finish(self, name: str, x: _Map, y: _Map, block: Any, last: nn.Conv2d) -> _Map:
        """The last convolution, squeeze-and-excitation, the shortcut, the addition and ReLU."""
        z = self.make(last.out_channels, y.level, self.border)
        relu = int(getattr(block, "last_act", True))
        shortcut = self.shortcut(name, x, block.downsample)
        if isinstance(block.se, nn.Identity):
            what: dict[str, Any] = {"relu": relu}
            if shortcut is None:
                what["residual"] = x.buffer
            self.conv(f"{name}.last", last, y, z, shortcut=shortcut, **what)
        else:
            if not relu:
                raise _refusal("no squeeze-and-excitation without an activation after it")
            residual, plain = x, self.make(last.out_channels, y.level, self.border)
            if shortcut is not None:
                source, layer = shortcut
                residual = self.make(last.out_channels, y.level, self.border)
                self.conv(f"{name}.shortcut", layer, source, residual, barrier=0)
            self.conv(f"{name}.last", last, y, plain)
            gates = self.gates(f"{name}.se", plain, block.se)
            buffers = {"input": plain.buffer, "residual": residual.buffer, "output": z.buffer}
            self.op("gate", f"{name}.gate", gates=gates, **buffers)
            self.release(plain, *([residual] if shortcut is not None else []))
        if shortcut is not None and shortcut[0] is not x:
            self.release(shortcut[0])
        return z

    def shortcut(
        self, name: str, x: _Map, module: nn.Module | None
    ) -> tuple[_Map, nn.Conv2d] | None:
        """The map and 1×1 of a shortcut; None where it is the identity."""
        if module is None:
            return None
        parts = [part for part in module.children() if not isinstance(part, nn.Identity)]
        layer = parts.pop()
        if not isinstance(layer, nn.Conv2d):
            raise _refusal("shortcuts that end in a 1×1 only")
        for pool in parts:
            if not isinstance(pool, nn.AvgPool2d):
                raise _refusal("no dilated pools (output_stride)")
            pooled = self.make(x.channels, x.level + int(_side(pool.stride) > 1))
            what = {"barrier": 1}
            self.average(f"{name}.shortcut.pool", pool, x, pooled, range(x.channels), **what)
            x = pooled
        return x, layer

    def gates(self, name: str, x: _Map, se: nn.Module) -> int:
        assert isinstance(se, SqueezeExcitation)
        assert isinstance(se.activation, nn.ReLU)
        assert isinstance(se.scale_activation, nn.Sigmoid)
        mean = self.vector(x.channels)
        self.op("mean", f"{name}.mean", input=x.buffer, output=mean)
        middle = self.linear(f"{name}.fc1", mean, se.fc1, "relu")
        return self.linear(f"{name}.fc2", middle, se.fc2, "sigmoid")

    def linear(self, name: str, x: int, layer: nn.Linear | nn.Conv2d, activation: str) -> int:
        y = self.vector(len(layer.weight))
        self.op(
            "linear",
            name,
            input=x,
            output=y,
            activation=activation,
            weights=self.tensor(f"{name}.weight", layer.weight.flatten(1)),
            bias=self.tensor(f"{name}.bias", _bias(layer)),
        )
        return y

    def head(self, x: _Map) -> None:
        found = self.vector(x.channels)
        self.op("mean", "head.mean", input=x.buffer, output=found)
        classifier = getattr(self.net, self.net.HEAD)
        if isinstance(classifier, nn.Linear):
            found = self.linear("head.fc", found, classifier, "none")
        self.found.outputs = [{"vector": found}]


def _check_plain(*modules: nn.Module) -> None:
    """Check that layers after convolutions are folded away, or are ReLUs."""
    for module in modules:
        if not isinstance(module, nn.Identity | nn.ReLU | StochasticDepth):
            raise _refusal(f"folded batch norm and ReLU only, not {type(module).__name__}")


def _bias(layer: nn.Linear | nn.Conv2d) -> Tensor:
    if layer.bias is None:
        return torch.zeros(len(layer.weight))
    return layer.bias.detach().float()


def _reach(convolution: nn.Module) -> int:
    """Pixels around a map that a convolution reads."""
    assert isinstance(convolution, nn.Conv2d)
    return convolution.kernel_size[0] // 2 * convolution.dilation[0]


def _level(x: _Map, convolution: nn.Module) -> int:
    assert isinstance(convolution, nn.Conv2d)
    return x.level + int(convolution.stride[0] > 1)


def _side(value: int | tuple[int, int]) -> int:
    return value if isinstance(value, int) else value[0]
