"""The run folder: when it may be used, and its state after a failure."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from res2net.config import RunConfig
from res2net.errors import Stopped, UserError, option
from res2net.files import LOCK, alone_in, remove_leftovers, write_error, write_text
from res2net.training.checkpoints import FOLDER, newest_checkpoint, trained_with

CONFIG = "config.yaml"
# May differ between a run and its continuation: they do not change the results of an epoch.
MAY_CHANGE = (
    "capture",
    "input.index",
    "input.workers",
    "train.devices",
    "train.early_stop",
    "train.epochs",
    "train.gradient_checkpointing",
    "train.max_steps",
    "train.select",
    "train.threads",
)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def taken(run: Path) -> Iterator[None]:
    """The run folder, with this process as its only writer, as ``files.alone_in``.

    Raises:
        TakenError: another process trains in it.
        UserError: it cannot be made or written to.
    """
    with alone_in(run, "--out"):
        remove_leftovers(run / FOLDER)
        yield


def check_folder(config: RunConfig, run: Path, *, resume: bool) -> bool:
    """Whether the folder is new (empty); one that holds a run needs ``resume``.

    Raises:
        UserError: it is not empty without ``resume``, or has other files or another configuration.
    """
    if all(entry.name == LOCK or entry.suffix == ".tmp" for entry in run.iterdir()):
        return True
    if not resume:
        raise UserError(f"--out {run} exists; add --resume to resume it, or name another folder")
    if not (run / CONFIG).is_file():
        raise UserError(f"--resume: {run} is not a run folder (no {CONFIG}); name another folder")
    check_same(config, RunConfig.read(run / CONFIG), run)
    return False


def check_same(now: RunConfig, before: RunConfig, run: Path) -> None:
    """Check that a continuation computes what the run would have.

    Raises:
        UserError: an option that differs; the message names it.
    """
    for name, old, new in _differences(before, now):
        raise UserError(
            f"--resume {run}: the run has {option(name)} {old}, now it is {new}; use the same "
            "options, or start another run"
        )


def check_edits(config: RunConfig, content: dict[str, Any], run: Path) -> None:
    """Check that the saved configuration is the one that the checkpoint was trained with.

    Args:
        content: the checkpoint's.

    Raises:
        UserError: an option that was edited and may not change; the message names it.
    """
    before = trained_with(content)
    for name, old, new in _differences(before, config) if before else ():
        raise UserError(
            f"{run / CONFIG}: {option(name)} was edited to {new}, but the checkpoint was trained "
            f"with {old}; undo that, or start another run"
        )


def _differences(before: RunConfig, now: RunConfig) -> list[tuple[str, Any, Any]]:
    """(option, before, now) of differences that are not allowed."""
    old, new = _flat(before.as_dict()), _flat(now.as_dict())
    changed = (name for name in new if old.get(name) != new[name] and name not in MAY_CHANGE)
    return [(name, old.get(name), new[name]) for name in changed]


def write_config(config: RunConfig, run: Path) -> None:
    """Write the resolved configuration, ready for ``--config``.

    Raises:
        UserError: it cannot be written.
    """
    write_text(run / CONFIG, config.as_text())


@contextmanager
def undone_where_it_fails(run: Path, *, new: bool) -> Iterator[None]:
    """Leave a run with a checkpoint to resume from, or no trace of it; report which.

    Args:
        new: the folder was absent or empty before.

    Raises:
        UserError: as raised inside, with what is kept; or the disk is full.
        Stopped: the training was stopped; the message is how to resume.
    """
    try:
        with _threads_told_once():
            yield
    except KeyboardInterrupt:
        if newest_checkpoint(run):
            raise Stopped(f"stopped; resume with: res2net train --out {run} --resume") from None
        _clear(run, new)
        raise Stopped("stopped before the first checkpoint; nothing is kept") from None
    except (UserError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_ROOM:
            raise
        line = error if isinstance(error, UserError) else write_error(error, run / "tensorboard")
        if kept := newest_checkpoint(run):
            raise UserError(f"{line}; the last good checkpoint is kept: {kept}") from error
        _clear(run, new)
        raise line from error


@contextmanager
def _threads_told_once() -> Iterator[None]:
    """Hide tracebacks of threads whose failures reach the main thread.

    They are TensorBoard's, if the disk is full, and the one that copies batches to a GPU, whose
    loaders are gone once the training is stopped.
    """
    usual = threading.excepthook

    def hook(failed: threading.ExceptHookArgs) -> None:
        full = isinstance(failed.exc_value, OSError) and failed.exc_value.errno in _NO_ROOM
        if not full and "_pin_memory_loop" not in getattr(failed.thread, "name", ""):
            usual(failed)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = usual


def _clear(run: Path, new: bool) -> None:
    """Remove the files of a new run by name: anything else in its folder is kept."""
    if not new:
        return
    events = f"tensorboard/events.out.tfevents.*.{os.getpid()}.*"
    for pattern in (CONFIG, "metrics.csv", "tensorboard/hparams.yaml", events):
        for path in run.glob(pattern):
            with suppress(OSError):
                path.unlink()
    for folder in (run / FOLDER, run / "tensorboard"):
        with suppress(OSError):  # it has other files
            folder.rmdir()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
