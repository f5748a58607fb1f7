"""Every layout of names, written here by hand from each library's rules, gives our tensors back;
weights written for other libraries load there, strictly, and come back as they were.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from res2net import create_model
from res2net.errors import UserError
from res2net.models.resnet import ResNet
from res2net.paper.variant import FirstBlock, ResNetVariant
from res2net.weights.layouts import (
    DEAD,
    LAYOUTS,
    Layout,
    to_mmdet,
    to_official,
    translate,
    write_state,
)
from res2net.weights.pretrained import open_pretrained
from res2net.weights.read import Content, read_content

State = dict[str, Tensor]
DATA = Path(__file__).parent / "data"
SMALL = ResNetVariant(depth=26, width=64, scale=4, planes=2)
SMALL_D = ResNetVariant(depth=26, width=64, scale=4, planes=2, stem="deep", average_down=True)
CIFAR = ResNetVariant(depth=20, width=64, cardinality=2, planes=4, stem="cifar")


def _network(variant: ResNetVariant, rule: FirstBlock | None = None) -> ResNet:
    torch.manual_seed(0)
    model = ResNet(variant, num_classes=5, first_block=rule)
    for name, value in model.state_dict().items():
        if value.is_floating_point() and value.ndim == 1:
            value.copy_(torch.rand_like(value) + 0.5)
        elif name.endswith("num_batches_tracked"):
            value.fill_(7)
    return model.eval()


def _official(state: State) -> State:
    return dict(state)


def _mmpretrain(state: State) -> State:
    theirs = {}
    for key, value in state.items():
        if key.startswith("fc."):
            theirs[f"head.{key}"] = value
            continue
        if "conv1.0.weight" in state and not key.startswith("layer"):
            key = re.sub(r"^conv1\.", "stem.", key)
            key = re.sub(r"^bn1\.", "stem.7.", key)
        theirs[f"backbone.{key}"] = value
    return theirs


def _mmpretrain_pairs(state: State) -> State:
    """mmpretrain's own deep stem: each convolution with its norm."""
    layers = ((0, "0.conv"), (1, "0.bn"), (3, "1.conv"), (4, "1.bn"), (6, "2.conv"), (7, "2.bn"))
    theirs = _mmpretrain(state)
    for number, name in layers:
        theirs = {k.replace(f"stem.{number}.", f"stem.{name}."): v for k, v in theirs.items()}
    return theirs


def _mmpretrain_backbone(state: State) -> State:
    """The same, taken over by a segmenter."""
    backbone = {k: v for k, v in _mmpretrain_pairs(state).items() if k.startswith("backbone.")}
    return {**backbone, "decode_head.conv_seg.weight": torch.ones(2, 2)}


def _mmdet(state: State) -> State:
    backbone = {k: v for k, v in _mmpretrain(state).items() if k.startswith("backbone.")}
    return {
        **backbone,
        "neck.fpn_convs.0.conv.weight": torch.ones(2),
        "rpn_head.rpn_cls.weight": torch.ones(2),
    }


def _open_mmlab(state: State) -> State:
    """What mmcv fetches for ``open-mmlab://``: a bare backbone."""
    return {k.removeprefix("backbone."): v for k, v in _mmdet(state).items() if "backbone" in k}


def _detectron2(state: State) -> State:
    theirs = {}
    for key, value in state.items():
        if key.startswith("fc.") or key.endswith("num_batches_tracked"):
            continue
        if not key.startswith("layer"):
            theirs[f"stem.{key}"] = value
            continue
        key = re.sub(r"^layer(\d)", lambda m: f"res{int(m[1]) + 1}", key)
        key = re.sub(r"\.bn([123])\.", r".conv\1.norm.", key)
        key = key.replace("downsample.1", "shortcut.1").replace("downsample.2", "shortcut.1.norm")
        theirs[key] = value
    return theirs


def _detectron2_detector(state: State) -> State:
    """A detector on the fourth stage: the fifth is in its box head."""
    theirs = {}
    for key, value in _detectron2(state).items():
        theirs[f"roi_heads.{key}" if key.startswith("res5") else f"backbone.{key}"] = value
    return {**theirs, "proposal_generator.rpn_head.conv.weight": torch.ones(1)}


def _maskrcnn(state: State) -> State:
    theirs = {}
    for key, value in state.items():
        if key.startswith("fc.") or key.endswith("num_batches_tracked"):
            continue
        if key.startswith("layer4."):
            theirs[f"module.roi_heads.box.feature_extractor.head.{key}"] = value
        else:
            stem = "" if key.startswith("layer") else "stem."
            theirs[f"module.backbone.body.{stem}{key}"] = value
    return {**theirs, "module.rpn.head.conv.weight": torch.ones(1)}


def _cifar(state: State) -> State:
    names = (
        (r"^conv1\.", "conv_1_3x3."),
        (r"^bn1\.", "bn_1."),
        (r"^fc\.", "classifier."),
        (r"^layer(\d)\.(\d)\.", r"stage_\1.stage_\1_bottleneck_\2."),
        (r"_bottleneck_(\d)\.conv1\.", r"_bottleneck_\1.conv_reduce."),
        (r"_bottleneck_(\d)\.bn1\.", r"_bottleneck_\1.bn_reduce."),
        (r"_bottleneck_(\d)\.conv2\.", r"_bottleneck_\1.conv_conv."),
        (r"_bottleneck_(\d)\.bn2\.", r"_bottleneck_\1.bn."),
        (r"_bottleneck_(\d)\.conv3\.", r"_bottleneck_\1.conv_expand."),
        (r"_bottleneck_(\d)\.bn3\.", r"_bottleneck_\1.bn_expand."),
        (r"\.downsample\.0\.", ".shortcut.shortcut_conv."),
        (r"\.downsample\.1\.", ".shortcut.shortcut_bn."),
    )
    theirs = {}
    for key, value in state.items():
        for pattern, name in names:
            key = re.sub(pattern, name, key)
        theirs[key] = value
    return theirs


FORMS = {
    "official": (SMALL, _official, Layout.OFFICIAL),
    "official v1b": (SMALL_D, _official, Layout.OFFICIAL),
    "mmpretrain": (SMALL, _mmpretrain, Layout.OPENMMLAB),
    "mmpretrain, deep stem": (SMALL_D, _mmpretrain, Layout.OPENMMLAB),
    "mmpretrain, deep stem in pairs": (SMALL_D, _mmpretrain_pairs, Layout.OPENMMLAB),
    "mmpretrain, under mmsegmentation": (SMALL_D, _mmpretrain_backbone, Layout.OPENMMLAB),
    "mmdet": (SMALL_D, _mmdet, Layout.OPENMMLAB),
    "mmdet, bare": (SMALL_D, _open_mmlab, Layout.OPENMMLAB),
    "detectron2": (SMALL_D, _detectron2, Layout.DETECTRON2),
    "detectron2, 7x7 stem": (SMALL, _detectron2, Layout.DETECTRON2),
    "detectron2, C4": (SMALL_D, _detectron2_detector, Layout.DETECTRON2),
    "maskrcnn-benchmark, C4": (SMALL, _maskrcnn, Layout.MASKRCNN),
    "prlz77": (CIFAR, _cifar, Layout.CIFAR),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_layout_gives_our_tensors(form: str) -> None:
    variant, write, layout = FORMS[form]
    state = _network(variant).state_dict()
    theirs = write(state)
    assert form.startswith("official") or set(theirs) != set(state)
    weights = translate(Content("torch", theirs), "file")
    assert weights.layout is layout
    has_head = any(key.endswith(("fc.weight", "classifier.weight")) for key in theirs)
    has_counters = any(key.endswith("num_batches_tracked") for key in theirs)
    expected = {
        key
        for key in state
        if (has_head or not key.startswith("fc."))
        and (has_counters or not key.endswith("num_batches_tracked"))
    }
    assert set(weights.state) == expected
    assert all(torch.equal(weights.state[key], state[key]) for key in expected)


@pytest.mark.parametrize(
    ("form", "remark"),
    [
        ("mmdet", "left out entries outside of the network: neck, rpn_head"),
        ("mmdet", "trained as built by mmdetection"),
        ("detectron2, C4", "trained as built by the detectron2 fork"),
        ("maskrcnn-benchmark, C4", "left out entries outside of the network: rpn"),
    ],
)
def test_what_was_done_is_said(form: str, remark: str) -> None:
    variant, write, _ = FORMS[form]
    weights = translate(Content("torch", write(_network(variant).state_dict())), "file")
    assert any(remark in line for line in weights.said), weights.said


def _lightning(state: State) -> dict[str, object]:
    return {
        "pytorch-lightning_version": "2.6",
        "state_dict": {f"net.{k}": v for k, v in state.items()} | {"loss.weight": torch.ones(3)},
        "optimizer_states": [{"state": {}}],
    }


def _optimizer(state: State) -> dict[str, object]:
    """With tensors of the weights' shapes, by number and by name."""
    moments = {i: {"momentum_buffer": value} for i, value in enumerate(state.values())}
    return {"state": moments, "param_groups": [], "by_name": dict(state)}


def _average(state: State) -> State:
    return {key: value + 1 if value.is_floating_point() else value for key, value in state.items()}


@pytest.mark.parametrize(
    ("wrap", "averaged"),
    [
        (lambda s: {"state_dict": s}, False),
        (lambda s: {"model": s, "epoch": 3}, False),
        (lambda s: {"model": {"state_dict": s}}, False),
        (lambda s: {f"module.{k}": v for k, v in s.items()}, False),
        (lambda s: {"state_dict": {f"module._orig_mod.{k}": v for k, v in s.items()}}, False),
        (lambda s: OrderedDict(s), False),
        (_lightning, False),
        (lambda s: {"state_dict": s, "state_dict_ema": _average(s)}, True),
        (lambda s: {"model_state_dict": s, "ema_state_dict": _average(s)}, True),
        (
            lambda s: {
                "ema_state_dict": {"n_averaged": torch.tensor(3)}
                | {f"module.{k}": v for k, v in _average(s).items()}
            },
            True,
        ),
        # the authors' training script and PyTorch's example keep the best accuracy as a tensor
        (
            lambda s: {
                "epoch": 90,
                "arch": "res2net50",
                "state_dict": {f"module.{k}": v for k, v in s.items()},
                "best_prec1": torch.tensor([77.99]),
                "optimizer": _optimizer(s),
            },
            False,
        ),
        (
            lambda s: {
                "optimizer": _optimizer(s),
                "scheduler": {"last_epoch": 3, "_last_lr": [torch.tensor(0.1)]},
                "best_acc1": torch.tensor(77.99),
                "state_dict": s,
            },
            False,
        ),
        (lambda s: {**s, "best_acc1": torch.tensor(77.99)}, False),
        (lambda s: {"loss": {"class.weight": torch.ones(5)}, "my_network": s}, False),
        (lambda s: {"module": s, "optimizer": None, "global_steps": torch.tensor(7)}, False),
        (
            lambda s: {
                "model": s,
                "model_ema": {"n_averaged": torch.tensor(3)}
                | {f"module.module.{k}": v for k, v in _average(s).items()},
                "epoch": torch.tensor(1),
            },
            True,
        ),
        (lambda s: {"ema": {"decay": 0.99, "module": _average(s)}, "model": s}, True),
        (
            lambda s: {
                "state_dict": {f"model._orig_mod.{k}": v for k, v in s.items()},
                "hyper_parameters": {"lr": torch.tensor(0.1), "card": "none"},
            },
            False,
        ),
        (
            lambda s: {
                re.sub(r"^(layer\d)\.(\d)\.", r"\1.\2._checkpoint_wrapped_module.", k): v
                for k, v in s.items()
            },
            False,
        ),
        # mmengine swaps the two when it saves: state_dict is the average
        (
            lambda s: {
                "meta": {"mmengine_version": "0.10"},
                "state_dict": _average(s),
                "ema_state_dict": {f"module.{k}": v for k, v in s.items()},
            },
            True,
        ),
    ],
)
def test_wrapped_state_dicts(wrap, averaged: bool) -> None:
    state = _network(SMALL).state_dict()
    weights = translate(Content("torch", wrap(state)), "file")
    expected = _average(state) if averaged else state
    assert set(weights.state) == set(state)
    assert all(torch.equal(weights.state[key], expected[key]) for key in state)
    if averaged and weights.said:
        assert "moving average" in weights.said[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3, "lr": 0.1}, r"no weights \(it holds epoch, lr\)"),
        ({}, r"no weights \(it holds"),
        ({"state_dict": {}}, r"no weights \(it holds"),
        (
            {"a": {"conv.weight": torch.ones(2, 2)}, "b": {"conv.weight": torch.ones(2, 2)}},
            r"holds 2 networks \(under a, b\)",
        ),
        ({"encoder.weight": torch.ones(2)}, "not the layout of a supported network"),
        (
            {
                "student.layer1.0.conv1.weight": torch.ones(2),
                "teacher.layer1.0.conv1.weight": torch.ones(2),
            },
            r"holds 2 networks \(under student., teacher.\)",
        ),
    ],
)
def test_what_is_not_understood_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        translate(Content("torch", values), "file")


@pytest.mark.parametrize(("file", "variant"), [("res2net", SMALL), ("res2net_vd", SMALL_D)])
@pytest.mark.parametrize("size", [64, 75])
def test_a_file_of_paddlepaddle_gives_its_outputs(
    file: str, variant: ResNetVariant, size: int
) -> None:
    """Written, and its logits computed, by PaddlePaddle 3.3.1 (data/README.md)."""
    weights = open_pretrained(DATA / f"{file}.pdparams", None)
    assert weights.first_block is FirstBlock.STRIDED_EXCLUDE_PAD
    image = np.random.default_rng(size).normal(size=(2, 3, size, size)).astype("float32")
    expected = np.load(DATA / f"{file}.npz")[f"logits{size}"]
    errors = {}
    for rule in (*FirstBlock,):
        if rule is not FirstBlock.GROUP:
            model = _network(variant, rule)
            weights.load_into(model)
            with torch.no_grad():
                logits = model(torch.from_numpy(image)).numpy()
            errors[rule] = float(np.linalg.norm(logits - expected) / np.linalg.norm(expected))
    assert errors.pop(FirstBlock.STRIDED_EXCLUDE_PAD) < 1e-5
    assert min(errors.values()) > 0.05  # every other rule is silently wrong


def test_a_pickle_of_detectron2(tmp_path: Path) -> None:
    """As the fork's converter writes it: arrays by name, and two remarks."""
    state = _network(SMALL_D).state_dict()
    arrays = {key: value.numpy() for key, value in _detectron2(state).items()}
    path = tmp_path / "r2.pkl"
    path.write_bytes(
        pickle.dumps({"model": arrays, "__author__": "torchvision", "matching_heuristics": True})
    )
    weights = translate(read_content(path), str(path))
    assert torch.equal(weights.state["layer4.1.bn3.weight"], state["layer4.1.bn3.weight"])


def test_torchvisions_old_names_of_densenet() -> None:
    from torchvision.models import densenet121

    model: nn.Module = densenet121(weights=None)
    state = model.state_dict()
    pattern = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])\.")
    old = {pattern.sub(r"\1.\2.", key): value for key, value in state.items()}
    assert set(old) != set(state)
    assert set(translate(Content("torch", old), "file").state) == set(state)


# ---------------------------------------------------------------- the way back


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
