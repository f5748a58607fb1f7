"""What is compiled for a precision uses the instructions that the gate asks for, and no others.

All kernels are compiled for VNNI and BF16 too, so a compiler might put them anywhere.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess

import pytest

from res2net.native import binding

BF16 = re.compile(r"\tv(dpbf16ps|cvtne2?ps2bf16)")
NEWER = re.compile(r"%zmm|%[xy]mm(1[6-9]|[23]\d)|%k\d")  # than AVX2: more and wider registers
VEX = re.compile(r"\tv\w+ .*%[xyz]mm")
VNNI = re.compile(r"\tvpdp(bu|ws)")


@pytest.fixture(scope="module")
def functions() -> dict[str, str]:
    """Name of a function of the library → what the disassembler prints of it."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("no native engine: this processor lacks AVX2 with FMA")
    file, tool = binding._file(), shutil.which("objdump")
    if file is None or tool is None:
        pytest.skip("it was installed without a C++ compiler, or binutils are missing")
    command = [tool, "--disassemble", "--demangle", "--no-show-raw-insn", str(file)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    parts = (part.partition(">:\n") for part in re.split(r"\n\n[0-9a-f]+ <", text))
    return {name: body for name, _, body in parts if body}


def _using(functions: dict[str, str], wanted: re.Pattern[str]) -> set[str]:
    return {name for name, body in functions.items() if wanted.search(body)}


def test_fp32_needs_neither(functions):
    of_fp32 = {name for name in functions if "::F32s" in name}
    assert len(of_fp32) > 100
    assert not of_fp32 & (_using(functions, BF16) | _using(functions, VNNI))


def test_int8_needs_no_bf16_and_bf16_no_vnni(functions):
    found = _using(functions, BF16)
    assert len(found) > 100
    by_type = ("::store(", "::mean_rows(", "::gate(", "avx512_planes(", "avx512_products(")
    assert all("::Bf16" in name or any(part in name for part in by_type) for name in found), found
    assert not [name for name in _using(functions, VNNI) if "::Bf16" in name]


def test_avx2_needs_nothing_newer(functions):
    ours = {name for name in functions if "::Floats" in name or "::Bytes" in name}
    assert len(ours) > 50
    assert not ours & _using(functions, NEWER)
    assert all("::BytesVnni" in name for name in ours & _using(functions, VNNI))


def test_what_chooses_kernels_runs_on_any_processor(functions):
    """What has external linkage, or is a template of the library, is compiled for any processor."""
    kernels = ("(anonymous namespace)", "r2n::avx512_", "r2n::avx2_")
    using = _using(functions, VEX)
    assert len(using) > 100
    assert not [name for name in using if not any(part in name for part in kernels)]
