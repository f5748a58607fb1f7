"""The run folder: when it may be used, and what a failure leaves of it."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from res2net.config import RunConfig
from res2net.errors import Stopped, UserError
from res2net.files import write_error, write_text
from res2net.train.checkpoints import to_go_on_from

CONFIG = "config.yaml"
# May differ between a run and its continuation: they do not change what an epoch computes.
MAY_CHANGE = (
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


def check_folder(config: RunConfig, run: Path, *, resume: bool) -> bool:
    """Whether the folder is new (absent, or empty); one that holds a run needs ``resume``.

    Raises:
        UserError: the folder exists without ``resume``, holds other files or another configuration.
    """
    held = [run] if run.exists() else []
    if run.is_dir():
        held = [entry for entry in run.iterdir() if entry.suffix != ".tmp"]  # of a killed write
    if not held:
        return True
    if not resume:
        raise UserError(
            f"--out {run} exists; add --resume to go on with it, or name another folder"
        )
    if not (run / CONFIG).is_file():
        raise UserError(f"--resume: {run} holds no run (no {CONFIG}); name another folder")
    check_same(config, RunConfig.read(run / CONFIG), run)
    return False


def check_same(now: RunConfig, before: RunConfig, run: Path) -> None:
    """A continuation must compute what the run would have.

    Raises:
        UserError: an option that differs; names it.
    """
    old, new = _flat(before.as_dict()), _flat(now.as_dict())
    for name, value in new.items():
        if old.get(name) != value and name not in MAY_CHANGE:
            raise UserError(
                f"--resume {run}: the run has --{name} {old.get(name)}, now it is {value}; "
                "use the same options, or start another run"
            )


def write_config(config: RunConfig, run: Path) -> None:
    """Make the folder with the resolved configuration, ready for ``--config``.

    Raises:
        UserError: it cannot be made or written to.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {run}: cannot be made ({error.strerror})") from None
    write_text(run / CONFIG, yaml.safe_dump(config.as_dict(), sort_keys=False))


@contextmanager
def kept_whole(run: Path, *, new: bool) -> Iterator[None]:
    """Leave a run with a checkpoint to go on from, or no trace of it; say which.

    Args:
        new: the folder was absent or empty before.

    Raises:
        UserError: as raised inside, with what is kept; a disk that has no room left.
        Stopped: somebody stopped the training; says how to go on.
    """
    try:
        with _threads_told_once():
            yield
    except KeyboardInterrupt:
        if to_go_on_from(run):
            raise Stopped(f"stopped; go on with: res2net train --out {run} --resume") from None
        _clear(run, new)
        raise Stopped("stopped before the first checkpoint; nothing is kept") from None
    except (UserError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_ROOM:
            raise
        line = error if isinstance(error, UserError) else write_error(error, run / "tensorboard")
        if kept := to_go_on_from(run):
            raise UserError(f"{line}; the last good checkpoint is kept: {kept}") from error
        _clear(run, new)
        raise line from error


@contextmanager
def _threads_told_once() -> Iterator[None]:
    """No tracebacks of threads whose failures the main thread hears of.

    TensorBoard's, where the disk is full; and the one that brings batches to a GPU, whose loaders
    are gone once somebody stopped the training.
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
    if new:
        shutil.rmtree(run, ignore_errors=True)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
