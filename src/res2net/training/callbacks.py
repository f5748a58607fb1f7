"""Callbacks of training: seeds per epoch, early stopping, averages, history, progress."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    TQDMProgressBar,
    WeightAveraging,
)
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm
from torch import Tensor

from res2net.errors import UserError
from res2net.files import write_text
from res2net.models.network import Network
from res2net.nn.layers import count_on_host
from res2net.tasks.module import counts_on_host

COLUMNS = (
    "epoch",
    "step",
    "lr",
    "seconds",
    "train/loss",
    "train/top1_error",
    "val/loss",
    "val/top1_error",
    "val/top5_error",
)  # others follow
SHOWN = {
    "train/loss": ("loss", ""),
    "val/loss": ("val loss", ""),
    "val/top1_error": ("val top-1 error", " %"),
    "val/top5_error": ("top-5", " %"),
    "val/iou_error": ("val IoU error", " %"),
    "val/ap_error": ("val AP error", " %"),
    "val/ap50_error": ("AP50 error", " %"),
    "val/f_error": ("val F-measure error", " %"),
    "val/mae": ("MAE", " %"),
    "val/probe_error": ("probe error", " %"),
}
EVERY = 60.0  # seconds between two lines if no bar is shown


class EpochSeed(Callback):
    """Seeds each epoch's randomness (dropped paths, mixing) by seed, epoch and rank alone.

    A resumed run then continues exactly as the uninterrupted one would have.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        mixed = (self.seed * 1_000_003 + trainer.current_epoch) * 1_000_003 + trainer.global_rank
        torch.manual_seed(mixed % 2**63)


class Unfreezing(Callback):
    """Trains the head first, then the backbone level by level, from the deepest on.

    The trained levels depend on the epoch alone, so a resumed run continues as it would have.

    Args:
        body: the backbone; the optimiser holds every parameter that is trained at any time.
        every: epochs between two levels.
        frozen: levels that stay frozen.
    """

    def __init__(self, body: Network, every: float, frozen: int) -> None:
        self.body, self.every, self.frozen = body, every, frozen

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        trained = int(trainer.current_epoch / self.every)
        self.body.freeze(max(self.frozen, self.body.count_levels() - trained))


class StopAfter(Callback):
    """Ends the training after a number of steps, with a validation and a checkpoint as usual.

    (The Trainer's own ``max_steps`` would skip the validation.)
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        self._stop(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._stop(trainer)

    def _stop(self, trainer: pl.Trainer) -> None:
        if trainer.global_step >= self.steps:
            trainer.should_stop = True


class Patience(EarlyStopping):
    """Early stopping that also applies to a resumed run, with its current patience."""

    @property
    def exhausted(self) -> bool:
        """Whether it ends the training."""
        return self.wait_count >= self.patience

    def __init__(self, epochs: int, monitor: str) -> None:
        super().__init__(monitor, patience=epochs)
        self._told = False

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        if self.exhausted:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._is_measured(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._is_measured(trainer):
            super().on_validation_end(trainer, pl_module)

    def _is_measured(self, trainer: pl.Trainer) -> bool:
        """False for NaN, as if no validated image holds an object; warns the first time."""
        value = trainer.callback_metrics.get(self.monitor)
        if value is None or not value.isnan():
            return True
        if not self._told:
            name = SHOWN.get(self.monitor, (self.monitor, ""))[0]
            warnings.warn(
                f"{name} could not be measured in epoch {trainer.current_epoch + 1}; "
                "--train.early-stop does not count such epochs",
                stacklevel=2,
            )
        self._told = True
        return False

    def why(self, rows: Sequence[Mapping[str, float]]) -> str:
        """The reason why early stopping ended the training; empty if it did not.

        Args:
            rows: one row per epoch, as in ``History``.
        """
        name = SHOWN.get(self.monitor, (self.monitor, ""))[0]
        after = f"early stopping after epoch {int(rows[-1]['epoch'])}" if rows else ""
        if self.stopping_reason is EarlyStoppingReason.NON_FINITE_METRIC:
            return f"{after}: {name} is not a finite number (--train.early-stop {self.patience})"
        if not self.exhausted or not rows:
            return ""
        measured = [row for row in rows if not math.isnan(row.get(self.monitor, math.nan))]
        best = min(measured, key=lambda row: row[self.monitor])
        unit = SHOWN.get(self.monitor, ("", ""))[1]
        return (
            f"{after}: {name} has not improved for {self.wait_count} epochs (lowest: "
            f"{best[self.monitor]:.2f}{unit} in epoch {int(best['epoch'])}; --train.early-stop "
            f"{self.patience})"
        )


class Averaging(WeightAveraging):
    """Exponential moving average of weights and buffers, evaluated and saved in their place.

    After t updates an average keeps min(decay, (1 + t) / (10 + t)) of itself: with a constant decay
    it would consist of the first steps' weights for about 1 / (1 - decay) steps. Runs saved before
    this warm-up existed continue without it.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=self._average)
        self.decay = decay
        self.warm_up = True
        self.updates = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device  # Lightning's default copies to the host
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None and counts_on_host(pl_module):
            count_on_host(self._average_model)
            self._average_model.n_averaged = self._average_model.n_averaged.cpu()  # read there

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        del epoch_idx
        self.updates = step_idx or 0  # kept on the host: the model's own is on the GPU
        return step_idx is not None

    def _average(self, averages: Any, current: Any, _: Tensor | int) -> None:
        """Update in place, with few launches for all tensors of one kind."""
        kept = average_decay(self.decay, self.updates) if self.warm_up else self.decay
        if not averages[0].is_floating_point():  # counts of batches
            for average, each in zip(averages, current, strict=True):
                average.copy_(kept * average + (1 - kept) * each)
            return
        added = torch._foreach_mul(current, 1 - kept)
        torch._foreach_mul_(averages, kept)
        torch._foreach_add_(averages, added)

    @property
    def state_key(self) -> str:
        return "EMAWeightAveraging"  # Lightning's own, as in checkpoints of before the warm-up

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "warm_up": self.warm_up}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.warm_up = state_dict.get("warm_up", False)


def average_decay(decay: float, updates: int) -> float:
    """The share of itself that an average keeps after this many updates."""
    return min(decay, (1 + updates) / (10 + updates))


class History(Callback):
    """One row per epoch, kept in the checkpoint and rewritten as a whole to ``metrics.csv``."""

    def __init__(self, run: Path, say: Callable[[str], None]) -> None:
        self.path = run / "metrics.csv"
        self.say = say
        self.rows: list[dict[str, float]] = []
        self.grown = False  # whether this process added an epoch
        self._started = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del trainer, pl_module
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {
            "epoch": float(trainer.current_epoch + 1),
            "step": float(trainer.global_step),
            "lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "seconds": time.perf_counter() - self._started,
            **measured,
        }
        self.rows.append(row)
        self.grown = True
        if trainer.is_global_zero:
            write_text(self.path, self.as_csv())
            self.say(epoch_line(self.rows[-1], trainer.max_epochs or 0))

    def as_csv(self) -> str:
        """The rows as CSV; missing metrics are blank."""
        text = io.StringIO()
        named = {name for row in self.rows for name in row}
        columns = [*(name for name in COLUMNS if name in named), *sorted(named - set(COLUMNS))]
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            whole = {name: int(row[name]) for name in ("epoch", "step")}
            writer.writerow({**{k: f"{v:.6g}" for k, v in row.items()}, **whole})
        return text.getvalue()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


def epoch_line(row: dict[str, float], epochs: int) -> str:
    """One line per epoch: ``epoch 3/20  loss 1.204  val top-1 error 34.1 %  ...``."""
    parts = [f"epoch {int(row['epoch'])}/{epochs}"]
    for name, (label, unit) in SHOWN.items():
        if name in row:
            number = f"{row[name]:.2f}" if unit else f"{row[name]:.4g}"
            parts.append(f"{label} {number}{unit}")
    parts.append(f"{row['seconds']:.0f} s")
    return "  ".join(parts)


class Pace(Callback):
    """Speed and remaining time of a run; without a terminal, one line per minute.

    Args:
        say: called with the line.
        bar: whether a progress bar shows the same, so that no lines are needed.
        clock: seconds.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        bar: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.say = say
        self.bar = bar
        self.clock = clock
        self.images = 0  # of a batch, over all processes
        self.speed = 0.0  # images per second in this epoch
        self.left = math.inf  # remaining seconds of the run
        self._batches = 0  # since this process started
        self._began = self._epoch_began = self._spoke = self._last = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        loader: Any = trainer.train_dataloader
        self.images = min(loader.batch_size, len(loader.sampler)) * trainer.world_size
        self._began = self._spoke = self._last = self.clock()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del trainer, pl_module
        self._epoch_began = self.clock()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        del pl_module, batch
        self._batches += 1
        now, done = self.clock(), batch_idx + 1
        self.speed = self.images * done / max(now - self._epoch_began, 1e-9)
        self.left = (now - self._began) / self._batches * batches_left(trainer, done)
        if self._is_time(now):
            loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
            self.say(
                f"{_epoch_of(trainer)}  step {done}/{trainer.num_training_batches}  loss "
                f"{loss:.4g}  {self.speed:.3g} img/s  {duration(self.left)} left"
            )

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        del pl_module, outputs, batch
        if self._is_time(self.clock()):
            of = trainer.num_val_batches[dataloader_idx]
            self.say(
                f"{_epoch_of(trainer)}  validation {batch_idx + 1}/{of}  {duration(self.left)} left"
            )

    def _is_time(self, now: float) -> bool:
        """Whether to print now: after another step as long as the last it would be too late."""
        late = now + (now - self._last) - self._spoke >= EVERY
        self._last = now
        if self.bar or not late:
            return False
        self._spoke = now
        return True


def batches_left(trainer: pl.Trainer, done: int) -> int:
    """Remaining training batches of a run, after this many of this epoch."""
    batches = int(trainer.num_training_batches)
    left = ((trainer.max_epochs or 0) - trainer.current_epoch) * batches - done
    for stop in (each for each in trainer.callbacks if isinstance(each, StopAfter)):  # type: ignore[attr-defined]
        steps = max(0, stop.steps - trainer.global_step)
        left = min(left, steps * trainer.accumulate_grad_batches)
    return left


def duration(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _epoch_of(trainer: pl.Trainer) -> str:
    return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"


class Bar(TQDMProgressBar):
    """Lightning's bar, with epochs counted from 1; it is cleared at the end.

    Args:
        pace: has images per second and the remaining time of the run.
    """

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace = pace

    def init_train_tqdm(self) -> Tqdm:
        bar = super().init_train_tqdm()
        bar.leave = False
        return bar

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description(_epoch_of(trainer))

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        if math.isfinite(self.pace.left):
            metrics["img/s"] = f"{self.pace.speed:.3g}"
            metrics["run"] = f"{duration(self.pace.left)} left"
        return metrics


def speak(line: str) -> None:
    """Print a line immediately.

    Raises:
        UserError: the output is closed, or the disk is full.
    """
    coding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(line.encode(coding, "backslashreplace").decode(coding), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for its buffered output
        raise UserError(
            f"the standard output cannot be written to ({error.strerror}); send it to a file"
        ) from None


def above_bar(say: Callable[[str], None]) -> Callable[[str], None]:
    """``say``, printing above the progress bar."""

    def told(line: str) -> None:
        with Tqdm.external_write_mode():
            say(line)

    return told


def shows_progress() -> bool:
    """Whether the standard output, where a progress bar goes, is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()
