"""What the graph of a pose network sees, and when two say the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from res2net.card import ModelCard
from res2net.data.preprocess import default_preprocess
from res2net.data.scene import no_objects
from res2net.data.scenes.generated import SceneRules, generate
from res2net.errors import UserError
from res2net.tasks.pose.task import compare, inputs, resized

CARD = ModelCard(
    network="res2net18", task="pose", classes=("object",), preprocess=default_preprocess(128)
)


def test_one_view_an_object_or_the_whole_image() -> None:
    scene = generate(0, 0, SceneRules())
    image = torch.from_numpy(scene.image).permute(2, 0, 1)  # type: ignore[arg-type]
    assert scene.objects is not None
    assert inputs(image, scene.objects, CARD, (128, 96)).shape == (len(scene.objects), 128, 96, 3)
    assert inputs(image, None, CARD, (128, 96)).shape == (1, 128, 96, 3)
    assert inputs(image, no_objects(), CARD, (128, 96)).shape == (0, 128, 96, 3)


def test_the_frame_is_upright() -> None:
    assert resized(CARD, None)[1] == (128, 96)
    assert resized(CARD, 256)[1] == (256, 192)
    assert resized(CARD, (256, 192))[0].preprocess.size == 256
    for size, words in ((100, "multiple of 32"), ((256, 256), "inputs are 4:3, 256x192")):
        with pytest.raises(UserError, match=words):
            resized(CARD, size)


def test_the_share_of_sure_key_points_that_stay() -> None:
    wanted = np.zeros((2, 3, 8, 8), np.float32)
    for point, (x, score) in enumerate(((2, 0.9), (4, 0.8), (5, 0.1))):  # the last is not sure
        wanted[0, point, 3, x] = score
    found = wanted.copy()
    found[0, 0] = np.roll(wanted[0, 0], 1, axis=1)  # a cell further: near
    found[0, 1] = np.roll(wanted[0, 1], 3, axis=1)  # gone
    found[0, 2] = np.roll(wanted[0, 2], 3, axis=1)
    result = compare([wanted], [found])
    assert (result.shares[0], result.things.tolist()) == (0.5, [2, 0])  # none is sure
