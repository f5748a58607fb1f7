"""Same weights, same image: our networks against timm's and torchvision's."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from res2net import create_model

# ours → timm's name; DLA at multiples of 32, the others also at odd sizes
TIMM = {
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnext50_32x4d": "resnext50_32x4d",
    "seresnet50": "seresnet50",
    "dla60": "dla60",
    "dla60x": "dla60x",
    "dla60_res2net": "dla60_res2net",
    "dla60_res2next": "dla60_res2next",
    "res2net50_48w_2s": "res2net50_48w_2s",
    "res2net50_26w_4s": "res2net50_26w_4s",
    "res2net50_14w_8s": "res2net50_14w_8s",
    "res2net50_26w_6s": "res2net50_26w_6s",
    "res2net50_26w_8s": "res2net50_26w_8s",
    "res2net101_26w_4s": "res2net101_26w_4s",
    "res2next50": "res2next50",
    "res2net50d": "res2net50d",
    "res2net101d": "res2net101d",
    "resnet18": "resnet18",
    "resnet34": "resnet34",
}
FAST = {"resnet18", "res2net50_26w_4s", "res2net50d", "dla60_res2net", "res2next50", "seresnet50"}
TORCHVISION = ["resnet50", "inception_v3", "densenet161"]


def _randomise(model: torch.nn.Module) -> None:
    """Weights and statistics at which every path matters (fresh norms would hide a missing one)."""
    generator = torch.Generator().manual_seed(7)
    for name, value in model.state_dict().items():
        if value.ndim <= 1 and value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator, dtype=value.dtype)
            centre = 0.0 if name.endswith(("bias", "running_mean")) else 1.0
            value.copy_(centre + 0.2 * (noise - 0.5))


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


def _pair(name: str, dtype: torch.dtype) -> tuple[torch.nn.Module, torch.nn.Module]:
    theirs = timm.create_model(TIMM[name]).to(dtype)
    _randomise(theirs)
    ours = create_model(name).to(dtype)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in TIMM]
)
def test_evaluation_equals_timm(name: str) -> None:
    ours, theirs = (model.eval() for model in _pair(name, torch.float32))
    for size in (64, 96) if name.startswith("dla") else (64, 65, 225):
        image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(size))
        with torch.no_grad():
            assert _relative(ours(image), theirs(image)) < 1e-5


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in TIMM]
)
def test_training_step_equals_timm(name: str) -> None:
    """Logits, every gradient and running statistic after one step, in double precision."""
    ours, theirs = _pair(name, torch.float64)
    image = torch.randn(
        2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    for model in (ours, theirs):
        model.train()
        model(image).square().sum().backward()
    assert set(ours.state_dict()) == set(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        if value.is_floating_point():
            assert _relative(ours.state_dict()[key], value) < 1e-9, key
    gradients = dict(ours.named_parameters())
    for key, parameter in theirs.named_parameters():
        assert _relative(gradients[key].grad, parameter.grad) < 1e-9, key


@pytest.mark.parametrize("name", ["res2net50_26w_4s", "res2net50d"])
def test_levels_equal_timms_features(name: str) -> None:
    theirs = timm.create_model(name, features_only=True).eval()
    ours = create_model(name).eval()
    ours.load_state_dict(theirs.state_dict(), strict=False)
    image = torch.randn(1, 3, 96, 65)
    with torch.no_grad():
        for level, mine, other in zip(
            ours.levels, ours.forward_levels(image).values(), theirs(image), strict=True
        ):
            assert _relative(mine, other) < 1e-5, level


@pytest.mark.parametrize("name", TORCHVISION)
def test_evaluation_equals_torchvision(name: str) -> None:
    extra = {"init_weights": False} if name == "inception_v3" else {}
    theirs = torchvision.models.get_model(name, weights=None, **extra).eval()
    _randomise(theirs)
    ours = create_model(name).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    for size in (75, 299) if name == "inception_v3" else (64, 65):
        image = torch.randn(1, 3, size, size)
        with torch.no_grad():
            assert _relative(ours(image), theirs(image)) < 1e-5


def test_inception_trains_its_auxiliary_classifier_as_torchvision_does() -> None:
    theirs = torchvision.models.inception_v3(weights=None, init_weights=False, dropout=0.0)
    ours = create_model("inception_v3")
    ours.load_state_dict(theirs.state_dict())
    ours.dropout.p = 0.0
    image = torch.randn(2, 3, 299, 299)
    expected = theirs.train()(image)
    ours.load_state_dict(theirs.state_dict())  # the statistics that the step moved
    theirs_again = ours.train().training_outputs(image)
    for (_, logits), reference in zip(theirs_again, expected, strict=True):
        torch.testing.assert_close(logits, reference, rtol=1e-3, atol=1e-3)
