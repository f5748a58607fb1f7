"""One trained network for every engine."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learnt the digits well enough to be sure of most: gates mean something."""
    from res2net.cli.main import main

    run = tmp_path_factory.mktemp("trained") / "run"
    words = ("train", "--model", "res2net29_small", "--net.depth", "11", "--data", "digits")
    quick = ("--train.epochs", "6", "--train.threads", "1", "--input.workers", "0")
    same = ("--train.precision", "fp32")  # on every processor
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        assert main([*words, *quick, *same, "--out", str(run)]) == 0
    return run
