"""What reading images costs in an epoch: the same steps with and without the loader.

Half of the rounds train on batches from the loader, half on one batch that is already there. The
share is how much longer the first take.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from res2net import machine
from res2net.config import RunConfig
from res2net.tasks.classify.job import Job, build_job
from res2net.training.optimise import make_optimiser


@dataclass(frozen=True, kw_only=True)
class LoadingShare:
    """An epoch with the loader beside the same steps without."""

    images: int  # of the epoch
    loaded: float  # seconds, with the loader
    ready: float  # seconds, on a batch that is already there

    @property
    def share(self) -> float:
        """Part of the epoch's wall time that loading costs, 0..1."""
        return max(0.0, 1 - self.ready / self.loaded)


def loading_share(config: RunConfig, *, epochs: int = 2) -> LoadingShare:
    """Train whole epochs with and without loading, in turn."""
    together = machine.processes(1)
    machine.set_threads(config.train.threads, together)
    job = build_job(config, together, lambda m, steps: make_optimiser(m, config.train, steps))
    module = job.module.to(memory_format=torch.channels_last).train()
    optimiser = module.configure_optimizers()["optimizer"]
    first = next(iter(job.train_loader))
    _steps(job, [first] * 2, optimiser, config)  # warm-up
    loaded = ready = 0.0
    for epoch in range(epochs):
        job.train_loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        start = time.perf_counter()
        _steps(job, job.train_loader, optimiser, config)
        middle = time.perf_counter()
        _steps(job, [first] * len(job.train_loader), optimiser, config)
        loaded += middle - start
        ready += time.perf_counter() - middle
    images = len(job.train_loader) * config.train.batch
    return LoadingShare(images=images, loaded=loaded / epochs, ready=ready / epochs)


def _steps(job: Job, batches: Any, optimiser: torch.optim.Optimizer, config: RunConfig) -> None:
    for images, targets, _ in batches:
        x = job.module.prepare(images)
        with machine.autocast("cpu", config.train.precision):
            logits = job.module.model(x)
        torch.autograd.backward(job.module.loss(logits, targets))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
