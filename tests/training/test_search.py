"""``--train.lr auto`` and ``--train.batch auto``."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from res2net.config import RunConfig
from res2net.training import search

pytestmark = pytest.mark.usefixtures("undrawn")
Cli = Callable[..., Any]


def _weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)[
        "state_dict"
    ]
    return state


def test_the_rate_of_a_range_test_is_kept_and_trains_like_the_number_given(
    cli: Cli, tiny: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "STEPS", 80)
    words = (*tiny, "--data", "digits", "--train.batch", "16", "--out")
    done = cli(*words, tmp_path / "auto", "--train.lr", "auto")
    assert done.code == 0
    config = RunConfig.read(tmp_path / "auto" / "config.yaml")
    assert isinstance(config.train.lr, float)
    assert search.LEAST < config.train.lr < search.MOST
    with (tmp_path / "auto" / "lr_find.csv").open() as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    assert rates == sorted(rates)
    with (tmp_path / "auto" / "lr_find.csv").open() as file:
        smoothed = [*csv.DictReader(file)][search.SMOOTHED :]
    best = min(smoothed, key=lambda row: float(row["loss"]))
    assert config.train.lr == pytest.approx(float(best["lr"]) / 10, rel=0.05)
    assert (tmp_path / "auto" / "lr_find.png").is_file()
    given = cli(*words, tmp_path / "given", "--train.lr", config.train.lr)
    assert given.code == 0
    one, other = _weights(tmp_path / "auto"), _weights(tmp_path / "given")
    assert all(torch.equal(one[name], other[name]) for name in one)
    resumed = cli(*words, tmp_path / "auto", "--train.lr", "auto", "--resume")
    assert resumed.code == 0
    assert "--train.lr auto:" not in resumed.out


def test_a_batch_is_found_on_a_gpu_only(cli: Cli, tiny: tuple[str, ...], tmp_path: Path) -> None:
    done = cli(*tiny, "--data", "digits", "--train.batch", "auto", "--out", tmp_path / "run")
    assert done.code == 2
    assert "there is none; give a number" in done.err
    assert not (tmp_path / "run").exists()


def test_the_largest_batch_is_the_last_power_of_two_that_fits(
    tiny: tuple[str, ...], tmp_path: Path
) -> None:
    from functools import partial

    from res2net import machine
    from res2net.cli.train import resolve
    from res2net.tasks.job import build_job
    from res2net.tasks.table import find_task
    from res2net.training.run import _optimiser

    config, *_ = resolve([*tiny[1:], "--data", "digits", "--out", str(tmp_path / "run")])
    tried = []

    def make_job(own: RunConfig) -> Any:
        job = build_job(
            find_task("classify"), own, machine.processes(None), partial(_optimiser, own)
        )
        learn = job.module.learn

        def limited(*inputs: torch.Tensor) -> Any:
            tried.append(len(inputs[0]))
            if len(inputs[0]) > 16:
                raise RuntimeError("CUDA out of memory. (a stand-in)")
            return learn(*inputs)

        job.module.learn = limited
        return job

    assert search.largest_batch(search.with_numbers(config), make_job) == 16
    assert sorted(set(tried)) == [2, 4, 8, 16, 32]
