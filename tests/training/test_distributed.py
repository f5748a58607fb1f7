"""Two processes give the weights of one with the same global batch (where no batch norm is)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from res2net.cli.main import main

OPTIONS = (
    *("train", "--model", "res2net29_small", "--net.depth", "11", "--net.width", "4"),
    *("--data", "digits", "--train.batch", "16", "--train.val-batches", "2"),
    *("--train.precision", "fp64", "--train.epochs", "1", "--train.max-steps", "3"),
    *("--train.threads", "1", "--input.workers", "0", "--seed", "3"),
)


LAUNCHER = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone")


def _train_in_two(words: tuple[str, ...]) -> str:
    done = subprocess.run(
        [sys.executable, *LAUNCHER, "-m", "res2net", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},  # there may be one GPU for two processes
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def _forked_in_two(words: tuple[str, ...], forked: Any, folder: Path) -> str:
    """What the launcher does, of processes that have imported all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "MASTER_PORT": port}
    common |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "none"}
    outputs = [folder / f"output-{rank}" for rank in (0, 1)]
    processes = [
        forked(words, output, RANK=str(rank), LOCAL_RANK=str(rank), **common)
        for rank, output in enumerate(outputs)
    ]
    try:
        for process in processes:
            process.join(300)
    finally:
        for process in processes:
            process.kill()
    texts = [output.read_text() for output in outputs]
    assert [process.exitcode for process in processes] == [0, 0], texts
    return "".join(texts)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("norm", "launched"),
    [
        ("group", False),
        pytest.param("group", True, marks=pytest.mark.slow),
        pytest.param("frozen", True, marks=pytest.mark.slow),
    ],
)
def test_two_processes_equal_one(tmp_path: Path, forked: Any, norm: str, launched: bool) -> None:
    words = (*OPTIONS, "--net.norm", norm, "--out")
    assert main([*words, str(tmp_path / "one")]) == 0
    words = (*words, str(tmp_path / "two"))
    output = _train_in_two(words) if launched else _forked_in_two(words, forked, tmp_path)
    one, two = (
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in ("one", "two")
    )
    assert "on 2 CPUs" in output
    assert output.count("best checkpoint") == 1  # the first process speaks and writes alone
    weights = [key for key, value in one.items() if value.is_floating_point()]
    start = torch.cat([one[key].flatten() for key in weights])
    difference = torch.cat([(one[key] - two[key]).flatten() for key in weights])
    assert float(difference.abs().max() / start.abs().max()) <= 1e-6
    assert (tmp_path / "two" / "report.md").is_file()
