"""The count of every row against the network that is built from it, without allocating a weight."""

from __future__ import annotations

from dataclasses import replace

import pytest

from res2net.paper.networks import NETWORKS, find_variant
from res2net.paper.structure import tally
from res2net.paper.variant import FirstBlock

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from res2net.models.factory import create_model  # noqa: E402

pytestmark = pytest.mark.usefixtures("shapes_only")
ODD_SIZE = 99  # pixels: rounding up and down differ at every level
OPTIONS = [
    ("resnet50", {"width": 32, "cardinality": 2, "se": True}),
    ("resnet18", {"width": 48, "cardinality": 2, "se": True}),
    ("res2net18", {"width": 10, "scale": 3, "se": True}),
    ("dla60", {"width": 20, "scale": 3, "se": True}),
    ("blresnet50", {"depth": 101, "scale": 2, "width": 40}),
    ("resnext29_8c64w", {"depth": 20, "scale": 2}),
    ("wideresnet28_10", {"depth": 16, "width": 2}),
    ("densenet_bc190_40", {"depth": 40, "width": 12}),
]


def _build(name, classes, **options):
    with torch.device("meta"):
        return create_model(name, num_classes=classes, **options).eval()


def _entries(structure):
    """State-dict names and shapes that the rows promise."""
    entries = {}
    for layer in (*structure.layers, *structure.auxiliary):
        channels = (layer.channels_out,)
        if layer.kind == "conv":
            kernel = (layer.channels_in // layer.groups, *layer.kernel)
            entries[f"{layer.name}.weight"] = channels + kernel
        elif layer.kind == "linear":
            entries[f"{layer.name}.weight"] = (*channels, layer.channels_in)
        elif layer.kind == "batch_norm":
            for key in ("weight", "bias", "running_mean", "running_var"):
                entries[f"{layer.name}.{key}"] = channels
            entries[f"{layer.name}.num_batches_tracked"] = ()
        if layer.kind in ("conv", "linear") and layer.tensors == 2:
            entries[f"{layer.name}.bias"] = channels
    return entries


def _assert_same(model, structure):
    state = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert _entries(structure) == state
    assert structure.tensors == len(state)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        image = torch.empty(1, 3, structure.size, structure.size, device="meta")
        maps = model.forward_levels(image)
        model.forward_head(maps[structure.levels[-1].name])
    assert structure.macs * 2 == counter.get_total_flops()
    shapes = {level.name: (level.channels, level.height, level.width) for level in structure.levels}
    assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == shapes
    strides = [(level.name, level.channels, level.stride) for level in structure.levels]
    assert [tuple(level) for level in model.levels] == strides


@pytest.mark.parametrize("name", NETWORKS)
def test_every_row(name):
    structure = tally(NETWORKS[name], size=ODD_SIZE)
    _assert_same(_build(name, structure.num_classes), structure)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_changed_rows(name, options):
    structure = tally(find_variant(name, options), size=ODD_SIZE, num_classes=7)
    _assert_same(_build(name, 7, **options), structure)


@pytest.mark.parametrize("rule", list(FirstBlock))
@pytest.mark.parametrize("name", ["res2net18", "res2net29_small", "dla60_res2next", "blres2net50"])
def test_every_first_block_rule(name, rule):
    structure = tally(replace(NETWORKS[name], first_block=rule), size=ODD_SIZE, num_classes=7)
    _assert_same(_build(name, 7, first_block=rule), structure)
