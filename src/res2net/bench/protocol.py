"""How this project times things: interleaved, in rotating order, many rounds, ratios by round.

A machine that is slower for a while is slower for every case of a round, so the ratio of two cases
in the same round says more than two lone times.
"""

from __future__ import annotations

import csv
import io
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from res2net import machine
from res2net.bench.options import ROUNDS
from res2net.files import WAIT, locked, remove_leftovers, write_text
from res2net.processor import threads

Item = TypeVar("Item")
Track = Callable[[Iterable[Any], int, str], Iterable[Any]]  # (things, count, label)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a subject found."""

    rows: list[dict[str, object]]  # of a file of results
    columns: Mapping[str, str] = field(default_factory=dict)  # shown on a terminal → their heads
    lines: Sequence[str] = ()  # for people, below


@dataclass(frozen=True)
class Timing:
    """The rounds of one case."""

    name: str
    seconds: tuple[float, ...]  # one entry a round

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        """Seconds."""
        return min(self.seconds)

    def speed_over(self, other: Timing) -> float:
        """How many times faster this case is: the median of the rounds' ratios."""
        pairs = zip(other.seconds, self.seconds, strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)


def rotated(items: Sequence[Item], number: int) -> list[Item]:
    """The items in the order of a round: the first one moves on by one from round to round."""
    turn = number % len(items)
    return [*items[turn:], *items[:turn]]


def interleave(
    cases: Mapping[str, Callable[[], object]],
    *,
    rounds: int = ROUNDS,
    warmup: int = 3,
    track: Track | None = None,
) -> dict[str, Timing]:
    """Time every case once a round; the order rotates from round to round.

    Args:
        cases: name → what to time.
        warmup: rounds that are run and not counted.
        track: shows how far the rounds are.
    """
    names = list(cases)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    numbers = range(warmup + rounds)
    for number in track(numbers, len(numbers), "rounds") if track else numbers:
        for name in rotated(names, number):
            start = time.perf_counter()
            cases[name]()
            elapsed = time.perf_counter() - start
            if number >= warmup:
                seconds[name].append(elapsed)
    return {name: Timing(name, tuple(values)) for name, values in seconds.items()}


def append_rows(path: Path, rows: Sequence[Mapping[str, object]], command: str) -> None:
    """Append measured rows to a CSV of results, each with what it depends on.

    Columns are those of the rows, then date, commit, versions, processor and command. An older file
    keeps its rows; a column that it lacked is blank there.
    """
    about = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": machine.commit(),
        **machine.versions(),
        "cores": threads(),  # that are used
        "command": command,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with locked(lock, str(path), wait=WAIT):  # two at once must not lose a row
        remove_leftovers(path.parent, path.name)
        old: list[dict[str, object]] = []
        if path.is_file():
            with path.open(newline="") as file:
                old = list(csv.DictReader(file))
        everything = [*old, *({**row, **about} for row in rows)]
        columns = list(dict.fromkeys(column for row in everything for column in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(everything)
        write_text(path, text.getvalue())


def engine_versions() -> dict[str, str]:
    """Versions of what networks are compared in and with; "" where it is missing."""
    found = {}
    for package in ("timm", "openvino", "onnxruntime", "nncf"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found
