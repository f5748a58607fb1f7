"""A training run from configuration to report."""

from __future__ import annotations

import re
import signal
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image
from pytorch_lightning.plugins.precision import MixedPrecision

from res2net import machine
from res2net.card import ModelCard
from res2net.config import AUTO, RunConfig
from res2net.data import levels
from res2net.data.preprocess import Preprocess, default_preprocess
from res2net.errors import Stopped, TakenError, UserError
from res2net.machine import Processes
from res2net.models.weights import read_weights
from res2net.training import run as training
from res2net.training.callbacks import History
from res2net.training.folder import write_config
from res2net.training.run import (
    _card_of,
    fit,
    make_trainer,
    memory_advice,
    quiet_libraries,
    settle_pretrained,
)

pytestmark = pytest.mark.usefixtures("undrawn")


def _config(data="digits", **train):
    return RunConfig.from_dict(
        {
            "model": "res2net29_small",
            "data": str(data),
            "recipe": "smoke",
            "net": {"depth": 11, "width": 4, "drop_path": 0.2},
            "input": {"workers": 0},
            "augment": {"mixup": 0.2},
            "train": {"batch": 6, "threads": 1, "epochs": 3, "lr": 0.01, **train},
        }
    )


class Listener:
    """Hears what a run says; presses Ctrl-C at a line."""

    def __init__(self, stop_at=None):
        self.lines = []
        self.stop_at = stop_at

    def __call__(self, line):
        self.lines.append(line)
        if self.stop_at and line.startswith(self.stop_at):
            signal.raise_signal(signal.SIGINT)


def _state(run):
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in content["state_dict"].values())
    return content


def _assert_same(a, b):
    first, second = _state(a), _state(b)
    for part in ("state_dict", "current_model_state"):
        assert first.get(part, {}).keys() == second.get(part, {}).keys()
        for name, value in first.get(part, {}).items():
            assert torch.equal(value, second[part][name]), name
    assert first["global_step"] == second["global_step"]
    rows = [
        [line.split(",")[:3] + line.split(",")[4:] for line in text.splitlines()]  # less seconds
        for text in ((run / "metrics.csv").read_text() for run in (a, b))
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ema": 0.9999, "accumulate": 2, "clip": 0.5},
        {"max_steps": 7, "early_stop": 3},  # in the middle of the third epoch
    ],
)
def test_stopped_and_resumed_ends_in_the_same_weights(photos, tmp_path, options):
    config = _config(f"folder:{photos}", schedule="cosine", warmup=1.0, **options)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit(config, whole, resume=False, say=Listener())
    with pytest.raises(Stopped, match=f"resume with: res2net train --out {broken} --resume"):
        fit(config, broken, resume=False, say=Listener("epoch 2/3"))
    assert _state(broken)["epoch"] == 0  # stopped before the second was written
    listener = Listener()
    fit(config, broken, resume=True, say=listener)
    assert [line.split("  ")[0] for line in listener.lines if line.startswith("epoch")] == [
        "epoch 2/3",
        "epoch 3/3",
    ]
    _assert_same(whole, broken)


@pytest.fixture
def with_scaler(monkeypatch):
    """fp16 as on a GPU, where there may be none; its first step overflows."""
    place = machine.best_device().type
    trainer = pl.Trainer

    def make(**options):
        assert options.pop("precision") == "16-mixed"
        scaler = torch.amp.GradScaler(
            place, init_scale=2.0**40, backoff_factor=2.0**-24, growth_interval=3
        )
        options["plugins"].append(MixedPrecision("16-mixed", place, scaler))
        return trainer(**options)

    monkeypatch.setattr(machine, "known_precision", lambda name: name)
    monkeypatch.setattr(pl, "Trainer", make)


@pytest.mark.usefixtures("with_scaler")
def test_fp16_resumed_has_the_scale_of_its_gradients_and_the_same_weights(photos, tmp_path):
    config = _config(f"folder:{photos}", precision="fp16", clip=1.0, epochs=2)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit(config, whole, resume=False, say=Listener())
    with pytest.raises(Stopped):
        fit(config, broken, resume=False, say=Listener("epoch 2/2"))
    assert (
        0 < _state(broken)["MixedPrecision"]["scale"] < 2.0**40
    )  # lost, steps would overflow again
    fit(config, broken, resume=True, say=Listener())
    assert _state(broken)["MixedPrecision"] == _state(whole)["MixedPrecision"]
    _assert_same(whole, broken)


def test_stopped_in_the_first_epoch_leaves_nothing(photos, tmp_path):
    run = tmp_path / "run"
    handlers = signal.getsignal(signal.SIGINT), threading.excepthook
    with pytest.raises(Stopped, match="before the first checkpoint; nothing is kept"):
        fit(_config(f"folder:{photos}"), run, resume=False, say=Listener("epoch 1/3"))
    assert not run.exists()
    assert (signal.getsignal(signal.SIGINT), threading.excepthook) == handlers


def test_a_second_training_in_the_folder_is_told_and_changes_nothing(photos, tmp_path):
    """Started while the first trains; it neither mixes with it nor clears what it wrote."""
    run, refused = tmp_path / "run", []

    def second(line):
        if line.startswith("epoch 1/2"):
            before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
            for resume in (False, True):
                with pytest.raises(TakenError, match=r"writes there; wait until it has ended"):
                    fit(config, run, resume=resume, say=pytest.fail)
            assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
            refused.append(line)

    config = _config(f"folder:{photos}", epochs=2)
    fit(config, run, resume=False, say=second)
    assert refused
    assert (run / "report.md").is_file()
    assert not (run / ".lock").exists()


def test_an_average_of_a_few_steps_is_not_of_the_first(photos, tmp_path):
    config = _config(f"folder:{photos}", ema=0.9999, optimizer="adamw", lr=0.01)
    fit(config, tmp_path / "run", resume=False, say=Listener())
    state = _state(tmp_path / "run")
    bias = state["state_dict"]["model.fc.bias"], state["current_model_state"]["model.fc.bias"]
    assert (bias[0] - bias[1]).abs().max() < 0.5 * bias[1].abs().max()


def test_what_a_run_says(photos, tmp_path):
    listener = Listener()
    run = tmp_path / "my run"
    fit(_config(f"folder:{photos}", epochs=1), run, resume=False, say=listener)
    folder, network, recipe, epoch, best = listener.lines
    assert folder == f"run folder: {run}"
    assert network.startswith("res2net29_small (0.05M parameters) on photos: 18 training and 9")
    assert recipe.startswith("recipe smoke: 1 epoch of 3 steps, batch 6, sgd, ")
    assert recipe.endswith(" on 1 CPU, 1 thread") or torch.cuda.is_available()
    assert epoch.startswith("epoch 1/1  loss ")
    assert best.endswith(f"see {run}/report.md")
    assert f"\nres2net predict '{run}' IMAGE_OR_FOLDER " in (run / "report.md").read_text()


def test_training_learns(photos, tmp_path):
    """The three classes differ in colour."""
    config = _config(f"folder:{photos}", epochs=12, optimizer="adamw", lr=0.01)
    listener = Listener()
    fit(config, tmp_path / "run", resume=False, say=listener)
    assert "top-1 error 0.00 %" in listener.lines[-1]


def test_early_stopping_says_so_and_what_resuming_needs(photos, tmp_path):
    config = _config(f"folder:{photos}", epochs=9, lr=1e-12, early_stop=2)
    config = RunConfig.from_dict({**config.as_dict(), "net": {"depth": 11, "norm": "group"}})
    listener = Listener()
    run = tmp_path / "run"
    fit(config, run, resume=False, say=listener)
    assert sum(line.startswith("epoch") for line in listener.lines) == 3  # the first and two more
    said = listener.lines[-2]
    assert re.fullmatch(
        r"early stopping after epoch 3: val top-1 error has not improved for 2 epochs \(lowest: "
        r"\d+\.\d\d % in epoch 1; --train\.early-stop 2\)",
        said,
    )
    assert said in (run / "report.md").read_text()
    listener = Listener()
    fit(config, run, resume=True, say=listener)
    assert (
        "nothing is left to train: --train.early-stop 2 ends the run (2 epochs without "
        "improvement), raise it or set 0 to never stop" in listener.lines
    )
    assert said in (run / "report.md").read_text()


def test_the_saved_configuration(photos, tmp_path):
    config = _config(f"folder:{photos}", epochs=1)
    fit(config, tmp_path / "run", resume=False, say=Listener())
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert saved["train"].pop("select") == "best"  # decided: the photos have a validation part
    assert RunConfig.from_dict(saved) == config


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, {"precision": "32-true", "max_epochs": 3, "accumulate_grad_batches": 1}),
        ({"accumulate": 4}, {"accumulate_grad_batches": 4}),
        ({"clip": 2.0}, {"gradient_clip_val": 2.0}),
        ({"clip": 0.0}, {"gradient_clip_val": None}),
        ({"val_batches": 2}, {"limit_val_batches": 2}),
        ({"precision": "bf16"}, {"precision": "bf16-mixed"}),
        ({"precision": "fp64"}, {"precision": "64-true"}),
    ],
)
def test_options_reach_the_trainer(tmp_path, monkeypatch, options, settings):
    apple = "pytorch_lightning.accelerators.MPSAccelerator.is_available"
    monkeypatch.setattr(apple, staticmethod(lambda: True))  # which Lightning's "auto" would take
    quiet_libraries()

    class Loader:
        def __len__(self):
            return 7

    class Job:
        train_loader = Loader()
        task = SimpleNamespace(monitor="val/top1_error", one_size=True)

    config = _config(**{"precision": "fp32", **options})
    one = Processes(devices=1, nodes=1, rank=0)
    trainer = make_trainer(config, Job(), tmp_path, one, History(tmp_path, pytest.fail), [])
    assert {name: getattr(trainer, name) for name in settings} == settings
    assert trainer.num_sanity_val_steps == 0
    assert torch.backends.cudnn.benchmark
    assert trainer.strategy.root_device.type == machine.best_device().type


def test_checkpointed_gradients_change_nothing(photos, tmp_path):
    runs = []
    for value in ("none", "cheap", "full"):
        runs.append(tmp_path / value)
        config = _config(f"folder:{photos}", epochs=1, gradient_checkpointing=value)
        config = RunConfig.from_dict({**config.as_dict(), "net": {"depth": 11, "width": 4}})
        fit(config, runs[-1], resume=False, say=Listener())
    _assert_same(runs[0], runs[1])
    _assert_same(runs[0], runs[2])


def test_frozen_levels_stay(photos, tmp_path):
    config = _config(f"folder:{photos}", epochs=1, frozen_levels=1, lr=1.0)
    fit(config, tmp_path / "run", resume=False, say=Listener())
    fit(
        _config(f"folder:{photos}", epochs=1, frozen_levels=1, lr=1e-12),
        tmp_path / "still",
        resume=False,
        say=Listener(),
    )
    moved, still = (_state(tmp_path / name)["state_dict"] for name in ("run", "still"))
    stem = [name for name in moved if name.startswith(("model.conv1.", "model.bn1."))]
    assert stem
    assert all(torch.equal(moved[name], still[name]) for name in stem)
    assert not torch.allclose(moved["model.fc.weight"], still["model.fc.weight"])


def _weights(run):
    return {name.removeprefix("model."): v for name, v in _state(run)["state_dict"].items()}


def test_a_linear_probe_moves_the_classifier_alone(photos, tmp_path):
    first, probe = tmp_path / "first", tmp_path / "probe"
    fit(_config(f"folder:{photos}", epochs=1), first, resume=False, say=Listener())
    config = _config(f"folder:{photos}", epochs=2, frozen_levels="all", dropout=0.5)
    fit(replace(config, init=str(first)), probe, resume=False, say=Listener())
    before, after = _kept(first), _weights(probe)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"fc.weight", "fc.bias"}


def _kept(run):
    return read_weights(run / "model.safetensors")[0]


def test_a_run_begun_from_another_is_resumed_without_it(photos, tmp_path):
    """Also in the midst of gradual unfreezing, and with the notes on where it began."""
    first, whole, broken = (tmp_path / name for name in ("first", "whole", "broken"))
    fit(_config(f"folder:{photos}", epochs=1), first, resume=False, say=Listener())
    config = _config(f"folder:{photos}", unfreeze_every=1.0, dropout=0.2, layer_decay=0.5)
    config = replace(config, init=str(first))
    listener = Listener()
    fit(config, whole, resume=False, say=listener)
    assert f"--init {first}: the head's rows of all 3 classes are kept" in listener.lines
    with pytest.raises(Stopped):
        fit(config, broken, resume=False, say=Listener("epoch 2/3"))
    before, after = _kept(first), _weights(broken)  # an epoch of the head alone
    moved = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"fc"}
    first.rename(tmp_path / "gone")
    fit(config, broken, resume=True, say=Listener())
    _assert_same(whole, broken)
    after = _weights(broken)  # the second trained the last level too, the third two
    moved = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"fc", "layer3", "layer2"}
    for run in (whole, broken):
        assert ModelCard.read(run / "model.json").notes == "started from first"


def test_memory_advice_names_the_values():
    config = _config(batch=77)
    assert "--train.batch (it is 77;" in memory_advice(config)
    assert "it is None" not in memory_advice(config)


def test_a_run_that_asks_for_no_weights_starts_as_it_is(tmp_path):
    config = _config()
    assert settle_pretrained(config, tmp_path, pytest.fail) is config


@pytest.mark.slow
def test_compiled(photos, tmp_path):
    """torch.compile on this machine: the same loss up to rounding."""
    losses = []
    for value in (False, True, "reduce-overhead"):
        config = _config(f"folder:{photos}", epochs=1, precision="fp32")
        values = {**config.as_dict(), "compile": value, "net": {"depth": 11}}
        listener = Listener()
        fit(RunConfig.from_dict(values), tmp_path / str(value), resume=False, say=listener)
        losses.append(float(next(x for x in listener.lines if "loss" in x).split()[3]))
    assert losses[1:] == pytest.approx(losses[:1] * 2, rel=1e-3)


def test_a_run_that_goes_on_takes_no_address_from_its_folder(tmp_path):
    """``--net.pretrained auto`` was decided for published weights or none, never for an address."""
    config = _config()
    auto = replace(config, net=replace(config.net, pretrained=AUTO))
    foreign = replace(config, net=replace(config.net, pretrained="http://127.0.0.1:9/x"))
    write_config(foreign, tmp_path)
    with pytest.raises(UserError, match="net.pretrained is 'http://127.0.0.1:9/x', not what"):
        settle_pretrained(auto, tmp_path, pytest.fail)


def _deep(folder, count, top):
    """Images of 16 bits in two classes, 6 each."""
    chance = np.random.default_rng(0)
    for name, base in (("dark", 0), ("bright", top // 2)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            values = base + chance.integers(0, top // 2, (34, 34))
            Image.fromarray(values.astype(np.uint16)).save(folder / name / f"{i}.png")


def test_a_run_says_its_range_of_values_and_keeps_it_when_it_is_resumed(tmp_path):
    _deep(tmp_path / "data", 6, 4000)
    run, listener = tmp_path / "run", Listener()
    fit(_config(f"folder:{tmp_path / 'data'}", epochs=1), run, resume=False, say=listener)
    said = "values 0..4095 of images with more than 8 bits become 0..255 (read"
    assert any(line.startswith(said) for line in listener.lines)
    assert ModelCard.read(run / "model.json").preprocess.range == (0, 4095)
    _deep(tmp_path / "data", 6, 60000)
    levels.clipped.set()
    fit(_config(f"folder:{tmp_path / 'data'}", epochs=2), run, resume=True, say=listener)
    assert ModelCard.read(run / "model.json").preprocess.range == (0, 4095)


def test_a_run_of_before_is_resumed_with_the_range_of_each_file():
    card = {"preprocess": default_preprocess(32).as_dict()}
    assert "range" not in card["preprocess"]
    kept = _card_of((Path("last.ckpt"), {"hyper_parameters": {"card": card}}))
    assert Preprocess.from_dict(kept["preprocess"]) == default_preprocess(32)
    assert _card_of((Path("last.ckpt"), {})) == {}


@pytest.mark.usefixtures("undrawn")
def test_batches_of_few_classes_are_told(photos, tmp_path):
    """Validation images lie class by class, so the first batches can hold one alone."""
    listener = Listener()
    config = _config(f"folder:{photos}", epochs=1, val_batches=1, batch=2, max_steps=1)
    fit(config, tmp_path / "run", resume=False, say=listener)
    assert "--train.val-batches 1: 2 images of 1 of 3 classes are measured" in listener.lines


def test_a_loader_that_was_stopped_with_all_others_is_a_stop_and_no_lack_of_memory():
    """`timeout` and a scheduler signal the whole group, and the loader's process ends first."""
    with pytest.raises(KeyboardInterrupt), training._interrupts_raised():
        raise RuntimeError("DataLoader worker (pid(s) 7) is killed by signal: Terminated. ")
    with pytest.raises(RuntimeError, match="Killed"), training._interrupts_raised():
        raise RuntimeError("DataLoader worker (pid(s) 7) is killed by signal: Killed. ")
