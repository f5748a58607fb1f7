"""Rows of results: reading, statistics and the remaining time. No torch."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from res2net.errors import UserError
from res2net.experiments.study import Point, Study

Row = Mapping[str, str]
SCORE = "last_error"  # percent; see ``study.headline``
# Multiply-adds of forward passes per second, until a study has measured rows: one core with bf16
# trains a Res2Net of 49 M multiply-adds at about 200 images per second.
USUAL_SPEED = 1e10


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Values, one per seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def std(self) -> float:
        """Sample standard deviation (n − 1); 0 for one value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    def __str__(self) -> str:
        """``31.20 ± 0.15``; without ± for one value; a dash for none."""
        if not self.values:
            return "–"
        alone = len(self.values) == 1
        return f"{self.mean:.2f}" if alone else f"{self.mean:.2f} ± {self.std:.2f}"


def check_results(results: Path | None) -> None:
    """Check that the path of results is a file.

    Raises:
        UserError: it is a folder, or has no name.
    """
    if results is not None and (not results.name or results.is_dir()):
        raise UserError(f"--results {results}: a folder; name a CSV file")


def read_results(*files: Path) -> list[dict[str, str]]:
    """The rows of all existing result files.

    Raises:
        UserError: a file is not a readable table.
    """
    rows: list[dict[str, str]] = []
    for file in files:
        if not file.is_file():
            continue
        try:
            with file.open(newline="", encoding="utf-8") as content:
                rows += csv.DictReader(content)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(
                f"{file}: cannot be read as a table of results ({error}); give another --results"
            ) from None
    return rows


def read_rows(study: Study, results: Path) -> list[dict[str, str]]:
    """The rows of a study in a file; none if the file does not exist.

    Raises:
        UserError: a point was trained with other settings, or the file is not a table of results.
    """
    rows = read_results(results)
    now = {point.label: written(study, point) for point in study.points}
    for row in rows:
        if not {"study", "point", "seed", "settings"} <= row.keys():
            raise UserError(f"{results}: has no rows of a study; give another --results")
        if row["study"] == study.name and row["settings"] != now.get(row["point"]):
            raise UserError(
                f"{results}: {row['point']}, seed {row['seed']} was trained with other settings "
                f"than study {study.name} has now; give another --results"
            )
    return [row for row in rows if row["study"] == study.name]


def written(study: Study, point: Point) -> str:
    """The settings of a point in one line."""
    settings = {"recipe": study.recipe, "network": point.network, **study.settings_of(point)}
    return " ".join(f"{name}={value}" for name, value in sorted(settings.items()))


def is_done(rows: Sequence[Row], point: Point, seed: int) -> bool:
    """Whether the row exists."""
    return any(row["point"] == point.label and row["seed"] == str(seed) for row in rows)


def spread(rows: Sequence[Row], point: Point, column: str = SCORE) -> Spread:
    """Values of a column over the seeds of a point."""
    own = [row for row in rows if row["point"] == point.label and row.get(column)]
    return Spread(values=tuple(float(row[column]) for row in own))


def difference(rows: Sequence[Row], point: Point, base: Point, column: str = SCORE) -> Spread:
    """Differences of a column between two points, paired by seed."""
    by_seed = [
        {row["seed"]: float(row[column]) for row in rows if row["point"] == p.label}
        for p in (point, base)
    ]
    both = [seed for seed in by_seed[0] if seed in by_seed[1]]
    return Spread(values=tuple(by_seed[0][seed] - by_seed[1][seed] for seed in both))


def seconds_left(
    study: Study, left: Sequence[tuple[Point, int]], rows: Sequence[Row]
) -> tuple[float, bool]:
    """Estimated seconds of the remaining trainings, and whether measured rows are the basis."""
    points = {point.label: point for point in study.points}
    spent = sum(float(row["seconds"]) for row in rows)
    speed = sum(study.work(points[row["point"]]) for row in rows) / spent if spent else USUAL_SPEED
    own = {row["point"]: float(row["seconds"]) for row in rows}
    total = sum(own.get(point.label) or study.work(point) / speed for point, _ in left)
    return total, bool(spent)


def progress(study: Study, left: Sequence[tuple[Point, int]], rows: Sequence[Row]) -> str:
    """The remaining trainings and hours, in words."""
    seconds, measured = seconds_left(study, left, rows)
    hours = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{max(seconds, 60) / 60:.0f} min"
    basis = "at the speed so far" if measured else "estimated from multiply-adds"
    return f"trainings left: {len(left)}, about {hours} ({basis})"
