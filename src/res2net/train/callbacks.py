"""What happens around the epochs: the order of chance, the history, the line on the screen."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from res2net.files import write_text

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
)  # others come behind them
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
}


class EpochSeed(Callback):
    """Draws every epoch's chance (dropped paths, mixing) from seed, epoch and rank alone.

    A resumed run then goes on exactly as the uninterrupted one would have.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        mixed = (self.seed * 1_000_003 + trainer.current_epoch) * 1_000_003 + trainer.global_rank
        torch.manual_seed(mixed % 2**63)


class StopAfter(Callback):
    """Ends the training after so many steps, with a validation and a checkpoint like any epoch.

    (The Trainer's own ``max_steps`` would leave out the validation.)
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
    """Early stopping that a resumed run holds to, with the patience that it is given now."""

    def __init__(self, epochs: int, monitor: str) -> None:
        super().__init__(monitor, patience=epochs)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class History(Callback):
    """One row an epoch, kept in the checkpoint and rewritten whole to ``metrics.csv``."""

    def __init__(self, run: Path, say: Callable[[str], None]) -> None:
        self.path = run / "metrics.csv"
        self.say = say
        self.rows: list[dict[str, float]] = []
        self.grown = False  # by an epoch of this process
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
        """The rows as CSV; a metric that an epoch lacks is blank."""
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
    """One line for people: ``epoch 3/20  loss 1.204  val top-1 error 34.1 %  ...``."""
    parts = [f"epoch {int(row['epoch'])}/{epochs}"]
    for name, (label, unit) in SHOWN.items():
        if name in row:
            number = f"{row[name]:.2f}" if unit else f"{row[name]:.4g}"
            parts.append(f"{label} {number}{unit}")
    parts.append(f"{row['seconds']:.0f} s")
    return "  ".join(parts)


class Bar(TQDMProgressBar):
    """Lightning's bar, with epochs counted from 1; it leaves nothing behind."""

    def init_train_tqdm(self) -> Tqdm:
        bar = super().init_train_tqdm()
        bar.leave = False
        return bar

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        )


def above_bar(say: Callable[[str], None]) -> Callable[[str], None]:
    """``say`` that makes a bar step aside."""

    def told(line: str) -> None:
        with Tqdm.external_write_mode():
            say(line)

    return told


def shows_progress() -> bool:
    """Whether a progress bar, which goes to the standard output, has somebody to look at it."""
    return sys.stdout.isatty()
