"""One training step (forward, loss, backward, SGD) beside timm's same network.

Each case names its maker, its precision and its memory layout. ``ours bf16 nhwc`` is what
``res2net train`` does on a processor with bfloat16; ``timm fp32 nchw`` is what timm does unless
told otherwise.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from res2net.errors import UserError
from res2net.models.factory import create_model

Step = Callable[[], None]
DEFAULTS = ("ours bf16 nhwc", "timm fp32 nchw")
CASES = (
    *DEFAULTS,
    *("timm bf16 nhwc", "ours fp32 nchw", "ours fp32 nhwc", "timm fp32 nhwc"),
)
EQUAL = tuple((f"ours {kind}", f"timm {kind}") for kind in ("bf16 nhwc", "fp32 nchw", "fp32 nhwc"))


def make_step(case: str, network: str, *, batch: int, size: int) -> Step:
    """A function that does one training step of a case on fixed random images.

    Raises:
        UserError: timm is asked for and not installed, or lacks the network.
    """
    maker, precision, layout = case.split()
    torch.manual_seed(0)
    model = _timm(network) if maker == "timm" else create_model(network)
    images = torch.randn(batch, 3, size, size)
    targets = torch.randint(0, 1000, (batch,))
    if layout == "nhwc":
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    model.train()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(images)
        torch.autograd.backward(F.cross_entropy(logits.float(), targets))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def saved_bytes(case: str, network: str, *, batch: int, size: int) -> int:
    """Bytes that forward keeps for backward: each storage once, parameters left out."""
    step = make_step(case, network, batch=batch, size=size)
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    return sum(storages.values())


def peak_memory(case: str, network: str, *, batch: int, size: int, steps: int = 3) -> int:
    """Peak resident bytes of a fresh process that does some steps of a case and nothing else."""
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
    """Do some steps and return this process's peak resident bytes."""
    step = make_step(case, network, batch=batch, size=size)
    for _ in range(steps):
        step()
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
