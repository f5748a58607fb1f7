"""This machine: precision, threads, processes, memory, and what a record of a result needs."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from res2net import processor
from res2net.errors import UserError

CHANGES = "+changes"  # after a commit: the sources differ from it
FREE_TO_TAKE = 0.85  # share of the free memory; the rest is for loader processes and for others
PACKAGES = ("res2net", "torch", "torchvision", "pytorch-lightning", "numpy", "pillow")
_NO_MEMORY = re.compile(
    "out of memory|can't allocate memory|not enough memory|Cannot allocate memory|bad_alloc|"
    "could not create a memory|unable to (mmap|allocate shared)|"
    "worker.* is killed by signal: (?!Terminated|Interrupt)",
    re.IGNORECASE,
)


def hardware_bf16() -> bool:
    """Whether the GPU or, without one, the CPU computes in bfloat16 by its own instructions."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return processor.has_bf16()


def known_precision(name: str) -> str:
    """The precision, with "auto" decided; bf16 on hardware without it is noted.

    Raises:
        UserError: fp16 on a CPU.
    """
    if name == "auto":
        return "bf16" if hardware_bf16() else "fp32"
    note_slow_bf16(name)
    if name == "fp16" and not torch.cuda.is_available():
        raise UserError("precision fp16 needs a GPU; use bf16, fp32 or auto on a CPU")
    return name


def note_slow_bf16(precision: str) -> None:
    """Warn if bf16 is requested on hardware without instructions for it."""
    if precision == "bf16" and not hardware_bf16():
        place = "GPU" if torch.cuda.is_available() else "processor"
        warnings.warn(
            f"precision bf16: this {place} has no bfloat16 instructions; PyTorch emulates them, "
            "which is slower than fp32",
            stacklevel=1,  # one place, so that it is shown once
        )


def lightning_precision(name: str) -> str:
    """Lightning's name for our precision.

    Raises:
        UserError: fp16 on a CPU.
    """
    known = {"fp64": "64-true", "fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
    return known[known_precision(name)]


def best_device() -> torch.device:
    """The GPU if there is one (CUDA or ROCm), else the CPU. Apple's MPS is untested and unused."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    """Wait until the GPU has finished; without one, return at once."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def autocast(device: torch.device | str, precision: str = "auto") -> torch.autocast:
    """The context in which a network runs outside of Lightning, at our precision."""
    kind = lightning_precision(precision)
    dtype = torch.float16 if kind == "16-mixed" else torch.bfloat16
    return torch.autocast(torch.device(device).type, dtype=dtype, enabled=kind.endswith("mixed"))


@dataclass(frozen=True, kw_only=True)
class Processes:
    """How many processes train, and which one this is."""

    devices: int  # on this machine
    nodes: int
    rank: int  # of this process among all

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes


def processes(devices: int | None = None) -> Processes:
    """From torchrun's or SLURM's environment, else ``devices``, else all GPUs or one CPU.

    Raises:
        UserError: more processes on this machine than it has GPUs.
    """
    env, gpus = os.environ, torch.cuda.device_count()
    if "LOCAL_WORLD_SIZE" in env:  # torchrun
        local = int(env["LOCAL_WORLD_SIZE"])
        nodes, rank = int(env["WORLD_SIZE"]) // local, int(env["RANK"])
    elif "SLURM_PROCID" in env and int(env.get("SLURM_NTASKS", "1")) > 1:
        nodes = int(env.get("SLURM_NNODES", "1"))
        local, rank = int(env["SLURM_NTASKS"]) // nodes, int(env["SLURM_PROCID"])
    else:
        local, nodes, rank = devices or max(1, gpus), 1, int(env.get("LOCAL_RANK", "0"))
    if 0 < gpus < local:
        raise UserError(
            f"{local} processes share {gpus} GPU(s) on this machine: start one per GPU "
            f"(--train.devices {gpus}, or torchrun --nproc_per_node {gpus}), or hide the GPUs "
            "(CUDA_VISIBLE_DEVICES='') to train on the CPU"
        )
    return Processes(devices=local, nodes=nodes, rank=rank)


def share_of_batch(batch: int, processes: Processes) -> int:
    """Images per process and step.

    Raises:
        UserError: a batch that the processes cannot share evenly.
    """
    share, rest = divmod(batch, processes.world)
    if rest or not share:
        raise UserError(
            f"--train.batch {batch} cannot be divided among {processes.world} processes; "
            f"use a multiple of {processes.world}"
        )
    return share


def set_threads(threads: int | None, processes: Processes) -> None:
    """Share the cores among the processes of this machine, unless a number is given."""
    torch.set_num_threads(threads or processor.threads(processes.devices))


@contextmanager
def memory_mended_by(advice: str) -> Iterator[None]:
    """Make running out of memory a ``UserError`` that gives this advice.

    On Linux without a GPU an allocation beyond the free memory fails in here; otherwise the
    kernel would kill the process without a message.
    """
    with _within_free_memory():
        try:
            yield
        except (MemoryError, RuntimeError) as error:  # torch's own are RuntimeErrors
            if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
                raise UserError(f"out of memory: {advice}") from error
            raise


@contextmanager
def _within_free_memory() -> Iterator[None]:
    free = free_memory()
    if free is None or torch.cuda.is_available():  # CUDA reserves addresses that it never fills
        yield
        return
    import resource

    share = FREE_TO_TAKE / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    used = _kilobytes("/proc/self/status", "VmData")
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([used + int(free * share), *allowed]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def free_memory() -> int | None:
    """Bytes that this process may still use, swap included; None if unknown."""
    try:
        free = _kilobytes("/proc/meminfo", "MemAvailable") + _kilobytes("/proc/meminfo", "SwapFree")
        own = _kilobytes("/proc/self/status", "VmRSS")
    except OSError:
        return None
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # a container's limit
        limit = Path("/sys/fs/cgroup", name)
        if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
            free = min(free, max(int(text) - own, 0))
    return free


def _kilobytes(path: str, name: str) -> int:
    """Bytes behind a name in one of the kernel's tables, which count in kB."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(path).read_text(), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def versions() -> dict[str, str]:
    """Versions and hardware that a measured number depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["cpu"] = processor.field("model name") or platform.machine()
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def commit() -> str:
    """The commit of the checkout this package runs from; "" for an installed package."""
    here = Path(__file__).resolve().parent
    git: dict[str, Any] = {"cwd": here, "capture_output": True, "text": True, "check": False}
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **git)
        if head.returncode:
            return ""
        changed = subprocess.run(["git", "status", "--porcelain", "--", str(here)], **git)
    except OSError:
        return ""
    return head.stdout.strip() + (CHANGES if changed.stdout.strip() else "")
