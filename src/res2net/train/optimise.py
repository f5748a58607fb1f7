"""Optimiser and learning-rate schedule out of the configuration."""

from __future__ import annotations

from typing import Any

from torch import nn, optim

from res2net.config import TrainOptions
from res2net.train.schedule import lr_factor, peak_lr


def parameter_groups(module: nn.Module, options: TrainOptions) -> list[dict[str, Any]]:
    """Trainable parameters; norms and biases apart, without decay, unless ``decay_norms``."""
    trainable = [p for p in module.parameters() if p.requires_grad]
    if options.decay_norms:
        return [{"params": trainable, "weight_decay": options.weight_decay}]
    return [
        {
            "params": [p for p in trainable if p.ndim > 1],
            "weight_decay": options.weight_decay,
        },
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]


def make_optimiser(
    module: nn.Module, options: TrainOptions, steps_per_epoch: int
) -> dict[str, Any]:
    """Optimiser and per-step schedule, as Lightning's ``configure_optimizers`` returns them."""
    groups = parameter_groups(module, options)
    lr = peak_lr(options)
    optimiser: optim.Optimizer
    if options.optimizer == "sgd":
        optimiser = optim.SGD(groups, lr=lr, momentum=options.momentum, nesterov=options.nesterov)
    else:
        optimiser = optim.AdamW(groups, lr=lr)

    def factor(step: int) -> float:
        epoch = step / steps_per_epoch
        if epoch < options.warmup:  # the first step already moves
            epoch = min(epoch + 1 / steps_per_epoch, options.warmup)
        return lr_factor(epoch, options)

    schedule = optim.lr_scheduler.LambdaLR(optimiser, factor)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
