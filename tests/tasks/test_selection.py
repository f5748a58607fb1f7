"""Which epoch is kept and reported, and which images are measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from res2net.card import ModelCard
from res2net.config import InputOptions, RunConfig, Select, TrainOptions
from res2net.data.labelled import LabelledImages, Split, Validation
from res2net.data.preprocess import default_preprocess
from res2net.data.scene import Scene, Scenes
from res2net.errors import UserError
from res2net.tasks.selection import described, held_out, measured_part, settle, weights_of

HISTORY = [
    {"epoch": 1.0, "val/top1_error": 40.0},
    {"epoch": 2.0, "val/top1_error": 30.0},
    {"epoch": 3.0, "val/top1_error": 35.0},
]


def saved(select: Select) -> RunConfig:
    return RunConfig(model="m", data="digits", recipe="r", train=TrainOptions(select=select))


@pytest.mark.parametrize(
    ("wanted", "validation", "before", "chosen"),
    [
        ("auto", "given", None, "best"),
        ("auto", "train", None, "best"),
        ("auto", "test", None, "last"),
        ("best", "test", None, "best"),
        ("last", "given", None, "last"),
        ("auto", "test", saved("auto"), "best"),  # of a run that knew no choice
        ("auto", "test", saved("last"), "last"),
        ("auto", "given", saved("last"), "last"),
        ("best", "test", saved("last"), "best"),
    ],
)
def test_auto_reports_the_last_epoch_where_the_test_part_is_measured(
    wanted: Select, validation: Validation, before: RunConfig | None, chosen: str
) -> None:
    assert settle(wanted, validation, before) == chosen


@pytest.mark.parametrize(
    ("chosen", "files", "kept"),
    [
        ("best", ("best.ckpt", "last.ckpt"), "best.ckpt"),
        ("last", ("best.ckpt", "last.ckpt"), "last.ckpt"),
        ("best", ("last.ckpt",), "last.ckpt"),
        ("last", ("best.ckpt",), "best.ckpt"),
    ],
)
def test_the_other_checkpoint_stands_in(
    tmp_path: Path, chosen: Any, files: tuple[str, ...], kept: str
) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in files:
        (tmp_path / "checkpoints" / name).touch()
    assert weights_of(tmp_path, chosen).name == kept


def test_a_choice_on_the_test_part_is_said_to_be_optimistic() -> None:
    text = described("last", HISTORY, "val/top1_error", "test")
    assert text == (
        "epoch 3, the last; the best on the test part (the data have no validation part), so its "
        "error is optimistic: epoch 2, val/top1_error 30.00 %"
    )
    text = described("best", HISTORY, "val/top1_error", "test")
    assert text.startswith("epoch 2, the best on the test part")
    assert text.endswith("its error is optimistic; val/top1_error of the last epoch: 35.00 %")
    assert "optimistic" not in described("best", HISTORY, "val/top1_error", "given")


@pytest.mark.parametrize("error", [{}, {"val/top1_error": float("nan")}])
def test_epochs_without_a_score_are_passed_over(error: dict[str, float]) -> None:
    assert described("best", [{"epoch": 4.0, **error}], "val/top1_error", "given").startswith(
        "epoch 4"
    )
    text = described("best", [*HISTORY, {"epoch": 4.0, **error}], "val/top1_error", "given")
    assert text.startswith("epoch 2, the best on the validation part")


def test_the_data_of_the_run_are_split_as_in_the_run_and_others_are_not(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    run = replace(saved("best"), input=InputOptions(group_by="folder"))
    none: dict[str, Any] = {"split": None, "val_fraction": None, "seed": None}
    again = f"folder:{tmp_path}/other/../mine"

    def drawn(data: str, run: RunConfig | None, **changed: Any) -> tuple[float, int, str, str]:
        found = held_out(run, card, data, **{**none, **changed})
        return found.fraction, found.seed, found.group_by, found.split_rule

    card = trained(f"folder:{mine}")
    assert drawn(again, run) == (0.2, 0, "folder", "v2")
    assert drawn(f"folder:{other}", run) == (0.0, 0, "", "v2")
    assert drawn(f"folder:{other}", run, split="val") == (0.2, 0, "", "v2")
    assert drawn(f"folder:{other}", run, seed=3) == (0.2, 3, "", "v2")
    assert drawn(again, None) == (0.2, 0, "", "v1"), "an old card holds nothing of the split"
    card = trained(f"folder:{mine}", val_fraction=0.5, seed=4, group_by="folder", split_rule="v2")
    assert drawn(again, None) == (0.5, 4, "folder", "v2")
    assert drawn(f"folder:{other}", None) == (0.0, 4, "", "v2")
    card = trained(f"folder:{tmp_path}/gone")
    assert drawn(f"folder:{other}", None) == (0.0, 0, "", "v1")


def trained(data: str, **holdout: Any) -> ModelCard:
    preprocess = default_preprocess(32)
    return ModelCard(network="m", classes=("a",), preprocess=preprocess, data=data, holdout=holdout)


def test_images_are_kept_together_as_in_the_run_or_as_asked(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    card = trained(f"folder:{tmp_path / 'a'}", group_by="folder")
    none: dict[str, Any] = {"split": None, "val_fraction": None, "seed": None}
    for data, group_by, wanted in (
        (card.data, None, "folder"),
        (f"folder:{tmp_path}", None, ""),
        (f"folder:{tmp_path}", "pattern:(p[0-9])", "pattern:(p[0-9])"),
        (card.data, "", ""),
    ):
        assert held_out(None, card, data, **none, group_by=group_by).group_by == wanted
    with pytest.raises(UserError, match="^--group-by is 'patient'; it can be folder"):
        held_out(None, card, card.data, **none, group_by="patient")


def test_only_the_part_that_is_measured_is_read() -> None:
    card = trained("folder:gone")
    for split, part in ((None, "val"), ("val", "val"), ("test", "test"), ("all", None)):
        found = held_out(None, card, "digits", split=split, val_fraction=None, seed=None)
        assert found.measured == part


def images(val: int, test: int | None, validation: Validation) -> LabelledImages:
    def part(count: int) -> Split:
        pixels = np.zeros((count, 2, 2, 3), np.uint8)
        return Split(images=pixels, labels=np.zeros(count, np.int64))

    return LabelledImages(
        name="set",
        classes=("a", "b"),
        train=part(5),
        val=part(val),
        native_size=2,
        validation=validation,
        test=None if test is None else part(test),
    )


def scenes(val: int, test: int | None, validation: Validation) -> Scenes:
    def part(count: int) -> tuple[Scene, ...]:
        return (Scene(name="x", image=np.zeros((2, 2, 3), np.uint8)),) * count

    return Scenes(
        name="set",
        classes=("a",),
        train=part(5),
        val=part(val),
        test=part(test or 0),
        validation=validation,
    )


@pytest.mark.parametrize("make", [images, scenes])
@pytest.mark.parametrize(
    ("val", "test", "validation", "split", "count"),
    [
        (2, None, "given", None, 2),
        (2, 3, "given", None, 2),
        (2, 3, "given", "test", 3),
        (2, 3, "given", "all", 10),
        (2, None, "test", "test", 2),  # the published test part is what is validated on
        (2, None, "train", None, 2),
        (0, None, "train", None, 5),
        (0, 3, "train", None, 8),
        (0, 3, "train", "train", 5),
    ],
)
def test_the_part_that_is_asked_for(
    make: Any, val: int, test: int | None, validation: Validation, split: str | None, count: int
) -> None:
    part, words = measured_part(make(val, test, validation), split, "set")
    assert len(part) == count
    assert ("all" in words) == (count in (5, 8, 10) and split != "train")


@pytest.mark.parametrize("make", [images, scenes])
@pytest.mark.parametrize(("split", "name"), [("test", "test"), ("val", "validation")])
def test_a_part_that_is_not_there_is_told(make: Any, split: str, name: str) -> None:
    with pytest.raises(UserError, match=f"--split {split}: set has no {name} part"):
        measured_part(make(0, None, "train"), split, "set")
