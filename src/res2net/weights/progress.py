"""What a download shows: a bar on a terminal, one line elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from res2net.errors import printable
from res2net.weights.transfer import Show, silent


@contextmanager
def shown(file: str) -> Iterator[Show]:
    """Takes the bytes so far and the bytes in all, and shows them on standard error."""
    if not sys.stderr.isatty():
        print(printable(f"fetching {file}"), file=sys.stderr)
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(file, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
