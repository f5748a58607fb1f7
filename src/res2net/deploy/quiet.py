"""Silences converters that print, draw progress bars and send usage statistics."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def quietly() -> Iterator[None]:
    """Run a converter without its prints, warnings and log lines, and without its telemetry.

    OpenVINO's converter and NNCF report each use to their makers by default, and our users have not
    consented. They send nothing if the environment indicates CI.
    """
    before = os.environ.get("CI")
    level = logging.root.manager.disable
    os.environ["CI"] = "true"
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before
