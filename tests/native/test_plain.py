"""The list of operations in plain torch gives what the network gives, with no engine at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from res2net.deploy.native_plain import PlainNetwork
from res2net.deploy.native_walk import walk
from res2net.models.backbone import create_backbone
from res2net.models.factory import create_model

from .conftest import eager, random_images, relative


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("res2net26_small", {"first_block": "paper"}),
        ("res2net26_small", {"se": True, "width": 7, "scale": 3}),
        ("resnet18", {}),
        ("res2next29_6c24w_4s_se", {"depth": 11}),
    ],
)
def test_logits(folded, name, options):
    torch.manual_seed(0)
    program = folded(create_model(name, num_classes=4, **options))
    network = PlainNetwork(walk(program))
    for shape in ((2, 65, 43), (1, 40, 40)):
        images = random_images(*shape)
        assert relative(network(images)[0], eager(program, images)[0]) < 1e-5


def test_maps_and_who_watches_them(folded):
    torch.manual_seed(0)
    program = folded(create_backbone("res2net26_small", out_levels=("c3", "c1")))
    seen = []
    found = PlainNetwork(walk(program), lambda i, what, y: seen.append((i, what, y.clone())))(
        random_images(2, 50, 50)
    )
    wanted = eager(program, random_images(2, 50, 50))
    for y, same in zip(found, wanted, strict=True):
        assert relative(y, same) < 1e-5
    assert {what for _, what, _ in seen} == {"output", "output2", "add"}
    np.testing.assert_array_equal(seen[-1][2].numpy().shape, found[0].shape)
