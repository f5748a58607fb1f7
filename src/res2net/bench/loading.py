"""The cost of reading images in an epoch: the same steps with and without the loader.

Half of the rounds train on batches from the loader, half on one batch in memory. The share is the
additional time of the former.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from res2net import machine
from res2net.bench.options import LoadingOptions
from res2net.bench.protocol import Measurement, Track
from res2net.config import InputOptions, RunConfig, TrainOptions
from res2net.data.augment import Augment
from res2net.data.source import parse_source
from res2net.tasks.classify.task import CLASSIFY
from res2net.tasks.job import build_job
from res2net.tasks.task import Job
from res2net.training.optimise import make_optimiser


def run(options: LoadingOptions, track: Track) -> Measurement:  # noqa: ARG001  epochs show nothing
    """Measure the share of an epoch spent on reading images.

    Raises:
        UserError: unusable data or options.
    """
    config = RunConfig(
        model=options.model,
        data=str(parse_source(options.data)),
        recipe="imagenet",
        input=InputOptions(size=options.size, workers=options.workers),
        augment=Augment(),
        train=TrainOptions(batch=options.batch),
    )
    found = loading_share(config, epochs=options.epochs)
    line = (
        f"{options.model}, {options.size} pixels, batch {options.batch}: {found.images} images in "
        f"{found.loaded:.1f} s with the loader, {found.ready:.1f} s without; loading costs "
        f"{100 * found.share:.1f} % of the epoch"
    )
    row: dict[str, object] = {
        "network": options.model,
        "size": options.size,
        "batch": options.batch,
        "data": Path(options.data).name,
        "images": found.images,
        "seconds_loaded": round(found.loaded, 2),
        "seconds_ready": round(found.ready, 2),
        "loading_share": round(found.share, 4),
        "n": options.epochs,
    }
    return Measurement(rows=[row], lines=[line])


@dataclass(frozen=True, kw_only=True)
class LoadingShare:
    """An epoch with the loader and the same steps without."""

    images: int  # of the epoch
    loaded: float  # seconds, with the loader
    ready: float  # seconds, on a batch that is already there

    @property
    def share(self) -> float:
        """Part of the epoch's wall time that loading costs, 0..1."""
        return max(0.0, 1 - self.ready / self.loaded)


def loading_share(config: RunConfig, *, epochs: int = 2) -> LoadingShare:
    """Train whole epochs with and without loading, in turn; images are augmented by workers."""
    config = replace(config, augment=replace(config.augment, where="workers"))
    processes = machine.processes(1)
    machine.set_threads(config.train.threads, processes)
    job = build_job(
        CLASSIFY, config, processes, lambda m, steps: make_optimiser(m, config.train, steps)
    )
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
    images = len(job.train_loader) * (job.train_loader.batch_size or 1)
    return LoadingShare(images=images, loaded=loaded / epochs, ready=ready / epochs)


def _steps(job: Job, batches: Any, optimiser: torch.optim.Optimizer, config: RunConfig) -> None:
    module: Any = job.module
    for images, targets, _ in batches:
        x = module.prepare(images)
        with machine.autocast("cpu", config.train.precision):
            logits = module.model(x)
        torch.autograd.backward(module.loss(logits, targets))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
