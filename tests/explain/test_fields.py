"""What is counted is what the modules do: every path walked, every pixel that matters found."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from res2net.explain.effective import effective_field, untrained
from res2net.models.factory import create_model
from res2net.models.network import Network
from res2net.paper.networks import find_variant
from res2net.paper.paths import paths_of
from res2net.paper.structure import tally
from res2net.paper.variant import FirstBlock

RULES = [rule.value for rule in FirstBlock]
CASES: list[tuple[str, dict[str, int], str | None, str]] = [
    *(("res2net29_small", {"depth": 11, "scale": 3}, rule, "c3") for rule in RULES),
    ("res2net29_small", {"depth": 11, "scale": 4}, "pool", "c2"),
    ("res2net26_small", {}, "pool", "c3"),
    ("res2net18", {}, None, "c3"),
    ("res2net50d", {}, None, "c2"),
    ("dla60_res2net", {"scale": 2}, None, "c3"),
    ("blres2net50", {}, None, "c2"),
    ("wideresnet28_10", {"depth": 10, "width": 1}, None, "c3"),
    ("densenet_bc190_40", {"depth": 16, "width": 4}, None, "c3"),
]


class UpTo(nn.Module):
    """A network up to a level."""

    def __init__(self, network: Network, level: str) -> None:
        super().__init__()
        self.network, self.level = network, level

    def forward(self, x: Tensor) -> Tensor:
        return self.network.forward_levels(x, [self.level])[self.level]


def both(name: str, options: dict[str, int], rule: str | None, level: str) -> tuple[UpTo, Any]:
    """The modules and the counted structure of one variant."""
    given: dict[str, Any] = {**options, **({"first_block": rule} if rule else {})}
    torch.manual_seed(0)
    network = create_model(name, num_classes=0, **given).eval()
    row = find_variant(name, options)
    if rule:
        row = replace(row, first_block=FirstBlock(rule))
    return UpTo(network, level), tally(row)


def walk(node: fx.Node, modules: dict[str, nn.Module], sees: int, stride: int) -> Iterator[int]:
    """The field of each path from a node of the traced modules to the output."""
    if node.op == "output":
        yield sees
        return
    if node.op == "call_module":
        layer = modules[str(node.target)]
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            kernel, step, dilation = (
                value if isinstance(value, int) else value[0]
                for value in (layer.kernel_size, layer.stride, getattr(layer, "dilation", 1))
            )
            sees, stride = sees + dilation * (kernel - 1) * stride, stride * step
    if node.target is F.interpolate:
        stride //= 2
    for user in node.users:
        if user.target is not getattr and not (user.target is F.interpolate and _is_size(node)):
            yield from walk(user, modules, sees, stride)


def _is_size(node: fx.Node) -> bool:
    return node.target is operator.getitem and getattr(node.args[0], "target", None) is getattr


@pytest.mark.parametrize(("name", "options", "rule", "level"), CASES)
def test_counting_is_walking_the_modules(
    name: str, options: dict[str, int], rule: str | None, level: str
) -> None:
    network, structure = both(name, options, rule, level)
    traced = fx.symbolic_trace(network)
    image = next(node for node in traced.graph.nodes if node.op == "placeholder")
    walked = Counter(walk(image, dict(traced.named_modules()), 1, 1))
    trail = next(each.trail for each in structure.levels if each.name == level)
    counted = paths_of(structure.image, [trail])[0]
    assert counted.counts == walked
    assert counted.total > 3


@pytest.mark.parametrize(
    ("name", "options", "rule", "level"),
    [case for case in CASES if case[0] != "densenet_bc190_40" and case[2] in ("pool", None)],
)
def test_pixels_beyond_the_field_change_nothing_and_those_at_its_edge_do(
    name: str, options: dict[str, int], rule: str | None, level: str
) -> None:
    network, structure = both(name, options, rule, level)
    network.double()
    for module in network.modules():  # no branch silent
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 0.5)
    found = next(each for each in structure.levels if each.name == level)
    radius = found.receptive_field // 2
    side = (2 * radius // 32 + 3) * 32
    x = torch.randn(1, 3, side, side, dtype=torch.float64)
    row = side // found.stride // 2
    at = row * found.stride
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[at - radius : at + radius + 1, at - radius : at + radius + 1] = True
    with torch.no_grad():
        before = network(x)[0, :, row, row]
        noise = torch.randn_like(x)
        after = network(torch.where(inside, x, noise))[0, :, row, row]
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)
    for pool in [m for m in network.modules() if isinstance(m, nn.MaxPool2d)]:
        pool.forward = lambda y, p=pool: F.avg_pool2d(  # else one pixel takes all
            y, p.kernel_size, p.stride, p.padding, p.ceil_mode
        )
    for parameter in network.parameters():
        parameter.data.abs_()
    x = x.abs().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x)[0, :, row, row].sum(), x)
    rows, columns = gradient[0].abs().sum(0).nonzero(as_tuple=True)
    widest = max(rows.max() - rows.min(), columns.max() - columns.min()) + 1
    assert widest == found.receptive_field


def test_the_effective_field_lies_inside_the_counted_one() -> None:
    network = untrained("res2net29_small", size=128, depth=11)
    structure = tally(find_variant("res2net29_small", {"depth": 11}))
    for level in structure.levels:
        field = effective_field(network, size=128, level=level.name, images=2)
        assert field.energy.sum() == pytest.approx(1)
        assert field.within(level.receptive_field // 2) == pytest.approx(1)
        assert field.side(0.5) <= field.side(0.95) <= field.side(1 - 1e-9) <= level.receptive_field
        assert field.within(field.side(0.95) // 2) >= 0.95
        assert field.within(field.side(0.95) // 2 - 1) < 0.95


def test_one_convolution_has_the_field_of_its_weights() -> None:
    """The first level of a network of one 3×3 is known in closed form."""
    network = untrained("resnet29_small", size=32, depth=11)
    network.layer1 = nn.Identity()
    weight = network.conv1.weight.detach().double()
    scale = (network.bn1.weight / (network.bn1.running_var + network.bn1.eps).sqrt()).double()
    network.act = nn.Identity()
    field = effective_field(network, size=16, level="c1", images=1500)
    wanted = (weight * scale[:, None, None, None]).square().sum((0, 1))
    wanted = (wanted / wanted.sum()).detach().numpy()
    row, column = field.centre
    assert field.energy[row - 1 : row + 2, column - 1 : column + 2] == pytest.approx(
        wanted, abs=0.02
    )


def test_untrained_networks_are_reproducible_and_have_no_silent_branch() -> None:
    a, b = (untrained("blres2net50", size=32, seed=3) for _ in range(2))
    for (name, one), other in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    norms = [m for m in a.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.weight.any() for norm in norms)


def test_bad_requests_say_why() -> None:
    network = untrained("resnet29_small", size=32, depth=11)
    with pytest.raises(ValueError, match="no level 'c9'"):
        effective_field(network, size=32, level="c9")
    with pytest.raises(ValueError, match="at least 1"):
        effective_field(network, size=32, images=0)
