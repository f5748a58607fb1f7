"""Optimiser and learning-rate schedule from the configuration."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn, optim

from res2net.config import TrainOptions
from res2net.errors import UserError
from res2net.models.network import Network
from res2net.training.schedule import lr_factor, peak_lr


def parameter_groups(
    module: nn.Module,
    options: TrainOptions,
    head_factor: float = 1.0,
    body: Network | None = None,
) -> list[dict[str, Any]]:
    """Trainable parameters; norms and biases in groups without decay, unless ``decay_norms``.

    The learning rate of the head is multiplied by ``head_factor``; that of the backbone's levels by
    ``layer_decay`` once per level, from the deepest one.

    Args:
        body: the backbone inside; parameters in none of its levels are the head.
    """
    trainable = [p for p in module.parameters() if p.requires_grad]
    if body is None or head_factor == options.layer_decay == 1:
        return _by_decay(trainable, options, {})
    levels = body.count_levels()
    rates = {
        p: options.layer_decay ** (levels - depth)
        for depth, step in body.depths()
        for part in step.modules
        for p in part.parameters()
    }
    peak = peak_lr(options)
    inside: list[dict[str, Any]] = []
    for rate in sorted(set(rates.values()), reverse=True):
        own = [p for p in trainable if rates.get(p) == rate]
        inside += _by_decay(own, options, {"lr": peak * rate} if rate != 1 else {})
    rest = [p for p in trainable if p not in rates]
    head = _by_decay(rest, options, {"lr": peak * head_factor})
    if options.layer_decay == 1:
        return inside + head
    return [group for group in head + inside if group["params"]]


def _by_decay(
    parameters: list[nn.Parameter], options: TrainOptions, extra: dict[str, Any]
) -> list[dict[str, Any]]:
    if options.decay_norms:
        return [{"params": parameters, "weight_decay": options.weight_decay, **extra}]
    return [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": options.weight_decay,
            **extra,
        },
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, **extra},
    ]


def norm_biases_apart(
    groups: list[dict[str, Any]], module: nn.Module, options: TrainOptions
) -> list[dict[str, Any]]:
    """Split off the norms' biases with their own learning rate (``norm_bias_factor``).

    Learning rate times weight decay is unchanged.
    """
    factor = options.norm_bias_factor
    if factor == 1:
        return groups
    norms = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
    biases = {id(each.bias) for each in module.modules() if isinstance(each, norms)}
    made: list[dict[str, Any]] = []
    for group in groups:
        rates = {
            "lr": group.get("lr", peak_lr(options)) * factor,
            "weight_decay": group["weight_decay"] / factor,
        }
        for of_norms, own in ((False, {}), (True, rates)):
            chosen = [p for p in group["params"] if (id(p) in biases) == of_norms]
            made += [{**group, **own, "params": chosen}] if chosen else []
    return made


def is_fused(groups: list[dict[str, Any]], options: TrainOptions) -> bool | None:
    """Whether to use a fused optimiser: on GPUs; None leaves the choice to PyTorch.

    Not if fp16 gradients are clipped: a fused optimiser unscales them itself, after the clipping.
    """
    on_gpu = all(p.is_cuda for group in groups for p in group["params"])
    return True if on_gpu and not (options.clip and options.precision == "fp16") else None


def start_momentum(optimiser: optim.SGD) -> None:
    """Initialise the momentum with zeros before the first step.

    A fused SGD (torch 2.14) allocates it uninitialised for its kernel to fill; if the gradients of
    the first fp16 step overflow, the kernel does nothing, and uninitialised memory becomes
    the momentum.
    """
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _lamb() -> Any:
    try:
        from timm.optim.lamb import Lamb
    except ModuleNotFoundError:
        raise UserError("--train.optimizer lamb needs timm: pip install 'res2net[lamb]'") from None
    return Lamb


def make_optimiser(
    module: nn.Module,
    options: TrainOptions,
    steps_per_epoch: int,
    head_factor: float = 1.0,
    body: Network | None = None,
) -> dict[str, Any]:
    """Optimiser and per-step schedule, as returned by Lightning's ``configure_optimizers``.

    Args:
        head_factor, body: see ``parameter_groups``.

    Raises:
        UserError: an optimiser whose package is missing.
    """
    apart = parameter_groups(module, options, head_factor, body)
    groups = norm_biases_apart(apart, module, options)
    lr = peak_lr(options)
    fused = is_fused(groups, options)
    optimiser: optim.Optimizer
    if options.optimizer == "sgd":
        momentum, nesterov = options.momentum, options.nesterov
        optimiser = optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=fused)
        if fused and momentum and options.precision == "fp16":
            start_momentum(optimiser)
    elif options.optimizer == "lamb":
        optimiser = _lamb()(groups, lr=lr, max_grad_norm=None)  # --train.clip clips
    else:
        kind = optim.Adam if options.optimizer == "adam" else optim.AdamW
        optimiser = kind(groups, lr=lr, fused=fused)

    def factor(step: int) -> float:
        epoch = step / steps_per_epoch
        if epoch < options.warmup:  # the first step already moves
            epoch = min(epoch + 1 / steps_per_epoch, options.warmup)
        return lr_factor(epoch, options)

    schedule = optim.lr_scheduler.LambdaLR(optimiser, factor)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
