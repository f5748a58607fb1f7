"""The processor: which instructions it offers, and how many cores and threads we may use.

``RES2NET_CPU=avx2|avx512|avx512_vnni|full`` hides the instructions of newer processors, so that a
run, an export or the tests behave as on an older one. Nothing here needs torch.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from res2net.errors import UserError

LEVEL = "RES2NET_CPU"
LEVELS = ("avx2", "avx512", "avx512_vnni", "full")  # each includes the one before it
BF16 = frozenset(("avx512_bf16", "amx_bf16", "bf16"))  # flags of x86, and of ARM
VNNI = frozenset(("avx512_vnni", "avx_vnni"))
# Variables of other libraries, read before they first compute → value at a level. oneDNN and MKL
# take it as a limit; PyTorch does not check it, so it is never given "avx512".
_LIMITS = {
    "ATEN_CPU_CAPABILITY": {"avx2": "avx2"},
    "ONEDNN_MAX_CPU_ISA": {  # OpenVINO reads it too
        "avx2": "AVX2",
        "avx512": "AVX512_CORE",
        "avx512_vnni": "AVX512_CORE_VNNI",
    },
    "MKL_ENABLE_INSTRUCTIONS": {"avx2": "AVX2", "avx512": "AVX512", "avx512_vnni": "AVX512_E1"},
}
_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def level() -> str:
    """The level that ``RES2NET_CPU`` allows; "full" where it is not set.

    Raises:
        UserError: no such level.
    """
    found = os.environ.get(LEVEL) or "full"
    if found not in LEVELS:
        raise UserError(f"{LEVEL}={found}: it can be {', '.join(LEVELS)}")
    return found


def allows(needed: str) -> bool:
    """Whether ``RES2NET_CPU`` leaves the instructions of a level visible.

    Raises:
        UserError: ``RES2NET_CPU`` names no level.
    """
    return LEVELS.index(needed) <= LEVELS.index(level())


def hide_instructions() -> None:
    """Pass the level on to PyTorch, oneDNN, OpenVINO and MKL, before they are imported.

    A variable that is already set is kept. ONNX Runtime has no such limit. An invalid level is left
    for ``level`` to refuse: this runs when ``res2net`` is imported.
    """
    given = os.environ.get(LEVEL)
    if given is None or _machine().lower() not in ("x86_64", "amd64"):
        return
    for name, values in _LIMITS.items():
        if given in values and (name != "ATEN_CPU_CAPABILITY" or "avx2" in flags()):
            os.environ.setdefault(name, values[given])


def field(name: str) -> str:
    """A line of /proc/cpuinfo, such as "model name"; "" where there is none."""
    try:
        lines = (_PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def flags() -> frozenset[str]:
    """Names of the processor's instructions; empty where the system does not list them."""
    return frozenset((field("flags") or field("Features")).split())  # x86, or ARM


def described(count: int | None = None) -> dict[str, str | int]:
    """What a measured time depends on: the processor's name, the visible level, and threads.

    Args:
        count: threads to be used; all of ``threads()`` where None.
    """
    name = field("model name") or _machine()
    return {"processor": name, "level": level(), "threads": count or threads()}


def has_amx() -> bool:
    """Whether the processor multiplies int8 and bf16 matrices in tiles (AMX), and it is visible."""
    return allows("full") and {"amx_int8", "amx_bf16"} <= flags()


def has_bf16() -> bool:
    """Whether the processor has bfloat16 instructions, and they are not hidden.

    Raises:
        UserError: ``RES2NET_CPU`` names no level.
    """
    return allows("full") and not BF16.isdisjoint(flags())


def bytes_saturate() -> bool:
    """Whether int8 products saturate in pairwise sums here: x86 without VNNI.

    Raises:
        UserError: ``RES2NET_CPU`` names no level.
    """
    x86 = _machine().lower() in ("x86_64", "amd64")
    hidden = not allows("avx512_vnni")
    return x86 and bool(here := flags()) and (hidden or VNNI.isdisjoint(here))


def cores() -> int:
    """Cores this process may use: its affinity, within a container's quota."""
    return min([_affinity(), *map(math.ceil, _quotas())])


def threads(processes: int = 1) -> int:
    """Threads for each of this many processes: a share of ``cores``, within OMP_NUM_THREADS.

    torchrun sets OMP_NUM_THREADS to 1 where it is unset. That value is ignored, since the
    processes share the cores already.
    """
    share = max(1, cores() // processes)
    try:
        told = int(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0])  # nested: 4,2,1
    except ValueError:
        return share
    if told < 1 or (told == 1 and "TORCHELASTIC_RUN_ID" in os.environ):
        return share
    return min(share, told)


def keep_to_quota() -> None:
    """Limit libraries that are imported later to a container's quota of threads.

    They count affinity alone, but all read OMP_NUM_THREADS; a value already set is kept.
    """
    if (count := cores()) < _affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(count))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Cores that each control group of this process grants, versions 2 and 1."""
    for folder in _groups():
        try:
            if (file := folder / "cpu.max").is_file():
                quota, period = file.read_text().split()
            else:
                quota, period = (
                    (folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
                )
            granted = int(quota) / int(period)  # "max" and -1: no limit
        except (OSError, ValueError, ZeroDivisionError):
            continue
        if granted > 0:
            yield granted


def _machine() -> str:
    import platform  # takes milliseconds; most commands do not need it

    return platform.machine()


def _groups() -> Iterator[Path]:
    """Folders of the groups of this process that limit processors, up to the root's.

    In a container they are often mounted as the root, under another path than the kernel names.
    """
    try:
        lines = (_PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root in (controllers, "cpu") if controllers else ("", "unified"):
            here = Path(path.lstrip("/"))
            for group in (here, *here.parents):
                yield _CGROUPS / root / group
