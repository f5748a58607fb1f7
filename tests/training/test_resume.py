"""A run that is killed and resumed ends in the very weights of a run that was left alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

EPOCHS = 3
COMMAND = (
    *("train", "--model", "res2net29_small", "--net.depth", "11"),
    *("--net.width", "4", "--net.drop-path", "0.2", "--train.epochs", str(EPOCHS)),
    *("--data", "digits", "--input.val-fraction", "0.9", "--train.batch", "16"),
    *("--train.val-batches", "2"),
    *("--augment.mixup", "0.2", "--train.ema", "0.9", "--train.threads", "1"),
    *("--input.workers", "1", "--seed", "5"),
)


@pytest.fixture
def start(forked: Any, tmp_path: Path) -> Callable[..., Any]:
    def starting(run: Path, *, resume: bool = False) -> Any:
        more = ["--resume"] if resume else []
        return forked([*COMMAND, "--out", str(run), *more], tmp_path / "output")

    return starting


def _finish(process: Any, output: Path) -> str:
    process.join(300)
    assert process.exitcode == 0, output.read_text()
    return output.read_text()


def _kill_after(process: Any, run: Path, epochs: int, delay: float) -> None:
    """Kill -9 so many seconds after that many epochs are in metrics.csv, and a checkpoint is."""
    metrics, last = run / "metrics.csv", run / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.is_alive():
        if epochs == 0 or (last.is_file() and len(metrics.read_text().splitlines()) > epochs):
            break
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.join()


def _weights(run: Path) -> dict[str, torch.Tensor]:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return {
        f"{part}/{name}": value
        for part in ("state_dict", "current_model_state")
        for name, value in content[part].items()
    }


def _assert_same(a: Path, b: Path) -> None:
    first, second = _weights(a), _weights(b)
    assert first.keys() == second.keys()
    assert [k for k, v in first.items() if not torch.equal(v, second[k])] == []
    rows = [(r / "metrics.csv").read_text().splitlines() for r in (a, b)]
    without_time = [[row.split(",")[:3] + row.split(",")[4:] for row in each] for each in rows]
    assert without_time[0] == without_time[1]
    assert len(rows[0]) == 1 + EPOCHS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, without_pictures: Any) -> Path:
    """A run that nobody disturbed."""
    from res2net.cli.main import main

    run = tmp_path_factory.mktemp("whole") / "run"
    with redirect_stdout(StringIO()), without_pictures():
        assert main([*COMMAND, "--out", str(run)]) == 0
    return run


@pytest.mark.usefixtures("undrawn")
def test_killed_in_an_epoch_and_resumed(
    whole: Path, tmp_path: Path, start: Callable[..., Any]
) -> None:
    run = tmp_path / "run"
    _kill_after(start(run), run, epochs=1, delay=0.1)
    assert not (run / "report.md").exists()
    output = _finish(start(run, resume=True), tmp_path / "output")
    assert "epoch 1/3" not in output  # no epoch is lost, none is done twice
    assert "epoch 3/3" in output
    _assert_same(whole, run)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_killed_at_random_moments(
    whole: Path, tmp_path: Path, start: Callable[..., Any], seed: int
) -> None:
    """Three kills a run, each anywhere from the start-up to the report."""
    chance = random.Random(seed)
    run = tmp_path / "run"
    for attempt in range(3):
        process = start(run, resume=attempt > 0)
        _kill_after(process, run, epochs=chance.randint(0, EPOCHS), delay=chance.uniform(0, 6))
    _finish(start(run, resume=True), tmp_path / "output")
    _assert_same(whole, run)
    assert (run / "report.md").is_file()
    assert not list(run.rglob("*.tmp"))
