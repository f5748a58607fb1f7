"""Runs, checkpoints and files of weights into networks."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
from functools import partial

import pytest
import torch

from res2net.card import ModelCard
from res2net.errors import UserError
from res2net.models.factory import create_model
from res2net.models.weights import (
    apply_weights,
    build,
    check_description,
    load_target,
    load_weights,
    read_weights,
    save_weights,
)


class Code:
    """Unpickled, it would leave a trace."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy that may be spoilt."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def _small(classes=10, depth=11):
    return create_model("res2net29_small", num_classes=classes, depth=depth)


@pytest.mark.parametrize("name", ["", "model.safetensors", "checkpoints/best.ckpt"])
def test_every_kind_of_target_gives_the_same_network(tiny_run, name):
    model, card = load_target(tiny_run / name)
    assert not model.training
    assert card.network == "res2net29_small"
    assert card.classes == tuple(str(i) for i in range(10))
    state, _ = read_weights(tiny_run / "model.safetensors")
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_run_prefers_its_best(run):
    (run / "model.safetensors").unlink()
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    for value in last["state_dict"].values():
        value.zero_()
    torch.save(last, run / "checkpoints" / "last.ckpt")
    assert load_target(run)[0].fc.weight.abs().sum() > 0
    (run / "checkpoints" / "best.ckpt").unlink()
    with pytest.warns(UserWarning, match=r"using the last epoch's weights, checkpoints/last\.ckpt"):
        assert load_target(run)[0].fc.weight.abs().sum() == 0
    (run / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(UserError, match=r"without weights \(no model.safetensors, no checkpoint"):
        load_target(run)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_saved_and_read_back(tmp_path, kind):
    model = _small().to(kind).to(memory_format=torch.channels_last)
    save_weights(model, tmp_path / "w.safetensors")
    state, card = read_weights(tmp_path / "w.safetensors")
    assert card is None
    other = _small().to(kind)
    apply_weights(other, state, "w")
    own = model.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in other.state_dict().items())


@pytest.mark.parametrize(
    "options",
    [{"depth": 11}, {"depth": 11, "norm": "group", "width": 8}, {"first_block": "paper"}],
)
def test_a_card_builds_what_it_describes(tiny_run, options):
    values = json.loads((tiny_run / "model.json").read_text())
    card = ModelCard.from_dict({**values, "options": options}, "x")
    model = build(card)
    assert model.num_classes == 10
    kinds = {type(module).__name__ for module in model.modules()}
    assert ("GroupNorm" in kinds) == ("norm" in options)


def test_a_card_of_before_may_name_a_rule_that_its_network_has_no_use_for(tiny_run):
    values = json.loads((tiny_run / "model.json").read_text())
    options = {"first_block": "pool"}
    card = ModelCard.from_dict({**values, "network": "resnet50", "options": options}, "x")
    with torch.device("meta"):
        assert build(card).first_block is None


@pytest.mark.parametrize("name", ["inception_v3", "densenet161"])
def test_networks_of_torchvision_are_built_from_cards(tiny_run, name):
    values = json.loads((tiny_run / "model.json").read_text())
    card = ModelCard.from_dict({**values, "network": name, "options": {}}, "x")
    with torch.device("meta"):
        assert build(card).num_classes == 10


def _spoil_bytes(path):
    path.write_bytes(os.urandom(999))


def _spoil_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _spoil_empty(path):
    path.write_bytes(b"")


def _spoil_pickle(path):
    path.write_bytes(pickle.dumps({"state_dict": Code(path.with_name("trace"))}))


def _spoil_code(path):
    torch.save({"state_dict": {"x": Code(path.with_name("trace"))}}, path)


def _spoil_list(path):
    torch.save([1, 2], path)


def _spoil_nan(path):
    content = torch.load(path, weights_only=True)
    content["state_dict"]["model.fc.bias"][3] = float("nan")
    torch.save(content, path)


def _spoil_keys(path):
    content = torch.load(path, weights_only=True)
    del content["state_dict"]["model.fc.bias"]
    torch.save(content, path)


def _spoil_card(path):
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"]["card"]["network"] = "res2net29_smal"
    torch.save(content, path)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_spoil_bytes, ""),
        (_spoil_half, "damaged"),
        (_spoil_empty, "empty"),
        (_spoil_pickle, ""),
        (_spoil_code, ""),
        (_spoil_list, "holds"),
        (_spoil_nan, "fc.bias"),
        (_spoil_keys, "fc.bias"),
        (_spoil_card, "Did you mean 'res2net29_small'?"),
    ],
)
def test_a_spoilt_checkpoint_is_one_line_and_runs_nothing(run, spoil, word):
    path = run / "checkpoints" / "best.ckpt"
    spoil(path)
    with pytest.raises(UserError) as error:
        load_target(path)
    text = str(error.value)
    assert text.startswith(str(path))
    assert word in text
    assert "\n" not in text
    assert not path.with_name("trace").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "res2net50_26w_4"}, "unknown model 'res2net50_26w_4'. Did you mean"),
        ({"options": {"depht": 11}}, "has no option 'depht'"),
        ({"options": {"norm": "layer"}}, "options.norm is 'layer'"),
        ({"options": {"norm": "pool"}}, "unknown norm 'pool'"),
        ({"options": {"width": 4096, "scale": 64}}, "parameters; at most"),
        ({"options": {"depth": 11, "width": 1 << 9}}, "does not fit"),
        ({"options": {"depth": 11, "in_channels": 1 << 20}}, "preprocess.mean has 3"),
        ({"options": {"pretrained": "http://127.0.0.1:9/x.pth"}}, "holds structure only"),
        ({"options": {"depth": 12}}, "depth is 12"),
    ],
)
def test_a_card_that_describes_no_network(run, change, message):
    path = run / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError) as error:
        load_target(run)
    assert str(error.value).startswith(str(run))
    assert message in str(error.value)


def test_a_card_inside_a_checkpoint_opens_no_address(run, monkeypatch):
    path = run / "checkpoints" / "best.ckpt"
    saved = torch.load(path, weights_only=True)
    saved["hyper_parameters"]["card"]["options"]["pretrained"] = "http://127.0.0.1:9/x.pth"
    torch.save(saved, path)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it opened an address"))
    for target in (path, run):
        (run / "model.safetensors").unlink(missing_ok=True)
        with pytest.raises(UserError, match="options.pretrained is 'http://127.0.0.1:9/x.pth'"):
            load_target(target)


def test_a_card_inside_a_checkpoint_of_any_other_kind_is_told(run, spoilt):
    """One entry after the other: a network, or one line, and no memory for what does not fit."""
    state, card = read_weights(run / "checkpoints" / "best.ckpt")
    names = ("network", "options", "task", "classes")
    card = {**card, "options": {**card["options"], "drop_path": 0.1}, "classes": ["a", "b"]}
    for part in spoilt({name: card[name] for name in names}):
        if not isinstance(part, dict):
            continue
        with contextlib.suppress(UserError):
            read = ModelCard.from_dict({**card, **part}, "x")
            check_description(partial(build, read), "x", state, "x")


def test_weights_alone(run):
    (run / "model.json").unlink()
    with pytest.raises(UserError, match=r"contains only weights; model.json with the network"):
        load_target(run)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere/run", "nowhere/run: no such run, checkpoint or network."),
        ("res2net50_26w_4s", "res2net50_26w_4s has no weights, since none are shipped"),
        ("res2net50_26w4s", "Did you mean 'res2net50_26w_4s'?"),
        ("runs/fotos", "runs/fotos: no such run, checkpoint or network. Did you mean 'photos'?"),
    ],
)
def test_nothing_there(tmp_path, monkeypatch, target, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "photos").mkdir(parents=True)
    with pytest.raises(UserError) as error:
        load_target(target)
    assert message in str(error.value)


def test_apply_refuses_another_network():
    with pytest.raises(UserError) as error:
        apply_weights(_small(), _small(depth=20).state_dict(), "x.ckpt")
    assert str(error.value).startswith("x.ckpt")
    with pytest.raises(UserError, match="fc"):
        apply_weights(_small(), _small(classes=7).state_dict(), "x.ckpt")


def test_a_start_for_other_classes_keeps_the_fresh_head(tiny_run, capsys):
    model = create_model("res2net29_small", depth=11, width=4, num_classes=3)
    fresh = model.fc.weight.clone()
    load_weights(model, tiny_run)
    state, _ = read_weights(tiny_run / "model.safetensors")
    assert torch.equal(model.fc.weight, fresh)
    assert torch.equal(model.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])
    assert "classifier of 10 classes" in capsys.readouterr().err
