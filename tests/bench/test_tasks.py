"""The cases of the other tasks run, and have the same work."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from res2net.bench import tasks
from res2net.bench.options import OtherTask
from res2net.errors import UserError


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "case"), [(task, case) for task, cases in tasks.CASES.items() for case in cases]
)
def test_every_case_trains_and_infers(task: str, case: str) -> None:
    running = tasks.make(task, case, batch=2, size=64)
    running["train"]()
    running["infer"]()


def test_detectors_have_the_same_weights() -> None:
    ours, theirs = tasks._ours("detect", 64), tasks._torchvision("detect", 64)
    own = ours.state_dict()
    for name, value in theirs.state_dict().items():
        assert torch.equal(value, own[name]), name


@pytest.mark.parametrize("maker", ["torchvision", "smp"])
def test_segmenters_of_all_makers_have_equal_parameters_and_multiply_adds(maker: str) -> None:
    if maker == "smp":
        pytest.importorskip("segmentation_models_pytorch")

    def counts(net: torch.nn.Module) -> tuple[int, int]:
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            found = net.eval()(torch.zeros(1, 3, 64, 64))
        assert found.shape == (1, tasks.CLASSES["segment"], 64, 64)
        return sum(each.numel() for each in net.parameters()), flops.get_total_flops()

    assert counts(getattr(tasks, f"_{maker}")("segment", 64)) == counts(tasks._ours("segment", 64))


def test_a_task_without_a_loss_is_told() -> None:
    with pytest.raises(ValueError, match="no loss for task 'depth'"):
        tasks._loss("depth", torch.zeros(1, 3, 64, 64))


def test_a_case_that_is_not_there() -> None:
    with pytest.raises(UserError, match="ours bf16 nhwc"):
        tasks.make("pose", "torchvision fp32 nchw", batch=1, size=64)


def test_every_task_that_can_be_asked_for_has_cases() -> None:
    assert set(get_args(OtherTask)) == set(tasks.CASES)
