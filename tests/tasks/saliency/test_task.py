"""What the graph of a saliency network sees, and when two say the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from res2net.card import ModelCard
from res2net.data.preprocess import default_preprocess
from res2net.errors import UserError
from res2net.tasks.saliency.task import SALIENCY, compare, inputs

CARD = ModelCard(
    network="res2net18", task="saliency", classes=("object",), preprocess=default_preprocess(64)
)


def test_any_image_becomes_the_square() -> None:
    card, size = SALIENCY.deployment.resized(CARD, 96)
    assert size == (96, 96)
    assert card.preprocess.size == 96
    assert inputs(torch.zeros(3, 40, 70, dtype=torch.uint8), None, card, size).shape == (
        1,
        96,
        96,
        3,
    )
    with pytest.raises(UserError, match="--size 64x96: saliency networks take square images"):
        SALIENCY.deployment.resized(CARD, (64, 96))


def test_the_share_on_the_same_side_of_the_threshold() -> None:
    wanted = np.array([0.1, 0.9, 0.49, 0.6], np.float32).reshape(1, 1, 2, 2)
    found = np.array([0.2, 0.6, 0.53, 0.7], np.float32).reshape(1, 1, 2, 2)
    assert compare([wanted], [found]).shares.tolist() == [0.75]
