"""Bytes kept alive by a forward pass, peak memory of a process, operations of a step."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from res2net.errors import UserError, one_line


def bytes_kept(forward: Callable[[], Tensor]) -> int:
    """Bytes allocated by ``forward`` that stay alive as long as its result.

    In training these are needed by backward. Each storage counts once; existing ones (parameters,
    images) do not count.
    """
    made = _Made()
    with made:
        result = forward()
    kept = made.alive()
    del result
    return kept


def operations(call: Callable[[], object], device: str) -> Counter[str]:
    """Operators of a call on a device, by name: each takes at least one kernel launch on a GPU.

    Views and allocations are not counted. On ``meta`` nothing is computed, so any machine can count
    the operations of a GPU.
    """
    asked = _Asked(device)
    with asked:
        call()
    return asked.names


class _Asked(TorchDispatchMode):
    """Count operators with an input or output tensor on a device."""

    def __init__(self, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = str(func.overloadpacket).removeprefix("aten.")
        aliases = [each.alias_info for each in func._schema.returns]
        views = any(each is not None and not each.is_write for each in aliases)
        leaves = (t for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor))
        if not (views or "empty" in name or "view" in name) and any(
            each.device.type == self.device for each in leaves
        ):
            self.names[name] += 1
        return result


class _Made(TorchDispatchMode):
    """Keep weak references to every storage that an operator returns and did not receive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_key(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and _key(tensor) not in given:
                storage = tensor.untyped_storage()
                self.storages[_key(tensor)] = (StorageWeakRef(storage), storage.nbytes())
        return result

    def alive(self) -> int:
        """Bytes of the storages that are still alive."""
        return sum(size for storage, size in self.storages.values() if not storage.expired())


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def peak_memory(module: str, **case: object) -> int:
    """Peak bytes of a fresh process with three steps of a case: on the GPU, else resident.

    Args:
        module: has ``step_of(**case)``, which returns a function for one step.

    Raises:
        UserError: the process failed; names the case.
    """
    code = f"import sys; from {__name__} import run_alone; run_alone(*sys.argv[1:])"
    command = [sys.executable, "-W", "ignore", "-c", code, module, json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        what = ", ".join(f"{name} {value}" for name, value in case.items())
        raise UserError(f"measuring the memory of {what} failed: {one_line(last)}")
    return int(done.stdout.split()[-1])


def run_alone(module: str, case: str, steps: int = 3) -> None:
    """Do some steps and print this process's peak bytes: on the GPU, else resident."""
    step = importlib.import_module(module).step_of(**json.loads(case))
    for _ in range(steps):
        step()
    print(torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else resident())


def resident() -> int:
    """Peak resident bytes of this process.

    Linux's ``ru_maxrss`` includes that of the parent process, if larger.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
