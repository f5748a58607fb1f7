"""The learning rate as a function of time, in epochs. Imports no torch."""

from __future__ import annotations

import math

from res2net.config import TrainOptions

POLY_POWER = 0.9  # DeepLab's


def peak_lr(options: TrainOptions) -> float:
    """The peak learning rate: ``lr``, scaled linearly if it is meant for another batch size."""
    assert not isinstance(options.lr, str)  # "auto" has become a number
    assert not isinstance(options.batch, str)
    if not options.lr_batch:
        return options.lr
    return options.lr * options.batch * options.accumulate / options.lr_batch


def lr_factor(epoch: float, options: TrainOptions) -> float:
    """Share of the peak learning rate after ``epoch`` epochs (fractions count).

    Linear warm-up over ``warmup`` epochs, then the schedule: constant; ``gamma`` for each milestone
    passed; 1 - share of the training done (linear), or its power 0.9 (poly); or half a cosine.
    These three fall from 1 at the end of the warm-up to 0 at the end of training.
    """
    if epoch < options.warmup:
        return epoch / options.warmup
    if options.schedule == "step":
        return options.gamma ** sum(epoch >= milestone for milestone in options.milestones)
    if options.schedule in ("cosine", "poly", "linear"):
        length = max(options.epochs - options.warmup, 1e-9)
        progress = min(1.0, (epoch - options.warmup) / length)
        if options.schedule == "poly":
            return (1 - progress) ** POLY_POWER
        if options.schedule == "linear":
            return 1 - progress
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1.0
