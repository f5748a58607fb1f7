"""Cross-validation: every image is predicted once, by a network that was not trained on it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("undrawn")
Cli = Callable[..., Any]


def test_folds_share_no_image_and_their_figures_are_averaged(
    cli: Cli, tiny: tuple[str, ...], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cv"
    words = (*tiny, "--data", photos / "train", "--train.batch", "4", "--folds", "3", "--out", out)
    done = cli(*words)
    assert (done.code, done.err) == (0, "")
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["fold"] for row in rows) == {"1": 6, "2": 6, "3": 6}
    assert len({row["image"] for row in rows}) == 18
    assert Counter((row["fold"], row["true"]) for row in rows).most_common()[-1][1] == 2
    errors = [
        json.loads((out / f"fold{k}" / "metrics.json").read_text())["top1_error"] for k in (1, 2, 3)
    ]
    with (out / "folds.csv").open() as file:
        (row,) = [row for row in csv.DictReader(file) if row["figure"] == "top1_error"]
    assert float(row["mean"]) == pytest.approx(mean(errors), abs=1e-3)
    assert float(row["std"]) == pytest.approx(stdev(errors), abs=1e-3)
    assert "top1_error" in done.out
    card = json.loads((out / "fold2" / "model.json").read_text())
    assert card["holdout"]["fold"] == "2/3"
    again = cli(*words)
    assert again.code == 2
    assert "exists; add --resume" in again.err
    resumed = cli(*words, "--resume")
    assert resumed.code == 0
    assert resumed.out.count("nothing is left to train") == 3


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (("--folds", "1"), "at least 2"),
        (("--folds", "3", "--input.fold", "1/3"), "--input.fold names one"),
        (("--folds", "3", "--input.val-fraction", "0.2"), "leave out --input.val-fraction"),
        (("--input.fold", "4/3"), "--input.fold is '4/3'"),
        (("--input.fold", "x"), "must be k/K"),
        (("--folds", "5000"), "would be empty; use fewer"),
    ],
)
def test_what_makes_no_folds_is_refused(
    cli: Cli, tiny: tuple[str, ...], tmp_path: Path, more: tuple[str, ...], error: str
) -> None:
    done = cli(*tiny, "--data", "digits", "--out", tmp_path / "cv", *more)
    assert done.code == 2
    assert error in done.err


def test_data_with_a_validation_part_have_no_folds(
    cli: Cli, tiny: tuple[str, ...], photos: Path, tmp_path: Path
) -> None:
    done = cli(*tiny, "--data", photos, "--out", tmp_path / "cv", "--folds", "3")
    assert done.code == 2
    assert "have a validation part" in done.err
