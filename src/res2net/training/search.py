"""``--train.batch auto`` and ``--train.lr auto``: settings found by a short trial training.

Both use Lightning's Tuner. A trial has its own job, so the training afterwards is
bit-identical to a run with the numbers given.
"""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Callable
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.tuner.tuning import Tuner

from res2net import machine
from res2net.config import AUTO, RunConfig
from res2net.drawing.canvas import GREY, MARGIN, TOP, add_axes, headed_figure
from res2net.errors import UserError
from res2net.tasks.scores import write_table
from res2net.tasks.task import Job
from res2net.training.callbacks import shows_progress
from res2net.training.folder import CONFIG

STEPS = 100  # steps of the range test
SMOOTHED = 20  # first steps, whose smoothed losses are of few batches and too low
LEAST, MOST = 1e-6, 1.0  # learning rates of the range test
FIRST_BATCH, MOST_BATCH = 2, 4096
MakeJob = Callable[[RunConfig], Job]
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The settings found, and the curve of the range test."""

    config: RunConfig  # with numbers in place of "auto"
    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write ``lr_find.csv`` and ``lr_find.png`` if learning rates were tried."""
        if not self.rates:
            return
        rows = [(f"{rate:.6g}", loss) for rate, loss in zip(self.rates, self.losses, strict=True)]
        write_table(folder / "lr_find.csv", ("lr", "loss"), rows)
        taken = self.config.train.lr
        path = folder / "lr_find.png"
        subtitle = f"smoothed loss; --train.lr {taken}, dashed: a tenth of the rate of the lowest"
        with headed_figure(path, 620, "Learning-rate range test", subtitle) as figure:
            axes = add_axes(figure, MARGIN + 70, TOP + 40, 980, 400)
            axes.plot(self.rates, self.losses)
            axes.axvline(float(taken), color=GREY, linestyle="--", linewidth=1)
            axes.set(xscale="log", xlabel="learning rate", ylabel="loss")


def search(config: RunConfig, make_job: MakeJob, processes: machine.Processes, say: Say) -> Found:
    """Replace every "auto" by a number: first the batch, then the learning rate for it.

    Raises:
        UserError: several processes, a batch search without a GPU, or no rate at which the loss
            falls.
    """
    if AUTO not in (config.train.batch, config.train.lr):
        return Found(config=config)
    if processes.world > 1:
        raise UserError("--train.batch auto and --train.lr auto are for one process; give numbers")
    if config.train.batch == AUTO:
        if machine.best_device().type != "cuda":
            raise UserError(
                "--train.batch auto fills the memory of a GPU, and there is none; give a number"
            )
        batch = largest_batch(with_numbers(config), make_job)
        say(f"--train.batch auto: {batch} images fit")
        config = _with(config, batch=batch)
    if config.train.lr != AUTO:
        return Found(config=config)
    say(f"--train.lr auto: {STEPS} steps from {LEAST:g} to {MOST:g}")
    rates, losses, lr = tested_rate(with_numbers(config), make_job)
    say(f"--train.lr auto: {lr:g}, a tenth of the rate with the lowest loss")
    return Found(config=_with(config, lr=lr, lr_batch=0), rates=rates, losses=losses)


def settle_searched(config: RunConfig, run: Path) -> RunConfig:
    """``--train.batch auto`` and ``--train.lr auto`` of a resumed run: its saved numbers."""
    given, names = config.train, ("batch", "lr")
    auto = [name for name in names if getattr(given, name) == AUTO]
    if not auto or not (run / CONFIG).is_file():
        return config
    saved = RunConfig.read(run / CONFIG).train
    found: dict[str, Any] = {name: getattr(saved, name) for name in auto}
    if "lr" in auto:
        found["lr_batch"] = saved.lr_batch
    return replace(config, train=replace(given, **found))


def with_numbers(config: RunConfig) -> RunConfig:
    """A configuration from which a trial can be built."""
    batch = FIRST_BATCH if config.train.batch == AUTO else config.train.batch
    return _with(config, batch=batch, lr=LEAST if config.train.lr == AUTO else config.train.lr)


def tested_rate(config: RunConfig, make_job: MakeJob) -> tuple[list[float], list[float], float]:
    """Rates, smoothed losses, and a tenth of the rate of the lowest loss (two digits).

    The rate of the steepest fall, which Lightning suggests, follows the noise of the first steps,
    whose smoothed losses are of few batches.

    Raises:
        UserError: the loss does not fall.
    """
    job = make_job(config)
    job.module.check_finite = lambda *_: None  # type: ignore[method-assign]  # may diverge here
    hidden = nullcontext() if shows_progress() else redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), hidden:
        warnings.filterwarnings("ignore", "You defined a `validation_step`")
        tuner = Tuner(_trainer(config, folder))
        finder = tuner.lr_find(
            job.module, job.train_loader, min_lr=LEAST, max_lr=MOST, num_training=STEPS,
            update_attr=False,
        )  # fmt: skip
    assert finder is not None
    rates, losses = finder.results["lr"], finder.results["loss"]
    pairs = list(zip(losses, rates, strict=True))[SMOOTHED:]
    finite = [(loss, rate) for loss, rate in pairs if isfinite(loss)]
    lowest = min(finite, default=(1.0, 0.0))
    before = [loss for loss, rate in finite if rate <= lowest[1]]
    if lowest[0] > 0.99 * max(before, default=0.0):
        raise UserError("--train.lr auto: the loss falls at no learning rate; give a number")
    return rates, losses, float(f"{lowest[1] / 10:.2g}")


class _Images(pl.LightningDataModule):
    """Images in batches of variable size."""

    def __init__(self, config: RunConfig, make_job: MakeJob) -> None:
        super().__init__()
        self.config, self.make_job, self.batch_size = config, make_job, FIRST_BATCH

    def train_dataloader(self) -> Any:
        return self._job.train_loader

    def val_dataloader(self) -> Any:
        return self._job.val_loader

    @property
    def _job(self) -> Job:
        return self.make_job(_with(self.config, batch=self.batch_size))


def largest_batch(config: RunConfig, make_job: MakeJob) -> int:
    """The largest power of two at which three training and validation steps fit into memory."""
    images, module = _Images(config, make_job), make_job(config).module
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You have overridden `transfer_batch_to_device`")
        warnings.filterwarnings("ignore", ".*LeafSpec")  # Lightning asks torch in an older way
        size = Tuner(_trainer(config, folder)).scale_batch_size(
            module, datamodule=images, steps_per_trial=3, init_val=FIRST_BATCH,
            max_val=MOST_BATCH,
        )  # fmt: skip
    assert size is not None
    return size


def _trainer(config: RunConfig, folder: str) -> pl.Trainer:
    return pl.Trainer(
        accelerator=machine.best_device().type,
        devices=1,
        precision=machine.lightning_precision(config.train.precision),  # type: ignore[arg-type]
        accumulate_grad_batches=config.train.accumulate,
        gradient_clip_val=config.train.clip or None,
        max_epochs=-1,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def _with(config: RunConfig, **options: Any) -> RunConfig:
    return replace(config, train=replace(config.train, **options))
