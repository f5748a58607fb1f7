"""One trained network for every engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from res2net.files import locked


@pytest.fixture(scope="session")
def trained_run(
    tmp_path_factory: pytest.TempPathFactory,
    worker_id: str,
    without_pictures: Callable[[], AbstractContextManager[None]],
) -> Path:
    """A run that has learnt the digits well enough to be sure of most: gates mean something.

    Trained once for all workers; no test writes to it.
    """
    from res2net.cli.main import main

    alone = worker_id == "master"
    base = tmp_path_factory.getbasetemp()
    run = (base if alone else base.parent) / "trained"
    words = ("train", "--model", "res2net18", "--net.width", "4", "--net.scale", "2")
    quick = ("--data", "digits", "--train.epochs", "2", "--train.batch", "32")
    same = ("--train.precision", "fp32", "--train.threads", "1", "--input.workers", "0")
    with without_pictures(), locked(run.with_suffix(".lock"), "the trained run", wait=300):
        if not (run / "report.md").is_file():
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                assert main([*words, *quick, *same, "--out", str(run)]) == 0
    return run
