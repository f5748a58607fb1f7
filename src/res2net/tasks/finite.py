"""A loss that is not a number ends the run with advice."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor

from res2net.errors import UserError


def stop_unless_finite(module: pl.LightningModule, loss: Tensor, name: str) -> None:
    """Go on only with a number.

    Raises:
        UserError: the loss is infinite or not a number; says at which step, and what to change.
    """
    if not torch.isfinite(loss):
        raise UserError(
            f"the {name} became {loss.item()} at step {module.global_step} (epoch "
            f"{module.current_epoch + 1}): lower --train.lr, or set --train.clip 1 or "
            "--train.precision fp32"
        )
