"""DLA-60 and its Res2Net forms counted (Yu et al.; the projections that nothing uses left out)."""

from __future__ import annotations

from res2net.paper.maps import Level, Map, add, concatenate, levels
from res2net.paper.structure_resnet import bottleneck
from res2net.paper.tally import Tally
from res2net.paper.variant import DLAVariant


def dla(tally: Tally, v: DLAVariant, x: Map, num_classes: int) -> tuple[Level, ...]:
    """The whole network; c1 is level1, c2..c5 the trees. The head is a 1×1 convolution."""
    x = tally.conv_bn(x, v.channels[0], 7, name="base_layer.0", norm="base_layer.1")
    maps = []
    for i, (depth, out) in enumerate(zip(v.levels, v.channels, strict=True)):
        name = tally.stage = f"level{i}"
        if i < 2:
            x = _plain_level(tally, x, depth, out, stride=i + 1, name=name)
        else:
            x = _tree(tally, x, v, depth, out, 2, name, level_root=i > 2)
        if i > 0:
            maps.append(x)
    tally.stage = "head"
    x = tally.global_pool(x, name="global_pool")
    if num_classes:
        tally.conv(x, num_classes, 1, bias=True, name="fc")
    return levels(maps)


def _plain_level(tally: Tally, x: Map, depth: int, out: int, stride: int, name: str) -> Map:
    """3×3 convolutions in a row, the first with the stride."""
    for i in range(depth):
        conv, norm = f"{name}.{3 * i}", f"{name}.{3 * i + 1}"  # conv, norm, ReLU
        x = tally.conv_bn(x, out, 3, stride=stride if i == 0 else 1, name=conv, norm=norm)
    return x


def _tree(
    tally: Tally,
    x: Map,
    v: DLAVariant,
    depth: int,
    out: int,
    stride: int,
    name: str,
    children: tuple[Map, ...] = (),
    level_root: bool = False,
) -> Map:
    """Two blocks and their root, or two smaller trees; the last root sees all ``children``."""
    if depth > 1 and not level_root:
        bottom = x  # not used: the smaller trees pool for themselves
    elif stride > 1:
        bottom = tally.max_pool(x, stride, stride=stride, ceil_mode=True, name=f"{name}.downsample")
    else:
        bottom = x
    if level_root:
        children = (*children, bottom)
    if depth > 1:
        x1 = _tree(tally, x, v, depth - 1, out, stride, f"{name}.tree1")
        return _tree(tally, x1, v, depth - 1, out, 1, f"{name}.tree2", (*children, x1))
    shortcut = bottom
    if bottom.channels != out:
        shortcut = tally.conv_bn(bottom, out, 1, name=f"{name}.project.0", norm=f"{name}.project.1")
    x1 = _block(tally, x, v, out, stride, shortcut, f"{name}.tree1")
    x2 = _block(tally, x1, v, out, 1, x1, f"{name}.tree2")
    roots = concatenate(x2, x1, *children)
    return tally.conv_bn(roots, out, 1, name=f"{name}.root.conv")


def _block(
    tally: Tally, x: Map, v: DLAVariant, out: int, stride: int, shortcut: Map, name: str
) -> Map:
    """A bottleneck of expansion 2; the stride decides whether the first-block rule holds."""
    y = bottleneck(tally, x, v, out // 2, out, stride, stride > 1, name)
    return tally.block(name, x, add(y, shortcut))
