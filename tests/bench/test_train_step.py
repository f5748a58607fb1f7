"""The cases of the training-step measurement do what their names say."""

from __future__ import annotations

import pytest

from res2net.bench import train_step
from res2net.bench.memory import bytes_kept
from res2net.bench.options import TrainStepOptions
from res2net.errors import UserError
from res2net.integrations.timm import register

SMALL = {"network": "resnet18", "batch": 2, "size": 32}


def _saved_bytes(case: str, network: str = "resnet18") -> int:
    given = {**SMALL, "network": network}
    return bytes_kept(train_step.make_training(case, **given).forward)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", train_step.CASES)
def test_every_case_steps(case: str) -> None:
    train_step.make_training(case, **SMALL).step()  # type: ignore[arg-type]


def test_both_makers_keep_the_same_bytes_for_backward_of_a_plain_resnet() -> None:
    ours = _saved_bytes("ours fp32 nchw")
    theirs = _saved_bytes("timm fp32 nchw")
    assert 0 < ours <= 1.01 * theirs


def test_a_network_that_timm_lacks_is_refused_even_when_registered_there() -> None:
    register()  # or a step named "timm" would run our own network
    with pytest.raises(UserError, match="timm has no blres2net50"):
        train_step.make_training("timm fp32 nchw", "blres2net50", batch=1, size=32)
    with pytest.raises(UserError, match="timm has no blres2net50"):
        train_step.run(TrainStepOptions(model="blres2net50"), track=None)  # type: ignore[arg-type]


def test_checkpointing_keeps_less_for_backward_the_full_kind_least() -> None:
    plain, cheap, full = (
        _saved_bytes(f"ours fp32 nhwc{kind}", "res2net18") for kind in ("", " cheap", " full")
    )
    assert full < cheap < 0.9 * plain
