"""The run folder: when it may be used, what a failure leaves of it."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from res2net.config import RunConfig
from res2net.errors import Stopped, UserError
from res2net.training.folder import (
    MAY_CHANGE,
    check_edits,
    check_folder,
    check_same,
    taken,
    undone_where_it_fails,
    write_config,
)


def _config(**values):
    return RunConfig.from_dict({"model": "resnet50", "data": "digits", "recipe": "x", **values})


def _changed(name, value):
    values = _config().as_dict()
    group, _, field = name.rpartition(".")
    (values[group] if group else values)[field] = value
    return RunConfig.from_dict(values)


@pytest.mark.parametrize(
    ("name", "value"),
    [("train.lr", 7), ("seed", 7), ("model", "resnet101"), ("net.width", 7), ("train.batch", 7)],
)
def test_a_continuation_computes_the_same(tmp_path, name, value):
    with pytest.raises(UserError, match=f"the run has --{name} .*, now it is {value}"):
        check_same(_changed(name, value), _config(), tmp_path)


WORDS = {
    "capture": "auto",
    "input.index": "photos.index",
    "train.gradient_checkpointing": "full",
    "train.select": "last",
}  # others are numbers


@pytest.mark.parametrize("name", MAY_CHANGE)
def test_what_may_change_in_a_continuation(tmp_path, name):
    now = _changed(name, WORDS.get(name, 2))
    assert now != _config()
    check_same(now, _config(), tmp_path)


def test_new_folders(tmp_path):
    run = tmp_path / "a" / "run"
    run.mkdir(parents=True)
    for resume in (False, True):
        assert check_folder(_config(), run, resume=resume)
    (run / ".x.1.tmp").write_text("of a killed write")
    assert check_folder(_config(), run, resume=False)
    write_config(_config(), run)
    assert not check_folder(_config(), run, resume=True)
    with pytest.raises(UserError, match="exists; add --resume"):
        check_folder(_config(), run, resume=False)
    assert RunConfig.read(run / "config.yaml") == _config()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model: resnet50\n", "config.yaml: key 'data' is missing"),
        ("model: [\n", "config.yaml: not YAML"),
        ("model: resnet50\ndata: digits\nrecipe: x\ntrian: {}\n", "Did you mean 'train'?"),
    ],
)
def test_a_spoilt_configuration(tmp_path, content, message):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(UserError) as error:
        check_folder(_config(), tmp_path, resume=True)
    assert str(error.value).startswith(str(tmp_path))
    assert message in str(error.value)


def _make_run(run, *, checkpoint):
    run.mkdir(exist_ok=True)
    write_config(_config(), run)
    (run / "checkpoints").mkdir()
    if checkpoint:
        (run / "checkpoints" / "last.ckpt").write_text("x")


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("end", "checkpoint", "kind", "message"),
    [
        (UserError("nan"), False, UserError, "nan"),
        (UserError("nan"), True, UserError, "nan; the last good checkpoint is kept: RUN/ch"),
        (FULL, False, UserError, "no space left on RUN while writing tensorboard; free some"),
        (FULL, True, UserError, "no space left on RUN while writing tensorboard; free some"),
        (KeyboardInterrupt(), False, Stopped, "stopped before the first checkpoint; nothing is k"),
        (KeyboardInterrupt(), True, Stopped, "stopped; resume with: res2net train --out RUN --res"),
    ],
)
def test_a_run_to_go_on_with_or_none(tmp_path, end, checkpoint, kind, message):
    run = tmp_path / "run"
    with pytest.raises(kind) as error, taken(run), undone_where_it_fails(run, new=True):
        _make_run(run, checkpoint=checkpoint)
        raise end
    assert str(error.value).startswith(message.replace("RUN", str(run)))
    assert run.exists() == checkpoint


def test_what_was_there_before_stays(tmp_path):
    _make_run(tmp_path / "run", checkpoint=False)
    with pytest.raises(UserError), undone_where_it_fails(tmp_path / "run", new=False):
        raise UserError("x")
    assert (tmp_path / "run" / "config.yaml").is_file()


@pytest.mark.parametrize("bug", [RuntimeError("bug"), OSError(errno.EBADF, "Bad file")])
def test_a_bug_passes_and_leaves_its_traces(tmp_path, bug):
    run = tmp_path / "run"
    _make_run(run, checkpoint=False)
    with pytest.raises(type(bug)) as error, undone_where_it_fails(run, new=True):
        raise bug
    assert error.value is bug
    assert run.exists()


@pytest.mark.parametrize(
    ("error", "name", "shown"),
    [
        (FULL, "writer", 0),
        (RuntimeError("bug"), "writer", 1),
        (ConnectionResetError(), "Thread-2 (_pin_memory_loop)", 0),
    ],
)
def test_what_a_thread_finds_is_not_heard_twice(tmp_path, monkeypatch, error, name, shown):
    heard = []
    monkeypatch.setattr(threading, "excepthook", heard.append)

    def fail():
        raise error

    with undone_where_it_fails(tmp_path / "run", new=True):
        thread = threading.Thread(target=fail, name=name)
        thread.start()
        thread.join()
    assert len(heard) == shown


def test_a_failed_new_run_takes_only_its_own_files_along(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Stopped), taken(run), undone_where_it_fails(run, new=True):
        write_config(_config(), run)
        (run / "checkpoints").mkdir()
        (run / "tensorboard").mkdir()
        ours = f"events.out.tfevents.170.host.{os.getpid()}.0"
        for name in (ours, "events.out.tfevents.170.host.99999999.0", "hparams.yaml"):
            (run / "tensorboard" / name).touch()
        (run / "notes.txt").write_text("of somebody")
        raise KeyboardInterrupt
    left = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    assert left == ["notes.txt", "tensorboard/events.out.tfevents.170.host.99999999.0"]


def test_an_edited_configuration_is_told_by_its_checkpoint(tmp_path):
    content = {"callbacks": {"Configured": _config().as_dict()}}
    for name in MAY_CHANGE:
        check_edits(_changed(name, WORDS.get(name, 2)), content, tmp_path)
    with pytest.raises(UserError) as error:
        check_edits(_changed("train.lr", 7), content, tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/config.yaml: --train.lr was edited to 7, but the checkpoint was trained with "
        "0.1; undo that, or start another run"
    )
    check_edits(_changed("train.lr", 7), {"callbacks": {}}, tmp_path)  # of an earlier version
