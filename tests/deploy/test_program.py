"""The deployed program: pixels in, logits or maps out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from res2net import create_backbone, create_model
from res2net.data.preprocess import default_preprocess
from res2net.data.transforms import normalise
from res2net.deploy import native
from res2net.deploy.program import Program
from res2net.errors import UserError

PREPROCESS = default_preprocess(40)


@pytest.fixture(scope="module")
def images():
    chance = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 40, 40, 3), dtype=torch.uint8, generator=chance)


def _normalised(images):
    return normalise(images.permute(0, 3, 1, 2), PREPROCESS)


def test_logits_are_those_of_evaluation(images):
    net = create_model("res2net29_small", depth=11, num_classes=5).eval()
    with torch.no_grad():
        (found,) = Program(net, PREPROCESS)(images)
        wanted = net(_normalised(images))
    assert found.shape == (3, 5)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_the_border_is_padded_after_the_normalisation(images):
    """A first convolution that had the normalisation folded in would differ in the first row."""
    net = create_backbone("res2net29_small", depth=11, out_levels=("c1",)).eval()
    with torch.no_grad():
        (found,) = Program(net, PREPROCESS)(images)
        wanted = net(_normalised(images))["c1"]
    torch.testing.assert_close(found[..., 0, :], wanted[..., 0, :], rtol=1e-5, atol=1e-5)


def test_maps_come_in_the_order_asked_for(images):
    net = create_backbone("res2net18", out_levels=("c4", "c2")).eval()
    program = Program(net, PREPROCESS)
    assert program.outputs == ("c4", "c2")
    with torch.no_grad():
        assert [tuple(y.shape) for y in program(images)] == [(3, 256, 3, 3), (3, 64, 10, 10)]


@pytest.mark.parametrize(("dtype", "most"), [(torch.bfloat16, 2e-2), (torch.float16, 5e-3)])
def test_16_bits_inside_float32_outside(images, dtype, most):
    net = create_model("res2net29_small", depth=11, num_classes=5).eval()
    with torch.no_grad():
        wanted = net(_normalised(images))
        program = Program(net, PREPROCESS, dtype=dtype)
        (found,) = program(images)
    assert {p.dtype for p in program.net.parameters()} == {dtype}
    assert found.dtype == torch.float32
    assert 0 < float((found - wanted).norm() / wanted.norm()) < most


def test_the_native_engine_takes_images_of_three_channels():
    preprocess = replace(PREPROCESS, mean=(0.5,) * 4, std=(0.2,) * 4)
    net = create_model("res2net29_small", depth=11, num_classes=5, in_channels=4)
    program = Program(net, preprocess)
    assert program(torch.zeros(2, 40, 40, 4, dtype=torch.uint8))[0].shape == (2, 5)
    with pytest.raises(UserError, match="--to native: the network has 4 input channels"):
        native.convert(program, (40, 40), 1)
