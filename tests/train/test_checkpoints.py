"""Checkpoints: whole, without code, the best and the last."""

from __future__ import annotations

import errno
import os
import pickle
import shutil

import pytest
import torch

from res2net.config import RunConfig
from res2net.errors import UserError
from res2net.train.checkpoints import (
    AtomicCheckpointIO,
    Keep,
    checkpoint_callbacks,
    to_go_on_from,
)
from res2net.train.run import fit


def _config(photos, **train):
    """Group norm: with a learning rate of nearly nothing, no epoch is better than the first."""
    options = {"batch": 9, "threads": 1, "schedule": "constant", "lr": 0.01, **train}
    return RunConfig.from_dict(
        {
            "model": "res2net29_small",
            "data": f"folder:{photos}",
            "recipe": "smoke",
            "net": {"depth": 11, "norm": "group"},
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
    assert to_go_on_from(tmp_path) == (found and tmp_path / "checkpoints" / found)


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
