"""Which epoch's weights a run keeps, on which images it is chosen, which images are measured.

A network whose epoch is chosen on the images that it is then measured on looks better than it is.
The validation part is for choosing; where a published protocol has only training and test images,
the last epoch is reported, with the best one beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from res2net.card import ModelCard
from res2net.config import RunConfig, Select
from res2net.data.labelled import LabelledImages, Validation
from res2net.data.scene import Scenes
from res2net.data.source import parse_source
from res2net.data.split import Holdout, check_grouping
from res2net.errors import UserError
from res2net.models.weights import CHECKPOINTS

History = Sequence[Mapping[str, float]]  # one row per epoch, as in metrics.csv
Chosen = Literal["best", "last"]
CHOSEN: dict[Chosen, str] = {"best": "best checkpoint", "last": "last epoch"}
_PARTS: dict[Validation, str] = {
    "given": "the validation part",
    "train": "images held out of the training part (the data have no validation part)",
    "test": "the test part (the data have no validation part)",
}


def settle(wanted: Select, validation: Validation, saved: RunConfig | None) -> Chosen:
    """Decide ``--train.select``, "auto" included.

    Args:
        saved: the configuration of the resumed run, whose decision is kept. One
            that was saved before this option existed uses its best epoch.
    """
    if wanted != "auto":
        return wanted
    if saved is not None:
        return "best" if saved.train.select == "auto" else saved.train.select
    return "last" if validation == "test" else "best"


def weights_of(run: Path, chosen: Chosen) -> Path:
    """The checkpoint with the weights to keep; the other one if it is missing."""
    best, last = (run / name for name in CHECKPOINTS)
    wanted = (last, best) if chosen == "last" else (best, last)
    return next(path for path in wanted if path.is_file())


def part_of(validation: Validation) -> str:
    """Which images a training is validated on, in words."""
    return _PARTS[validation]


def described(
    chosen: Chosen,
    history: History,
    monitor: str,
    validation: Validation,
) -> str:
    """The epoch whose weights are kept, the part it was chosen on, and the other one's error.

    Args:
        history: one row per epoch, as in ``metrics.csv``; not empty.
        monitor: the column whose lowest value is best; in percent if it is an error.
    """
    rows = [row for row in history if math.isfinite(row.get(monitor, math.nan))]
    if not rows:
        return f"epoch {history[-1]['epoch']:.0f}, the last"
    best, last = min(rows, key=lambda row: row[monitor]), rows[-1]
    optimistic = ", so its error is optimistic" if validation == "test" else ""
    unit = " %" if monitor.endswith("error") else ""
    if chosen == "best":
        return (
            f"epoch {best['epoch']:.0f}, the best on {part_of(validation)}{optimistic}; "
            f"{monitor} of the last epoch: {last[monitor]:.2f}{unit}"
        )
    return (
        f"epoch {last['epoch']:.0f}, the last; the best on {part_of(validation)}{optimistic}: "
        f"epoch {best['epoch']:.0f}, {monitor} {best[monitor]:.2f}{unit}"
    )


def held_out(
    run: RunConfig | None,
    card: ModelCard,
    data: str,
    *,
    split: str | None,
    val_fraction: float | None,
    seed: int | None,
    group_by: str | None = None,
) -> Holdout:
    """How the validation part is held out of data that have none: as in the training.

    Data other than those of the training are measured as a whole, so nothing is held out (0) unless
    requested.

    Args:
        run: the configuration that the network was trained with, where it is known.
        card: the network's; it holds how the training was split, except for old ones.
        data: FORMAT:PATH to measure on.
        split: the requested part; None for the default.
        val_fraction, seed, group_by: as requested; None: as in the training.

    Raises:
        UserError: not a way of grouping.
    """
    if group_by is not None:
        check_grouping(group_by, "--group-by")
    asked = split in ("val", "train") or (val_fraction, seed, group_by) != (None, None, None)
    usual = run.holdout if run else Holdout(**{"split_rule": "v1", **card.holdout})
    same = _same(card.data, data)
    kept = (val_fraction, seed, group_by) == (None, None, None) and (same or split is not None)
    if val_fraction is None:
        val_fraction = usual.val_fraction if asked or same else 0.0
    return replace(
        usual,
        val_fraction=val_fraction,
        seed=usual.seed if seed is None else seed,
        # which other data may not have
        group_by=(usual.group_by if same else "") if group_by is None else group_by,
        multi_label=card.multi_label,
        fold=usual.fold if kept else "",
        measured={None: "val", "val": "val", "test": "test"}.get(split),
    )


def _same(one: str, other: str) -> bool:
    """Whether two names of data refer to the same files."""
    try:
        a, b = parse_source(one), parse_source(other)
    except UserError:  # the training data are not available
        return False
    return a.format == b.format and (a.path and a.path.resolve()) == (b.path and b.path.resolve())


def measured_part(images: LabelledImages | Scenes, split: str | None, data: str) -> tuple[Any, str]:
    """The images to measure, and their part in words.

    Args:
        split: "val", "train", "test" or "all"; None: the validation part or, for data
            without parts, all.

    Raises:
        UserError: a part that the data do not have.
    """
    if split == "all" or (split is None and not len(images.val)):
        return images.everything, "all images"
    if split == "train":
        return images.train, "the training part"
    if split == "test" and images.validation != "test":
        if images.test is None or not len(images.test):
            raise UserError(f"--split test: {data} has no test part")
        return images.test, "the test part"
    if not len(images.val):
        raise UserError(f"--split {split}: {data} has no validation part")
    return images.val, part_of(images.validation)


def epochs(history: History) -> list[float]:
    """The epochs in order, each once; a row without a number counts by its position."""
    return sorted({_epoch(row, i) for i, row in enumerate(history)})


def series(history: History, key: str) -> dict[float, float]:
    """Epoch to value, in order; blanks are left out, values that are not finite are NaN."""
    found: dict[float, float] = {}
    for i, row in enumerate(history):
        value = _number(row, key)
        if value is not None:
            found[_epoch(row, i)] = value if math.isfinite(value) else math.nan
    return dict(sorted(found.items()))


def lowest(history: History, key: str) -> tuple[float, float] | None:
    """Epoch and value of the lowest finite value; None if there is none."""
    finite = {epoch: value for epoch, value in series(history, key).items() if value == value}
    return min(finite.items(), key=lambda point: point[1]) if finite else None


def _epoch(row: Mapping[str, float], index: int) -> float:
    epoch = _number(row, "epoch")
    return index if epoch is None else epoch


def _number(row: Mapping[str, float], key: str) -> float | None:
    """The value, which a CSV reader returns as text; None for a blank."""
    value = row.get(key)
    return None if value is None or not str(value).strip() else float(value)
