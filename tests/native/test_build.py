"""Without a compiler the package is built all the same, and says what it lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from res2net.native import binding

ROOT = Path(__file__).resolve().parents[2]


def test_a_machine_without_a_compiler(tmp_path, monkeypatch):
    built = tmp_path / "lib"
    command = ["setup.py", "build_ext", "--build-lib", str(built), "--build-temp", str(tmp_path)]
    absent = {"CC": "no-such-compiler", "CXX": "no-such-compiler"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **absent},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no-such-compiler" in done.stdout + done.stderr
    assert not list(built.rglob("_res2net*"))

    monkeypatch.setattr(binding, "_file", lambda: None)
    assert binding.why_not() == "it was installed without a C++ compiler"
