"""A detector on images of any shape."""

from __future__ import annotations

import pytest
import torch

from res2net.heads.detector import make_detector
from res2net.tasks.detect.find import detect, padded, within


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("size", [(8, 2000), (2000, 8), (1, 700), (1, 1), (40, 30)])
def test_a_strip_of_pixels_is_looked_at(size: tuple[int, int], masks: bool) -> None:
    torch.manual_seed(0)
    model = make_detector(
        "resnet18", 2, masks=masks, channels=8, short_side=64, long_side=107
    ).eval()
    model.roi_heads.score_thresh = 0.0
    model.roi_heads.detections_per_img = 5  # each mask is enlarged to the image
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    found = detect(model, image, precision="fp32")
    assert (found.boxes[:, 2:] <= [size[1], size[0]]).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert all(tuple(mask["size"]) == size for mask in found.masks or ())


def test_only_strips_are_padded_and_what_is_found_there_goes() -> None:
    model = make_detector("resnet18", 2, channels=8, short_side=64, long_side=107)
    image = torch.zeros(3, 40, 30)
    assert padded(image, model) is image
    assert padded(torch.zeros(2, 8, 2000), model).shape == (2, 19, 2000)
    found = {"boxes": torch.tensor([[0.0, 1, 9, 12], [0, 9, 5, 12]]), "scores": torch.ones(2)}
    kept = within(found, (8, 2000))
    assert kept["boxes"].tolist() == [[0, 1, 9, 8]]
    assert len(kept["scores"]) == 1
