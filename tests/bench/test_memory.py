"""Bytes that a forward pass keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from res2net import create_model
from res2net.bench.memory import bytes_kept, operations, peak_memory
from res2net.errors import UserError
from res2net.nn.layers import count_on_host


def test_counts_what_backward_needs_once_and_nothing_else() -> None:
    x = torch.rand(1000, requires_grad=True)  # was there before: does not count

    def forward() -> torch.Tensor:
        y = x.exp()  # 4000 bytes, kept by exp and by the product
        z = (y.view(10, 100) * 2).view(-1)  # 4000 bytes; ends here: nobody needs it
        return (y * z.detach().clone()).sum()  # 4000 of the clone, 4 of the sum

    assert bytes_kept(forward) == 2 * 4000 + 4


def test_parameters_do_not_count() -> None:
    layer = torch.nn.Linear(50, 50)
    image = torch.rand(2, 50)
    assert bytes_kept(lambda: layer(image).sum()) == 4


def test_the_peak_is_that_of_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of the process that measures, which is larger here."""
    (tmp_path / "steps.py").write_text("def step_of(size):\n    return lambda: b'x' * size\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    few, many = (peak_memory("steps", size=size) for size in (1, 10**8))
    assert many - few == pytest.approx(10**8, rel=0.2)
    with pytest.raises(UserError, match="the memory of size x failed: TypeError: "):
        peak_memory("steps", size="x")


@pytest.mark.parametrize(("name", "norms"), [("resnet50", 53), ("res2net50_26w_4s", 85)])
def test_a_step_launches_nothing_to_count_batches(monkeypatch, name, norms):
    """What a GPU is asked for in forward and backward, counted on ``meta``."""
    monkeypatch.setattr(torch.Tensor, "cpu", lambda each: torch.zeros_like(each, device="cpu"))
    images = torch.empty(2, 3, 64, 64, device="meta")
    found = []
    for on_host in (False, True):
        with torch.device("meta"):
            net = create_model(name).train()
        if on_host:
            count_on_host(net)
        found.append(operations(lambda net=net: net(images).sum().backward(), "meta"))
        assert {int(n.num_batches_tracked) for n in net.modules() if on_host and is_norm(n)} <= {1}
    before, after = found
    assert (before["add_"], after["add_"]) == (norms, 0)
    assert before.total() - after.total() == norms


def is_norm(module):
    return isinstance(module, torch.nn.BatchNorm2d)


def test_views_and_allocations_are_no_operations():
    x = torch.ones(3, 4)
    counted = operations(lambda: (x.view(4, 3).t() + 1, torch.empty(3).sum(), x.detach()), "cpu")
    assert counted == {"add": 1, "sum": 1}
    assert not operations(lambda: x + 1, "meta")
