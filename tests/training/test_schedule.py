"""The learning rate over time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from res2net.config import TrainOptions
from res2net.paper.recipes import RECIPES
from res2net.training.schedule import lr_factor, peak_lr


def _options(**values):
    return TrainOptions(**{"epochs": 10, "schedule": "constant", **values})


@pytest.mark.parametrize(
    ("values", "epoch", "factor"),
    [
        ({}, 0, 1),
        ({}, 9.9, 1),
        ({"schedule": "cosine"}, 0, 1),
        ({"schedule": "cosine"}, 5, 0.5),
        ({"schedule": "cosine"}, 2.5, 0.5 * (1 + math.sqrt(0.5))),
        ({"schedule": "cosine"}, 10, 0),
        ({"schedule": "cosine"}, 11, 0),
        ({"schedule": "cosine", "warmup": 2.0}, 1, 0.5),
        ({"schedule": "cosine", "warmup": 2.0}, 2, 1),
        ({"schedule": "cosine", "warmup": 2.0}, 6, 0.5),
        ({"schedule": "step", "milestones": (3.0, 6.0)}, 2.99, 1),
        ({"schedule": "step", "milestones": (3.0, 6.0)}, 3, 0.1),
        ({"schedule": "step", "milestones": (3.0, 6.0)}, 6, 0.01),
        ({"schedule": "step", "milestones": (3.0,), "gamma": 0.5}, 9, 0.5),
        ({"warmup": 4.0}, 1, 0.25),
        ({"schedule": "cosine", "warmup": 10.0}, 10, 1),  # all warm-up
    ],
)
def test_factor(values, epoch, factor):
    assert lr_factor(epoch, _options(**values)) == pytest.approx(factor, abs=1e-12)


@given(
    epoch=st.floats(0, 20),
    warmup=st.floats(0, 12),
    schedule=st.sampled_from(["step", "cosine", "constant"]),
)
def test_the_factor_is_a_share(epoch, warmup, schedule):
    options = _options(schedule=schedule, warmup=warmup, milestones=(4.0, 8.0))
    assert 0 <= lr_factor(epoch, options) <= 1


@pytest.mark.parametrize(
    ("values", "lr"),
    [
        ({"lr": 0.3}, 0.3),
        ({"lr": 0.1, "lr_batch": 256, "batch": 256}, 0.1),
        ({"lr": 0.1, "lr_batch": 256, "batch": 64}, 0.025),
        ({"lr": 0.1, "lr_batch": 256, "batch": 64, "accumulate": 4}, 0.1),
        ({"lr": 0.1, "lr_batch": 128, "batch": 64}, 0.05),  # the authors' CIFAR setting
    ],
)
def test_peak(values, lr):
    assert peak_lr(TrainOptions(**values)) == pytest.approx(lr)


def test_the_papers_schedule():
    """/10 at epochs 30, 60 and 90 of 100 (paper 4.1)."""
    settings = RECIPES["classify"]["imagenet"].settings
    options = TrainOptions(
        epochs=settings["train.epochs"],
        schedule=settings["train.schedule"],
        milestones=tuple(settings["train.milestones"]),
        gamma=settings["train.gamma"],
        lr=settings["train.lr"],
    )
    rates = [peak_lr(options) * lr_factor(epoch, options) for epoch in range(100)]
    expected = [0.1] * 30 + [0.01] * 30 + [0.001] * 30 + [0.0001] * 10
    assert rates == pytest.approx(expected)


def test_a_linear_schedule_after_its_warm_up_is_a_triangle():
    options = TrainOptions(epochs=10, warmup=2.0, schedule="linear")
    rates = [lr_factor(epoch, options) for epoch in (0, 1, 2, 4, 6, 10)]
    assert rates == pytest.approx([0, 0.5, 1, 0.75, 0.5, 0])
