"""One training step (forward, loss, backward, SGD) beside timm's same network.

Each case names its maker, its precision and its memory layout. ``ours bf16 nhwc`` is what
``res2net train`` does on a processor with bfloat16; ``timm fp32 nchw`` is what timm does unless
told otherwise; ``cheap`` and ``full`` are kinds of gradient checkpointing.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from res2net import machine
from res2net.bench.memory import bytes_kept
from res2net.errors import UserError
from res2net.models.factory import create_model

DEFAULTS = ("ours bf16 nhwc", "timm fp32 nchw")
CASES = (
    *DEFAULTS,
    *("timm bf16 nhwc", "ours fp32 nchw", "ours fp32 nhwc", "timm fp32 nhwc"),
    *("ours bf16 nhwc cheap", "ours bf16 nhwc full"),
)
EQUAL = tuple(
    (case, " ".join(["timm", *case.split()[1:3]])) for case in CASES if case.startswith("ours")
)


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
        UserError: timm is asked for and not installed, or lacks the network.
    """
    maker, precision, layout, *checkpointing = case.split()
    device = machine.best_device()
    torch.manual_seed(0)
    model = (_timm(network) if maker == "timm" else create_model(network)).to(device)
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


def saved_bytes(case: str, network: str, *, batch: int, size: int) -> int:
    """Bytes that forward keeps for backward."""
    return bytes_kept(make_training(case, network, batch=batch, size=size).forward)


def peak_memory(case: str, network: str, *, batch: int, size: int, steps: int = 3) -> int:
    """Peak bytes of a fresh process that does some steps of a case: on the GPU, else resident."""
    code = (
        "import json, sys; from res2net.bench.train_step import run_alone; "
        "print(run_alone(**json.loads(sys.argv[1])))"
    )
    call = {"case": case, "network": network, "batch": batch, "size": size, "steps": steps}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(call)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1])


def run_alone(case: str, network: str, batch: int, size: int, steps: int) -> int:
    """Do some steps and return this process's peak bytes: on the GPU, else resident."""
    training = make_training(case, network, batch=batch, size=size)
    for _ in range(steps):
        training.step()
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _timm(network: str) -> Any:
    try:
        import timm
    except ModuleNotFoundError:
        raise UserError("timm is not installed: pip install timm==1.0.31") from None
    # timm lists ours too once res2net.integrations.timm has registered them.
    known = network in timm.list_models()
    if not known or not timm.models.model_entrypoint(network).__module__.startswith("timm."):
        raise UserError(f"timm has no {network}; choose a network that both have")
    return timm.create_model(network)
