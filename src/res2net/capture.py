"""A network on a GPU with recorded launches: the same numbers, with one launch per batch.

On a GPU an eager network of many small convolutions is bound by launch overhead. ``Captured``
rewrites the network for inference (``res2net.rewrite``) and records all launches of a batch size as
one graph.
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, fx, nn

from res2net.errors import UserError, one_line
from res2net.nn.fused import fuse_units, missing
from res2net.rewrite import fold_batchnorm, lowered, pad_splits, with_epilogues

CHOICES = ("auto", "on", "off", "triton")
ALONE = {"off": "leaves the network as it is", "triton": "has kernels of its own"}
ROUNDING = 0.05  # relative L2 between algorithms of 16 bits, at most
COMPILED = ("default", "reduce-overhead", "max-autotune")  # modes of torch.compile


@dataclass(frozen=True)
class Recording:
    """The launches of one batch size, and the memory that they read and write."""

    images: Tensor
    found: Any  # a tensor, or tensors in a dictionary, list or tuple
    replay: Callable[[], None]


class Recorder(Protocol):
    """A recorder of calls: ``record_cuda``, or a test's own."""

    def __call__(self, run: Callable[[Tensor], Any], images: Tensor) -> Recording:
        """Run once or more, and record."""


def record_cuda(run: Callable[[Tensor], Any], images: Tensor) -> Recording:
    """A CUDA graph of a call, which is replayed by one launch."""
    with torch.inference_mode(False):
        images = images.clone()
    with torch.cuda.device_of(images):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        # by default ``flags`` turns cuDNN off
        with torch.cuda.stream(side), torch.backends.cudnn.flags(enabled=True, benchmark=True):
            for _ in range(3):  # warm-up of cuDNN and the allocator
                run(images)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # loaders pin memory
            found = run(images)
    return Recording(images, found, graph.replay)


class Captured(nn.Module):
    """A network for inference: evaluation mode, no gradients, rewritten for its precision.

    Under autocast it computes in autocast's 16-bit type, else in the type of its weights; the
    weights are copied for each type, and again when they change. On a GPU all launches of a batch
    size are recorded at its second use, for up to ``SIZES`` sizes, and the recording is compared
    with the network once. A smaller batch is padded to a recorded size of at most twice its own,
    others run unrecorded.

    Args:
        net: any network. One that ``torch.fx`` cannot trace runs unchanged, with a warning.
        compiled: a mode of ``torch.compile``, in place of the recording.
        recorder: recorder of calls; None: of CUDA graphs on a GPU, elsewhere none.
        fused: whether a Res2Net unit is one Triton kernel (``res2net.nn.fused``).
    """

    SIZES = 12  # recorded batch sizes, over all image sizes; each keeps the memory of its maps

    def __init__(
        self,
        net: nn.Module,
        *,
        compiled: str | None = None,
        recorder: Recorder | None = None,
        fused: bool = False,
    ) -> None:
        super().__init__()
        self.net, self.compiled, self.fused = net, compiled, fused
        self.recorder = record_cuda if recorder is None else recorder
        self.records_anywhere = recorder is not None
        self._lock = threading.Lock()
        self._watched: list[Tensor] = []  # the weights that the copies were made from
        self._stamp: tuple[int, int] | None = None
        self._forms: dict[torch.dtype, Callable[[Tensor], Any] | None] = {}
        self._recorded: dict[tuple[Any, ...], dict[int, Recording | None]] = {}
        self.eval()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # other attributes of the network
            return getattr(super().__getattr__("net"), name)

    def forward(self, x: Tensor) -> Any:
        """(B, C, H, W) → what the network returns."""
        if self.training or torch.is_grad_enabled():
            return self.net(x)
        kind, place = next(self.net.parameters()).dtype, x.device.type
        if torch.is_autocast_enabled(place):
            kind = torch.get_autocast_dtype(place)
        with self._lock:
            run = self._form(kind)
            if run is None:
                return self.net(x)
            with torch.autocast(place, enabled=False):
                x = x.to(kind)
                if self.compiled:
                    return _first(run(x), len(x))
                if not (x.is_cuda or self.records_anywhere):
                    return run(x)
                return self._replayed(run, x)

    def _form(self, kind: torch.dtype) -> Callable[[Tensor], Any] | None:
        """The network in a dtype; made again if its weights have changed."""
        stamp = _stamp(self._watched)
        if stamp is None or stamp != self._stamp:
            self._forms.clear()
            self._recorded.clear()
            self._watched = [*self.net.parameters(), *self.net.buffers()]
            self._stamp = _stamp(self._watched)
        if kind not in self._forms:
            self._forms[kind] = self._rewritten(kind)
        return self._forms[kind]

    def _rewritten(self, kind: torch.dtype) -> Callable[[Tensor], Any] | None:
        with torch.inference_mode(False), torch.no_grad():
            try:
                net = fold_batchnorm(self.net)
                if kind.itemsize == 2:
                    pad_splits(net)
                if self.fused:
                    fuse_units(net)
                if self.compiled:
                    return torch.compile(lowered(net, kind), mode=self.compiled)
                return lowered(with_epilogues(net), kind)
            except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError) as error:
                name = type(self.net).__name__
                warnings.warn(
                    f"{name} runs unchanged: it cannot be rewritten ({one_line(error)})",
                    stacklevel=2,
                )
                return None

    def _replayed(self, run: Callable[[Tensor], Any], x: Tensor) -> Any:
        batch = len(x)
        sizes = self._recorded.setdefault((x.dtype, x.device, x.shape[1:]), {})
        if batch not in sizes:
            sizes[batch] = None  # seen once
        elif sizes[batch] is None and self._number() < self.SIZES:
            sizes[batch] = self._record(run, x)
        held = {size: each for size, each in sizes.items() if each is not None}
        fitting = min((size for size in held if batch <= size <= 2 * batch), default=0)
        if not fitting:
            return run(x)
        recording = held[fitting]
        recording.images[:batch].copy_(x)
        recording.replay()
        return _first(recording.found, batch)

    def _record(self, run: Callable[[Tensor], Any], x: Tensor) -> Recording | None:
        try:
            recording = self.recorder(run, x)
            recording.replay()
            if _agree(recording.found, run(x)):
                return recording
            reason = "the results of a recording differ from those of the network"
        except RuntimeError as error:  # no memory, or an operation that cannot be recorded
            reason = one_line(error)
        self.SIZES = 0
        warnings.warn(f"no further batch sizes are recorded: {reason}", stacklevel=2)
        return None

    def _number(self) -> int:
        recorded = (each for sizes in self._recorded.values() for each in sizes.values())
        return sum(each is not None for each in recorded)


def capture(
    model: nn.Module,
    within: str = "",
    *,
    how: str = "auto",
    compiled: str | None = None,
    recorder: Recorder | None = None,
) -> nn.Module:
    """A network for inference on its device: captured on a GPU, unchanged on a CPU.

    Args:
        within: the part that can be traced; "" is the whole.
        how: "auto", "on" (needs a GPU), "off", or "triton": as "auto", with each Res2Net unit as
            one kernel where Triton and a GPU are present, else with a warning.
        compiled: a mode of ``torch.compile``, on any device.
        recorder: see ``Captured``.

    Raises:
        UserError: an unknown value, "on" without a GPU, or "off" or "triton" with
            ``compiled``.
    """
    if how not in CHOICES:
        raise UserError(f"--capture is {how!r}; choose from {', '.join(CHOICES)}")
    if compiled is not None and compiled not in COMPILED:
        raise UserError(f"--compile is {compiled!r}; choose from {', '.join(COMPILED)}")
    on_gpu = recorder is not None or any(each.is_cuda for each in model.parameters())
    if how == "on" and not on_gpu:
        raise UserError("--capture on needs a GPU and there is none; leave it out")
    if how in ALONE and compiled is not None:
        raise UserError(f"--capture {how} {ALONE[how]}; leave out --compile")
    reason = missing(next(model.parameters()).device) if how == "triton" else None
    if reason is not None:
        warnings.warn(f"--capture triton runs as --capture auto: {reason}", stacklevel=2)
    if how == "off" or not (on_gpu or compiled):
        return model
    fused = how == "triton" and reason is None
    part = Captured(model.get_submodule(within), compiled=compiled, recorder=recorder, fused=fused)
    if not within:
        return part
    whole = copy.copy(model)  # a shallow copy, in which one module is replaced
    whole._modules = model._modules | {within: part}
    return whole


def _stamp(weights: list[Tensor]) -> tuple[int, int] | None:
    """A key that changes with the weights' values and addresses."""
    if not weights:
        return None
    versions = sum(0 if each.is_inference() else each._version for each in weights)
    return versions, weights[0].data_ptr()


def _agree(found: Any, wanted: Any) -> bool:
    """Whether two results are equal up to the rounding of 16 bits."""
    if isinstance(found, Tensor):
        one, two = found.float(), wanted.float()
        return bool((one - two).norm() <= ROUNDING * two.norm())
    if isinstance(found, dict):
        found, wanted = found.values(), wanted.values()
    return all(map(_agree, found, wanted))


def _first(found: Any, batch: int) -> Any:
    """A copy of the first results: the next call overwrites what lies in recorded memory."""
    if isinstance(found, Tensor):
        return found[:batch].clone()
    if isinstance(found, dict):
        return {name: _first(each, batch) for name, each in found.items()}
    return type(found)(_first(each, batch) for each in found)
