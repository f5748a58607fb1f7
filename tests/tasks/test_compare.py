"""Two networks compared on the same images: intervals, verdicts, what cannot be compared."""

from __future__ import annotations

import csv
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.data.labelled import Split
from res2net.errors import UserError
from res2net.tasks import compare as compare_module
from res2net.tasks.classify.scores import score
from res2net.tasks.compare import Comparison, check_pair, differences
from res2net.tasks.evaluate import Evaluation

CLASSES = ("a", "b", "c")


def evaluated(right: Any, *, task: str = "classify", rows: Any = None) -> Evaluation:
    """A classifier that is right where it is said, of images whose class is their number mod 3."""
    truth = torch.arange(len(right)) % 3
    predicted = torch.where(torch.as_tensor(right), truth, (truth + 1) % 3)
    scores = score(torch.nn.functional.one_hot(predicted, 3) * 4.0, truth, CLASSES)
    rows = range(len(right)) if rows is None else rows
    names = [f"{i}.png" for i in range(len(right) + 10)]
    return Evaluation(
        task=task,
        images=len(right),
        metrics=scores.summary(),
        scores=replace(scores, rows=list(rows)),
        folder=Path(),
        data=None,
        part=Split(images=names, labels=np.zeros(len(names), np.int64)),
    )


def compared(one: Evaluation, other: Evaluation, rounds: int = 400) -> Comparison:
    pair = (one.scores.resampled(), other.scores.resampled())
    found = differences(pair, one.images, rounds=rounds)
    return Comparison(
        first=one, second=other, differences=found, counts="top1_error", rounds=rounds,
        folder=Path(),
    )  # fmt: skip


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random(900) < 0.7, rng.random(900) < 0.85
    main = compared(evaluated(first), evaluated(second)).main
    each = 100.0 * first - 100.0 * second  # difference of the errors, image by image
    assert main.difference == pytest.approx(each.mean())
    spread = 1.96 * each.std() / np.sqrt(len(each))
    assert main.low == pytest.approx(each.mean() - spread, abs=0.25 * spread)
    assert main.high == pytest.approx(each.mean() + spread, abs=0.25 * spread)


@pytest.mark.parametrize(
    ("second", "verdict", "words"),
    [
        (0.95, "better", "the second network is better: top1_error "),
        (0.3, "worse", "the first network is better: top1_error "),
        (None, "open", "these images do not separate the networks: top1_error "),
    ],
)
def test_the_verdict_follows_the_interval(second: float | None, verdict: str, words: str) -> None:
    rng = np.random.default_rng(2)
    first = rng.random(300) < 0.7
    other = first if second is None else rng.random(300) < second
    found = compared(evaluated(first), evaluated(other))
    assert found.main.verdict == verdict
    assert found.headline.startswith(words)
    accuracy = next(d for d in found.differences if d.name == "top1_accuracy")
    assert accuracy.verdict == verdict  # though higher is better there
    assert {d.name for d in found.differences if d.of_class} == set(CLASSES)
    if second is None:
        assert all(d.low == d.difference == d.high == 0 for d in found.differences)


def test_what_cannot_be_compared_is_refused() -> None:
    one = evaluated([True] * 12)
    check_pair("a", "b", one, one)
    for other, message in (
        (evaluated([True] * 12, task="detect"), "a network of --task classify, b of --task d"),
        (evaluated([True] * 11), "a was measured on 12 images and b on 11, which are not the same"),
        (evaluated([True] * 12, rows=range(1, 13)), "on 12, which are not the same"),
    ):
        with pytest.raises(UserError, match=message):
            check_pair("a", "b", one, other)
    few = evaluated([True] * 9)
    with pytest.raises(UserError, match="9 images were measured; an interval needs at least 10"):
        check_pair("a", "b", few, few)


def test_a_user_compares_two_networks_and_the_images_are_read_once(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = compare_module.read_images, []

    def counting(*args: Any, **options: Any) -> Any:
        asked.append(args)
        return read(*args, **options)

    monkeypatch.setattr(compare_module, "read_images", counting)
    for name, width in (("one", "4"), ("two", "8")):
        done = cli(
            *("train", "--model", "res2net29_small", "--net.depth", "11", "--recipe", "smoke"),
            *("--net.width", width, "--train.threads", "1", "--input.workers", "0"),
            *("--data", "digits", "--train.max-steps", "2", "--out", tmp_path / name),
        )
        assert done.code == 0, done.err
    pair, out = (tmp_path / "one", tmp_path / "two"), tmp_path / "out"
    done = cli("compare", *pair, "--data", "digits", "--out", out, "--rounds", "100")
    assert done.code == 0, done.err
    assert "top1_error" in done.out
    assert len(asked) == 1
    assert (done.out + done.err).count("measuring ") == 1
    rows = list(csv.DictReader((out / "comparison.csv").read_text().splitlines()))
    assert {row["figure"] for row in rows if row["of"] == "class"} == {str(k) for k in range(10)}
    (row,) = (row for row in rows if row["figure"] == "top1_error")
    assert float(row["low"]) <= float(row["difference"]) <= float(row["high"])
    for picture in ("comparison.png", "differences.png"):
        with Image.open(out / picture) as drawn:
            assert drawn.width == 1200
    assert "at least 100" in cli("compare", *pair, "--data", "digits", "--rounds", "9").line
    assert "--data is missing" in cli("compare", *pair).line


def test_a_note_on_the_data_of_both_networks_is_shown_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = evaluated([True, False] * 10)

    def read_and_measure(target: str, *_: Any, **__: Any) -> Evaluation:
        warnings.warn("photos: 3 files ignored", stacklevel=2)
        warnings.warn(f"note on {target}", stacklevel=2)
        return one

    monkeypatch.setattr(compare_module, "evaluate", read_and_measure)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compare_module.compare("a", "b", "photos", out=tmp_path / "out", rounds=100)
    told = [str(each.message) for each in caught]
    assert told == ["photos: 3 files ignored", "note on a", "note on b"]
