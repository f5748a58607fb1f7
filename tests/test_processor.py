"""Which instructions and how many cores a processor offers, on made-up systems."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from res2net import processor
from res2net.errors import UserError

PASSED_ON = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")


@pytest.fixture(autouse=True)
def system(monkeypatch, tmp_path):
    """Files of a kernel that the test writes: ``system("proc/cpuinfo", text)``."""
    for name in (processor.LEVEL, "OMP_NUM_THREADS", "TORCHELASTIC_RUN_ID", *PASSED_ON):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(processor, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(processor, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)

    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    return write


# ---- instructions


@pytest.mark.parametrize(
    ("cpuinfo", "has"),
    [
        ("flags\t\t: fpu avx2 avx512_bf16\n", True),
        ("processor\t: 0\nflags\t\t: fpu amx_bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", False),
        ("BogoMIPS\t: 50.00\nFeatures\t: fp asimd sve i8mm bf16\nCPU part\t: 0xd40\n", True),
        ("Features\t: fp asimd evtstrm\n", False),
        ("", False),
    ],
)
def test_bf16_of_x86_and_arm(system, cpuinfo, has):
    system("proc/cpuinfo", cpuinfo)
    assert processor.has_bf16() is has


def test_a_system_that_lists_nothing():
    assert processor.flags() == frozenset()
    assert not processor.has_bf16()


@pytest.mark.parametrize(
    ("level", "offered"),
    [
        ("avx2", ["avx2"]),
        ("avx512", ["avx2", "avx512"]),
        ("avx512_vnni", ["avx2", "avx512", "avx512_vnni"]),
        ("full", list(processor.LEVELS)),
        ("", list(processor.LEVELS)),
    ],
)
@pytest.mark.parametrize("cpuinfo", ["flags : avx2 avx512_bf16", "Features : bf16"])
def test_a_level_hides_what_is_above_it(monkeypatch, system, level, offered, cpuinfo):
    system("proc/cpuinfo", cpuinfo)
    monkeypatch.setenv(processor.LEVEL, level)
    assert [each for each in processor.LEVELS if processor.allows(each)] == offered
    assert processor.has_bf16() is ("full" in offered)


def test_a_level_adds_nothing(monkeypatch, system):
    system("proc/cpuinfo", "flags : avx avx2")
    monkeypatch.setenv(processor.LEVEL, "full")
    assert not processor.has_bf16()


@pytest.mark.parametrize(
    ("level", "machine", "cpuinfo", "expected"),
    [
        ("avx2", "x86_64", "flags : avx2", ("avx2", "AVX2", "AVX2")),
        ("avx2", "AMD64", "", (None, "AVX2", "AVX2")),  # PyTorch would take it at its word
        ("avx512", "x86_64", "flags : avx2", (None, "AVX512_CORE", "AVX512")),
        ("avx512_vnni", "x86_64", "flags : avx2", (None, "AVX512_CORE_VNNI", "AVX512_E1")),
        ("full", "x86_64", "flags : avx2", (None, None, None)),
        ("sse9", "x86_64", "flags : avx2", (None, None, None)),
        ("avx2", "aarch64", "Features : bf16", (None, None, None)),
    ],
)
def test_other_libraries_are_told(monkeypatch, system, level, machine, cpuinfo, expected):
    system("proc/cpuinfo", cpuinfo)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setenv(processor.LEVEL, level)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    processor.hide_instructions()
    assert tuple(map(os.environ.get, PASSED_ON)) == expected


def test_what_the_user_told_them_stays(monkeypatch):
    monkeypatch.setenv(processor.LEVEL, "avx2")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    processor.hide_instructions()
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "SSE41"


def test_they_are_told_before_torch_is_imported():
    code = (
        "import os, sys, json, platform, res2net; assert 'torch' not in sys.modules; "
        "x86 = platform.machine().lower() in ('x86_64', 'amd64'); "
        "found = os.environ.get('ONEDNN_MAX_CPU_ISA'); import torch; "
        "print(json.dumps([x86, found, torch.backends.cpu.get_cpu_capability()]))"
    )
    env = {**os.environ, processor.LEVEL: "avx2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    x86, found, capability = json.loads(done.stdout)
    assert found == ("AVX2" if x86 else None)
    assert "AVX512" not in capability.upper()


@pytest.mark.parametrize("module", ["res2net", "res2net.runtime.main"])
def test_an_unknown_level_is_one_line(module):
    env = {**os.environ, processor.LEVEL: "avx10"}
    command = [sys.executable, "-m", module, "models"]
    if module != "res2net":
        command.append("photo.jpg")
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"{'res2net' if module == 'res2net' else 'res2net-run'}: "
        "RES2NET_CPU=avx10: it can be avx2, avx512, avx512_vnni, full\n"
    )
    assert done.stdout == ""


def test_an_unknown_level_in_python(monkeypatch):
    monkeypatch.setenv(processor.LEVEL, "AVX2")
    with pytest.raises(UserError, match="RES2NET_CPU=AVX2: it can be avx2, avx512"):
        processor.has_bf16()


# ---- cores and threads


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        # version 2: a container of its own namespace, a service below a slice, a lone limit above
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "5000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 64),
        ("0::/a.slice/b.service\n", {"a.slice/b.service/cpu.max": "300000 100000"}, 3),
        (
            "0::/a/b/c\n",
            {"a/b/c/cpu.max": "max 100000", "a/b/cpu.max": "800000 100000", "a/cpu.max": "4 1"},
            4,
        ),
        # version 2 mounted beside version 1
        ("1:name=systemd:/\n0::/x\n", {"unified/x/cpu.max": "200000 100000"}, 2),
        # version 1, by both names of its folder; -1 is no limit
        (
            "4:memory:/m\n2:cpu,cpuacct:/docker/1f\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            3,
        ),
        (
            "2:cpuacct,cpu:/a/b\n",
            {"cpu/a/b/cpu.cfs_quota_us": "-1\n", "cpu/a/b/cpu.cfs_period_us": "100000\n",
             "cpu/a/cpu.cfs_quota_us": "400000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        ("3:cpuset:/\n", {"cpu.max": "200000 100000"}, 64),  # limits of others are not ours
        # damaged or absurd
        ("0::/\n", {"cpu.max": "\n"}, 64),
        ("0::/\n", {"cpu.max": "200000 0\n"}, 64),
        ("0::/../..\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {}, 64),
        ("", {"cpu.max": "200000 100000\n"}, 64),
    ],
)  # fmt: skip
def test_a_containers_quota_counts(system, groups, files, cores):
    system("proc/self/cgroup", groups)
    for name, text in files.items():
        system(f"cgroup/{name}", text)
    assert processor.cores() == cores


def test_affinity_alone_counts_where_there_are_no_groups():
    assert processor.cores() == 64


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_the_kernels_own_files_are_read(monkeypatch):
    monkeypatch.setattr(processor, "_PROC", Path("/proc"))
    monkeypatch.setattr(processor, "_CGROUPS", Path("/sys/fs/cgroup"))
    assert 1 <= processor.cores() <= 64
    assert processor.flags()


@pytest.mark.parametrize(
    ("told", "processes", "threads"),
    [
        (None, 1, 8), (None, 3, 2), (None, 9, 1),
        ("1", 1, 1), ("3", 1, 3), ("3", 4, 2), ("16", 1, 8), (" 2 ", 1, 2), ("4,2,1", 1, 4),
        ("0", 1, 8), ("-1", 1, 8), ("many", 1, 8), ("", 1, 8), ("1" * 5000, 1, 8),
    ],
)  # fmt: skip
def test_omp_num_threads_counts(monkeypatch, told, processes, threads):
    monkeypatch.setattr(processor, "cores", lambda: 8)
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert processor.threads(processes) == threads


def test_torchruns_own_one_is_nobodys_wish(monkeypatch):
    monkeypatch.setattr(processor, "cores", lambda: 8)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert processor.threads(2) == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert processor.threads(2) == 2


@pytest.mark.parametrize(
    ("quota", "told", "expected"), [(2, None, "2"), (2, "7", "7"), (64, None, None)]
)
def test_libraries_keep_to_the_quota(monkeypatch, quota, told, expected):
    monkeypatch.setattr(processor, "cores", lambda: quota)
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": told} if told else {})
    processor.keep_to_quota()
    assert os.environ.get("OMP_NUM_THREADS") == expected


@pytest.mark.parametrize(
    ("cpuinfo", "level", "saturates"),
    [
        ("flags : fpu avx2", "full", True),
        ("flags : fpu avx2 avx_vnni", "full", False),
        ("flags : fpu avx2 avx512f avx512_vnni", "full", False),
        ("flags : fpu avx2 avx512f avx512_vnni", "avx2", True),
        ("", "full", False),  # not told
    ],
)
def test_bytes_saturate_without_vnni(monkeypatch, system, cpuinfo, level, saturates):
    system("proc/cpuinfo", cpuinfo + "\n")
    monkeypatch.setenv(processor.LEVEL, level)
    for machine, wanted in (("x86_64", saturates), ("aarch64", False)):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert processor.bytes_saturate() is wanted
