"""``pip install res2net[runtime]`` in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FIRST_RESULT = 2.0  # seconds from the start of the process, the compiled model in the cache


def _run(*words: object) -> str:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_runs_where_torch_is_not_installed(artifact: Path, photos: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "venv", tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    checkout = tmp_path / "res2net"  # a build leaves files behind
    _run("git", "clone", "--quiet", ROOT, checkout)
    _run(python, "-m", "pip", "install", "-c", ROOT / "constraints.txt", f"{checkout}[runtime]")
    code = "import importlib.util as u; print(u.find_spec('torch'))"
    assert _run(python, "-c", code).strip() == "None"
    command = python.with_name("res2net-run")
    image = photos / "a" / "0.png"
    first = _run(command, artifact, image)
    start = time.perf_counter()
    assert _run(command, artifact, image) == first
    assert time.perf_counter() - start < FIRST_RESULT
    assert len(_run(command, artifact, photos).splitlines()) == 6
    assert "res2net50_26w_4s" in _run(python, "-m", "res2net", "models", "res2net50*")
