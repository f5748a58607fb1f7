"""Cross-validation: one network for each of K parts of the images, validated on that part."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from res2net import machine
from res2net.config import RunConfig
from res2net.data.split import fold_of
from res2net.errors import UserError
from res2net.tasks.scores import write_table
from res2net.training.callbacks import speak
from res2net.training.folder import CONFIG
from res2net.training.run import Say, fit

PER_IMAGE = "images.csv"  # in a classifier's run: one row per validation image


def fit_folds(
    config: RunConfig,
    folder: Path,
    count: int,
    *,
    resume: bool,
    services: Sequence[str] = (),
    say: Say = speak,
) -> dict[str, list[float]]:
    """Train ``count`` networks in ``folder/fold1``, ..., and write their joint results.

    ``folds.csv`` holds each figure with its mean and sample standard deviation. For classifiers,
    ``predictions.csv`` has one row per image, predicted by the network that was not trained
    on it.

    Returns:
        Figures of ``metrics.json`` by name, one value per fold.

    Raises:
        UserError: fewer than 2 folds, data with a validation part, or an error of ``fit``.
    """
    if config.input.fold or count < 2:
        what = "--input.fold names one of them" if config.input.fold else "at least 2 are needed"
        raise UserError(f"--folds is {count}; {what}")
    fold_of(f"1/{count}")
    if (folder / CONFIG).exists():
        raise UserError(f"--out {folder} holds a run of one network; name another folder")
    runs = [folder / f"fold{k}" for k in range(1, count + 1)]
    if not resume and (there := next((run for run in runs if run.exists()), None)):
        raise UserError(f"--out {there} exists; add --resume to resume it, or name another folder")
    for k, run in enumerate(runs, 1):
        say(f"fold {k} of {count}")
        own = replace(config, input=replace(config.input, fold=f"{k}/{count}"))
        fit(own, run, resume=resume, services=services, say=say)
    found = [json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in runs]
    names = [name for name, value in found[0].items() if isinstance(value, float)]
    figures = {name: [each[name] for each in found if name in each] for name in names}
    figures = {name: values for name, values in figures.items() if len(values) == count}
    if machine.processes(config.train.devices).rank == 0:
        _write(folder, runs, figures)
    return figures


def _write(folder: Path, runs: list[Path], figures: dict[str, list[float]]) -> None:
    write_table(
        folder / "folds.csv",
        ("figure", "mean", "std", *(run.name for run in runs)),
        [(name, mean(each), stdev(each), *each) for name, each in figures.items()],
    )
    if not (runs[0] / PER_IMAGE).is_file():
        return
    rows: list[list[object]] = []
    for k, run in enumerate(runs, 1):
        with (run / PER_IMAGE).open(encoding="utf-8", newline="") as file:
            head, *each = csv.reader(file)
        rows += [[k, *row] for row in each]
    write_table(folder / "predictions.csv", ("fold", *head), rows)
