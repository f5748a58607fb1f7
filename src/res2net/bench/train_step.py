"""Benchmark one training step (forward, loss, backward, SGD) against timm's same network.

Each case has a maker, a precision and a memory layout. ``ours bf16 nhwc`` is the default of
``res2net train`` on a processor with bfloat16; ``timm fp32 nchw`` is timm's default; ``cheap`` and
``full`` are kinds of gradient checkpointing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from res2net import machine
from res2net.bench.makers import builder
from res2net.bench.memory import bytes_kept, peak_memory
from res2net.bench.options import TrainStepOptions
from res2net.bench.protocol import (
    RATIOS,
    Measurement,
    Timing,
    Track,
    computed_here,
    interleave,
    ratio_cells,
    shown,
    versions_of,
)
from res2net.processor import threads

DEFAULTS = ("ours bf16 nhwc", "timm fp32 nchw")
CASES = (
    *DEFAULTS,
    *("timm bf16 nhwc", "ours fp32 nchw", "ours fp32 nhwc", "timm fp32 nhwc"),
    *("ours bf16 nhwc cheap", "ours bf16 nhwc full"),
)
EQUAL = tuple(
    (case, " ".join(["timm", *case.split()[1:3]])) for case in CASES if case.startswith("ours")
)
# ratio → case → reference case of its speed
OVER = {"speed_over_timm_default": dict([DEFAULTS]), "speed_over_timm_equal": dict(EQUAL)}
MAKERS = ("ours", "timm")
COLUMNS = {
    "case": "case",
    "images_per_second": "img/s (median)",
    "median_ms": "ms (median)",
    "least_ms": "ms (least)",
    "peak_mib": "peak MiB",
    "saved_mib": "saved MiB",
}


def run(options: TrainStepOptions, track: Track) -> Measurement:
    """Measure time and memory of a training step, ours and timm's.

    Raises:
        UserError: timm is not installed, or lacks the network.
    """
    torch.set_num_threads(threads())
    for maker in MAKERS:
        builder(options.model, maker)  # refuses here what it would in a process of its own
    cases = computed_here(CASES)
    given: dict[str, Any] = {"network": options.model, "batch": options.batch, "size": options.size}
    memory = {case: peak_memory(__name__, case=case, **given) for case in cases}
    saved = {case: bytes_kept(make_training(case, **given).forward) for case in cases}
    steps = {case: step_of(case, **given) for case in cases}
    timings = interleave(steps, rounds=options.rounds, track=track)
    rows: list[dict[str, object]] = [
        {
            **given,
            "case": case,
            "images_per_second": round(options.batch / timing.median, 2),
            "median_ms": round(1000 * timing.median, 1),
            "least_ms": round(1000 * timing.least, 1),
            "peak_mib": round(memory[case] / 2**20),
            "saved_mib": round(saved[case] / 2**20),
            "n": len(timing.seconds),
            **speed_ratios(case, timings),
            **versions_of("timm"),
        }
        for case, timing in timings.items()
    ]
    lines = [
        f"{row['case']}: {name.replace('_', ' ')} {shown(row, name)}x"
        for row in rows
        for name in OVER
        if row[name] != ""
    ]
    return Measurement(rows=rows, columns=COLUMNS, lines=[*lines, RATIOS])


def speed_ratios(case: str, timings: dict[str, Timing]) -> dict[str, object]:
    """Speed relative to timm's default and to timm at equal precision and layout."""
    found: dict[str, object] = {}
    for name, pairs in OVER.items():
        other = timings.get(pairs.get(case, ""))
        found |= ratio_cells(name, timings[case].speed_over(other) if other else None)
    return found


@dataclass(frozen=True)
class Training:
    """One case, ready to run on fixed random images."""

    forward: Callable[[], Tensor]  # → loss
    finish: Callable[[Tensor], None]  # backward and update

    def step(self) -> None:
        """A whole training step."""
        self.finish(self.forward())
        machine.wait()


def make_training(case: str, network: str, *, batch: int, size: int) -> Training:
    """What trains a case.

    Raises:
        UserError: timm is requested and not installed, or lacks the network.
    """
    maker, precision, layout, *checkpointing = case.split()
    device = machine.best_device()
    torch.manual_seed(0)
    model: Any = builder(network, maker)().to(device)
    if checkpointing:
        model.gradient_checkpointing = checkpointing[0]
    images = torch.randn(batch, 3, size, size, device=device)
    targets = torch.randint(0, 1000, (batch,), device=device)
    if layout == "nhwc":
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    model.train()

    def forward() -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = model(images)
        return F.cross_entropy(logits.float(), targets)

    def finish(loss: Tensor) -> None:
        torch.autograd.backward(loss)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return Training(forward, finish)


def step_of(case: str, network: str, *, batch: int, size: int) -> Callable[[], None]:
    """A whole training step of a case."""
    return make_training(case, network, batch=batch, size=size).step
