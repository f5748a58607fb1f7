"""A progress bar on terminals."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Thing = TypeVar("Thing")


def track(things: Iterable[Thing], count: int | None, label: str) -> Iterator[Thing]:
    """Iterate with a bar on the terminal (none if the output is piped).

    Args:
        count: None if unknown.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield from things
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(things, label, count, console=Console(stderr=True), transient=True)
