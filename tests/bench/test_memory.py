"""Bytes that a forward pass keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from res2net.bench.memory import bytes_kept, peak_memory


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
