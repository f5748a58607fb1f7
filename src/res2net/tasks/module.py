"""The Lightning module: the part that all tasks share. A task adds its loss and its scores.

Legend: B batch · H, W space
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor, distributed, nn

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.transforms import normalise
from res2net.errors import UserError
from res2net.nn.layers import count_on_host

Value = TypeVar("Value")


class TaskModule(pl.LightningModule):
    """A network in training.

    Args:
        model: the network; its weights are the ``model.`` part of every checkpoint.
        card: the description stored in the checkpoint.
        images: the data.
        config: all options of the run, including loss and head.
        optimiser: (module) → what ``configure_optimizers`` returns.
    """

    def __init__(
        self,
        model: Any,
        *,
        card: ModelCard,
        images: Any,
        config: RunConfig,
        optimiser: Callable[[nn.Module], Any],
    ) -> None:
        super().__init__()
        self.save_hyperparameters({"card": card.as_dict()})
        self.model = model
        self.images = images
        self.config = config
        self.preprocess = card.preprocess
        self.optimiser = optimiser
        self.finish: Callable[[Any, torch.device], Any] | None = None  # set by a ``data.feed.Feed``
        self._arriving: Arriving | None = None
        self.whole_step: Any = None  # a ``training.whole_step.WholeStep`` if steps are recorded
        self._batch: Any = None
        self._learned: tuple[Tensor, ...] = ()

    def inputs(self, batch: Any) -> tuple[Tensor, ...]:
        """The inputs of a step, random numbers included: always of the same shapes."""
        raise NotImplementedError

    def learn(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The loss, and what else ``note`` reads; on the device only, so it can be recorded."""
        raise NotImplementedError

    def note(self, batch: Any, loss: Tensor, *more: Tensor) -> None:
        """Check and log the results of a step."""
        raise NotImplementedError

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002
        step = self.whole_step
        if step is None:
            found = self.learn(*self.inputs(batch))
        elif step.found:
            found = step.found
        else:
            found = self.learn(*step.inputs)
            self._learned = tuple(each.detach() for each in found)  # releases the graph
        if step is None or not step.recording:
            self.note(batch, *found)
        return found[0]

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        if self.finish is None or isinstance(batch, tuple | list):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        return self.finish(batch, device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        self._batch = batch

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        def eager() -> tuple[Tensor, ...]:
            stepped(epoch, batch_idx, optimizer, optimizer_closure)
            return self._learned

        stepped = super().optimizer_step
        if self.whole_step is None:
            stepped(epoch, batch_idx, optimizer, optimizer_closure)
        elif self.whole_step.step(self, optimizer, self.inputs(self._batch), eager):
            optimizer_closure()  # only logs: everything is computed

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        if not (self.whole_step and self.whole_step.found):
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if not (self.whole_step and self.whole_step.found):
            super().backward(loss, *args, **kwargs)

    def configure_optimizers(self) -> Any:
        return self.optimiser(self)

    def on_train_start(self) -> None:
        if counts_on_host(self):
            count_on_host(self.model)

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) to the network's input."""
        x = normalise(images, self.preprocess, dtype=next(self.model.parameters()).dtype)
        return x.contiguous(memory_format=torch.channels_last)

    def log_loss(self, loss: Tensor, images: int | None = None) -> Tensor:
        """The loss of a step, checked and logged; ``images`` if Lightning cannot count them."""
        self.check_finite(loss, "loss")
        self.log(
            "train/loss",
            loss,
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            sync_dist=True,
            batch_size=images,
        )
        return loss

    def check_finite(self, loss: Tensor, name: str) -> None:
        """Require a finite value; a GPU's value is checked when it arrives, a step later.

        Raises:
            UserError: the loss is infinite or not a number; names the step and the remedy.
        """
        self.check_arrived()
        self._arriving = Arriving(loss, name, self.global_step, self.current_epoch + 1)
        if not loss.is_cuda:
            self.check_arrived()

    def check_arrived(self) -> None:
        """Check the value that was in transit.

        Raises:
            UserError: as ``check_finite``.
        """
        arriving, self._arriving = self._arriving, None
        if arriving is not None and not math.isfinite(value := arriving.value()):
            raise UserError(
                f"the {arriving.name} became {value} at step {arriving.step} (epoch "
                f"{arriving.epoch}): lower --train.lr, or set --train.clip 1 or "
                "--train.precision fp32"
            )

    def on_validation_start(self) -> None:
        self.check_arrived()

    def on_train_epoch_end(self) -> None:
        self.check_arrived()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        self.check_arrived()


def counts_on_host(module: Any) -> bool:
    """Whether batch norms count steps on the host: not if DDP shares buffers or a graph counts."""
    return bool(module.trainer.world_size == 1 and not module.config.compile)


class Arriving:
    """A number in transit from a GPU, which the processor does not wait for between two launches.

    A plain ``item()`` waits for everything launched before; this waits for the number alone.
    """

    def __init__(self, number: Tensor, name: str, step: int, epoch: int) -> None:
        self.name, self.step, self.epoch = name, step, epoch
        self._copied: torch.cuda.Event | None = None
        self._number = number.detach()
        if number.is_cuda:
            self._number = torch.empty((), dtype=number.dtype, pin_memory=True)
            self._number.copy_(number.detach(), non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()

    def value(self) -> float:
        """Wait for the number."""
        if self._copied is not None:
            self._copied.synchronize()
        return float(self._number)


def gathered(own: dict[int, Value]) -> dict[int, Value]:
    """The union of the values that each process holds by index, in the order of the index."""
    parts: list[Any] = [own]
    if distributed.is_available() and distributed.is_initialized():
        parts = [None] * distributed.get_world_size()
        distributed.all_gather_object(parts, own)
    union = {index: value for part in parts for index, value in part.items()}
    return dict(sorted(union.items()))
