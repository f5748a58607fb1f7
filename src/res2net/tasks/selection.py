"""Which epoch's weights a run keeps, which images it was chosen on, which images are measured.

A network whose epoch is chosen on the images that it is then measured on looks better than it is. A
validation part is there to choose on; where a published protocol has training and test images only,
the last epoch is reported and the best one is shown beside it.
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

History = Sequence[Mapping[str, float]]  # a row an epoch, as in metrics.csv
Chosen = Literal["best", "last"]
CHOSEN: dict[Chosen, str] = {"best": "best checkpoint", "last": "last epoch"}
_PARTS: dict[Validation, str] = {
    "given": "the validation part",
    "train": "images held out of the training part (the data have no validation part)",
    "test": "the test part (the data have no validation part)",
}


def settle(wanted: Select, validation: Validation, saved: RunConfig | None) -> Chosen:
    """``--train.select`` decided, "auto" included.

    Args:
        saved: the configuration of the run that is resumed, which keeps what it once decided. One
            that was saved before there was a choice reports its best epoch.
    """
    if wanted != "auto":
        return wanted
    if saved is not None:
        return "best" if saved.train.select == "auto" else saved.train.select
    return "last" if validation == "test" else "best"


def weights_of(run: Path, chosen: Chosen) -> Path:
    """The checkpoint with the weights to keep; the other one where it is missing."""
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
    """The epoch whose weights are kept, what it was chosen on, and the other one's error.

    Args:
        history: a row an epoch, as in ``metrics.csv``; not empty.
        monitor: the column of errors, in percent, whose lowest value is best.
    """
    rows = [row for row in history if math.isfinite(row.get(monitor, math.nan))]
    if not rows:
        return f"epoch {history[-1]['epoch']:.0f}, the last"
    best, last = min(rows, key=lambda row: row[monitor]), rows[-1]
    optimistic = ", so its error is optimistic" if validation == "test" else ""
    if chosen == "best":
        return (
            f"epoch {best['epoch']:.0f}, the best on {part_of(validation)}{optimistic}; "
            f"{monitor} of the last epoch: {last[monitor]:.2f} %"
        )
    return (
        f"epoch {last['epoch']:.0f}, the last; the best on {part_of(validation)}{optimistic}: "
        f"epoch {best['epoch']:.0f}, {monitor} {best[monitor]:.2f} %"
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
    """How the validation part is drawn from data that have none: as in the training.

    Other data than those of the training are measured whole, so nothing is drawn (0) unless asked
    for.

    Args:
        run: the configuration that the network was trained with, where it is known.
        card: of the network; it holds how the training was split, but for old ones.
        data: FORMAT:PATH to measure on.
        split: the part asked for; None for the usual one.
        val_fraction, seed, group_by: asked for; None: as in the training.

    Raises:
        UserError: what names no way of grouping.
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
    """Whether two names of data lead to the same files."""
    try:
        a, b = parse_source(one), parse_source(other)
    except UserError:  # the data of the training are not here
        return False
    return a.format == b.format and (a.path and a.path.resolve()) == (b.path and b.path.resolve())


def measured_part(images: LabelledImages | Scenes, split: str | None, data: str) -> tuple[Any, str]:
    """The images to measure, and which ones they are, in words.

    Args:
        split: "val", "train", "test" or "all"; None takes the validation part or, of data
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
    """The epochs in order, each once; a row that names none counts by its place."""
    return sorted({_epoch(row, i) for i, row in enumerate(history)})


def series(history: History, key: str) -> dict[float, float]:
    """Epoch to value, in order; blanks are left out, what is not finite is NaN."""
    found: dict[float, float] = {}
    for i, row in enumerate(history):
        value = _number(row, key)
        if value is not None:
            found[_epoch(row, i)] = value if math.isfinite(value) else math.nan
    return dict(sorted(found.items()))


def lowest(history: History, key: str) -> tuple[float, float] | None:
    """Epoch and value of the lowest finite value; None where there is none."""
    finite = {epoch: value for epoch, value in series(history, key).items() if value == value}
    return min(finite.items(), key=lambda point: point[1]) if finite else None


def _epoch(row: Mapping[str, float], index: int) -> float:
    epoch = _number(row, "epoch")
    return index if epoch is None else epoch


def _number(row: Mapping[str, float], key: str) -> float | None:
    """The value, which a CSV reader gives as text; None for a blank."""
    value = row.get(key)
    return None if value is None or not str(value).strip() else float(value)
