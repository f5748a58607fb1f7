"""Networks of two libraries, converted, learn from pieces of real photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

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
def photos(sample_photos: list[Path]) -> tuple[Tensor, Tensor]:
    """160 pieces of ten strips of two photos, (160, 3, 64, 64), and which strip, shuffled."""
    chance = np.random.default_rng(0)
    images, labels = [], []
    for number, file in enumerate(sample_photos):
        with Image.open(file) as image:
            pixels = np.asarray(image, dtype=np.float32) / 255
        for strip in range(5):
            for _ in range(BATCH):
                x, y = 115 * strip + chance.integers(0, 51), chance.integers(0, 427 - PIXELS)
                images.append(pixels[y : y + PIXELS, x : x + PIXELS])
                labels.append(5 * number + strip)
    order = chance.permutation(len(images))
    x = torch.from_numpy(np.stack(images)[order]).permute(0, 3, 1, 2) - 0.45
    return x / 0.225, torch.tensor(labels)[torch.from_numpy(order)]


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
