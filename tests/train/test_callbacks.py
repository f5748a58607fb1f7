"""What happens around the epochs."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest
import torch

from res2net.train.callbacks import (
    EpochSeed,
    History,
    Patience,
    StopAfter,
    above_bar,
    epoch_line,
)


def _trainer(**values):
    usual = {
        "current_epoch": 0,
        "global_step": 0,
        "global_rank": 0,
        "should_stop": False,
        "is_global_zero": True,
        "max_epochs": 9,
        "callback_metrics": {},
        "optimizers": [SimpleNamespace(param_groups=[{"lr": 0.1}])],
    }
    return SimpleNamespace(**{**usual, **values})


def _drawn(seed, **values):
    EpochSeed(seed).on_train_epoch_start(_trainer(**values), None)
    return torch.rand(4).tolist()


def test_chance_follows_from_seed_epoch_and_rank_alone():
    first = _drawn(1, current_epoch=2)
    torch.rand(7)
    assert _drawn(1, current_epoch=2) == first
    others = [_drawn(2, current_epoch=2), _drawn(1, current_epoch=3)]
    others.append(_drawn(1, current_epoch=2, global_rank=1))
    assert first not in others


@pytest.mark.parametrize(("steps", "stops"), [(3, [4, 5]), (4, [4, 5]), (5, [5]), (6, [])])
def test_stop_after(steps, stops):
    callback = StopAfter(steps)
    stopped = []
    for step in (4, 5):
        trainer = _trainer(global_step=step)
        callback.on_train_batch_end(trainer, None, None, None, 0)
        stopped += [step] * trainer.should_stop
        again = _trainer(global_step=step)
        callback.on_train_start(again, None)  # of a resumed run
        assert again.should_stop == trainer.should_stop
    assert stopped == stops


@pytest.mark.parametrize(("waited", "now", "stops"), [(2, 2, True), (2, 3, False), (0, 1, False)])
def test_patience_of_a_resumed_run_is_the_one_given_now(waited, now, stops):
    before = Patience(2, "val/top1_error")
    before.wait_count = waited
    after, trainer = Patience(now, "val/top1_error"), _trainer()
    after.load_state_dict(before.state_dict())
    after.on_train_start(trainer, None)
    assert (after.patience, trainer.should_stop) == (now, stops)


def _epoch(history, number, **metrics):
    values = {name.replace("_x_", "/"): torch.tensor(v) for name, v in metrics.items()}
    trainer = _trainer(current_epoch=number, global_step=5 * number + 5, callback_metrics=values)
    history.on_train_epoch_start(trainer, None)
    history.on_train_epoch_end(trainer, None)


def test_history_is_written_whole_after_each_epoch(tmp_path):
    said = []
    history = History(tmp_path, said.append)
    assert not history.grown
    _epoch(history, 0, train_x_loss=1.25, val_x_top1_error=50.0, unknown=3.0)
    assert history.grown
    _epoch(history, 1, train_x_loss=0.5)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    first = ("epoch", "step", "lr", "seconds", "train/loss", "val/top1_error")
    assert tuple(rows[0]) == (*first, "unknown")
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "5"), ("2", "10")]
    assert [row["val/top1_error"] for row in rows] == ["50", ""]
    assert [float(row["train/loss"]) for row in rows] == [1.25, 0.5]
    assert said[0].startswith("epoch 1/9  loss 1.25  val top-1 error 50.00 %  ")
    resumed = History(tmp_path, said.append)
    resumed.load_state_dict(history.state_dict())
    assert resumed.as_csv() == history.as_csv()


def test_only_the_first_process_writes(tmp_path):
    history = History(tmp_path, pytest.fail)
    trainer = _trainer(is_global_zero=False, callback_metrics={"train/loss": torch.tensor(1.0)})
    history.on_train_epoch_end(trainer, None)
    assert len(history.rows) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"epoch": 3.0, "seconds": 61.4}, "epoch 3/20  61 s"),
        (
            {
                "epoch": 1,
                "seconds": 0.2,
                "train/loss": 2.30258,
                "val/loss": 1.5e11,
                "val/top1_error": 99.5,
                "val/top5_error": 7.125,
            },
            "epoch 1/20  loss 2.303  val loss 1.5e+11  val top-1 error 99.50 %  top-5 7.12 %  0 s",
        ),
    ],
)
def test_line(row, line):
    assert epoch_line(row, 20) == line


def test_lines_pass_above_the_bar():
    said = []
    above_bar(said.append)("x")
    assert said == ["x"]
