"""MAE and curves against pysodmetrics, max F by hand."""

from __future__ import annotations

import numpy as np
import pytest

from res2net.data.scenes.generated import SceneRules, generate
from res2net.metrics.saliency import EPSILON, SaliencyMetric, curves, f_measure


def maps(count: int = 6) -> list[tuple[np.ndarray, np.ndarray]]:
    chance = np.random.default_rng(0)
    found = []
    for number in range(count):
        drawn = generate(number, 0, SceneRules(side=120, smallest=40)).salient
        truth = 255 * (np.asarray(drawn) > 0).astype(np.uint8)
        noise = chance.normal(0, 60, truth.shape)
        found.append((np.clip(0.7 * truth + noise, 0, 255).astype(np.uint8), truth))
    return found


def test_mae_and_curves_equal_pysodmetrics() -> None:
    import py_sod_metrics as peer

    for saliency, truth in maps():
        metric = SaliencyMetric()
        metric.update(saliency, truth)
        mae = peer.MAE()
        mae.step(saliency / 255.0, truth > 128, normalize=False)
        assert metric.compute().mae == pytest.approx(float(mae.get_results()["mae"]), abs=1e-9)
        handlers = {"precision": peer.PrecisionHandler, "recall": peer.RecallHandler}
        theirs = peer.FmeasureV2(
            {name: kind(with_dynamic=True, with_adaptive=False) for name, kind in handlers.items()}
        )
        theirs.step(saliency / 255.0, truth > 128, normalize=False)
        results = theirs.get_results()
        # theirs[i] takes saliency >= 255 - i, ours[t] takes saliency > t, that is >= t + 1
        for name, ours in zip(handlers, curves(saliency, truth > 128), strict=True):
            assert ours[:255] == pytest.approx(
                np.asarray(results[name]["dynamic"])[::-1][1:256][:255], abs=1e-6
            )


def test_max_f_by_hand() -> None:
    truth = np.array([[255, 255, 0, 0]], np.uint8)
    saliency = np.array([[200, 100, 100, 0]], np.uint8)
    metric = SaliencyMetric()
    metric.update(saliency, truth)
    scores = metric.compute()
    # above 100: one of two found, none wrong; up to 99: two found, one wrong
    high, low = 1.3 * 1 * 0.5 / (0.3 + 0.5), 1.3 * (2 / 3) / (0.3 * 2 / 3 + 1)
    assert scores.max_f == pytest.approx(max(high, low), abs=1e-3)
    assert scores.threshold == (100 if high > low else 0)
    assert scores.mae == pytest.approx((55 + 155 + 100) / 255 / 4)


def test_mae_keeps_the_grey_values_of_the_truth() -> None:
    """As SalMetric has it, the tool of the paper's base; F cuts the truth at 128."""
    chance = np.random.default_rng(0)
    saliency, truth = chance.integers(0, 256, (2, 50, 60)).astype(np.uint8)
    metric = SaliencyMetric()
    metric.update(saliency, truth)
    wanted = np.abs(saliency.astype(float) - truth).mean() / 255
    assert metric.compute().mae == pytest.approx(wanted, abs=1e-12)
    assert metric.compute().recall[100] == pytest.approx(
        (saliency[truth > 128] > 100).mean(), abs=1e-4
    )


def test_precision_and_recall_are_averaged_before_f() -> None:
    metric = SaliencyMetric()
    full, none = np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8)
    metric.update(full, full)
    metric.update(none, full)  # nothing taken: precision 1, recall 0
    scores = metric.compute()
    assert scores.precision[100] == pytest.approx(1, abs=1e-4)
    assert scores.recall[100] == pytest.approx(0.5, abs=1e-4)
    assert scores.max_f == pytest.approx(float(f_measure(np.ones(1), np.full(1, 0.5))[0]), abs=1e-4)
    assert EPSILON == 1e-4


def test_structure_measures_are_one_for_the_truth() -> None:
    metric = SaliencyMetric(structure=True)
    for _, truth in maps(2):
        metric.update(truth, truth)
    scores = metric.compute()
    assert scores.s_measure == pytest.approx(1, abs=1e-3)
    assert scores.e_measure == pytest.approx(1, abs=1e-3)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="no image"):
        SaliencyMetric().compute()
    with pytest.raises(ValueError, match="uint8"):
        SaliencyMetric().update(np.zeros((2, 2)), np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="truth"):
        SaliencyMetric().update(np.zeros((2, 2), np.uint8), np.zeros((3, 2), np.uint8))
