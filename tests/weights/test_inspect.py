"""Files whose names are a network's and whose shapes are of none: one line, whoever reads them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from res2net.errors import UserError
from res2net.models.factory import create_model
from res2net.weights.fit import fit
from res2net.weights.identify import of_state
from res2net.weights.pretrained import inspect_file

SHAPES: tuple[tuple[int, ...], ...] = (
    (),
    (0,),
    (7,),
    (0, 3),
    (3, 7),
    (1, 0, 3, 3),
    (2, 3, 1, 5, 1),
)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    net = create_model("res2net29_small", depth=11, width=8, scale=2, num_classes=2)
    return dict(net.state_dict())


def test_flattened_weights_are_told(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "f.pth"
    torch.save({name: value.reshape(-1) for name, value in state.items()}, path)
    with pytest.raises(UserError, match=r"f\.pth: has tensor names of a supported network, but"):
        inspect_file(path)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_shapes_of_any_kind_are_told(state: dict[str, torch.Tensor], data: st.DataObject) -> None:
    """Some tensors of other shapes, or gone: read as another network, or one line."""
    changed = dict(state)
    first = ("conv1.weight", "fc.weight", "bn1.weight", "layer1.0.convs.0.weight")
    for name in data.draw(st.lists(st.sampled_from([*first, *state]), max_size=4)):
        changed.pop(name, None)
        if data.draw(st.booleans()):
            changed[name] = torch.zeros(data.draw(st.sampled_from(SHAPES)))
    of_state(changed)
    for classes in (2, 5):
        net = create_model(
            "res2net29_small", depth=11, width=8, scale=2, num_classes=classes, in_channels=4
        )
        with contextlib.suppress(UserError):
            fit(net, changed, "f.pth")
