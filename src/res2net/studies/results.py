"""Rows of results: read, appended, and how long what is left will take."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from res2net.bench.protocol import append_rows
from res2net.errors import UserError
from res2net.files import make_folder
from res2net.studies.measures import card_of, epochs_of
from res2net.studies.study import Point, Study

Row = Mapping[str, str]
# Multiply-adds of forward passes a second, until a study has rows of its own: one core with bf16
# trains a Res2Net of 49 M at about 200 images a second.
USUAL_SPEED = 1e10


def read_rows(study: Study, results: Path) -> list[dict[str, str]]:
    """The rows that a file holds of a study; none where there is no file.

    Raises:
        UserError: it holds a point that was trained with other settings, or is no table of results.
    """
    if not results.is_file():
        return []
    with results.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
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


def append_row(
    study: Study, point: Point, seed: int, run: Path, results: Path, command: str
) -> None:
    """Append the row of a finished run; several processes may do so at once.

    Raises:
        UserError: the file cannot be written.
    """
    card, epochs, count = card_of(run), epochs_of(run), study.count(point)
    settings = study.settings_of(point)
    row: dict[str, object] = {
        "study": study.name,
        "point": point.label,
        "group": point.group,
        "seed": seed,
        "network": point.network,
        "options": " ".join(f"{name}={value}" for name, value in card["options"].items()),
        "params": count.params,
        "macs": count.macs,
        "data": study.data,
        "pixels": card["preprocess"]["size"],
        "epochs": len(epochs),
        "steps": int(epochs[-1]["step"]),
        "batch": settings["train.batch"],
        **study.measure(run),
        "seconds": round(sum(float(epoch["seconds"]) for epoch in epochs)),
        "settings": written(study, point),
    }
    make_folder(results.parent, "--results")
    with FileLock(results.with_name(f".{results.name}.lock")):
        append_rows(results, [row], command)


def seconds_left(
    study: Study, left: Sequence[tuple[Point, int]], rows: Sequence[Row]
) -> tuple[float, bool]:
    """Seconds that the trainings left will take, and whether that follows from measured rows."""
    labels = {point.label: point for point in study.points}
    done = [row for row in rows if row["point"] in labels and float(row["seconds"]) > 0]
    spent = sum(float(row["seconds"]) for row in done)
    speed = USUAL_SPEED
    if spent:
        speed = sum(study.work(labels[row["point"]]) for row in done) / spent
    own = {row["point"]: float(row["seconds"]) for row in done}
    total = sum(own.get(point.label) or study.work(point) / speed for point, _ in left)
    return total, bool(spent)
