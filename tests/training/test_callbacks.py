"""What happens around the epochs."""

from __future__ import annotations

import csv
import io
import math
import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

from res2net.errors import UserError
from res2net.training.callbacks import (
    Averaging,
    EpochSeed,
    History,
    Pace,
    Patience,
    StopAfter,
    above_bar,
    average_decay,
    duration,
    epoch_line,
    speak,
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
        "world_size": 1,
        "strategy": SimpleNamespace(root_device=torch.device("cpu")),
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


# ---- early stopping


@pytest.mark.parametrize(
    ("errors", "waited", "line"),
    [
        (
            [40.0, 31.5, 31.5, 33.0],
            2,
            "early stopping after epoch 4: val top-1 error has not improved for 2 epochs (lowest: "
            "31.50 % in epoch 2; --train.early-stop 2)",
        ),
        ([40.0, 31.5], 0, ""),
        ([], 0, ""),
    ],
)
def test_why_training_stopped(errors, waited, line):
    callback = Patience(2, "val/top1_error")
    callback.wait_count = waited
    rows = [{"epoch": n + 1.0, "val/top1_error": error} for n, error in enumerate(errors)]
    assert callback.why(rows) == line


def test_a_metric_that_is_not_finite_stops_and_is_named():
    callback = Patience(5, "val/ap_error")
    callback._evaluate_stopping_criteria(torch.tensor(float("inf")))
    assert callback.why([{"epoch": 1.0}]) == (
        "early stopping after epoch 1: val AP error is not a finite number (--train.early-stop 5)"
    )


def test_an_epoch_without_a_measurement_is_told_once_and_not_counted():
    callback = Patience(2, "val/ap_error")
    for epoch, error in enumerate([60.0, math.nan, math.nan, 61.0, math.nan]):
        trainer = _trainer(
            current_epoch=epoch,
            callback_metrics={"val/ap_error": torch.tensor(error)},
            fast_dev_run=False,
            strategy=SimpleNamespace(reduce_boolean_decision=lambda stop, all: stop),
            state=SimpleNamespace(fn="fit"),
            sanity_checking=False,
        )
        callback._check_on_train_epoch_end = False
        told = (
            pytest.warns(UserWarning, match=r"^val AP error could not be measured in epoch 2; ")
            if epoch == 1
            else nullcontext()
        )
        with told:
            callback.on_validation_end(trainer, None)
        assert not trainer.should_stop
    assert callback.wait_count == 1
    rows = [{"epoch": 1.0, "val/ap_error": math.nan}, {"epoch": 2.0, "val/ap_error": 40.0}]
    callback.wait_count = 2
    assert "lowest: 40.00 % in epoch 2" in callback.why(rows)


# ---- averages


class OneWeight(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(-1000.0, dtype=torch.float64))
        self.config = SimpleNamespace(compile=False)
        self.trainer = _trainer()


def _averaged(decay, steps, *, warm_up=True, start=0, average=None):
    """The average of a weight that is the number of the step, and its state."""
    callback, module = Averaging(decay), OneWeight()
    callback.warm_up = warm_up
    callback.setup(_trainer(), module, "fit")
    if average is not None:
        callback._average_model.load_state_dict(average)
        callback._latest_update_step = start
    for step in range(start + 1, steps + 1):
        with torch.no_grad():
            module.weight.fill_(float(step))
        callback.on_train_batch_end(_trainer(global_step=step), module, None, None, 0)
    return callback._average_model.module.weight.item(), callback._average_model.state_dict()


@pytest.mark.parametrize(
    ("updates", "kept"), [(0, 0.1), (1, 2 / 11), (80, 0.9), (8990, 0.999), (10**6, 0.9999)]
)
def test_an_average_warms_up(updates, kept):
    assert average_decay(0.9999, updates) == pytest.approx(kept, abs=1e-5)
    assert average_decay(0.5, updates) <= 0.5


def test_an_average_follows_the_weights_from_the_first_steps_on():
    assert _averaged(0.9999, 30)[0] == pytest.approx(27, abs=1)  # of the last steps
    assert _averaged(0.9999, 30, warm_up=False)[0] == pytest.approx(1, abs=0.1)  # of the first


def test_an_average_equals_its_definition_and_after_the_warm_up_torchs_own():
    expected = 1.0  # the first step is copied
    for step in range(2, 41):
        kept = min(0.8, step / (step + 9))  # (1 + t) / (10 + t) with t = step - 1 updates
        expected = kept * expected + (1 - kept) * step
    assert _averaged(0.8, 40)[0] == pytest.approx(expected, rel=1e-12)
    theirs = torch.optim.swa_utils.get_ema_avg_fn(0.8)
    ours = Averaging(0.8)
    ours.should_update(step_idx=100)
    values = torch.rand(7), torch.rand(7)
    wanted = theirs(*values, 101)
    counts = torch.tensor(40), torch.tensor(90)
    ours._average([values[0]], [values[1]], 101)
    ours._average([counts[0]], [counts[1]], 101)
    assert torch.equal(values[0], wanted)
    assert int(counts[0]) == 50


def test_an_average_that_is_resumed_is_the_same():
    half = _averaged(0.99, 7)[1]
    assert _averaged(0.99, 20, start=7, average=half)[0] == _averaged(0.99, 20)[0]


def test_an_average_from_before_the_warm_up_goes_on_as_it_began():
    callback = Averaging(0.99)
    assert callback.state_key == "EMAWeightAveraging"
    callback.load_state_dict({"latest_update_step": 3})
    assert not callback.warm_up
    callback.load_state_dict(Averaging(0.99).state_dict())
    assert callback.warm_up


# ---- pace


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def _paced(steps, seconds, *, bar=False, epochs=3, batches=100, val=0, stop=None):
    """The lines of one epoch whose steps take so long."""
    said, clock = [], Clock()
    pace = Pace(said.append, bar=bar, clock=clock)
    loader = SimpleNamespace(batch_size=8, sampler=range(1000))
    trainer = _trainer(
        train_dataloader=loader,
        world_size=2,
        num_training_batches=batches,
        num_val_batches=[val],
        max_epochs=epochs,
        accumulate_grad_batches=2,
        callbacks=[StopAfter(stop)] if stop else [],
    )
    pace.on_train_start(trainer, None)
    pace.on_train_epoch_start(trainer, None)
    for step in range(steps):
        clock.now += seconds
        pace.on_train_batch_end(trainer, None, {"loss": torch.tensor(0.25)}, None, step)
    for step in range(val):
        clock.now += seconds
        pace.on_validation_batch_end(trainer, None, None, None, step)
    return said, pace


def test_a_line_a_minute_with_step_loss_speed_and_time_left():
    said, _ = _paced(25, 7.0)
    assert said == [
        "epoch 1/3  step 8/100  loss 0.5  2.29 img/s  34 min left",
        "epoch 1/3  step 16/100  loss 0.5  2.29 img/s  33 min left",
        "epoch 1/3  step 24/100  loss 0.5  2.29 img/s  32 min left",
    ]
    assert len(_paced(5, 59.0)[0]) == 5  # after two the minute would be over
    assert len(_paced(3, 300.0)[0]) == 3
    assert _paced(50, 1.0)[0] == []


def test_a_long_validation_is_told_too():
    said, _ = _paced(1, 1.0, val=130)
    assert said[0] == "epoch 1/3  validation 58/130  299 s left".replace("299 s", "5 min")
    assert len(said) == 2


def test_with_a_bar_nothing_is_said_and_the_bar_can_know():
    said, pace = _paced(20, 30.0, bar=True)
    assert said == []
    assert (round(pace.speed, 2), duration(pace.left)) == (0.53, "2.3 h")


def test_the_time_left_ends_with_max_steps():
    assert _paced(10, 1.0, stop=10)[1].left == 20.0  # steps of two batches


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (5399, "90 min"), (9000, "2.5 h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_an_output_that_is_full_or_closed_is_one_line(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    told = []
    for place in (os.open("/dev/full", os.O_WRONLY), write):
        with os.fdopen(place, "w", encoding="utf-8") as output:
            monkeypatch.setattr("sys.stdout", output)
            with pytest.raises(UserError) as error:
                speak("a\u00d7b")
            speak("b")  # is lost
            monkeypatch.undo()
        told.append(str(error.value))
    assert told[0] == (
        "the standard output cannot be written to (No space left on device); send it to a file"
    )
    assert told[1].startswith("the standard output cannot be written to (Broken pipe)")


def test_a_terminal_without_a_sign_shows_its_number(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr("sys.stdout", out)
    speak("3 × 3")
    assert out.buffer.getvalue() == b"3 \\xd7 3\n"
