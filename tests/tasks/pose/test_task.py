"""Peaks of heat maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import res2net
from res2net.data.preprocess import default_preprocess
from res2net.data.scene import COCO_PERSON
from res2net.errors import UserError
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


def animals(root: Path, names: list[str]) -> Path:
    """Four images of an animal with three key-points."""
    root.mkdir()
    row = {"category_id": 1, "bbox": [5, 5, 60, 40], "keypoints": [9, 9, 2, 30, 20, 2, 50, 30, 2]}
    content = {
        "images": [{"id": k, "file_name": f"{k}.png", "height": 64, "width": 96} for k in range(4)],
        "annotations": [{**row, "id": k, "image_id": k} for k in range(4)],
        "categories": [{"id": 1, "name": "animal", "keypoints": names, "sigmas": [0.05] * 3}],
    }
    (root / "animals.json").write_text(json.dumps(content))
    for k in range(4):
        Image.new("RGB", (96, 64), (k, 9, 9)).save(root / f"{k}.png")
    return root


@pytest.mark.filterwarnings("ignore:.*share")
def test_partners_that_are_named_stay_with_the_run(tmp_path: Path, without_pictures: Any) -> None:
    data = animals(tmp_path / "a", ["snout", "near", "far"])
    given: dict[str, Any] = {"task": "pose", "recipe": "smoke", "say": lambda _: None}
    given |= {"net": {"width": 2, "scale": 2}, "head": {"channels": 8}}
    read: dict[str, Any] = {"size": 64, "workers": 0}
    train = {"max_steps": 1, "threads": 1}
    out = tmp_path / "run"
    with without_pictures():
        named = {**read, "partners": "near:far"}
        run = res2net.train("res2net18", f"coco:{data}", out=out, input=named, train=train, **given)
        assert run.card.marks["skeleton"]["swaps"] == [[1, 2]]
        again = res2net.train(out=out, resume=True, train={"max_steps": 2}, say=lambda _: None)
        assert again.config.input.partners == "near:far"
        assert again.card.marks["skeleton"]["swaps"] == [[1, 2]]
        with pytest.warns(UserWarning, match=r"unless --input\.partners names pairs"):
            found = res2net.evaluate(out, f"coco:{data}", out=tmp_path / "e", say=lambda _: None)
        assert found.images
        other = animals(tmp_path / "b", ["near", "far", "snout"])
        with (
            pytest.warns(UserWarning, match="no horizontal flips"),
            pytest.raises(UserError, match="its key-points are near, far, snout; the network's"),
        ):
            res2net.evaluate(out, f"coco:{other}", out=tmp_path / "e", say=lambda _: None)
    for partners, told in (
        ("near:fa", "names 'fa', which is not a key-point"),
        ("near", "has 'near'"),
    ):
        with pytest.raises(UserError, match=f"input.partners'?]? {told}"):
            res2net.train(
                *("res2net18", f"coco:{data}"),
                **(given | {"out": tmp_path / "c", "input": {"partners": partners}}),
            )
    assert not (tmp_path / "c").exists()
    with pytest.raises(UserError, match="does not apply to"):
        res2net.train("res2net18", "scenes", task="detect", input={"partners": "a:b"})
