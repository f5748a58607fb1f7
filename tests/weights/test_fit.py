"""Weights into networks of other classes, other channels, and into the wrong network."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from res2net import create_model
from res2net.errors import UserError
from res2net.nn.layers import frozen_batch_norm, group_norm
from res2net.weights.fit import adapt_channels, fit

NAME = "res2net29_small"


def _model(**options: object) -> nn.Module:
    torch.manual_seed(int(options.pop("seed", 1)))  # type: ignore[call-overload]
    return create_model(str(options.pop("name", NAME)), **{"num_classes": 10, **options}).eval()


def _state(**options: object) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in _model(seed=2, **options).state_dict().items()}


def test_every_tensor_arrives() -> None:
    model, state = _model(), _state()
    assert fit(model, state, "f") == ()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        (1000, 10, "left out the classifier of 1000 classes: the network has a fresh one of 10"),
        (10, 0, "left out the classifier of 10 classes"),
        (0, 10, "no classifier in the file: the network keeps its initialised one"),
    ],
)
def test_a_classifier_of_another_size_is_left_out(there: int, here: int, said: str) -> None:
    model = _model(num_classes=here)
    before = {k: v.clone() for k, v in model.state_dict().items() if k.startswith("fc.")}
    state = _state(num_classes=there)
    assert fit(model, state, "f") == (said,)
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert torch.equal(after["layer3.2.conv3.weight"], state["layer3.2.conv3.weight"])


@pytest.mark.parametrize("name", ["dla60_res2net", "inception_v3"])
def test_classifiers_of_other_forms(name: str) -> None:
    """DLA keeps its as a 1×1 convolution; some files hold it as a matrix. Inception has two."""
    with torch.device("meta"):
        own = create_model(name).state_dict()
    state = {k: torch.rand(v.shape) if v.ndim else torch.zeros(()) for k, v in own.items()}
    state["fc.weight"] = state["fc.weight"].flatten(1)
    model = create_model(name)
    assert fit(model, state, "f") == ()
    assert torch.equal(model.state_dict()["fc.weight"].flatten(1), state["fc.weight"])
    if name == "inception_v3":
        model = create_model(name, num_classes=7)
        assert len(fit(model, state, "f")) == 1


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        (3, 1, "the first convolution's 3 input channels were summed to give 1"),
        (3, 4, "the first convolution's 3 input channels were repeated and scaled by 3/4 to give"),
        (1, 3, "the first convolution's 1 input channels were repeated and scaled by 1/3 to give"),
    ],
)
def test_other_input_channels(there: int, here: int, said: str) -> None:
    model = _model(in_channels=here)
    (line,) = fit(model, _state(in_channels=there), "f")
    assert line.startswith(said)


def test_grey_images_give_what_their_three_copies_gave() -> None:
    colour, grey = _model(), _model(in_channels=1)
    fit(grey, colour.state_dict(), "f")
    image = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(grey(image), colour(image.expand(-1, 3, -1, -1)))


@given(st.integers(1, 5), st.integers(1, 9))
def test_adapted_channels_respond_as_strongly(before: int, channels: int) -> None:
    weight = torch.ones(2, before, 3, 3)
    adapted = adapt_channels(weight, channels)
    assert adapted.shape == (2, channels, 3, 3)
    torch.testing.assert_close(adapted.sum((1, 2, 3)), weight.sum((1, 2, 3)))


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 7])
def test_adapted_channels_are_timms(channels: int) -> None:
    from timm.models._manipulate import adapt_input_conv

    weight = torch.randn(4, 3, 7, 7)
    expected = adapt_input_conv(channels, weight)
    torch.testing.assert_close(adapt_channels(weight, channels), expected)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"scale": 8}, "this file is 26w x 8s, the model is 26w x 4s: use create_model"),
        ({"depth": 38}, "this file is 38 layers, the model is 29 layers: use create_model"),
        ({"se": True}, "this file is with SE, the model is without SE: use create_model"),
        (
            {"name": "resnet29_small"},
            "this file is 64w, the model is 26w x 4s: use resnet29_small",
        ),
        ({"first_block": "pool"}, "split first blocks, the model is grouped first blocks"),
        ({"name": "wideresnet28_10", "width": 1}, "this file is a Wide ResNet, k=1, the model is"),
    ],
)
def test_the_wrong_network_is_named(file: dict[str, object], message: str) -> None:
    model = _model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match=f"^f does not fit: .*{message}"):
        fit(model, _state(**file), "f")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_the_example_of_the_manual() -> None:
    with torch.device("meta"):
        model = create_model("res2net50_26w_4s")
        state = create_model("res2net50_26w_8s").state_dict()
    with pytest.raises(UserError) as caught:
        fit(model, state, "f")
    assert str(caught.value) == (
        "f does not fit: this file is 26w x 8s, the model is 26w x 4s: use res2net50_26w_8s"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer2.1.convs.0.weight"), "1 tensors missing, 0 unknown .*convs.0"),
        (lambda s: s.update({"neck.weight": torch.ones(1)}), "0 tensors missing, 1 unknown.*neck"),
        (lambda s: s["bn1.weight"].fill_(float("nan")), "bn1.weight has NaN or infinite values"),
        (lambda s: s["fc.bias"].fill_(float("inf")), "fc.bias has NaN or infinite values"),
        (lambda s: s["bn1.running_var"].fill_(-1), "bn1.running_var has a negative variance"),
        (lambda s: s.update({"fc.bias": torch.ones(10, dtype=torch.int8)}), "holds int8, not"),
        (lambda s: s.update({"bn1.bias": torch.ones(5)}), r"bn1.bias is \(5,\) there, \(16,\)"),
    ],
)
def test_damaged_weights_are_refused(change, message: str) -> None:
    model, state = _model(), _state()
    change(state)
    with pytest.raises(UserError, match=message):
        fit(model, state, "f")


@pytest.mark.parametrize("name", ["dla60_res2net"])
def test_only_the_three_dead_projections_may_be_more(name: str) -> None:
    from res2net.weights.layouts import translate
    from res2net.weights.read import Content

    with torch.device("meta"):
        model = create_model(name)
        state = model.state_dict()
        dead = {
            f"{prefix}.project.{i}.weight": torch.empty(2)
            for prefix in ("level3", "level4", "level4.tree1")
            for i in (0, 1)
        }
    weights = translate(Content("torch", {**state, **dead}), "f")
    assert set(weights.state) == set(state)
    more = translate(
        Content("torch", {**state, "level4.tree2.project.0.weight": dead[next(iter(dead))]}), "f"
    )
    with pytest.raises(UserError, match="0 tensors missing, 1 unknown"):
        fit(model, more.state, "f")


def test_norms_without_counters_or_statistics() -> None:
    state = _state()
    assert fit(_model(norm_layer=frozen_batch_norm), state, "f") == ()
    bare = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    model = _model()
    fit(model, bare, "f")
    assert int(model.state_dict()["bn1.num_batches_tracked"]) == 0
    with pytest.raises(UserError, match="the weights have batch statistics"):
        fit(_model(norm_layer=group_norm), state, "f")


def test_half_precision_is_taken() -> None:
    model, state = _model(), _state()
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    fit(model, half, "f")
    assert model.state_dict()["bn1.weight"].dtype is torch.float32
