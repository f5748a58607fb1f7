"""Timing protocol: interleaved cases in rotating order, many rounds, per-round ratios.

A temporary slowdown affects all cases of a round, so the ratio of two cases in the same round is
more reliable than separate times.
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
QUARTILES = ("q1", "q3")  # suffixes of the columns with a ratio's quartiles
RATIOS = "Ratios: median of per-round ratios (first to third quartile)."
# CPU features that affect times, as named by the system: x86, ARM.
X86 = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
VECTORS = frozenset((*X86, "asimd", "i8mm", "bf16", "sve"))
LIBRARIES = ("timm", "openvino", "onnxruntime", "nncf")  # packages


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The result of a subject."""

    rows: list[dict[str, object]]  # rows for a file of results
    columns: Mapping[str, str] = field(default_factory=dict)  # column → heading, for the terminal
    lines: Sequence[str] = ()  # text below the table


@dataclass(frozen=True)
class Ratio:
    """Statistics of per-round ratios of two cases, which differ from the ratio of medians."""

    median: float
    low: float  # first quartile
    high: float  # third quartile

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Ratio:
        """Median and quartiles of per-round ratios."""
        low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist()
        return cls(median, low, high)


def ratio_cells(name: str, ratio: Ratio | None) -> dict[str, object]:
    """The three cells of a ratio in a row of results; blank if there is none."""
    found = dict.fromkeys((name, *(f"{name}_{quartile}" for quartile in QUARTILES)), "")
    if ratio is None:
        return {**found}
    values = (ratio.median, ratio.low, ratio.high)
    return {name: round(value, 3) for name, value in zip(found, values, strict=True)}


def shown(row: Mapping[str, object], name: str) -> str:
    """A cell as text: ratios with quartiles in brackets."""
    low, high = (row.get(f"{name}_{quartile}", "") for quartile in QUARTILES)
    return f"{row[name]} ({low} to {high})" if low != "" else str(row[name])


@dataclass(frozen=True)
class Timing:
    """The rounds of one case."""

    name: str
    seconds: tuple[float, ...]  # one entry per round

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        """Seconds."""
        return min(self.seconds)

    def speed_over(self, other: Timing) -> Ratio:
        """Speed of this case over another, as per-round ratios."""
        pairs = zip(other.seconds, self.seconds, strict=True)
        return Ratio.of([theirs / ours for theirs, ours in pairs])


def rotated(items: Sequence[Item], number: int) -> list[Item]:
    """The items rotated by the number of the round."""
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
        cases: name → function to time.
        warmup: uncounted rounds.
        track: shows the progress.
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
    """The cases, without bf16 on a processor that would emulate it (with a note)."""
    if machine.best_device().type != "cpu" or has_bf16():
        return tuple(cases)
    print("cases in bf16 are left out: this processor has no bfloat16 instructions")
    return tuple(case for case in cases if "bf16" not in case)


def commit_to_record(out: Path) -> str:
    """The commit to record in rows of ``out``; "" for an installed package.

    Raises:
        UserError: the checkout has uncommitted changes.
    """
    found = machine.commit()
    if found.endswith(machine.CHANGES):
        raise UserError(
            f"--out {out}: the sources differ from commit {found.removesuffix(machine.CHANGES)}, "
            "but recorded rows name the measured commit; commit the changes, or run without "
            "--out to print results only"
        )
    return found


def append_rows(path: Path, rows: Sequence[Mapping[str, object]], command: str) -> None:
    """Append measured rows with their conditions to a CSV of results.

    Columns are those of the rows, then date, commit, versions, processor and command. Existing rows
    are kept, with blanks in new columns.
    """
    about = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": machine.commit(),
        **machine.versions(),
        "instructions": " ".join(sorted(VECTORS & flags())),
        "level": level(),  # the level in use
        "cores": threads(),  # cores in use
        "command": command,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with locked(lock, str(path), wait=WAIT):  # concurrent writers must not lose rows
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
    """Versions of the compared libraries; "" if not installed."""
    return {package: _version(package) or _version(f"{package}-gpu") for package in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
