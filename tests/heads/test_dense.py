"""DeepLab v3+, DSS and SimpleBaseline: shapes, strides, gradients, peers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from res2net.heads.deeplab import DeepLabV3Plus
from res2net.heads.dss import SIDES, SaliencyNet
from res2net.heads.pose import PoseNet

NETWORKS = ["resnet50", "res2net50_26w_4s", "dla60_res2net", "res2net18", "blres2net50"]


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("network", NETWORKS)
def test_deeplab_gives_a_map_of_the_images_size(network: str) -> None:
    model = DeepLabV3Plus(network, 5, channels=16).eval()
    with torch.inference_mode():
        assert model(torch.rand(2, 3, 65, 97)).shape == (2, 5, 65, 97)


@pytest.mark.parametrize("stride", [16, 8])
def test_deeplab_keeps_its_output_stride(stride: int) -> None:
    model = DeepLabV3Plus("resnet50", 3, output_stride=stride, channels=16).eval()
    with torch.inference_mode():
        assert model.body(torch.rand(1, 3, 64, 64))["c5"].shape[2] == 64 // stride


def test_deeplab_has_the_layers_of_smps() -> None:
    import segmentation_models_pytorch as smp

    theirs = smp.DeepLabV3Plus("resnet50", encoder_weights=None, classes=21)
    ours = DeepLabV3Plus("resnet50", 21)
    # The paper's base has full 3×3 convolutions where smp has separable ones, and two of them in
    # the decoder; projection, low-level 48 channels and classifier agree shape for shape.
    shapes = {tuple(p.shape) for p in theirs.decoder.parameters() if p.ndim == 4}
    own = {tuple(p.shape) for p in ours.parameters() if p.ndim == 4}
    for shape in ((256, 2048, 1, 1), (256, 1280, 1, 1), (48, 256, 1, 1)):
        assert shape in shapes
        assert shape in own
    assert ours.classifier.weight.shape == theirs.segmentation_head[0].weight.shape
    assert ours.decoder[0][0].weight.shape == (256, 304, 3, 3)


def test_deeplab_trains_on_a_batch_of_one() -> None:
    model = DeepLabV3Plus("res2net18", 2, channels=8).train()
    model(torch.rand(1, 3, 64, 64)).mean().backward()


def test_an_output_stride_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="DeepLab has 16 and 8"):
        DeepLabV3Plus("resnet50", 2, output_stride=32)


@pytest.mark.parametrize("network", NETWORKS)
def test_dss_gives_the_fused_map_and_five_sides(network: str) -> None:
    model = SaliencyNet(network, channels=26).eval()
    with torch.inference_mode():
        maps = model(torch.rand(1, 3, 70, 90))
    assert [tuple(each.shape) for each in maps] == [(1, 1, 70, 90)] * 6


def test_dss_of_the_paper() -> None:
    model = SaliencyNet("resnet50")
    assert [level.stride for level in model.body.levels] == [2, 4, 8, 16, 16]
    assert [side.kernel for side in SIDES] == [7, 5, 5, 5, 3]
    assert model.joins["c1"].weight.shape == (1, 5, 1, 1)
    assert model.fuse.weight.flatten().tolist() == pytest.approx([0.2] * 5)
    assert model.fuse.bias.tolist() == [0]


def test_dss_learns_in_every_side() -> None:
    model = SaliencyNet("res2net18", channels=26).train()
    torch.stack([each.mean() for each in model(torch.rand(2, 3, 64, 64))]).sum().backward()
    for name, parameter in model.sides.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.parametrize("network", NETWORKS)
def test_pose_maps_are_at_a_quarter(network: str) -> None:
    model = PoseNet(network, 17, channels=16).eval()
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 256, 192)).shape == (1, 17, 64, 48)


def test_pose_head_is_the_papers() -> None:
    model = PoseNet("resnet50", 17)
    # three deconvolutions without bias, three norms, the 1×1 with its bias
    head = 16 * 256 * (2048 + 256 + 256) + 3 * 512 + 256 * 17 + 17
    assert count(model.deconvs) + count(model.final) == head
    assert float(model.deconvs[0].weight.detach().std()) == pytest.approx(0.001, rel=0.02)
