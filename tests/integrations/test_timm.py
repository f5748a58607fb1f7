"""The rows that timm lacks, inside timm."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from res2net import create_model, list_models
from res2net.integrations import timm as ours
from res2net.paper.networks import NETWORKS

LACKING = [name for name in list_models() if not timm.is_model(name)]
OWN = timm.list_models()
FAMILIES = ("seres2net50_26w_4s", "blres2net50", "res2net29_small", "wideresnet28_10")
SIDE = {"res2net29_small": 16, "wideresnet28_10": 16, "densenet_bc190_40": 16}  # 64 otherwise


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    """Another test of this process may have done it before: timm forgets nothing."""
    new = [name for name in LACKING if not timm.is_model(name)]
    assert ours.register() == new


def test_registers_what_timm_lacks_and_replaces_nothing() -> None:
    assert {"seres2net50_26w_4s", "res2net50_18w_4s", "res2net152_26w_4s", "blres2net50"} <= {
        *LACKING
    }
    assert {*OWN} | {*LACKING} == {*timm.list_models()}
    assert {*timm.list_models(module="timm")} == {*LACKING}
    assert ours.register() == []  # once is enough; a second time changes nothing


@pytest.mark.parametrize("name", LACKING)
def test_every_entry_builds_the_row(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=9)
        reference = create_model(name, num_classes=9)
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert shapes == {key: value.shape for key, value in reference.state_dict().items()}
    data = model.pretrained_cfg
    assert data["input_size"] == (3, NETWORKS[name].size, NETWORKS[name].size)
    for key in ("first_conv", "classifier"):
        assert isinstance(model.get_submodule(data[key]), nn.Conv2d | nn.Linear)


@pytest.mark.parametrize("name", FAMILIES)
def test_timms_methods(name: str) -> None:
    model = timm.create_model(name, num_classes=6, global_pool="max", in_chans=2).eval()
    image = torch.randn(2, 2, SIDE.get(name, 64), SIDE.get(name, 64))
    with torch.no_grad():
        features = model.forward_features(image)
        pooled = model.forward_head(features, pre_logits=True)
        logits = model(image)
        torch.testing.assert_close(model.forward_head(features), logits)
        torch.testing.assert_close(pooled, features.amax((2, 3)))
        torch.testing.assert_close(model.get_classifier()(pooled), logits)
        last, maps = model.forward_intermediates(image)
        torch.testing.assert_close(last, features)
        for level, y in zip(model.levels, maps, strict=True):
            torch.testing.assert_close(y, model.forward_levels(image)[level.name])
        (second,) = model.forward_intermediates(image, indices=[1], intermediates_only=True)
        torch.testing.assert_close(second, maps[1])
    assert model.head_hidden_size == model.num_features == pooled.shape[1]
    model.set_grad_checkpointing()
    model.train()(image).sum().backward()
    model.reset_classifier(3, "avg")
    assert model.eval()(image).shape == (2, 3)
    assert pickle.loads(pickle.dumps(model)).state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("name", "indices"),
    [
        ("seres2net50_26w_4s", (-2,)),
        ("blres2net50", (0, 2)),
        ("res2net29_small", None),
        ("res2net29_small", (-1,)),
        ("res2net29_small", 2),
        ("densenet_bc190_40", (0,)),
    ],
)
def test_features_only(name: str, indices: tuple[int, ...] | int | None) -> None:
    torch.manual_seed(0)
    options = {} if indices is None else {"out_indices": indices}
    model = timm.create_model(name, features_only=True, **options).eval()
    network = create_model(name).eval()
    if indices is None:
        wanted = list(network.levels)
    elif isinstance(indices, int):
        wanted = list(network.levels[-indices:])
    else:
        wanted = [network.levels[i] for i in indices]
    network.load_state_dict(model.model.state_dict(), strict=False)
    image = torch.randn(2, 3, SIDE.get(name, 64), SIDE.get(name, 64))
    with torch.no_grad():
        expected = network.forward_levels(image)
        maps = model(image)
    assert model.feature_info.channels() == [level.channels for level in wanted]
    assert model.feature_info.reduction() == [level.stride for level in wanted]
    for level, y in zip(wanted, maps, strict=True):
        torch.testing.assert_close(y, expected[level.name])
    sum(y.square().sum() for y in model.train()(image)).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("stride", [16, 8])
def test_output_stride(stride: int) -> None:
    with torch.device("meta"):
        model = timm.create_model("blres2net50", features_only=True, output_stride=stride)
        maps = model(torch.empty(2, 3, 64, 64))
    assert model.feature_info.reduction() == [min(2**i, stride) for i in range(1, 6)]
    assert [64 // y.shape[-1] for y in maps] == model.feature_info.reduction()


def test_weights_go_both_ways(tmp_path: Path) -> None:
    network = create_model("res2net18", num_classes=4).eval()
    file = str(tmp_path / "net.safetensors")
    save_file(network.state_dict(), file)
    image = torch.randn(1, 3, 64, 64)
    model = timm.create_model("res2net18", num_classes=4, checkpoint_path=file).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(image), network(image))
    # timm's own adaptation of trained weights: another number of classes and of channels
    overlay = {"file": file, "num_classes": 4}
    changed = timm.create_model(
        "res2net18", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=2, in_chans=1
    )
    torch.testing.assert_close(
        changed.conv1.weight,
        network.conv1.weight.sum(1, keepdim=True),  # type: ignore[union-attr, operator]
    )
    torch.testing.assert_close(changed.layer4.state_dict(), network.layer4.state_dict())  # type: ignore[union-attr]


def test_data_configuration() -> None:
    with torch.device("meta"):
        small = timm.data.resolve_data_config(model=timm.create_model("res2next29_6c24w_4s"))
        photo = timm.data.resolve_data_config(model=timm.create_model("res2net200d"))
    assert small["input_size"] == (3, 32, 32)
    assert small["crop_pct"] == 1.0
    assert small["mean"] == pytest.approx((0.4914, 0.4824, 0.4467), abs=1e-3)
    assert photo["crop_pct"] == 0.875
    assert photo["mean"] == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"drop_rate": 0.2}, TypeError, "has no dropout before its classifier"),
        ({"drop_block_rate": 0.2}, TypeError, "no option 'drop_block_rate'"),
        ({"global_pool": "catavgmax"}, ValueError, "must be 'avg', 'max' or 'avgmax'"),
        ({"output_stride": 4}, ValueError, "can have 32, 16 or 8"),
        ({"pretrained": True}, RuntimeError, "No pretrained weights exist"),
    ],
)
def test_what_is_refused(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message), torch.device("meta"):
        timm.create_model("res2net18", **options)


def test_indices_out_of_range() -> None:
    model = timm.create_model("res2net18")
    with pytest.raises(ValueError, match=r"indices \[7\] name no levels; this network has 5"):
        model.forward_intermediates(torch.empty(1, 3, 32, 32), indices=[7])
    with pytest.raises(ValueError, match="output_fmt is 'NHWC'"):
        model.forward_intermediates(torch.empty(1, 3, 32, 32), output_fmt="NHWC")


def test_smp_finds_them_behind_its_own_prefix() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    model = smp.Unet(
        "tu-seres2net50_26w_4s", encoder_weights=None, encoder_depth=3, decoder_channels=(32, 16, 8)
    ).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 64, 64)).shape == (1, 1, 64, 64)
