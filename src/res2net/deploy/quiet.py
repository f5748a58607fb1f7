"""Converters that print, draw bars and send usage statistics, kept to themselves."""

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

    OpenVINO's converter and NNCF report each use to their makers unless told otherwise; nobody who
    exports a network with us was asked. They leave it where the environment says CI.
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
