"""Find places for a Res2Net unit: a k×k convolution between two others, found by shape.

The search uses a recorded run and thus the actual computation: shared modules, functions between
modules and attribute names make no difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from res2net.nn.layers import NORMS
from res2net.plug.record import Record, Step

# names of PyTorch's operations
_ACTIVATIONS = frozenset(
    {"relu", "hardtanh", "silu", "gelu", "leaky_relu", "elu", "mish", "hardswish", "_prelu_kernel"}
)
_ONCE_IS_ENOUGH = frozenset({"relu", "hardtanh"})  # applied twice, they change nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Tail:
    """Norm and activation directly after a convolution, if present."""

    norm: str | None = None  # module
    act: str | None = None  # name of the operation
    act_module: str | None = None  # the norm itself if it is both; None for a function
    act_alone: bool = False  # the module is called only here and can be removed

    @property
    def act_in_norm(self) -> bool:
        """One module is both."""
        return self.norm is not None and self.act is not None and self.act_module == self.norm

    @property
    def once_is_enough(self) -> bool:
        """Whether the activation is idempotent."""
        return self.act in _ONCE_IS_ENOUGH


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvSequence:
    """Three convolutions in a row; names are qualified, as ``named_modules`` gives them."""

    entry: str  # the convolution before
    conv: str  # the k×k that a unit can replace
    exit: str  # the convolution behind
    before: tuple[str, ...]  # modules between entry and conv
    after: tuple[str, ...]  # modules between conv and exit
    entry_tail: Tail  # norm and activation right behind entry
    tail: Tail  # norm and activation right behind conv
    first: bool  # of its stage: the resolution or the channels change
    obstacle: str  # why it is not a bottleneck; "" if it is one

    @property
    def is_bottleneck(self) -> bool:
        """1×1, k×k with few groups, 1×1, and the result added to something else."""
        return not self.obstacle

    @property
    def modules(self) -> tuple[str, ...]:
        """All modules from entry to exit, in order."""
        return (self.entry, *self.before, self.conv, *self.after, self.exit)

    @property
    def block(self) -> str:
        """The common prefix of the three convolutions: the block's name."""
        parts = zip(*(name.split(".") for name in (self.entry, self.conv, self.exit)), strict=False)
        common = []
        for part in parts:
            if len(set(part)) > 1:
                break
            common.append(part[0])
        return ".".join(common)


def find_sequences(model: nn.Module, run: Record) -> list[ConvSequence]:
    """All possible places for a unit, bottlenecks and others, in execution order."""
    return _Search(model, run).sequences()


class _Search:
    """A recorded run as a graph. ``behind[i]`` has the bits of all steps that i depends on."""

    def __init__(self, model: nn.Module, run: Record) -> None:
        self.layers = dict(model.named_modules())
        self.steps = run.steps
        self.readers: list[list[int]] = [[] for _ in run.steps]
        self.behind: list[int] = []
        self.calls = Counter(step.module for step in run.steps)
        for step in run.steps:
            bits = 1 << step.index
            for i in step.inputs:
                bits |= self.behind[i]
                self.readers[i].append(step.index)
            self.behind.append(bits)

    def sequences(self) -> list[ConvSequence]:
        found = []
        for step in self.steps:
            middle = self._conv_before(step) if self._is_conv(step) else None
            entry = self._conv_before(middle) if middle is not None else None
            if middle is None or entry is None or max(self._conv(middle).kernel_size) == 1:
                continue
            channels = self._conv(entry).out_channels, self._conv(step).in_channels
            if channels != (self._conv(middle).in_channels, self._conv(middle).out_channels):
                continue
            if self._is_closed(entry, step) and self._keeps_size(middle):
                found.append(self._describe(entry, middle, step))
        return found

    def _is_conv(self, step: Step) -> bool:
        """A convolution that is called once, so that its channels are its own."""
        layer = self.layers.get(step.module)
        return isinstance(layer, nn.Conv2d) and step.whole and self.calls[step.module] == 1

    def _conv(self, step: Step) -> nn.Conv2d:
        layer = self.layers[step.module]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def _conv_before(self, step: Step) -> Step | None:
        """The convolution whose output reaches ``step`` alone, gated at most (x · gate(x))."""
        while step.inputs:
            if len(step.inputs) == 1:
                step = self.steps[step.inputs[0]]
            elif "mul" in step.ops or self._is_broadcast(step):
                shared = self.behind[step.inputs[0]]
                for i in step.inputs[1:]:
                    shared &= self.behind[i]
                step = self.steps[shared.bit_length() - 1]
            else:
                return None
            if self._is_conv(step):
                return step
        return None

    def _is_broadcast(self, step: Step) -> bool:
        """One value a channel meets a map, as in attention over channels."""
        return any(self.steps[i].shape[2:] == (1, 1) for i in step.inputs)

    def _between(self, entry: Step, exit_: Step) -> list[Step]:
        return [
            step
            for step in self.steps[entry.index + 1 : exit_.index]
            if self.behind[step.index] >> entry.index & 1
            and self.behind[exit_.index] >> step.index & 1
        ]

    def _is_closed(self, entry: Step, exit_: Step) -> bool:
        """Nobody else reads what lies between, and its layers serve nowhere else."""
        between = self._between(entry, exit_)
        allowed = {step.index for step in between} | {exit_.index}
        if not all(allowed.issuperset(self.readers[step.index]) for step in (entry, *between)):
            return False
        inside = Counter(step.module for step in between)
        return all(
            self.calls[step.module] == (1 if step.whole else inside[step.module])
            for step in between
            if _has_tensors(self.layers[step.module])
        )

    def _keeps_size(self, step: Step) -> bool:
        """Padded so that only the stride makes the map smaller."""
        before, after = self.steps[step.inputs[0]].shape[2:], step.shape[2:]
        stride = self._conv(step).stride
        return all(
            small == -(-large // s) for large, small, s in zip(before, after, stride, strict=True)
        )

    def _describe(self, entry: Step, middle: Step, exit_: Step) -> ConvSequence:
        between = self._between(entry, exit_)
        after = [step for step in between if self.behind[step.index] >> middle.index & 1]
        before = [step for step in between if step not in after]
        strided = exit_.shape[2:] != self.steps[entry.inputs[0]].shape[2:]
        channels_in, channels_out = self._conv(entry).in_channels, self._conv(exit_).out_channels
        return ConvSequence(
            entry=entry.module,
            conv=middle.module,
            exit=exit_.module,
            before=_names(before),
            after=_names([step for step in after if step is not middle]),
            entry_tail=self._tail(entry),
            tail=self._tail(middle),
            first=strided or channels_in != channels_out,
            obstacle=self._obstacle(entry, middle, exit_),
        )

    def _tail(self, conv: Step) -> Tail:
        norm, step = None, self._only_reader(conv)
        if step is not None and self._is_norm(step):
            norm = step.module
            if step.ops[-1] in _ACTIVATIONS:
                return Tail(norm=norm, act=step.ops[-1], act_module=norm)
            step = self._only_reader(step)
        if step is None or not _is_activation(step, self.layers[step.module]):
            return Tail(norm=norm)
        return Tail(
            norm=norm,
            act=step.ops[-1],
            act_module=step.module if step.whole else None,
            act_alone=step.whole and self.calls[step.module] == 1,
        )

    def _only_reader(self, step: Step) -> Step | None:
        readers = self.readers[step.index]
        reader = self.steps[readers[0]] if len(readers) == 1 else None
        return reader if reader is not None and len(reader.inputs) == 1 else None

    def _is_norm(self, step: Step) -> bool:
        layer = self.layers[step.module]
        if not step.whole or isinstance(layer, nn.Conv2d | nn.Linear | nn.PReLU):
            return False
        own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        return isinstance(layer, NORMS) or any(tensor.shape == step.shape[1:2] for tensor in own)

    def _obstacle(self, entry: Step, middle: Step, exit_: Step) -> str:
        """Why this is not a bottleneck, or ""."""
        for step in (entry, exit_):
            conv = self._conv(step)
            if conv.kernel_size != (1, 1) or conv.groups > 1:
                return f"{step.module} is not a plain 1×1 convolution"
        if self._conv(middle).groups == self._conv(middle).in_channels:
            return f"{middle.module} is depthwise"
        if not self._is_added(entry, exit_):
            return f"the output of {exit_.module} is not added to a shortcut"
        return ""

    def _is_added(self, entry: Step, exit_: Step) -> bool:
        """What the exit puts out is added to what the entry had no part in."""
        todo, seen = [exit_.index], {exit_.index}
        while todo:
            for reader in self.readers[todo.pop()]:
                step = self.steps[reader]
                if reader in seen or self._is_conv(step):
                    continue
                others = [i for i in step.inputs if not self.behind[i] >> entry.index & 1]
                if step.ops[-1] == "add" and others:
                    return True
                seen.add(reader)
                todo.append(reader)
        return False


def _has_tensors(layer: nn.Module) -> bool:
    """Parameters or buffers of its own."""
    own = next(layer.parameters(recurse=False), None), next(layer.buffers(recurse=False), None)
    return any(tensor is not None for tensor in own)


def _is_activation(step: Step, layer: nn.Module) -> bool:
    if step.whole:
        return step.pointwise and (not _has_tensors(layer) or isinstance(layer, nn.PReLU))
    return step.ops[-1] in _ACTIVATIONS


def _names(steps: Sequence[Step]) -> tuple[str, ...]:
    """Modules of the steps, each once, in order."""
    return tuple(dict.fromkeys(step.module for step in steps))
