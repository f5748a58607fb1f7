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
    model = DeepLabV3Plus(network, 5, channels=16, width=4).eval()
    with torch.inference_mode():
        assert model(torch.rand(2, 3, 65, 97)).shape == (2, 5, 65, 97)


@pytest.mark.usefixtures("shapes_only")
@pytest.mark.parametrize("stride", [16, 8])
def test_deeplab_keeps_its_output_stride(stride: int) -> None:
    with torch.device("meta"):
        model = DeepLabV3Plus("resnet50", 3, output_stride=stride, channels=16).eval()
        assert model.body(torch.rand(1, 3, 64, 64))["c5"].shape[2] == 64 // stride


def test_deeplab_has_the_layers_of_smps() -> None:
    import segmentation_models_pytorch as smp

    with torch.device("meta"):
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
    model = SaliencyNet(network, channels=26, width=4).eval()
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


def test_dss_starts_and_predicts_as_the_papers_base() -> None:
    torch.manual_seed(0)
    model = SaliencyNet("res2net18", channels=128)
    for layer in (model.sides["c5"][0], model.sides["c1"][2]):
        assert float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
        assert not layer.bias.any()
    assert model.joins["c1"].weight.abs().max() < 0.05
    odds = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.7, 0.3], [0.6, 0.2], [0.4, 0.2], [0.1, 0.9]])
    found = model.predicted(list(odds.logit().view(6, 1, 1, 1, 2)))  # fused, c5 ... c1
    # the mean of fused, c4, c3 and c2 is 0.65 and 0.2, stretched to 0..1
    assert found.flatten().tolist() == pytest.approx([1, 0], abs=1e-6)
    flat = model.predicted([torch.zeros(2, 1, 3, 3)] * 6)
    assert flat.unique().tolist() == [1]


def test_dss_of_runs_of_before_predicts_the_fused_map() -> None:
    model = SaliencyNet("res2net18", channels=26, as_base=False)
    assert model.joins["c1"].weight.flatten().tolist() == pytest.approx([0.2] * 5)
    fused = torch.randn(1, 1, 4, 4)
    assert torch.equal(model.predicted([fused, *[torch.zeros(1, 1, 4, 4)] * 5]), fused.sigmoid())


@pytest.mark.parametrize("as_base", [True, False])
def test_deeplab_enlarges_corner_on_corner_as_the_papers_base(as_base: bool) -> None:
    torch.manual_seed(0)
    model = DeepLabV3Plus("res2net18", 2, channels=8, as_base=as_base).eval()
    seen: list[torch.Tensor] = []
    model.classifier.register_forward_hook(lambda *found: seen.append(found[-1]))
    with torch.inference_mode():
        full = model(torch.rand(1, 3, 65, 65))
    (small,) = seen  # 17 cells: a cell each 4 pixels, if the corners lie on each other
    assert torch.allclose(full[..., ::4, ::4], small, atol=1e-6) is as_base


def test_deeplab_starts_as_the_papers_base() -> None:
    torch.manual_seed(0)
    for as_base, gain in ((True, 2), (False, 1 / 3)):
        model = DeepLabV3Plus("res2net18", 2, as_base=as_base)
        weight = model.decoder[0][0].weight.detach()
        assert float(weight.var()) == pytest.approx(gain / weight[0].numel(), rel=0.05)


def test_dss_learns_in_every_side() -> None:
    model = SaliencyNet("res2net18", channels=26).train()
    torch.stack([each.mean() for each in model(torch.rand(2, 3, 64, 64))]).sum().backward()
    for name, parameter in model.sides.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.parametrize("network", NETWORKS)
def test_pose_maps_are_at_a_quarter(network: str) -> None:
    model = PoseNet(network, 17, channels=16, width=4).eval()
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 256, 192)).shape == (1, 17, 64, 48)


def test_pose_head_is_the_papers() -> None:
    model = PoseNet("resnet50", 17)
    # three deconvolutions without bias, three norms, the 1×1 with its bias
    head = 16 * 256 * (2048 + 256 + 256) + 3 * 512 + 256 * 17 + 17
    assert count(model.deconvs) + count(model.final) == head
    assert float(model.deconvs[0].weight.detach().std()) == pytest.approx(0.001, rel=0.02)
