"""Peaks of heat maps."""

from __future__ import annotations

import torch

from res2net.tasks.pose.inference import peaks


def test_peaks_move_a_quarter_toward_the_higher_neighbour() -> None:
    maps = torch.zeros(1, 2, 8, 6, dtype=torch.float64)
    maps[0, 0, 3, 2], maps[0, 0, 3, 3], maps[0, 0, 2, 2] = 1.0, 0.5, 0.4
    maps[0, 1, 0, 0] = 0.7  # at the border it stays
    found = peaks(maps)
    assert found[0, 0].tolist() == [2.25, 2.75, 1.0]
    assert found[0, 1].tolist() == [0, 0, 0.7]
