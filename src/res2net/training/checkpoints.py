"""Checkpoints that are written atomically and hold no code."""

from __future__ import annotations

import io
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from res2net.config import RunConfig
from res2net.errors import UserError
from res2net.files import write_bytes
from res2net.models.weights import read_checkpoint
from res2net.training.whole_step import as_eager

FOLDER = "checkpoints"
BEST = "best.ckpt"
LAST = "last.ckpt"
_PARTS = {
    "epoch": int,
    "global_step": int,
    "state_dict": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "loops": dict,
}  # required keys of a training's state


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames, so a checkpoint is whole or the old one stays."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        if storage_options is not None:
            raise TypeError("AtomicCheckpointIO takes no storage_options")
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(Path(path), buffer.getvalue())

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        del map_location, weights_only  # always "cpu" and True
        content: dict[str, Any] = dict(read_checkpoint(Path(path)))
        # Weights are copied into the network; an optimiser uses the given tensors, which must not
        # map the file, since another program may shorten it.
        if "optimizer_states" in content:
            content["optimizer_states"] = deepcopy(content["optimizer_states"])
        return content


def newest_checkpoint(run: Path) -> Path | None:
    """The checkpoint that a resumed run starts from: the last, or the only one at first."""
    found = (run / FOLDER / name for name in (LAST, BEST))
    return next((path for path in found if path.is_file()), None)


def read_newest(run: Path, say: Callable[[str], None]) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint to resume from, which is intact, and its content; None if there is none.

    Args:
        say: called with a line if the last is damaged and the best, of an earlier epoch, is not.

    Raises:
        UserError: no checkpoint is intact.
    """
    problems: list[str] = []
    for path in (run / FOLDER / name for name in (LAST, BEST)):
        if not path.is_file():
            continue
        try:
            content = read_state(path)
        except UserError as error:
            problems.append(str(error))
            continue
        for line in problems:
            say(f"{line}; resuming from the best checkpoint, {path}")
        return path, content
    if problems:
        raise UserError(f"--resume: {'; '.join(problems)}; copy it again, or start another run")
    return None


def read_state(path: Path) -> dict[str, Any]:
    """The whole state of a training.

    Raises:
        UserError: missing, damaged, or weights alone.
    """
    content = read_checkpoint(path)
    parts = _PARTS.items()
    if wrong := [name for name, kind in parts if not isinstance(content.get(name), kind)]:
        raise UserError(f"{path}: not the state of a training (no {', '.join(wrong)})")
    return content


class Configured(Callback):
    """Keeps the configuration in every checkpoint, besides the file that users may edit."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config

    def state_dict(self) -> dict[str, Any]:
        return self.config.as_dict()

    def on_save_checkpoint(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        as_eager(checkpoint)


def trained_with(content: dict[str, Any]) -> RunConfig | None:
    """The configuration in a checkpoint; those of earlier versions hold none.

    Raises:
        UserError: options that this version does not have.
    """
    values = content["callbacks"].get("Configured")
    return None if values is None else RunConfig.from_saved(values)


class Keep(ModelCheckpoint):
    """Writes one file at the end of each epoch (after the history's row), over the last one.

    Args:
        run: the run folder; it may differ from that of the checkpoint resumed from.
        name: name of the file.
        monitor: write only if this metric has its lowest value so far; None: always.
        anew: forget the lowest value of a resumed run, since its file is lost.
    """

    def __init__(self, run: Path, name: str, monitor: str | None, *, anew: bool = False) -> None:
        self.anew = anew
        super().__init__(
            dirpath=run / FOLDER,
            filename=Path(name).stem,
            monitor=monitor,
            mode="min",
            save_top_k=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.anew:
            return

        def here(path: str) -> str:
            return str(Path(str(self.dirpath), Path(path).name)) if path else path

        super().load_state_dict(
            {
                **state_dict,
                "dirpath": self.dirpath,
                "best_model_path": here(state_dict["best_model_path"]),
                "kth_best_model_path": here(state_dict["kth_best_model_path"]),
                "best_k_models": {here(k): v for k, v in state_dict["best_k_models"].items()},
            }
        )


def checkpoint_callbacks(run: Path, monitor: str, *, anew: bool = False) -> list[Callback]:
    """Keep the checkpoint with the lowest validation error, then that of the last epoch.

    In this order the last one holds the path of the best, so a kill in between loses nothing.
    (``ModelCheckpoint(save_last=True)`` writes no last checkpoint if there is no new best.)
    """
    return [Keep(run, BEST, monitor, anew=anew), Keep(run, LAST, None)]
