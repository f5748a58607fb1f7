"""The list of operations, and what gives none; in plain torch it gives what the network gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors import safe_open

from res2net.deploy.native_plain import PlainNetwork
from res2net.deploy.native_walk import walk
from res2net.errors import UserError
from res2net.models.backbone import create_backbone
from res2net.models.factory import create_model
from res2net.native.program import NativeProgram

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


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("dla60", {}, "ResNet family"),
        ("resnet26_small", {"global_pool": "max"}, "global average pool"),
        ("resnet26_small", {"act_layer": torch.nn.SiLU}, "not SiLU"),
    ],
)
def test_what_it_does_not_offer(folded, name, options, said):
    with pytest.raises(UserError, match=said):
        walk(folded(create_model(name, **options)))


def test_dilated_maps(folded):
    torch.manual_seed(0)
    program = folded(create_backbone("res2net26_small", output_stride=8))
    images = random_images(1, 49, 33)
    for found, wanted in zip(
        PlainNetwork(walk(program))(images), eager(program, images), strict=True
    ):
        assert relative(found, wanted) < 1e-5


def test_dilated_pools_are_not_offered(folded):
    program = folded(create_backbone("res2net50d", depth=26, output_stride=16))
    with pytest.raises(UserError, match="dilated"):
        walk(program)


def test_a_file_with_dilations_is_of_a_version_of_its_own(folded, tmp_path):
    """Readers that know no dilation refuse it: they would compute something else."""
    for stride, version in ((32, "1"), (16, "2")):
        program = walk(folded(create_backbone("res2net26_small", output_stride=stride)))
        (tmp_path / "model.r2n").write_bytes(program.to_bytes())
        with safe_open(tmp_path / "model.r2n", "np") as file:
            assert file.metadata()["r2n"] == version
        assert NativeProgram.read(tmp_path / "model.r2n").ops == program.ops
