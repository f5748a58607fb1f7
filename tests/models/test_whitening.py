"""A first convolution that whitens the patches of training images."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from res2net.errors import UserError
from res2net.models.factory import create_model
from res2net.models.network import whiten


def _whitened(network="res2net29_small", seed=0, side=16, **options):
    torch.manual_seed(5)
    model = create_model(network, num_classes=2, **options)
    chance = torch.Generator().manual_seed(1)
    base = torch.randn(20, 3, side, side, generator=chance)
    images = base + base.roll(1, -1) + base.mean(1, keepdim=True)  # neighbours and colours alike
    whiten(model, images, seed)
    first = next(each for each in model.modules() if isinstance(each, nn.Conv2d))
    outputs = F.conv2d(images, first.weight, stride=first.stride)
    return first, outputs.detach().transpose(0, 1).flatten(1)


def test_whitened_outputs_are_uncorrelated_of_variance_one():
    first, outputs = _whitened(depth=11)  # 16 filters: 8 directions and their negatives
    assert not first.weight.requires_grad
    assert torch.equal(first.weight[:8], -first.weight[8:])
    covariance = outputs[:8].cov()
    assert torch.allclose(covariance, torch.eye(8), atol=0.01)


def test_filters_beyond_the_directions_are_mixtures_of_variance_one():
    first, outputs = _whitened("res2next29_6c24w_4s", depth=11)
    assert len(first.weight) == 64  # 27 directions, their negatives, ten more
    assert torch.equal(first.weight[:27], -first.weight[27:54])
    assert torch.allclose(outputs.var(1), torch.ones(64), atol=0.1)
    assert first.weight.unique(dim=0).shape[0] == 64


def test_whitening_follows_from_images_and_seed_alone():
    torch.rand(3)
    one, other = (_whitened("resnet18", side=32)[0].weight for _ in range(2))
    assert torch.equal(one, other)


def test_a_network_without_a_plain_first_convolution_is_not_whitened():
    with pytest.raises(UserError, match="--net.whiten: needs a network with a plain first"):
        whiten(nn.Sequential(nn.Conv2d(8, 8, 3)), torch.rand(2, 3, 8, 8), 0)
