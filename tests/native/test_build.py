"""Without a compiler the package is built all the same, and says what it lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from res2net.native import binding
from res2net.native.network import NativeNetwork
from res2net.native.program import NativeProgram
from res2net.processor import LEVEL

ROOT = Path(__file__).resolve().parents[2]


def test_a_machine_without_a_compiler(tmp_path, monkeypatch):
    built = tmp_path / "lib"
    command = ["setup.py", "build_ext", "--build-lib", str(built), "--build-temp", str(tmp_path)]
    absent = {"CC": "no-such-compiler", "CXX": "no-such-compiler"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **absent, "RES2NET_NATIVE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no-such-compiler" in done.stdout + done.stderr
    assert not list(built.rglob("_res2net*"))

    monkeypatch.setattr(binding, "_file", lambda: None)
    assert binding.unsupported_reason("fp32") == (
        "the native engine is not installed: pip install 'res2net[native]'"
    )


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("avx2", {"bf16": "AVX-512 with BF16"}),
        ("avx512", {"bf16": "AVX-512 with BF16"}),
        ("avx512_vnni", {"bf16": "AVX-512 with BF16"}),
        ("full", {}),
    ],
)
def test_each_precision_names_what_it_lacks(monkeypatch, level, said):
    class Library:
        def r2n_instructions(self, precision, _):
            return None if precision == 1 else b"some"  # as if fp32 alone were missing

    monkeypatch.setattr(binding, "_file", lambda: Path("there"))
    monkeypatch.setattr(binding, "library", Library)
    monkeypatch.setenv(LEVEL, level)
    lacks = {"fp32": "this processor lacks AVX2 with FMA, which fp32 needs"}
    hidden = {p: f"{p} needs {name}, which {LEVEL}={level} disables" for p, name in said.items()}
    for precision in ("fp32", "int8", "bf16"):
        assert binding.unsupported_reason(precision) == {**lacks, **hidden}.get(precision)


def test_a_network_is_not_run_without_its_instructions(monkeypatch):
    monkeypatch.setenv(LEVEL, "avx2")
    monkeypatch.setattr(binding, "_file", lambda: Path("there"))
    with pytest.raises(ValueError, match="bf16 needs AVX-512 with BF16, which RES2NET_CPU=a"):
        NativeNetwork(NativeProgram([], [], {}), "bf16", 1)
