"""Rows of results: read, summed up, and how long what is left will take. No torch."""

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
# Multiply-adds of forward passes a second, until a study has rows of its own: one core with bf16
# trains a Res2Net of 49 M at about 200 images a second.
USUAL_SPEED = 1e10


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Some numbers, one a seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def std(self) -> float:
        """Of the sample (n − 1); 0 for one value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    def __str__(self) -> str:
        """``31.20 ± 0.15``; without ± for one value; a dash for none."""
        if not self.values:
            return "–"
        alone = len(self.values) == 1
        return f"{self.mean:.2f}" if alone else f"{self.mean:.2f} ± {self.std:.2f}"


def check_results(results: Path | None) -> None:
    """Rows go to a file.

    Raises:
        UserError: it is a folder, or has no name.
    """
    if results is not None and (not results.name or results.is_dir()):
        raise UserError(f"--results {results}: a folder; name a CSV file")


def read_results(*files: Path) -> list[dict[str, str]]:
    """The rows of files of results that are there.

    Raises:
        UserError: a file that cannot be read as a table.
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
                f"{file}: cannot be read as a table of results ({error}); name another --results"
            ) from None
    return rows


def read_rows(study: Study, results: Path) -> list[dict[str, str]]:
    """The rows that a file holds of a study; none where there is no file.

    Raises:
        UserError: it holds a point that was trained with other settings, or is no table of results.
    """
    rows = read_results(results)
    now = {point.label: written(study, point) for point in study.points}
    for row in rows:
        if not {"study", "point", "seed", "settings"} <= row.keys():
            raise UserError(f"{results}: holds no rows of a study; name another --results")
        if row["study"] == study.name and row["settings"] != now.get(row["point"]):
            raise UserError(
                f"{results}: {row['point']}, seed {row['seed']} was trained with other settings "
                f"than study {study.name} has now; name another --results"
            )
    return [row for row in rows if row["study"] == study.name]


def written(study: Study, point: Point) -> str:
    """The settings of a point in one line."""
    settings = {"recipe": study.recipe, "network": point.network, **study.settings_of(point)}
    return " ".join(f"{name}={value}" for name, value in sorted(settings.items()))


def is_done(rows: Sequence[Row], point: Point, seed: int) -> bool:
    """Whether a row is there."""
    return any(row["point"] == point.label and row["seed"] == str(seed) for row in rows)


def spread(rows: Sequence[Row], point: Point, column: str = SCORE) -> Spread:
    """A column of a point over its seeds."""
    own = [row for row in rows if row["point"] == point.label and row.get(column)]
    return Spread(values=tuple(float(row[column]) for row in own))


def difference(rows: Sequence[Row], point: Point, base: Point) -> Spread:
    """How much more a point has of the score than another, seed by seed where both have one."""
    by_seed = [
        {row["seed"]: float(row[SCORE]) for row in rows if row["point"] == p.label}
        for p in (point, base)
    ]
    both = [seed for seed in by_seed[0] if seed in by_seed[1]]
    return Spread(values=tuple(by_seed[0][seed] - by_seed[1][seed] for seed in both))


def seconds_left(
    study: Study, left: Sequence[tuple[Point, int]], rows: Sequence[Row]
) -> tuple[float, bool]:
    """Seconds that the trainings left will take, and whether that follows from measured rows."""
    points = {point.label: point for point in study.points}
    spent = sum(float(row["seconds"]) for row in rows)
    speed = sum(study.work(points[row["point"]]) for row in rows) / spent if spent else USUAL_SPEED
    own = {row["point"]: float(row["seconds"]) for row in rows}
    total = sum(own.get(point.label) or study.work(point) / speed for point, _ in left)
    return total, bool(spent)


def progress(study: Study, left: Sequence[tuple[Point, int]], rows: Sequence[Row]) -> str:
    """How much is left, in trainings and hours."""
    seconds, measured = seconds_left(study, left, rows)
    hours = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
    basis = "as fast as the rows so far" if measured else "guessed from multiply-adds"
    return f"trainings left: {len(left)}, about {hours} ({basis})"
