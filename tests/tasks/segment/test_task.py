"""Windows of one size over any image, and when two segmenters say the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from res2net.card import ModelCard
from res2net.data.preprocess import default_preprocess
from res2net.errors import UserError
from res2net.tasks.segment.task import compare, inputs, outputs, resized

CARD = ModelCard(network="res2net18", classes=("a", "b", "c"), preprocess=default_preprocess(64))


@pytest.mark.parametrize(
    ("height", "width", "count"), [(64, 64, 1), (40, 50, 1), (64, 100, 2), (200, 90, 8)]
)
def test_windows_cover_the_image_and_are_filled_up(height: int, width: int, count: int) -> None:
    image = torch.randint(1, 255, (3, height, width), dtype=torch.uint8)
    seen = inputs(image, None, CARD, (64, 64))
    assert seen.shape == (count, 64, 64, 3)
    h, w = min(height, 64), min(width, 64)
    np.testing.assert_array_equal(seen[0][:h, :w], image.permute(1, 2, 0)[:h, :w])
    mean = np.array([round(255 * value) for value in CARD.preprocess.mean])
    assert (seen[0][h:] == mean).all()
    assert (seen[0][:, w:] == mean).all()


def test_the_frame() -> None:
    assert resized(CARD, None)[1] == (64, 64)
    assert resized(CARD, 96)[1] == (96, 96)
    assert resized(CARD, (96, 128))[1] == (96, 128)
    with pytest.raises(UserError, match="--size is 8; it must be at least 32 pixels"):
        resized(CARD, (8, 128))
    assert outputs(CARD) == ({"name": "class_logits", "channels": 3, "stride": 1},)


def test_the_share_of_pixels_of_one_class() -> None:
    wanted = np.zeros((1, 2, 2, 2), np.float32)
    wanted[0, 1, 0] = 1  # the upper row is of class 1
    found = wanted.copy()
    found[0, 1, 0, 0] = -1
    result = compare([wanted], [found])
    assert (result.shares.tolist(), result.things.tolist()) == ([0.75], [3])
    plain = np.zeros_like(wanted)
    assert compare([plain], [plain]).things.tolist() == [0]  # one class everywhere
