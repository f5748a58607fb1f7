"""What the machine offers."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest
import torch

from res2net import machine, processor
from res2net.errors import UserError
from res2net.machine import Processes, processes

MB = 1_000_000


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No launcher around the tests."""
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE", "RANK", "LOCAL_RANK", "SLURM_NTASKS",
                 "SLURM_PROCID", "SLURM_NNODES"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


# ---- precision


@pytest.mark.parametrize(
    ("name", "known", "lightning"),
    [
        ("fp64", "fp64", "64-true"),
        ("fp32", "fp32", "32-true"),
        ("bf16", "bf16", "bf16-mixed"),
    ],
)
def test_precision(name, known, lightning):
    assert machine.known_precision(name) == known
    assert machine.lightning_precision(name) == lightning


@pytest.mark.parametrize(("has", "known"), [(True, "bf16"), (False, "fp32")])
@pytest.mark.usefixtures("no_gpu")
def test_auto_takes_bf16_where_the_processor_has_it(monkeypatch, has, known):
    monkeypatch.setattr(processor, "has_bf16", lambda: has)
    assert machine.known_precision("auto") == known


@pytest.mark.usefixtures("no_gpu")
def test_bf16_that_must_be_emulated_is_noted(monkeypatch, recwarn):
    monkeypatch.setattr(processor, "has_bf16", lambda: True)
    assert machine.known_precision("bf16") == "bf16"
    assert not recwarn.list
    monkeypatch.setattr(processor, "has_bf16", lambda: False)
    for name in ("auto", "fp32"):
        machine.known_precision(name)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="bf16: this processor has no bfloat16 .*than fp32"):
        assert machine.known_precision("bf16") == "bf16"


@pytest.mark.usefixtures("no_gpu")
def test_apples_gpu_is_not_taken(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert machine.best_device() == torch.device("cpu")


@pytest.mark.usefixtures("no_gpu")
def test_fp16_needs_a_gpu():
    with pytest.raises(UserError, match="precision fp16 needs a GPU; use bf16, fp32 or auto"):
        machine.lightning_precision("fp16")


@pytest.mark.parametrize(("precision", "kind"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast(precision, kind):
    a = torch.ones(2, 2)
    with machine.autocast("cpu", precision):
        assert (a @ a).dtype == kind


# ---- processes


@pytest.mark.parametrize(
    ("env", "devices", "expected"),
    [
        ({}, None, (1, 1, 0)),
        ({}, 3, (3, 1, 0)),
        ({"LOCAL_RANK": "2"}, 3, (3, 1, 2)),  # started by Lightning
        ({"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2", "RANK": "1"}, None, (2, 1, 1)),
        ({"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6", "RANK": "5"}, 9, (2, 3, 5)),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_NNODES": "2"}, None, (2, 2, 3)),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, None, (1, 1, 0)),  # an interactive shell
    ],
)
@pytest.mark.usefixtures("no_gpu")
def test_processes(monkeypatch, env, devices, expected):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    found = processes(devices)
    assert (found.devices, found.nodes, found.rank) == expected
    assert found.world == expected[0] * expected[1]


@pytest.mark.parametrize(
    ("env", "devices"),
    [({"LOCAL_WORLD_SIZE": "3", "WORLD_SIZE": "6", "RANK": "1"}, None), ({}, 3)],
)
def test_more_processes_than_gpus(monkeypatch, env, devices):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^3 processes share 2 GPU\(s\) on this machine: start"):
        processes(devices)


@pytest.mark.parametrize(
    ("asked", "devices", "cores", "threads"),
    [(None, 1, 4, 4), (None, 2, 4, 2), (None, 3, 4, 1), (None, 8, 4, 1), (3, 2, 4, 3)],
)
def test_threads_share_the_cores(monkeypatch, asked, devices, cores, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(processor, "cores", lambda: cores)
    before = torch.get_num_threads()
    try:
        machine.set_threads(asked, Processes(devices=devices, nodes=1, rank=0))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


# ---- memory


@pytest.mark.usefixtures("no_gpu")
def test_an_allocation_beyond_the_free_memory_is_a_mistake_with_advice(monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 200 * MB)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with machine.memory_mended_by("lower it"):
        assert bytearray(50 * MB)
        assert torch.ones(50 * MB, dtype=torch.uint8).any()
    for allocate in (bytearray, lambda size: torch.ones(size, dtype=torch.uint8)):
        with (
            pytest.raises(UserError, match=r"^out of memory: lower it$"),
            machine.memory_mended_by("lower it"),
        ):
            allocate(5000 * MB)  # more than a process may hold back from before
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert bytearray(500 * MB)


@pytest.mark.usefixtures("no_gpu")
def test_processes_share_the_memory(monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 1000 * MB)
    monkeypatch.setattr(machine, "_kilobytes", lambda *_: 70_000 * MB)  # of this process
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with machine.memory_mended_by("x"):
        allowed, _ = resource.getrlimit(resource.RLIMIT_DATA)
    assert allowed == 70_000 * MB + int(1000 * MB * machine.FREE_TO_TAKE / 4)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA out of memory. Tried to allocate"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        RuntimeError("DataLoader worker (pid(s) 7) is killed by signal: Bus error. It is possible"),
        RuntimeError("unable to mmap 300 bytes"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_signs_of_no_memory(error):
    with pytest.raises(UserError, match=r"^out of memory: x$"), machine.memory_mended_by("x"):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        *(RuntimeError("shape"), ValueError("out of memory"), KeyError(1)),
        RuntimeError("DataLoader worker (pid(s) 7) is killed by signal: Terminated."),
    ],
)
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as found, machine.memory_mended_by("x"):
        raise error
    assert found.value is error


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="Linux only")
def test_free_memory():
    free = machine.free_memory()
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert free is not None
    assert 0 < free < 2 * total


def test_free_memory_elsewhere(monkeypatch):
    monkeypatch.setattr(machine, "_kilobytes", lambda *_: (_ for _ in ()).throw(OSError))
    assert machine.free_memory() is None
    with machine.memory_mended_by("x"):
        pass


# ---- what a result depends on


def test_versions():
    found = machine.versions()
    assert torch.__version__.startswith(found["torch"])
    assert {"python", "res2net", "torchvision", "pytorch-lightning", "numpy", "cpu"} <= set(found)
    assert all(isinstance(value, str) and value for value in found.values())


def test_commit_is_of_the_checkout():
    found = machine.commit()
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(machine.__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if head.returncode:
        assert found == ""
    else:
        assert head.stdout.startswith(found.removesuffix("+changes"))
        assert len(found.removesuffix("+changes")) >= 12


def test_no_git_no_commit(monkeypatch):
    def absent(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    assert machine.commit() == ""
