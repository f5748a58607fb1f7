"""Loggers of a training: TensorBoard and, if requested, W&B or MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from res2net.errors import UserError, one_line

SERVICES = ("wandb", "mlflow")  # also the names of their packages
EVERY = 50  # steps between two points within an epoch, at most


def make_loggers(run: Path, services: Sequence[str]) -> list[Logger]:
    """TensorBoard's files in the run folder, then the services through Lightning's loggers.

    W&B signs in as its documentation describes; MLflow writes to ``mlruns`` in the run folder, or
    to ``MLFLOW_TRACKING_URI``.

    Raises:
        UserError: unknown service, not installed, or failing to start.
    """
    if unknown := [service for service in services if service not in SERVICES]:
        raise UserError(f"--logger is {unknown[0]!r}; it can be {', '.join(SERVICES)}")
    made: list[Logger] = [
        TensorBoardLogger(run, name="tensorboard", version="", default_hp_metric=False)
    ]
    for service in dict.fromkeys(services):
        try:
            made.append(_of_service(service, run))
        except ModuleNotFoundError:
            raise UserError(f"--logger {service}: run `pip install {service}`") from None
        except Exception as error:  # a library's error, such as a failed sign-in or connection
            raise UserError(f"--logger {service}: {one_line(error)}") from None
    return made


def _of_service(service: str, run: Path) -> Logger:
    if service == "wandb":
        from pytorch_lightning.loggers import WandbLogger

        logger = WandbLogger(name=run.name, save_dir=run, project="res2net")
        logger.experiment  # noqa: B018  signs in now, not in the first epoch
        return logger
    from pytorch_lightning.loggers import MLFlowLogger

    return MLFlowLogger(experiment_name="res2net", run_name=run.name, save_dir=str(run / "mlruns"))


class WithinEpochs(Callback):
    """Loss and learning rate by step; the metrics of an epoch are logged by the module."""

    def __init__(self) -> None:
        self.every = EVERY

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        self.every = max(1, min(EVERY, int(trainer.num_training_batches) // 4))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        if batch_idx % self.every:
            return
        values = {"step/learning_rate": trainer.optimizers[0].param_groups[0]["lr"]}
        if outputs is not None:
            values["step/loss"] = float(outputs["loss"])
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)


def add_pictures(loggers: Sequence[Logger], run: Path) -> None:
    """The pictures of a finished run, in TensorBoard."""
    for logger in loggers:
        if not isinstance(logger, TensorBoardLogger):
            continue
        for path in sorted(run.glob("*.png")):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            logger.experiment.add_image(path.stem, pixels, dataformats="HWC")
        logger.experiment.flush()
