"""Networks of timm and torchvision by their names there."""

from __future__ import annotations

import sys

import pytest
import timm
import torch
import torchvision

from res2net.errors import UserError
from res2net.models.backbone import create_backbone
from res2net.models.factory import create_model
from res2net.nn.block import SplitUnit
from res2net.paper.networks import find_variant, library_of
from res2net.plug.convert import convert

NAMES = ("timm:seresnet50", "torchvision:resnet50", "torchvision:convnext_tiny", "timm:dla60")


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_the_librarys_own(name: str) -> None:
    library, _, architecture = name.partition(":")
    net = create_model(name, num_classes=5).eval()
    made = {"timm": timm.create_model, "torchvision": torchvision.models.get_model}[library]
    own = made(architecture, num_classes=5).eval()
    trained = [p.shape for p in net.parameters()]
    assert sum(map(torch.Size.numel, trained)) == sum(p.numel() for p in own.parameters())
    given = zip(own.state_dict().items(), net.state_dict().values(), strict=True)
    own.load_state_dict(
        {n: new.view(old.shape) for (n, old), new in given}
    )  # DLA: a 1×1 in the end
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert net(x).shape == (2, 5)
        torch.testing.assert_close(net(x), own(x), atol=1e-5, rtol=1e-5)


def test_a_scale_puts_the_units_of_convert_into_it() -> None:
    net = create_model("timm:resnet50", num_classes=10, scale=4, width=26)
    units = [m for m in net.modules() if isinstance(m, SplitUnit)]
    plain = sum(p.numel() for p in create_model("res2net50_26w_4s", num_classes=10).parameters())
    assert len(units) == 16
    assert sum(p.numel() for p in net.parameters()) == plain
    _, report = convert(create_model("timm:resnet50"))
    assert report.width == 26


def test_it_is_built_on_the_meta_device_with_the_same_tensors() -> None:
    """As descriptions of strangers are checked: no memory is taken before."""
    options = {"num_classes": 3, "scale": 2, "width": 48}
    with torch.device("meta"):
        shapes = create_model("torchvision:resnet50", **options).state_dict()
    real = create_model("torchvision:resnet50", **options).state_dict()
    assert {name: t.shape for name, t in shapes.items()} == {n: t.shape for n, t in real.items()}
    assert all(tensor.is_meta for tensor in shapes.values())


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:resnet18"])
def test_images_may_have_other_channels(name: str) -> None:
    assert create_model(name, num_classes=2, in_channels=5)(torch.rand(2, 5, 64, 64)).shape == (
        2,
        2,
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:seresnet5", "unknown model timm:seresnet5. Did you mean"),
        ("torchvision:resnet5", "Did you mean 'resnet50'"),
        ("torchvision:googlenet", "has auxiliary classifiers"),
        ("torchvision:squeezenet1_0", "has no linear classifier"),
        ("torchvision:fasterrcnn_resnet50_fpn", "unknown model"),
    ],
)
def test_what_cannot_be_trained_is_refused(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        create_model(name)


@pytest.mark.parametrize(
    "name", ["timm:hf-hub:someone/thing", "timm:http://x", "timm:", "timm:a/b", "other:resnet50"]
)
def test_no_other_text_is_taken_for_a_name_of_a_library(name: str) -> None:
    assert library_of(name) == ""
    with pytest.raises(UserError, match="unknown model"):
        find_variant(name)


def test_options_that_mean_nothing_for_it_are_refused() -> None:
    for option in ({"drop_path": 0.1}, {"zero_init": True}, {"global_pool": "max"}, {"depth": 20}):
        with pytest.raises(TypeError):
            create_model("timm:resnet18", **option)
    with pytest.raises(TypeError, match="several splits"):
        create_model("timm:resnet18", first_block="paper")
    with pytest.raises(UserError, match="have no feature maps"):
        create_backbone("timm:resnet18")


def test_a_missing_timm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match="pip install timm"):
        create_model("timm:resnet18")
