"""Cases in processes of their own: every round counts once, and a failure is told."""

from __future__ import annotations

import pytest
import torch

from res2net.bench.apart import time_apart
from res2net.bench.engines import Case
from res2net.errors import UserError

SMALL = Case("resnet18", "ours", "eager", "fp32", 1)


@pytest.mark.slow
def test_rounds_are_shared_among_lives_and_engines() -> None:
    torch.set_num_threads(1)
    groups = [[SMALL, Case("resnet18", "ours", "eager", "bf16", 1)]]
    groups += [[Case("resnet18", "ours", "openvino", "fp32", 1)]]
    found = time_apart(groups, size=32, rounds=5, lives=2)
    assert {len(timing.seconds) for timing in found.values()} == {5}
    assert len(found) == 3


def test_a_case_that_cannot_be_made_is_told() -> None:
    with pytest.raises(UserError, match="timm has no blres2net50"):
        time_apart([[Case("blres2net50", "timm", "eager", "fp32", 1)]], size=32, rounds=1, lives=1)
