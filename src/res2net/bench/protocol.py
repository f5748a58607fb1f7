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

import numpy as np

from res2net import machine
from res2net.bench.options import ROUNDS
from res2net.errors import UserError
from res2net.files import WAIT, locked, remove_leftovers, write_text
from res2net.processor import flags, has_bf16, level, threads

Item = TypeVar("Item")
Track = Callable[[Iterable[Any], int, str], Iterable[Any]]  # (things, count, label)
QUARTILES = ("q1", "q3")  # what the columns of a ratio's quartiles end with
RATIOS = "Ratios: median of ratios, round by round (first to third quartile)."
# Instructions that a time depends on, as the system names them: of x86, of ARM.
X86 = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
VECTORS = frozenset((*X86, "asimd", "i8mm", "bf16", "sve"))
LIBRARIES = ("timm", "openvino", "onnxruntime", "nncf")  # packages


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a subject found."""

    rows: list[dict[str, object]]  # of a file of results
    columns: Mapping[str, str] = field(default_factory=dict)  # shown on a terminal → their heads
    lines: Sequence[str] = ()  # for people, below


@dataclass(frozen=True)
class Ratio:
    """The ratios of two cases in the same rounds. It is not the ratio of their medians."""

    median: float
    low: float  # first quartile
    high: float  # third quartile

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Ratio:
        """Median and quartiles of one ratio a round."""
        low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist()
        return cls(median, low, high)


def ratio_cells(name: str, ratio: Ratio | None) -> dict[str, object]:
    """The three cells of a ratio in a row of results; blank where there is none."""
    found = dict.fromkeys((name, *(f"{name}_{quartile}" for quartile in QUARTILES)), "")
    if ratio is None:
        return {**found}
    values = (ratio.median, ratio.low, ratio.high)
    return {name: round(value, 3) for name, value in zip(found, values, strict=True)}


def shown(row: Mapping[str, object], name: str) -> str:
    """A cell of a row for people: a ratio with its quartiles in brackets."""
    low, high = (row.get(f"{name}_{quartile}", "") for quartile in QUARTILES)
    return f"{row[name]} ({low} to {high})" if low != "" else str(row[name])


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

    def speed_over(self, other: Timing) -> Ratio:
        """How many times faster this case is, round by round."""
        pairs = zip(other.seconds, self.seconds, strict=True)
        return Ratio.of([theirs / ours for theirs, ours in pairs])


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


def computed_here(cases: Sequence[str]) -> tuple[str, ...]:
    """The cases without those in bf16 on a processor that would emulate it; a line says so."""
    if machine.best_device().type != "cpu" or has_bf16():
        return tuple(cases)
    print("cases in bf16 are left out: this processor has no bfloat16 instructions")
    return tuple(case for case in cases if "bf16" not in case)


def commit_to_record(out: Path) -> str:
    """The commit that rows of ``out`` will name; "" of an installed package.

    Raises:
        UserError: the checkout has changes, so that no commit is what would be measured.
    """
    found = machine.commit()
    if found.endswith(machine.CHANGES):
        raise UserError(
            f"--out {out}: the sources differ from commit {found.removesuffix(machine.CHANGES)}, "
            "and a recorded row names the commit that was measured; commit the changes, or leave "
            "out --out, which prints and writes nothing"
        )
    return found


def append_rows(path: Path, rows: Sequence[Mapping[str, object]], command: str) -> None:
    """Append measured rows to a CSV of results, each with what it depends on.

    Columns are those of the rows, then date, commit, versions, processor and command. An older file
    keeps its rows; a column that it lacked is blank there.
    """
    about = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": machine.commit(),
        **machine.versions(),
        "instructions": " ".join(sorted(VECTORS & flags())),
        "level": level(),  # of them that is used
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


def versions_of(*packages: str) -> dict[str, str]:
    """Versions of what a row compares with, beside those of every row; "" where it is missing."""
    return {package: _version(package) or _version(f"{package}-gpu") for package in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
