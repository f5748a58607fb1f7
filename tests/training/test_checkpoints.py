"""Checkpoints: whole, without code, the best and the last."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from res2net.config import RunConfig
from res2net.errors import UserError
from res2net.training.checkpoints import (
    AtomicCheckpointIO,
    Keep,
    checkpoint_callbacks,
    newest_checkpoint,
    read_state,
)
from res2net.training.run import fit

pytestmark = pytest.mark.usefixtures("undrawn")


def _config(photos, *, seed=0, **train):
    """Group norm: with a learning rate of nearly nothing, no epoch is better than the first."""
    options = {"batch": 9, "threads": 1, "schedule": "constant", "lr": 0.01, **train}
    return RunConfig.from_dict(
        {
            "model": "res2net29_small",
            "data": f"folder:{photos}",
            "recipe": "smoke",
            "seed": seed,
            "net": {"depth": 11, "width": 4, "norm": "group"},
            "input": {"workers": 0},
            "train": options,
        }
    )


def _load(path):
    return torch.load(path, weights_only=True)


def test_written_whole_and_read_back(tmp_path):
    path = tmp_path / "checkpoints" / "a.ckpt"
    content = {"x": torch.arange(3), "n": 1}
    AtomicCheckpointIO().save_checkpoint(content, path)
    found = AtomicCheckpointIO().load_checkpoint(path)
    assert found["n"] == 1
    assert torch.equal(found["x"], content["x"])
    assert [p.name for p in path.parent.iterdir()] == ["a.ckpt"]
    with pytest.raises(TypeError, match="storage_options"):
        AtomicCheckpointIO().save_checkpoint(content, path, storage_options={})


def test_a_resumed_optimiser_does_not_live_in_the_file(tmp_path):
    path = tmp_path / "a.ckpt"
    moments = {"state": {0: {"momentum_buffer": torch.ones(4)}}}
    AtomicCheckpointIO().save_checkpoint({"optimizer_states": [moments]}, path)
    (found,) = AtomicCheckpointIO().load_checkpoint(path)["optimizer_states"]
    kept = found["state"][0]["momentum_buffer"]
    path.write_bytes(b"")  # a mapped tensor would end the process
    assert kept.tolist() == [1.0] * 4


def test_a_full_disk_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    AtomicCheckpointIO().save_checkpoint({"n": 1}, path)

    def no_room(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(UserError, match=r"no space left .* while writing a\.ckpt"):
        AtomicCheckpointIO().save_checkpoint({"n": 2}, path)
    assert AtomicCheckpointIO().load_checkpoint(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


class Code:
    def __reduce__(self):
        return (os.system, ("false",))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04 not a pickle", bytes(range(256)), pickle.dumps({"x": Code()})],
    ids=["empty", "broken", "bytes", "code"],
)
def test_a_damaged_one_is_a_mistake_in_one_line(tmp_path, content):
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        AtomicCheckpointIO().load_checkpoint(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_the_last_is_of_the_last_epoch_though_it_is_not_the_best(photos, tmp_path):
    run = tmp_path / "run"
    fit(_config(photos, epochs=3, lr=1e-12, val_batches=1), run, resume=False, say=lambda _: None)
    best, last = (_load(run / "checkpoints" / f"{name}.ckpt") for name in ("best", "last"))
    assert (best["epoch"], last["epoch"]) == (0, 2)
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_checkpoints_hold_plain_data_only(tiny_run):
    content = _load(tiny_run / "checkpoints" / "best.ckpt")  # weights_only=True loads no code
    card = content["hyper_parameters"]["card"]
    assert card["network"] == "res2net29_small"
    assert card["classes"] == [str(i) for i in range(10)]
    names = [name for name in content["state_dict"] if name.startswith("model.")]
    assert "model.fc.weight" in names


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ((), None),
        (("best.ckpt",), "best.ckpt"),  # killed between the two of the first epoch
        (("best.ckpt", "last.ckpt"), "last.ckpt"),
        (("last.ckpt",), "last.ckpt"),
    ],
)
def test_where_a_run_goes_on(tmp_path, there, found):
    (tmp_path / "checkpoints").mkdir()
    for name in there:
        (tmp_path / "checkpoints" / name).write_text("x")
    assert newest_checkpoint(tmp_path) == (found and tmp_path / "checkpoints" / found)


def test_the_best_is_written_first(tmp_path):
    """So the last knows of it; two states, told apart by their keys."""
    best, last = checkpoint_callbacks(tmp_path, "val/top1_error")
    assert (best.filename, last.filename) == ("best", "last")
    assert (best.monitor, last.monitor) == ("val/top1_error", None)
    assert best.state_key != last.state_key


def test_a_moved_run_remembers_its_best(photos, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    fit(_config(photos, epochs=1, lr=1e-12), old, resume=False, say=lambda _: None)
    score = _load(old / "checkpoints" / "last.ckpt")["callbacks"]
    shutil.move(old, new)
    keep = Keep(new, "best.ckpt", "val/top1_error")
    keep.load_state_dict(score[keep.state_key])
    path = str(new / "checkpoints" / "best.ckpt")
    assert (keep.best_model_path, list(keep.best_k_models)) == (path, [path])
    assert keep.best_model_score == score[keep.state_key]["best_model_score"]
    before = (new / "checkpoints" / "best.ckpt").read_bytes()
    fit(_config(photos, epochs=2, lr=1e-12), new, resume=True, say=lambda _: None)
    assert (new / "checkpoints" / "best.ckpt").read_bytes() == before  # no better since


# ---- damage


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two epochs on a few photos, of which the first is best."""
    root = tmp_path_factory.mktemp("trained")
    chance = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 3)):
        for name in ("ant", "bee"):
            (root / "photos" / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = chance.integers(0, 255, (40, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "photos" / part / name / f"{i}.png")
    run = root / "run"
    fit(_config(root / "photos", epochs=2, lr=1e-12, seed=1), run, resume=False, say=print)
    return run


@pytest.fixture
def copied(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


def _resumed(run, epochs):
    lines = []
    config = RunConfig.read(run / "config.yaml")
    train = replace(config.train, epochs=epochs)
    fit(replace(config, train=train), run, resume=True, say=lines.append)
    return lines


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", None])
def test_a_damaged_last_checkpoint_gives_way_to_the_best(copied, data):
    last = copied / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-5000] if data is None else data)
    lines = _resumed(copied, 3)
    assert lines[0].startswith(f"{last}: ")
    assert lines[0].endswith(f"; resuming from the best checkpoint, {copied}/checkpoints/best.ckpt")
    assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch 2/3", "epoch 3/3"]
    assert _load(last)["epoch"] == 2


@pytest.mark.parametrize("data", [b"", None])
def test_a_lost_best_checkpoint_is_told_and_chosen_anew(copied, data):
    best = copied / "checkpoints" / "best.ckpt"
    best.unlink() if data is None else best.write_bytes(data)
    lines = _resumed(copied, 3)
    assert lines[0] == (
        f"{best}: {'no such file' if data is None else 'empty'}; the best epoch from now on "
        "replaces it, or the last if none is left"
    )
    assert _load(best)["epoch"] == 2


def test_without_a_whole_checkpoint_a_run_is_not_resumed(copied):
    for name in ("best.ckpt", "last.ckpt"):
        (copied / "checkpoints" / name).write_bytes(b"")
    before = sorted(copied.rglob("*"))
    with pytest.raises(UserError) as error:
        _resumed(copied, 3)
    folder = copied / "checkpoints"
    assert str(error.value) == (
        f"--resume: {folder}/last.ckpt: empty; {folder}/best.ckpt: empty; copy it again, or start "
        "another run"
    )
    assert sorted(copied.rglob("*")) == before


@pytest.mark.parametrize(
    "content", [{"state_dict": {}}, {"epoch": "x", "state_dict": 3}, {}, {"fc.weight": 1}]
)
def test_weights_alone_are_no_state_of_a_training(tmp_path, content):
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match=r"last\.ckpt: not the state of a training \(no epoch, "):
        read_state(tmp_path / "last.ckpt")


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_damage_of_a_checkpoint_is_found_or_does_none(trained, data):
    whole = (trained / "checkpoints" / "last.ckpt").read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        broken = whole[:at]
    else:
        broken = bytearray(whole)
        broken[at] ^= data.draw(st.integers(1, 255))
    path = trained.parent / "broken.ckpt"
    path.write_bytes(broken)
    with contextlib.suppress(UserError):
        assert read_state(path)["epoch"] == 1


def test_an_edited_configuration_is_refused_and_a_longer_one_is_not(copied):
    path = copied / "config.yaml"
    text = path.read_text()
    path.write_text(text.replace("weight_decay: 0.0001", "weight_decay: 0.5"))
    with pytest.raises(UserError, match=r"config\.yaml: --train\.weight-decay was edited to 0\.5"):
        _resumed(copied, 2)
    path.write_text(text.replace("epochs: 2", "epochs: 3"))
    assert any(line.startswith("epoch 3/3") for line in _resumed(copied, 3))


def test_what_killed_writers_left_goes_with_the_next_resume(copied):
    left = [copied / ".metrics.csv.1.tmp", copied / "checkpoints" / ".last.ckpt.1.tmp"]
    for path in left:
        path.touch()
    (copied / "mine.tmp").touch()
    _resumed(copied, 2)
    assert not any(path.exists() for path in left)
    assert (copied / "mine.tmp").exists()
