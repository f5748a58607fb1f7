"""A whole training step as one launch: forward, backward and update are recorded and replayed.

On a GPU an eager step of many small kernels is bound by launch overhead. Lightning keeps the loop:
a recorded step replaces its closure and its update; everything around them (schedule, averages,
logging, checkpoints) is as in an eager step.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn, optim

from res2net import machine
from res2net.config import RunConfig
from res2net.errors import UserError, one_line
from res2net.tasks.task import Task

Run = Callable[[], Sequence[Tensor]]  # a step → its results


class StepRecorder(Protocol):
    """A recorder of steps: ``record_cuda_step``, or a test's own."""

    def __call__(self, run: Run) -> Run:
        """Record without computing; the returned function computes the step and its results."""


def record_cuda_step(run: Run) -> Run:
    """Record a step as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # loaders pin memory meanwhile
        found = run()

    def replay() -> Sequence[Tensor]:
        graph.replay()
        return found

    return replay


class WholeStep:
    """Records the step of a batch size after ``WARM`` eager runs, then replays it.

    Other sizes (an incomplete last batch) run eagerly. The learning rate becomes a tensor that the
    schedule writes to; batch norms count steps on the host, as the last eager step did.
    """

    WARM = 3  # warm-up of cuDNN, the allocator and the optimiser's state

    def __init__(self, recorder: StepRecorder = record_cuda_step) -> None:
        self.recorder = recorder
        self.recording = False
        self.inputs: tuple[Tensor, ...] = ()  # inputs of the current step
        self.found: Sequence[Tensor] = ()  # loss and further results of a replayed step
        self._eager: Counter[object] = Counter()
        self._kind: object = None  # shapes and types of the recorded step
        self._static: tuple[Tensor, ...] = ()
        self._replay: Run | None = None
        self._counted: list[int] = []  # batches that each norm counts in a step
        self._off = False

    def step(self, module: Any, optimiser: Any, inputs: tuple[Tensor, ...], eager: Run) -> bool:
        """Train on a batch; False if it has to run eagerly.

        Args:
            module: the module that trains.
            inputs: inputs of the step.
            eager: a step on ``self.inputs``, update included.
        """
        kind = tuple((each.shape, each.dtype, each.stride()) for each in inputs)
        self.inputs, self.found = inputs, ()
        if self._replay is None and self._eager[kind] >= self.WARM and not self._off:
            self._record(kind, module, optimiser, eager)
        norms = _norms(module)
        if self._replay is None or kind != self._kind:
            before = [int(norm.num_batches_tracked) for norm in norms] if self._warms(kind) else []
            eager()
            if before:
                after = (int(norm.num_batches_tracked) for norm in norms)
                self._counted = [b - a for a, b in zip(before, after, strict=True)]
            self._eager[kind] += 1
            return False
        for static, each in zip(self._static, inputs, strict=True):
            static.copy_(each)
        with self._uncounted(norms):
            self.found = [each.clone() for each in self._replay()]
        if norms:
            torch._foreach_add_([norm.num_batches_tracked for norm in norms], self._counted)
        return True

    def _warms(self, kind: object) -> bool:
        """Whether the next step of this kind may be recorded; then the counters are compared."""
        return self._replay is None and not self._off and self._eager[kind] == self.WARM - 1

    def _record(self, kind: object, module: Any, optimiser: Any, eager: Run) -> None:
        live = self.inputs
        self._static = self.inputs = tuple(each.clone() for each in live)
        make_recordable(getattr(optimiser, "optimizer", optimiser))
        self.recording = True
        try:
            with self._uncounted(_norms(module)):
                self._replay = self.recorder(self._recorded(eager))
            self._kind = kind
        except RuntimeError as error:  # no memory, or an operation that cannot be recorded
            self._off = True
            warnings.warn(f"steps are not recorded: {one_line(error)}", stacklevel=2)
        finally:
            self.recording, self.inputs = False, live

    def _recorded(self, eager: Run) -> Run:
        def run() -> Sequence[Tensor]:
            was, self.recording, self.inputs = self.recording, True, self._static
            try:
                return eager()
            finally:
                self.recording = was

        return run

    @contextmanager
    def _uncounted(self, norms: Sequence[Any]) -> Iterator[None]:
        counts = [norm.num_batches_tracked for norm in norms]
        for norm in norms:
            norm.num_batches_tracked = None
        try:
            yield
        finally:
            for norm, count in zip(norms, counts, strict=True):
                norm.num_batches_tracked = count


def _norms(module: nn.Module) -> list[Any]:
    """Batch norms that count steps."""
    return [
        each
        for each in module.modules()
        if isinstance(each, nn.modules.batchnorm._BatchNorm)
        and each.num_batches_tracked is not None
    ]


def make_recordable(optimiser: optim.Optimizer) -> None:
    """Keep what the schedule changes where a recorded update reads it, in place."""
    for group in optimiser.param_groups:
        place = group["params"][0].device
        kind = torch.float32 if place.type == "cuda" else torch.float64  # as the kernels read it
        group["lr"] = torch.as_tensor(group["lr"], dtype=kind, device=place).clone()
        if "capturable" in group and place.type == "cuda":
            group["capturable"] = True


def as_eager(checkpoint: dict[str, Any]) -> None:
    """Store optimisers and schedules as an eager run does, in place."""
    for state in checkpoint.get("optimizer_states", ()):
        state["param_groups"] = [
            {**group, "lr": float(group["lr"])}
            | ({"capturable": False} if "capturable" in group else {})
            for group in state["param_groups"]
        ]
    for schedule in checkpoint.get("lr_schedulers", ()):
        schedule["_last_lr"] = [float(each) for each in schedule["_last_lr"]]


def make_whole_step(
    config: RunConfig, task: Task, processes: machine.Processes
) -> WholeStep | None:
    """The recorder of a run's steps for ``--capture``; None if steps stay eager.

    Raises:
        UserError: "on" if steps cannot be recorded; the message gives the reason.
    """
    if config.capture == "off":
        return None
    options = config.train
    reasons: Mapping[str, bool] = {
        "needs a GPU and there is none": machine.best_device().type != "cuda",
        f"needs batches of one size; those of --task {config.task} vary": not task.one_size,
        "is for one process": processes.world > 1,
        "and --compile exclude each other": bool(config.compile),
        "needs --train.accumulate 1": options.accumulate > 1,
        "needs --train.unfreeze-every 0": options.unfreeze_every > 0,
        "cannot record --train.optimizer lamb": options.optimizer == "lamb",
        "needs --train.gradient-checkpointing none or cheap": options.gradient_checkpointing
        == "full",
        "cannot clip gradients in fp16; set --train.clip 0 or --train.precision bf16": bool(
            options.clip and options.precision == "fp16"
        ),
    }
    reason = next((each for each, holds in reasons.items() if holds), None)
    if reason is None:
        return WholeStep()
    if config.capture == "on":
        raise UserError(f"--capture on {reason}")
    return None
