"""Our maps against the grad-cam package, and their promises on every family."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from res2net.explain.cam import class_activation_map
from res2net.models.factory import create_model
from res2net.models.network import Level, Network, Step

FAMILIES = ("res2net29_small", "res2net18", "dla60_res2net", "blres2net50", "densenet161")


def lively(name: str, seed: int = 0, **options: object) -> Network:
    """A network with random weights in which every residual branch counts."""
    torch.manual_seed(seed)
    model = create_model(name, num_classes=7, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.8)
    return model.eval()


def by_library(model: Network, layer: nn.Module, images: Tensor, classes: list[int]) -> Tensor:
    pytorch_grad_cam = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with pytorch_grad_cam.GradCAM(model=model, target_layers=[layer]) as cam:
        targets = [ClassifierOutputTarget(k) for k in classes]
        return torch.from_numpy(cam(input_tensor=images, targets=targets))


@pytest.mark.parametrize(
    ("name", "level", "layer"),
    [
        ("res2net29_small", "c3", "layer3"),
        ("res2net29_small", "c2", "layer2"),
        ("resnet18", "c5", "layer4"),
        ("dla60_res2net", "c4", "level4"),
    ],
)
def test_maps_are_those_of_the_grad_cam_package(name: str, level: str, layer: str) -> None:
    model = lively(name)
    images = torch.randn(2, 3, 64, 96)
    ours = class_activation_map(model, images, classes=[3, 5], level=level).maps
    theirs = by_library(model, getattr(model, layer), images, [3, 5])
    assert (theirs.std(dim=(1, 2)) > 0).any()
    # the package also shifts the lowest value of a map to 0
    lowest, highest = ours.amin(dim=(1, 2), keepdim=True), ours.amax(dim=(1, 2), keepdim=True)
    shifted = (ours - lowest) / (highest - lowest).clamp_min(1e-7)
    torch.testing.assert_close(shifted, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_level_of_every_family_has_a_map(name: str) -> None:
    model = lively(name)
    with torch.no_grad():
        getattr(model, model.HEAD).weight.abs_()  # every channel speaks for every class
    images = torch.randn(1, 3, 48, 64)
    for level in model.levels:
        found = class_activation_map(model, images, level=level.name)
        assert found.maps.shape == (1, 48, 64)
        assert found.level == level.name
        assert found.maps.min() >= 0
        assert found.maps.max() == 1
    logits = model(images)
    assert found.classes == tuple(logits.argmax(1).tolist())
    assert found.probabilities == pytest.approx(logits.softmax(1).amax(1).tolist(), rel=1e-5)


def test_an_image_is_explained_alike_alone_and_in_a_batch() -> None:
    model = lively("res2net29_small")
    images = torch.randn(3, 3, 32, 32)
    together = class_activation_map(model, images, classes=[0, 1, 2]).maps
    for i in range(3):
        alone = class_activation_map(model, images[i : i + 1], classes=[i]).maps[0]
        torch.testing.assert_close(together[i], alone, atol=1e-5, rtol=0)


def test_the_predicted_class_is_told_beside_the_explained_one() -> None:
    model = lively("res2net29_small")
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        wanted = tuple(model.eval()(images).argmax(1).tolist())
    found = class_activation_map(model, images, classes=[0, 0, 0])
    assert (found.classes, found.predicted) == ((0, 0, 0), wanted)


class Colours(Network):
    """Its classes are red, green and blue, each as much as there is of it."""

    def __init__(self) -> None:
        super().__init__(global_pool="avg")
        self.levels = (Level("c1", 3, 4),)
        self.reset_classifier(3)
        self.fc.weight, self.fc.bias = nn.Parameter(torch.eye(3)), None

    def steps(self) -> tuple[Step, ...]:
        return (Step("c1", partial(F.avg_pool2d, kernel_size=4), ()),)


def test_the_map_lies_where_the_class_comes_from() -> None:
    images = torch.zeros(1, 3, 32, 48)
    images[0, 0, 8:16, 4:12] = 2.0  # red
    images[0, 2, 20:28, 32:44] = 1.0  # blue
    maps = {k: class_activation_map(Colours(), images, classes=[k]).maps[0] for k in range(3)}
    assert maps[0][10:14, 6:10].min() > 0.9999
    assert maps[0][:, 16:].eq(0).all()
    assert maps[2][22:26, 34:42].min() > 0.9999
    assert maps[2][:, :28].eq(0).all()
    assert maps[1].eq(0).all()  # nothing is green
    assert class_activation_map(Colours(), images).classes == (0,)  # 64 pixels of 2, 96 of 1


def test_the_modes_and_weights_stay_as_they_were() -> None:
    model = lively("res2net29_small").train()
    model.layer1.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    class_activation_map(model, torch.randn(1, 3, 32, 32))
    assert model.training
    assert not model.layer1.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "c9"}, "no level 'c9'; this network has c1, c2, c3"),
        ({"classes": [7]}, "class 7 does not exist; the network has 0 to 6"),
        ({"classes": [1, 2]}, "2 classes for 1 images"),
    ],
)
def test_what_cannot_be_explained_says_why(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_activation_map(lively("res2net29_small"), torch.randn(1, 3, 32, 32), **options)
    features = create_model("res2net29_small", num_classes=0)
    with pytest.raises(ValueError, match="no classifier"):
        class_activation_map(features, torch.randn(1, 3, 32, 32))
