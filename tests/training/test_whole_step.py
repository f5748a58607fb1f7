"""Steps that are recorded and replayed train as eager ones do."""

from __future__ import annotations

import pytest
import torch

from res2net import machine
from res2net.config import RunConfig
from res2net.errors import UserError
from res2net.machine import Processes
from res2net.tasks.table import find_task
from res2net.training.run import fit
from res2net.training.whole_step import WholeStep, make_whole_step

pytestmark = pytest.mark.usefixtures("undrawn")


def _config(data="digits", capture="auto", task="classify", epochs=2, compiled=False, **train):
    return RunConfig.from_dict(
        {
            "model": "res2net29_small",
            "data": str(data),
            "recipe": "smoke",
            "task": task,
            "capture": capture,
            "compile": compiled,
            "net": {"depth": 11, "width": 4},
            "input": {"workers": 0},
            "augment": {"mixup": 0.2},
            "train": {"batch": 5, "threads": 1, "epochs": epochs, "lr": 0.05, **train},
        }
    )


class Film:
    """A recorder that, as a CUDA graph, computes only when it is replayed, on the same memory."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, run):
        self.recorded += 1

        def replay():
            self.replayed += 1
            return run()

        return replay


@pytest.fixture
def film(monkeypatch):
    film = Film()
    monkeypatch.setattr(
        "res2net.training.run.make_whole_step",
        lambda config, *_: None if config.capture == "off" else WholeStep(film),
    )
    return film


def _content(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def _assert_same(one, two):
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            _assert_same(one[key], two[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(two)
        for pair in zip(one, two, strict=True):
            _assert_same(*pair)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    else:
        assert (type(one), one) == (type(two), two)


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "cosine", "warmup": 0.5, "ema": 0.9, "clip": 0.05},
        {"optimizer": "adamw", "lr": 0.002},
        {"nesterov": True, "schedule": "step", "milestones": [1.0], "decay_norms": False},
    ],
)
def test_recorded_steps_train_bit_for_bit_as_eager_ones(photos, tmp_path, film, options):
    """18 images in batches of 5: the schedule, the averages and the counts of batches included."""
    runs = {}
    for how in ("off", "auto"):
        runs[how] = tmp_path / how
        fit(_config(f"folder:{photos}", how, **options), runs[how], resume=False, say=list)
    assert film.recorded == 1
    assert film.replayed == 2 * 3 - WholeStep.WARM
    eager, replayed = (_content(run) for run in runs.values())
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "current_model_state"):
        _assert_same(eager.get(part), replayed.get(part))
    rows = [(run / "metrics.csv").read_text().splitlines() for run in runs.values()]
    less = [[r.split(",")[:3] + r.split(",")[4:] for r in each] for each in rows]  # seconds
    assert less[0] == less[1]


def test_a_recorded_run_is_resumed_exactly(photos, tmp_path, film):
    data = f"folder:{photos}"
    for run, how, steps in (
        ("whole", "auto", -1),
        ("cut", "auto", 6),
        ("cut", "off", 9),  # the option may change
        ("cut", "auto", -1),
    ):
        config = _config(data, how, epochs=5, ema=0.9, max_steps=steps)
        fit(config, tmp_path / run, resume=run == "cut" and steps != 6, say=list)
    assert film.recorded == 3
    whole, cut = _content(tmp_path / "whole"), _content(tmp_path / "cut")
    for part in ("state_dict", "current_model_state", "optimizer_states"):
        _assert_same(whole[part], cut[part])


def test_another_size_runs_eagerly_between_replays():
    film, module = Film(), torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    step, losses = WholeStep(film), []

    def eager():
        loss = module(*step.inputs).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
        return (loss.detach(),)

    how = [step.step(module, optimiser, (torch.randn(n, 2),), eager) for n in (4, 4, 3, 4, 4, 3, 4)]
    assert how == [False, False, False, False, True, False, True]
    assert int(module[1].num_batches_tracked) == 7
    assert (film.recorded, film.replayed, len(losses)) == (1, 2, 7)
    assert isinstance(optimiser.param_groups[0]["lr"], torch.Tensor)


def test_what_cannot_be_recorded_trains_eagerly(photos, tmp_path, monkeypatch):
    def refuse(_run):
        raise RuntimeError("CUDA error: operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(
        "res2net.training.run.make_whole_step",
        lambda config, *_: None if config.capture == "off" else WholeStep(refuse),
    )
    data = f"folder:{photos}"
    with pytest.warns(UserWarning, match="steps are not recorded: CUDA error: operation not"):
        fit(_config(data), tmp_path / "refused", resume=False, say=list)
    fit(_config(data, "off"), tmp_path / "eager", resume=False, say=list)
    contents = [_content(tmp_path / name)["state_dict"] for name in ("refused", "eager")]
    _assert_same(*contents)


ONE = Processes(devices=1, nodes=1, rank=0)


@pytest.mark.parametrize(
    ("values", "processes", "line"),
    [
        ({}, ONE, ""),
        ({"task": "pose"}, ONE, ""),
        ({"gradient_checkpointing": "cheap"}, ONE, ""),
        ({"task": "detect"}, ONE, "needs batches of one size; those of --task detect vary"),
        ({"task": "segment"}, ONE, "needs batches of one size; those of --task segment vary"),
        ({}, Processes(devices=2, nodes=1, rank=0), "is for one process"),
        ({"compiled": True}, ONE, "and --compile exclude each other"),
        ({"accumulate": 2}, ONE, "needs --train.accumulate 1"),
        ({"gradient_checkpointing": "full"}, ONE, "needs --train.gradient-checkpointing none"),
        ({"precision": "fp16", "clip": 1.0}, ONE, "cannot clip gradients in fp16; set"),
    ],
)
def test_which_runs_are_recorded_on_a_gpu(monkeypatch, values, processes, line):
    monkeypatch.setattr(machine, "best_device", lambda: torch.device("cuda"))
    task = find_task(values.get("task", "classify"))
    assert make_whole_step(_config(capture="off", **values), task, processes) is None
    auto = make_whole_step(_config(capture="auto", **values), task, processes)
    assert (auto is None) == bool(line)
    if line:
        with pytest.raises(UserError, match=f"--capture on {line}"):
            make_whole_step(_config(capture="on", **values), task, processes)


def test_on_a_processor_nothing_is_recorded(monkeypatch):
    monkeypatch.setattr(machine, "best_device", lambda: torch.device("cpu"))
    task = find_task("classify")
    assert make_whole_step(_config(capture="auto"), task, ONE) is None
    with pytest.raises(UserError, match="--capture on needs a GPU and there is none"):
        make_whole_step(_config(capture="on"), task, ONE)
