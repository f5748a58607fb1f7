"""Shapes tell which network a state dict belongs to."""

from __future__ import annotations

import pytest
import torch

from res2net import create_model, list_models
from res2net.paper.networks import NETWORKS
from res2net.weights.identify import Identity, differences, of_state, of_variant


def _identity(name: str, **options: object) -> Identity:
    with torch.device("meta"):
        found = of_state(create_model(name, **options).state_dict())
    assert found is not None
    return found


@pytest.mark.parametrize("name", list_models())
def test_every_row_is_known_by_its_shapes(name: str) -> None:
    found = _identity(name, num_classes=7, in_channels=5)
    assert found == of_variant(NETWORKS[name])
    shown = {"parallel29_small": "res2net29_small"}.get(name, name)  # no weight tells them apart
    assert found.name() == found.recipe() == shown
    assert differences(found, of_variant(NETWORKS[name])) is None


@pytest.mark.parametrize(
    ("file", "model", "said", "recipe"),
    [
        ("res2net50_26w_8s", {}, ("26w x 8s", "26w x 4s"), "res2net50_26w_8s"),
        ("res2net50_14w_8s", {}, ("14w x 8s", "26w x 4s"), "res2net50_14w_8s"),
        ("res2net101_26w_4s", {}, ("101 layers", "50 layers"), "res2net101_26w_4s"),
        ("res2net50d", {}, ("deep stem", "7x7 stem"), "res2net50d"),
        ("seres2net50_26w_4s", {}, ("with SE", "without SE"), "seres2net50_26w_4s"),
        ("res2next50", {}, ("8c x 4w x 4s", "26w x 4s"), "res2next50"),
        ("resnet50", {}, ("64w", "26w x 4s"), "resnet50"),
        ("dla60_res2net", {}, ("a DLA, 28w x 4s", "a ResNet, 26w x 4s"), "dla60_res2net"),
        ("res2net18", {}, ("16w x 4s, 18 layers", "26w x 4s, 50 layers"), "res2net18"),
        (
            "res2net50_26w_4s",
            {"width": 20, "scale": 5, "depth": 101},
            ("20w x 5s, 101 layers", "26w x 4s, 50 layers"),
            "create_model('resnet101', width=20, scale=5)",
        ),
        (
            "res2next29_6c24w_4s",
            {"width": 25},
            None,
            "create_model('res2next29_6c24w_4s', width=25)",
        ),
        (
            "res2net50_26w_4s",
            {"first_block": "group"},
            ("grouped first blocks", "split first blocks"),
            "create_model('res2net50_26w_4s', first_block='group')",
        ),
    ],
)
def test_the_difference_is_said_with_what_to_use(file, model, said, recipe) -> None:
    there, here = _identity(file, **model), _identity("res2net50_26w_4s")
    assert there.recipe() == recipe
    if said is not None:
        assert differences(there, here) == said
    else:
        assert differences(there, here) is not None


def test_a_scale_of_two_shows_its_first_blocks() -> None:
    """One convolution in either form: over both splits, or over one."""
    split = _identity("res2net50_48w_2s")
    grouped = _identity("res2net50_48w_2s", first_block="group")
    assert differences(grouped, split) == ("grouped first blocks", "split first blocks")


@pytest.mark.parametrize(
    "state",
    [{}, {"layer1.0.conv1.weight": torch.ones(1)}, {"a.weight": torch.ones(2)}],
)
def test_strangers_have_no_identity(state: dict[str, torch.Tensor]) -> None:
    assert of_state(state) is None
