"""Networks of two libraries, converted, learn from real photos."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from res2net import convert

STEPS, BATCH, PIXELS = 20, 16, 64
NETWORKS = [
    "torchvision/resnet50",
    "torchvision/resnext50_32x4d",
    "torchvision/wide_resnet50_2",
    "torchvision/regnet_x_400mf",
    "torchvision/regnet_y_400mf",
    "timm/seresnet50",
    "timm/ecaresnet26t",
    "timm/resnetaa50",
    "timm/resnetv2_50",
    "timm/resnet50_gn",
    "timm/cspresnet50",
    "timm/dla46_c",
    "timm/nf_regnet_b0",
]


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> tuple[Tensor, Tensor]:
    """160 photos of ten classes, (160, 3, 64, 64), and their labels, shuffled."""
    transform = v2.Compose(
        [
            v2.ToImage(),
            v2.RGB(),
            v2.Resize(PIXELS),
            v2.CenterCrop(PIXELS),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    data = ImageFolder(shared_data / "imagenette224" / "train", transform)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[: 10 * BATCH]
    images, labels = zip(*(data[int(i)] for i in order), strict=True)
    return torch.stack(images), torch.tensor(labels)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_converted_network_learns(name: str, photos: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    library, _, network = name.partition("/")
    plain: nn.Module = (
        timm.create_model(network, num_classes=10)
        if library == "timm"
        else torchvision.models.get_model(network, num_classes=10)
    )
    model, _ = convert(plain, image_size=PIXELS)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4)
    images, labels = photos
    losses = []
    for step in range(STEPS):
        batch = slice(step * BATCH % len(images), step * BATCH % len(images) + BATCH)
        loss = F.cross_entropy(model.train()(images[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < sum(losses[:5]), losses
