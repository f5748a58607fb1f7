"""The part of a training that every task shares."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from res2net.errors import UserError
from res2net.tasks import module
from res2net.tasks.module import Arriving, TaskModule


@pytest.fixture
def training(monkeypatch):
    monkeypatch.setattr(TaskModule, "global_step", 7)
    monkeypatch.setattr(TaskModule, "current_epoch", 2)
    card = SimpleNamespace(as_dict=dict, preprocess=None)
    return TaskModule(nn.Linear(1, 1), card=card, images=None, config=None, optimiser=None)


class OnGPU:
    """A loss that counts when the host looks at it."""

    is_cuda = True

    def __init__(self, value):
        self.value, self.looks = value, 0


@pytest.fixture
def gpu(monkeypatch):
    class Stub(Arriving):
        def __init__(self, number, *rest):
            super().__init__(torch.tensor(0.0), *rest)
            self.loss = number

        def value(self):
            self.loss.looks += 1
            return self.loss.value

    monkeypatch.setattr(module, "Arriving", Stub)


@pytest.mark.usefixtures("gpu")
def test_the_host_looks_at_a_loss_of_a_gpu_a_step_later(training):
    first, second = OnGPU(1.0), OnGPU(float("nan"))
    training.check_finite(first, "loss")
    assert first.looks == 0
    training.check_finite(second, "loss")
    assert (first.looks, second.looks) == (1, 0)
    with pytest.raises(UserError, match=r"^the loss became nan at step 7 \(epoch 3\): lower"):
        training.check_finite(OnGPU(1.0), "loss")


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    "hook",
    [
        TaskModule.on_validation_start,
        TaskModule.on_train_epoch_end,
        lambda training: training.on_save_checkpoint({}),
    ],
)
def test_nothing_is_validated_or_saved_of_a_loss_that_is_no_number(training, hook):
    training.check_finite(OnGPU(float("inf")), "loss")
    with pytest.raises(UserError, match=r"^the loss became inf at step 7"):
        hook(training)
    hook(training)  # it is told once


def test_a_loss_of_a_processor_is_looked_at_at_once(training):
    with pytest.raises(UserError, match=r"^the loss became nan"):
        training.check_finite(torch.tensor(float("nan")), "loss")
