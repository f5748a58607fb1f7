"""Encoders of segmentation_models_pytorch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from res2net import create_model
from res2net.data.scenes.generated import SceneRules, generate
from res2net.models.weights import save_weights
from res2net.paper.variant import FirstBlock

smp = pytest.importorskip("segmentation_models_pytorch")
from res2net.integrations import smp as ours  # noqa: E402
from res2net.integrations.smp import ENCODERS, Encoder  # noqa: E402

DECODERS = (
    "Unet",
    "UnetPlusPlus",
    "MAnet",
    "Linknet",
    "FPN",
    "PSPNet",
    "DeepLabV3",
    "DeepLabV3Plus",
    "PAN",
    "UPerNet",
    "Segformer",
)


@pytest.fixture(autouse=True)
def registered() -> Iterator[list[str]]:
    """Our rows in smp's table; taken out again afterwards."""
    before = dict(ENCODERS)
    yield ours.register()
    ENCODERS.clear()
    ENCODERS.update(before)


def _encoder(name: str, **options: int) -> Encoder:
    return smp.encoders.get_encoder(name, weights=None, **options)  # type: ignore[no-any-return]


def test_registers_what_fits_and_replaces_nothing(registered: list[str]) -> None:
    assert {"res2net50_26w_4s", "seres2net50_26w_4s", "dla60_res2net", "blres2net50"} <= {
        *registered
    }
    assert not {"resnet50", "densenet161", "inception_v3", "res2net29_small"} & {*registered}
    assert ENCODERS["resnet50"]["encoder"] is not Encoder
    assert all(ENCODERS[name]["encoder"] is Encoder for name in registered)
    assert ours.register() == []
    assert {*registered} <= {*smp.encoders.get_encoder_names()}


@pytest.mark.parametrize(
    ("name", "depth", "output_stride"),
    [
        ("res2net18", 1, 32),
        ("res2net18", 3, 16),
        ("res2net18", 5, 8),
        ("res2net50d", 5, 16),
        ("dla60_res2next", 2, 8),
        ("dla60_res2next", 5, 8),
        ("blres2net50", 4, 32),
        ("blres2net50", 5, 16),
    ],
)
def test_encoders_contract(name: str, depth: int, output_stride: int) -> None:
    with torch.device("meta"):
        encoder = _encoder(name, depth=depth, output_stride=output_stride)
        maps = encoder(torch.empty(2, 3, 64, 96))
        levels = create_model(name).levels[:depth]
    assert encoder.out_channels == [3, *(level.channels for level in levels)]
    assert encoder.output_stride == min(output_stride, 2**depth)
    assert len(maps) == depth + 1
    for i, (channels, y) in enumerate(zip(encoder.out_channels, maps, strict=True)):
        stride = min(2**i, output_stride)
        assert y.shape == (2, channels, 64 // stride, 96 // stride)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_takes_them(decoder: str) -> None:
    model = getattr(smp, decoder)("res2net18", encoder_weights=None, classes=11).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 128, 160)).shape == (1, 11, 128, 160)


def test_a_unet_learns_a_scene() -> None:
    torch.manual_seed(0)
    scene = generate(0, 0, SceneRules(side=128, smallest=40))
    image = np.asarray(scene.image, dtype=np.float32)[:96] / 255 - 0.5
    target = np.array(scene.classes, dtype=np.int64)[:96]
    target[:4] = 11  # no class
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    y = torch.from_numpy(target)[None]
    model = smp.Unet("res2net18", encoder_weights=None, classes=11)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss = F.cross_entropy(model(x), y, ignore_index=11)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert all(p.grad is not None for p in model.parameters())
    assert losses[-1] < 0.7 * losses[0], losses


def test_weights_and_options_of_a_registered_encoder(tmp_path: Path) -> None:
    network = create_model("res2net18", num_classes=3, scale=2)
    file = tmp_path / "net.safetensors"
    save_weights(network, file)
    ours.register_as("mine", "res2net18", scale=2, pretrained=str(file), frozen_stages=1)
    for stride in (16, 32):
        encoder = _encoder("mine", in_channels=4, output_stride=stride)
        state = encoder.backbone.state_dict()
        for key, value in network.state_dict().items():
            if not key.startswith(("fc.", "conv1.")):
                torch.testing.assert_close(state[key], value, msg=key)
        # smp's rule for more channels: the trained ones in turn, scaled to keep the sum
        expected = network.conv1.weight[:, [0, 1, 2, 0]] * 3 / 4  # type: ignore[index, union-attr]
        torch.testing.assert_close(state["conv1.weight"], expected)
        assert not encoder.backbone.conv1.weight.requires_grad  # type: ignore[union-attr]
        assert encoder.backbone.layer1[0].conv1.weight.requires_grad  # type: ignore[index, union-attr]


def test_a_whole_model_is_saved_and_read_again(tmp_path: Path) -> None:
    model = smp.FPN("res2net18", encoder_weights=None, classes=2, encoder_depth=4).eval()
    model.save_pretrained(tmp_path / "fpn")
    again = smp.from_pretrained(str(tmp_path / "fpn")).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again(image), model(image))


def test_dilation_keeps_the_rule_that_the_weights_were_trained_under() -> None:
    ours.register_as("mine", "res2net26_26w_4s")
    encoder = _encoder("mine")
    encoder.backbone.first_block = FirstBlock.POOL_EXCLUDE_PAD  # as some weights bring it
    encoder.make_dilated(8)
    pool = encoder.backbone.layer4[0].pool  # type: ignore[index, union-attr]
    assert not pool.count_include_pad


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("resnet50", "resnet50"), {}, ValueError, "there is an encoder 'resnet50' already"),
        (("a", "inception_v3"), {}, ValueError, "inception_v3 cannot be an encoder"),
        (("a", "res2net29_small"), {}, ValueError, "cannot be an encoder: smp needs maps of 1/2"),
        (("a", "res2net19"), {}, ValueError, "unknown model 'res2net19'"),
        (("a", "res2net18"), {"widht": 3}, TypeError, "Did you mean 'width'"),
        (("a", "res2net18"), {"output_stride": 8}, TypeError, "smp sets output_stride itself"),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, str], options: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ours.register_as(*arguments, **options)
    assert "a" not in ENCODERS


def test_depth_out_of_range() -> None:
    with pytest.raises(ValueError, match="encoder_depth is 6; it must be 1 to 5"):
        _encoder("res2net18", depth=6)


def test_an_encoder_can_be_exported() -> None:
    model = smp.Unet("res2net18", encoder_weights=None).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        exported = torch.export.export(model, (image,)).module()
        torch.testing.assert_close(exported(image), model(image))
