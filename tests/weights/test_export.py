"""Weights written for other libraries load there, strictly, and come back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from res2net import create_model
from res2net.errors import UserError
from res2net.models.resnet import ResNet
from res2net.paper.variant import ResNetVariant
from res2net.weights.export import LAYOUTS, to_mmdet, to_official, write_state
from res2net.weights.layouts import DEAD, Layout, translate
from res2net.weights.reading import Content, read_content

SMALL_D = ResNetVariant(depth=26, width=64, scale=4, planes=2, stem="deep", average_down=True)


@pytest.mark.parametrize("name", ["res2net50_26w_4s", "res2net50d", "dla60_res2net", "res2next50"])
def test_timm_loads_it_strictly(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = create_model(name), timm.create_model(name)
        theirs.load_state_dict(LAYOUTS["timm"](ours.state_dict()), strict=True, assign=True)


def test_the_authors_dla_gets_its_dead_projections_back() -> None:
    """33,280 + 132,096 + 132,096 parameters, which its forward pass throws away."""
    with torch.device("meta"):
        state = create_model("dla60_res2net").state_dict()
    official = to_official(state)
    more = {key: value for key, value in official.items() if key not in state}
    assert all(key.startswith(DEAD) for key in more)
    learned = sum(v.numel() for k, v in more.items() if k.endswith(("weight", "bias")))
    assert learned == 297_472
    assert more["level3.project.0.weight"].shape == (256, 128, 1, 1)
    assert more["level4.tree1.project.0.weight"].shape == (512, 256, 1, 1)
    assert set(translate(Content("torch", official), "f").state) == set(state)


def test_mmdetection_gets_a_backbone_with_its_stem() -> None:
    state = ResNet(SMALL_D, num_classes=5).state_dict()
    theirs = to_mmdet(state)
    assert {k.split(".")[0] for k in theirs} == {"stem", *(f"layer{i}" for i in (1, 2, 3, 4))}
    stem = {k.split(".")[1] for k in theirs if k.startswith("stem.")}
    assert stem == {"0", "1", "3", "4", "6", "7"}
    back = translate(Content("torch", theirs), "f")
    assert back.layout is Layout.OPENMMLAB
    assert set(back.state) == {key for key in state if not key.startswith("fc.")}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_of_both_kinds(suffix: str, tmp_path: Path) -> None:
    state = ResNet(SMALL_D, num_classes=5).state_dict()
    path = tmp_path / f"f{suffix}"
    write_state(state, path)
    content = read_content(path)
    assert all(torch.equal(content.values[key], value) for key, value in state.items())
    if suffix == ".safetensors":
        assert content.metadata == {"format": "pt"}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in .pth or .safetensors"):
        write_state({}, tmp_path / "f.bin")
