"""The script that measures a GPU, as far as a machine without one runs it."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "measure_gpu.py"


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_every_part_leaves_rows(tmp_path: Path) -> None:
    done = _run("--tiny", "--out", str(tmp_path), "--seconds", "400")
    assert done.returncode == 0, done.stderr
    assert "were left" in done.stdout
    rows = {}
    for name in ("right", "inference", "training", "table3", "cifar_fast"):
        with (tmp_path / f"gpu_{name}.csv").open(newline="") as file:
            rows[name] = list(csv.DictReader(file))
    for name, found in rows.items():
        assert not [row["failed"] for row in found if row.get("failed")], name
        assert all(row["command"].startswith("python tools/measure_gpu.py --tiny") for row in found)
    assert {row["right"] for row in rows["right"]} == {"True"}
    assert len({row["way"] for row in rows["inference"]}) == 6
    assert {row["way"] for row in rows["training"]} >= {"counts on the host", "whole step recorded"}
    assert len({row["network"] for row in rows["table3"]}) == 7


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    done = _run("--out", str(tmp_path))
    assert done.returncode == 2
    assert "this machine has no GPU; --tiny tries the script without one" in done.stderr
    assert not list(tmp_path.iterdir())
