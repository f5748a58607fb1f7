"""Scores against hand-made cases, scikit-learn and torchmetrics."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from res2net.errors import UserError
from res2net.tasks.classify import scores as module
from res2net.tasks.classify.pictures import draw_confusion
from res2net.tasks.classify.scores import (
    BINS,
    ClassifyScores,
    ConfusedPair,
    Mistake,
    PerImage,
    score,
    scored,
)

# Probabilities of 6 images; a, b, c are the classes, d has no image and e is never predicted.
TRUE = torch.tensor([0, 0, 1, 1, 2, 4])
P = torch.tensor(
    [
        [0.90, 0.04, 0.03, 0.02, 0.01],  # a, right
        [0.10, 0.70, 0.10, 0.05, 0.05],  # a, taken for b
        [0.10, 0.82, 0.04, 0.02, 0.02],  # b, right
        [0.10, 0.62, 0.18, 0.06, 0.04],  # b, right
        [0.20, 0.50, 0.25, 0.03, 0.02],  # c, taken for b
        [0.95, 0.02, 0.01, 0.01, 0.01],  # e, taken for a
    ],
    dtype=torch.float64,
)


def evaluate(
    probabilities: Tensor = P, targets: Tensor = TRUE, names: str = "abcde"
) -> ClassifyScores:
    return score(probabilities.log(), targets, list(names))


def random_case(
    n: int, classes: int, seed: int, scale: float = 2.0
) -> tuple[Tensor, Tensor, list[str]]:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, classes, (n,), generator=generator)
    logits = torch.randn(n, classes, generator=generator)
    logits[torch.arange(n), targets] += 1
    return scale * logits, targets, [f"class {i}" for i in range(classes)]


def test_headline_figures_by_hand() -> None:
    found = evaluate()
    assert (found.images, found.top_k, found.classes) == (6, 5, tuple("abcde"))
    assert found.top1_accuracy == 50.0
    assert found.top1_error == 50.0
    assert (found.top5_accuracy, found.top5_error) == (100.0, 0.0)  # 5 of 5 classes
    assert found.loss == pytest.approx(
        -np.log([0.90, 0.10, 0.82, 0.62, 0.25, 0.01]).mean(), abs=1e-12
    )
    assert found.balanced_accuracy == pytest.approx(100 * (0.5 + 1 + 0 + 0) / 4)  # d left out


def test_classes_by_hand() -> None:
    a, b, c, d, e = evaluate().per_class
    assert (a.name, a.support, a.precision, a.recall, a.f1) == ("a", 2, 0.5, 0.5, 0.5)
    assert (b.support, b.precision, b.recall) == (2, 0.5, 1.0)
    assert b.f1 == pytest.approx(2 / 3)
    assert (c.support, c.precision, c.recall, c.f1) == (1, None, 0.0, 0.0)  # never predicted
    assert (d.support, d.precision, d.recall, d.f1) == (0, None, None, None)
    assert (e.support, e.precision, e.recall, e.f1) == (1, None, 0.0, 0.0)


def test_a_class_without_images_that_is_predicted_is_blank_too() -> None:
    found = score(torch.tensor([[0.0, 9.0], [9.0, 0.0]]), torch.tensor([0, 0]), ["a", "b"])
    assert found.per_class[1].support == 0
    assert found.per_class[1].precision is None
    assert found.per_class[0].precision == 1.0


def test_confusions_by_hand() -> None:
    found = evaluate()
    assert found.confusion.tolist() == [
        [1, 1, 0, 0, 0],
        [0, 2, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]
    pairs = found.confused_pairs()
    assert [(p.true, p.predicted, p.count, p.share) for p in pairs] == [
        ("c", "b", 1, 1.0),
        ("e", "a", 1, 1.0),
        ("a", "b", 1, 0.5),
    ]
    assert found.confused_pairs(1) == [ConfusedPair(true="c", predicted="b", count=1, share=1.0)]


def test_the_most_frequent_pair_comes_first() -> None:
    predicted = torch.tensor([1, 1, 1, 0, 2, 2])
    targets = torch.tensor([0, 0, 0, 0, 1, 1])
    pairs = score(9.0 * torch.eye(3)[predicted], targets, list("abc")).confused_pairs()
    assert [(p.true, p.predicted, p.count) for p in pairs] == [("a", "b", 3), ("b", "c", 2)]


def test_mistakes_by_hand() -> None:
    found = evaluate().mistakes()
    assert [m.index for m in found] == [5, 1, 4]
    assert found[0] == Mistake(
        index=5,
        true="e",
        predicted="a",
        confidence=pytest.approx(0.95),
        true_probability=pytest.approx(0.01),
    )
    assert evaluate().mistakes(2) == found[:2]


def test_bins_by_hand() -> None:
    found = evaluate()
    assert len(found.bins) == BINS
    assert (found.bins[0].lower, found.bins[-1].upper) == (0.0, 1.0)
    filled = {i: (b.count, b.accuracy) for i, b in enumerate(found.bins) if b.count}
    assert filled == {7: (1, 0), 9: (1, 1), 10: (1, 0), 12: (1, 1), 13: (1, 1), 14: (1, 0)}
    assert found.bins[9].confidence == pytest.approx(0.62)
    assert (found.bins[8].confidence, found.bins[8].accuracy) == (None, None)
    gaps = [0.50, 1 - 0.62, 0.70, 1 - 0.82, 1 - 0.90, 0.95]
    assert found.calibration_error == pytest.approx(sum(gaps) / 6)


def test_certain_predictions_belong_to_the_last_bin() -> None:
    """A probability that rounds to 1 shares a bin with 0.97, in the error as in the picture."""
    p = torch.tensor([[0.97, 0.03], [1.0, 1e-60]], dtype=torch.float64)
    found = evaluate(p, torch.tensor([0, 1]), "ab")
    assert [each.count for each in found.bins] == [0] * 14 + [2]
    assert found.calibration_error == pytest.approx(0.985 - 0.5)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 80), classes=st.integers(3, 12), seed=st.integers(0, 999))
def test_agrees_with_scikit_learn(n: int, classes: int, seed: int) -> None:
    logits, targets, names = random_case(n, classes, seed)
    found = score(logits, targets, names)
    labels, k = np.arange(classes), min(5, classes)
    probabilities = logits.double().softmax(dim=1).numpy()
    true, predicted = targets.numpy(), logits.argmax(dim=1).numpy()
    confusion = sklearn.metrics.confusion_matrix(true, predicted, labels=labels)
    assert (found.confusion == confusion).all()
    accuracy = sklearn.metrics.accuracy_score(true, predicted)
    assert found.top1_accuracy == pytest.approx(100 * accuracy)
    assert found.top1_error + found.top1_accuracy == pytest.approx(100)
    in_top5 = [target in row.topk(k).indices for target, row in zip(targets, logits, strict=True)]
    assert found.top5_accuracy == pytest.approx(100 * np.mean(in_top5))
    assert found.loss == pytest.approx(sklearn.metrics.log_loss(true, probabilities, labels=labels))
    recalls = sklearn.metrics.recall_score(
        true, predicted, labels=labels, average=None, zero_division=0
    )
    for each, recall in zip(found.per_class, recalls, strict=True):
        assert each.recall == (pytest.approx(recall) if each.support else None)
    assert sum(pair.count for pair in found.confused_pairs(10**6)) == len(found.mistakes())


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 80), classes=st.integers(2, 12), seed=st.integers(0, 999))
def test_calibration_agrees_with_torchmetrics_and_with_its_bins(
    n: int, classes: int, seed: int
) -> None:
    logits, targets, names = random_case(n, classes, seed)
    found = score(logits, targets, names)
    probabilities = logits.softmax(dim=1)  # it takes logits within 0..1 for probabilities
    theirs = multiclass_calibration_error(probabilities, targets, classes, n_bins=BINS)
    gaps = [
        abs(each.confidence - each.accuracy) * each.count / n
        for each in found.bins
        if each.confidence is not None and each.accuracy is not None
    ]
    assert found.calibration_error == pytest.approx(float(theirs), abs=1e-6)  # theirs is float32
    assert found.calibration_error == pytest.approx(sum(gaps), abs=1e-9)
    assert sum(each.count for each in found.bins) == n


def test_equal_logits_rank_in_the_order_of_the_classes() -> None:
    """A dead network is as good as always naming the first class, not better."""
    targets = torch.arange(10)
    found = score(torch.zeros(10, 10), targets, list("abcdefghij"))
    assert (found.top1_accuracy, found.top5_accuracy) == (10.0, 50.0)
    assert (found.predicted == 0).all()


@pytest.mark.parametrize(("classes", "top_k"), [(2, 2), (4, 4), (5, 5), (6, 5)])
def test_top5_of_few_classes(classes: int, top_k: int) -> None:
    logits, targets, names = random_case(40, classes, 0)
    found = score(logits, targets, names)
    assert found.top_k == top_k
    assert (found.top5_error == 0) == (classes <= 5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(50, 7, 0)
    whole = score(*case)
    monkeypatch.setattr(module, "_CHUNK", 16)
    assert score(*case).as_dict() == whole.as_dict()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_precision(dtype: torch.dtype) -> None:
    logits, targets, names = random_case(50, 7, 0)
    found = score(logits.to(dtype).requires_grad_(), targets, names)
    assert found.as_dict() == score(logits.to(dtype).double(), targets, names).as_dict()


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("deterministic")
def test_deterministic_mode() -> None:
    assert evaluate().top1_error == 50.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_broken_logits(value: float) -> None:
    logits, targets, names = random_case(6, 3, 0)
    logits[2, 1] = logits[4, 0] = value
    message = r"NaN or infinite scores for 2 of 6 images \(the first is image 2\)"
    with pytest.raises(UserError, match=message):
        score(logits, targets, names)


@pytest.mark.parametrize("target", [-1, 3])
def test_targets_out_of_range(target: int) -> None:
    logits, targets, names = random_case(6, 3, 0)
    targets[4] = target
    with pytest.raises(UserError, match=f"image 4 has label {target}, .* numbered 0 to 2"):
        score(logits, targets, names)


def test_no_images() -> None:
    with pytest.raises(UserError, match="no images to evaluate"):
        score(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), list("abc"))


def test_other_classes_than_the_network_has() -> None:
    with pytest.raises(UserError, match="predicts 3 classes, the data have 2"):
        score(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64), list("ab"))


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"logits \(2, 3\) and targets \(3,\)"):
        score(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64), list("abc"))


def test_plain_json_types() -> None:
    found = evaluate()
    again = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert again == found.as_dict()
    assert again["per_class"][3] == {
        "name": "d",
        "support": 0,
        "precision": None,
        "recall": None,
        "f1": None,
    }
    assert all(type(value) is float for value in found.summary().values())
    assert set(found.summary()) < set(again)


@pytest.mark.slow
def test_imagenet_size_fits_into_memory() -> None:
    """50,000 images of 1,000 classes (200 MB of logits) need little more than the logits."""
    code = """
import resource, torch, torchmetrics.functional, sklearn.metrics
from res2net.tasks.classify.scores import score
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB
logits = torch.randn(50_000, 1_000)
before = peak()
score(logits, torch.arange(50_000) % 1_000, [str(i) for i in range(1_000)])
print(peak() - before)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert float(done.stdout) < 250


def test_many_classes_take_little_memory(tmp_path: Path) -> None:
    """21,000 of them: a table of their pairs would take 3.5 GB, and pictures as much again."""
    chance = np.random.default_rng(0)
    classes, images = 21_000, 300
    true = chance.integers(0, classes, images)
    predicted = np.where(chance.random(images) < 0.5, true, chance.integers(0, classes, images))
    found = scored(
        PerImage(
            targets=true,
            rank=(predicted != true).astype(np.int64),
            predicted=predicted,
            confidence=np.full(images, 0.5),
            log_likelihood=np.full(images, -1.0),
            finite=np.ones(images, bool),
        ),
        [f"c{i}" for i in range(classes)],
    )
    tracemalloc.start()
    pairs = found.confused_pairs(3)
    draw_confusion(found, tmp_path / "confusion.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
    assert [pair.count for pair in pairs] == [1, 1, 1]
    assert found.top1_error == pytest.approx(100 * (predicted != true).mean())
