"""Peaks of heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from res2net.data.preprocess import default_preprocess
from res2net.data.scene import COCO_PERSON
from res2net.metrics.detections import DetectionArrays
from res2net.tasks.pose import task as inference
from res2net.tasks.pose.task import peaks, poses_of


def test_peaks_move_a_quarter_toward_the_higher_neighbour() -> None:
    maps = torch.zeros(1, 2, 8, 6, dtype=torch.float64)
    maps[0, 0, 3, 2], maps[0, 0, 3, 3], maps[0, 0, 2, 2] = 1.0, 0.5, 0.4
    maps[0, 1, 0, 0] = 0.7  # at the border it stays
    found = peaks(maps)
    assert found[0, 0].tolist() == [2.25, 2.75, 1.0]
    assert found[0, 1].tolist() == [0, 0, 0.7]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_peaks_of_16_bits_lie_where_they_lie_in_float32(dtype: torch.dtype) -> None:
    maps = torch.zeros(1, 1, 400, 300)
    maps[0, 0, 351, 257], maps[0, 0, 351, 258], maps[0, 0, 350, 257] = 1.0, 0.5, 0.25
    found = peaks(maps.to(dtype))
    assert found.dtype == torch.float32
    assert found[0, 0].tolist() == [257.25, 350.75, 1.0]


class Flat(nn.Module):
    """Sees nothing anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), 17, x.shape[2] // 4, x.shape[3] // 4)


def test_poses_are_alike_by_the_area_of_their_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Width times height of what the network sees, as the paper's base has it."""
    seen: list[np.ndarray] = []
    usual = inference.oks_nms

    def listening(poses: np.ndarray, scores: np.ndarray, *rest: Any) -> np.ndarray:
        seen.append(rest[0])
        return usual(poses, scores, *rest)

    monkeypatch.setattr(inference, "oks_nms", listening)
    boxes = np.array([[0.0, 0, 75, 100], [10, 10, 110, 50]])
    places = DetectionArrays(boxes=boxes, scores=np.ones(2), labels=np.zeros(2, np.int64))
    image = torch.zeros(3, 120, 120, dtype=torch.uint8)
    poses_of(Flat(), image, places, default_preprocess(256), COCO_PERSON, precision="fp32")
    (areas,) = seen
    # 75 x 100 widened by a quarter each way; 100 x 40 is 100 x 133.3 at 3:4
    assert areas.tolist() == pytest.approx([93.75 * 125, 125 * 500 / 3])
