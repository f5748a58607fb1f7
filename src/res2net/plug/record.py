"""Record one run of a network: data flow, shapes and costs.

The run uses an image without values (shapes only), so it takes no memory and changes no statistics.
A call of a convolution, a norm or any other module without inner layers is one step; elsewhere
every operation is one step, so functions between modules are recorded too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from res2net.errors import UserError


@dataclass(frozen=True, slots=True)
class Reach:
    """Receptive field and stride of values in pixels of the image, (height, width)."""

    field: tuple[int, int]
    stride: tuple[int, int]


PIXEL = Reach((1, 1), (1, 1))
NOTHING = Reach((0, 0), (0, 0))

_Window = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # kernel, stride, dilation


def _pair(value: Any) -> tuple[int, int]:
    """(height, width) from one number or a list of one or two."""
    sides = [value] if isinstance(value, int) else list(value)
    return sides[0], sides[-1]


def _argument(args: Sequence[Any], position: int, otherwise: Any) -> Any:
    """An argument that may be left out or empty."""
    given = args[position] if len(args) > position else []
    return otherwise if given in ([], ()) else given


_WINDOWS: dict[str, Callable[[Sequence[Any]], _Window]] = {
    "convolution": lambda a: (_pair(a[1].shape[2:]), _pair(a[3]), _pair(a[5])),
    "avg_pool2d": lambda a: (_pair(a[1]), _pair(_argument(a, 2, a[1])), (1, 1)),
    "max_pool2d_with_indices": lambda a: (
        _pair(a[1]),
        _pair(_argument(a, 2, a[1])),
        _pair(_argument(a, 4, 1)),
    ),
}


def reach_behind(
    op: str, args: Sequence[Any], inputs: Sequence[Reach], shape: Sequence[int]
) -> Reach:
    """The reach of an operation's output: windows widen it, others keep the widest input's.

    As in ``res2net.paper.tally``: the largest along any path, ignoring global means.

    Args:
        op: name of the operation.
        args: what it was called with.
        inputs: reaches of the tensors it reads.
        shape: of what it puts out.
    """
    is_map = len(shape) == 4
    if op in ("mean", "_adaptive_avg_pool2d") and (not is_map or tuple(shape[2:]) == (1, 1)):
        return NOTHING
    fields = [max(x.field[axis] for x in inputs) for axis in (0, 1)]
    strides = [max(x.stride[axis] for x in inputs) for axis in (0, 1)]
    if is_map and op in _WINDOWS:
        kernel, stride, dilation = _WINDOWS[op](args)
        for axis in (0, 1):
            fields[axis] += (kernel[axis] - 1) * dilation[axis] * strides[axis]
            strides[axis] *= stride[axis]
    return Reach((fields[0], fields[1]), (strides[0], strides[1]))


@dataclass(kw_only=True, slots=True)
class Step:
    """One step of the computation."""

    index: int
    module: str  # qualified name of the innermost module; "" is the network's own forward
    inputs: tuple[int, ...]  # input steps
    whole: bool  # a whole module call, else one operation
    ops: list[str] = field(default_factory=list)  # names of operations, in-place ones without _
    pointwise: bool = True  # every operation works value by value
    shape: tuple[int, ...] = ()  # of what it puts out
    macs: int = 0
    receptive_field: int = 0  # pixels of the image, the larger side; a global mean counts as none


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """The steps of a run in their order; step 0 is the image."""

    steps: tuple[Step, ...]
    output: tuple[tuple[int, ...], ...]  # shapes of the network's outputs

    @property
    def macs(self) -> int:
        """Multiply-adds of the network for one image."""
        return sum(step.macs for step in self.steps)


def record(model: nn.Module, image_size: int) -> Record:
    """Run the network on one square image in evaluation mode, and record it.

    The image has the channels of the network's first convolution, or 3 if that fails.

    Raises:
        UserError: the network cannot be run on such an image.
    """
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.in_channels == 3:
        return _record(model, 3, image_size)
    try:
        return _record(model, first.in_channels, image_size)
    except UserError as error:
        try:
            return _record(model, 3, image_size)
        except UserError:
            raise error from None


def _record(model: nn.Module, channels: int, image_size: int) -> Record:
    like = next(model.parameters(), torch.empty(0))
    recorder, fake = _Recorder(), FakeTensorMode(allow_non_fake_inputs=True)
    tensors = [*model.named_parameters(), *model.named_buffers()]
    shapes: dict[str, Tensor] = {name: fake.from_tensor(tensor) for name, tensor in tensors}
    with torch.no_grad(), _evaluating(model), _hooked(model, recorder), _silent(), fake:
        shape = (1, channels, image_size, image_size)
        try:
            image = torch.empty(shape, device=like.device, dtype=like.dtype)
            recorder.begin(image)
            with recorder:
                output = functional_call(model, shapes, (image,))
        except Exception as error:
            place = recorder.place or type(model).__name__
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"{type(model).__name__} cannot be run on an image of {image_size}x{image_size} "
                f"with {channels} channels; {place}: {reason} (image_size chooses another)"
            ) from error
    made = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
    return Record(steps=tuple(recorder.steps), output=tuple(tuple(t.shape) for t in made))


@contextmanager
def _silent() -> Iterator[None]:
    """Silence PyTorch's printed errors of runs without values."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    log.disabled, before = True, log.disabled
    try:
        yield
    finally:
        log.disabled = before


# operations that work value by value although PyTorch does not mark them so
_ALSO_POINTWISE = frozenset({"hardswish", "_prelu_kernel", "clone", "detach"})


@dataclass(slots=True)
class _Frame:
    """A call that runs."""

    module: str
    whole: bool
    step: Step | None = None  # of a whole one, once an operation was seen


class _Recorder(TorchDispatchMode):
    """Intercept every operation; hooks track the current module."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self._frames: list[_Frame] = []
        self._made_by: dict[int, int] = {}  # id of a tensor → step
        self._reach: dict[int, Reach] = {}  # id of a tensor → its reach
        self._alive: list[Tensor] = []  # keeps ids unique

    @property
    def place(self) -> str:
        """The module that runs."""
        return self._frames[-1].module if self._frames else ""

    def begin(self, image: Tensor) -> None:
        """Take the image as step 0."""
        self.steps.append(Step(index=0, module="", inputs=(), whole=True, shape=tuple(image.shape)))
        self._keep(image, 0, PIXEL)

    def enter(self, name: str, whole: bool) -> None:
        """A module is called; inside a whole one no other is seen."""
        inside_whole = self._frames and self._frames[-1].whole
        self._frames.append(self._frames[-1] if inside_whole else _Frame(name, whole))

    def leave(self) -> None:
        """The module's call is over."""
        self._frames.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        read = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        read = [x for x in read if id(x) in self._made_by]
        made = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        if not read or not made:
            return out  # made of parameters alone, or a question about a tensor
        packet = func._overloadpacket
        step = self._step({self._made_by[id(x)] for x in read})
        name = packet.__name__
        step.ops.append(name if name.startswith("_") else name.rstrip("_"))
        step.pointwise &= torch.Tag.pointwise in func.tags or step.ops[-1] in _ALSO_POINTWISE
        if packet in flop_registry:
            step.macs += flop_registry[packet](*args, **kwargs, out_val=out) // 2
        step.shape = tuple(made[0].shape)
        reach = reach_behind(step.ops[-1], args, [self._reach[id(x)] for x in read], step.shape)
        step.receptive_field = max(reach.field)
        for y in made:
            self._keep(y, step.index, reach)
        return out

    def _step(self, inputs: set[int]) -> Step:
        """The step an operation belongs to; a new one unless a whole module is under way."""
        frame = self._frames[-1] if self._frames else _Frame("", whole=False)
        step = frame.step
        if step is None:
            step = Step(index=len(self.steps), module=frame.module, inputs=(), whole=frame.whole)
            self.steps.append(step)
        if frame.whole:
            frame.step = step
        step.inputs = tuple(sorted({*step.inputs, *inputs} - {step.index}))
        return step

    def _keep(self, tensor: Tensor, step: int, reach: Reach) -> None:
        self._made_by[id(tensor)] = step
        self._reach[id(tensor)] = reach
        self._alive.append(tensor)


def is_whole(module: nn.Module) -> bool:
    """A layer: a convolution, or whatever has tensors of its own and none in its children."""
    if isinstance(module, nn.modules.conv._ConvNd):
        return True
    if next(module.children(), None) is None:
        return True
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    parameters = len(list(module.parameters()))
    return bool(own) and parameters == len(list(module.parameters(recurse=False)))


@contextmanager
def _hooked(model: nn.Module, recorder: _Recorder) -> Iterator[None]:
    handles = []
    for name, module in model.named_modules():

        def enter(
            _module: nn.Module, _args: Any, name: str = name, whole: bool = is_whole(module)
        ) -> None:
            recorder.enter(name, whole)

        def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
            recorder.leave()

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, every module's own mode afterwards."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
