"""Folding and merging give the numbers of the network as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from res2net import create_backbone, create_model
from res2net.deploy.fold import fold_batchnorm
from res2net.models.factory import norm_by_name

# one row a family and form: name, options, batch norms that stay
FAMILIES = [
    ("resnet18", {}, 0),
    ("res2net18", {}, 0),
    ("res2net26_26w_4s", {}, 0),
    ("res2net50d", {"depth": 26}, 0),
    ("seres2net50_26w_4s", {"depth": 26}, 0),
    ("res2next50", {"depth": 26}, 0),
    ("dla60_res2net", {}, 0),
    ("blres2net50", {}, 0),
    ("res2next29_6c24w_4s", {"depth": 11, "width": 8}, 0),
    ("res2net29_small", {"depth": 11}, 0),
    ("wideresnet28_10", {"depth": 10, "width": 1}, 4),  # before each block's entry, and the last
    ("densenet_bc190_40", {"depth": 10, "width": 4}, 6),  # one a layer or transition, and the last
    ("densenet161", {}, 82),
    ("inception_v3", {}, 2),  # of the auxiliary classifier, which does not run
]


def _lively(net: nn.Module) -> nn.Module:
    """The network with statistics as training leaves them, in float64."""
    chance = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=chance)
            module.running_var.uniform_(0.5, 1.5, generator=chance)
            nn.init.uniform_(module.weight, 0.3, 0.9, generator=chance)
            nn.init.normal_(module.bias, 0, 0.1, generator=chance)
    return net.double().eval()


def _norms(net: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def _relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("name", "options", "left"), FAMILIES, ids=[row[0] for row in FAMILIES])
def test_every_family_keeps_its_numbers(name, options, left):
    net = _lively(create_model(name, num_classes=5, **options))
    side = 75 if name == "inception_v3" else 33
    images = torch.randn(2, 3, side, side, dtype=torch.float64)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.no_grad():
        wanted = net(images)
        folded = fold_batchnorm(net)
        assert _relative(folded(images), wanted) < 1e-10
    assert _norms(folded) == left
    assert type(folded) is type(net)
    for key, value in net.state_dict().items():  # the original is as it was
        assert torch.equal(value, before[key]), key


def test_a_frozen_norm_folds_too():
    backbone = create_backbone("res2net18", frozen_norm=True).double().eval()
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    folded = fold_batchnorm(backbone)
    assert not any("Norm" in type(module).__name__ for module in folded.modules())
    with torch.no_grad():
        wanted, found = backbone(images), folded(images)
    assert list(found) == ["c2", "c3", "c4", "c5"]
    for name, value in wanted.items():
        assert _relative(found[name], value) < 1e-10


def test_group_norm_stays():
    net = create_model(
        "res2net29_small", depth=11, num_classes=3, norm_layer=norm_by_name("group")
    ).eval()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(fold_batchnorm(net)(images), net(images))


class _Shared(nn.Module):
    """A convolution that is read before its norm too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.bn(y) + y


def test_a_convolution_with_two_readers_stays():
    net = _lively(_Shared())
    images = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    folded = fold_batchnorm(net)
    assert _norms(folded) == 1
    with torch.no_grad():
        assert torch.equal(folded(images), net(images))
