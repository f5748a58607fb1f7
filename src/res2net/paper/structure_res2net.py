"""Counts of the families with a Res2Net form: ResNet, DLA, Big-Little Net.

All three families are built from the unit and the bottleneck, which come first. The counts follow
the papers and the authors' code, independently of the modules that they check.
"""

from __future__ import annotations

from dataclasses import replace

from res2net.paper.tally import Level, Map, Tally, add, concatenate, levels, upsample
from res2net.paper.variant import (
    BigLittleVariant,
    DLAVariant,
    ParallelVariant,
    ResNetVariant,
    split_channels,
)

BlockVariant = ResNetVariant | DLAVariant | BigLittleVariant


def unit(
    tally: Tally, x: Map, v: BlockVariant, width: int, stride: int, first: bool, name: str
) -> Map:
    """The Res2Net unit, s·w channels in and out: s − 1 convolutions, the last split bypasses.

    ``first``: whether it is the first in its stage (in DLA: whether it is strided).
    """
    if first and v.first_block.grouped:
        groups = v.cardinality * v.scale
        return tally.conv_bn(x, x.channels, 3, stride=stride, groups=groups, name=f"{name}.convs.0")
    pooled = stride > 1 or (first and v.first_block.pools)
    apart = pooled or isinstance(v, ParallelVariant)
    split = replace(x, channels=width)
    ys: list[Map] = []
    for i in range(v.scale - 1):
        seen = split if apart or not ys else add(split, ys[-1])
        y = tally.conv_bn(
            seen, width, 3, stride=stride, groups=v.cardinality, name=f"{name}.convs.{i}"
        )
        ys.append(y)
    if pooled:
        split = tally.average_pool(split, 3, stride=stride, padding=1, name=f"{name}.pool")
    return concatenate(*ys, split)


def bottleneck(
    tally: Tally,
    x: Map,
    v: BlockVariant,
    planes: int,
    out: int,
    stride: int,
    first: bool,
    name: str,
) -> Map:
    """1×1, 3×3 (or Res2Net unit), 1×1, SE: the residual path, without the shortcut."""
    width = split_channels(planes, v.width, v.cardinality)
    moved = v.scale > 1 and first and v.first_block.stride_at_entry  # the stride, to conv1
    entry_stride, stride = (stride, 1) if moved else (1, stride)
    y = tally.conv_bn(x, v.scale * width, 1, stride=entry_stride, name=f"{name}.conv1")
    if v.scale == 1:
        y = tally.conv_bn(y, width, 3, stride=stride, groups=v.cardinality, name=f"{name}.conv2")
    else:
        y = unit(tally, y, v, width, stride, first, name)
    y = tally.conv_bn(y, out, 1, name=f"{name}.conv3")
    return tally.se(y, name=f"{name}.se") if v.se else y


def resnet(tally: Tally, v: ResNetVariant, x: Map, num_classes: int) -> tuple[Level, ...]:
    """The whole network; c1 is the stem before its max-pool (ImageNet), or the first stage."""
    x = _stem(tally, v, x)
    maps = [] if v.stem == "cifar" else [x]
    if v.stem != "cifar":
        x = tally.max_pool(x, 3, stride=2, padding=1, name="maxpool")
    for i, blocks in enumerate(v.blocks):
        tally.stage = f"layer{i + 1}"
        for j in range(blocks):
            stride = 2 if i > 0 and j == 0 else 1
            x = _block(tally, x, v, v.planes * 2**i, stride, j == 0, f"layer{i + 1}.{j}")
        maps.append(x)
    tally.stage = "head"
    head(tally, x, num_classes)
    return levels(maps)


def head(tally: Tally, x: Map, num_classes: int, name: str = "fc") -> None:
    """Global average, then the classifier; no classifier for 0 classes."""
    x = tally.global_pool(x, name="global_pool")
    if num_classes:
        tally.linear(x, num_classes, name=name)


def _stem(tally: Tally, v: ResNetVariant, x: Map) -> Map:
    if v.stem == "cifar":
        return tally.conv_bn(x, v.planes, 3, name="conv1")
    if v.stem == "7x7":
        return tally.conv_bn(x, v.planes, 7, stride=2, name="conv1")
    half = v.planes // 2
    x = tally.conv_bn(x, half, 3, stride=2, name="conv1.0", norm="conv1.1")
    x = tally.conv_bn(x, half, 3, name="conv1.3", norm="conv1.4")
    return tally.conv_bn(x, v.planes, 3, name="conv1.6", norm="bn1")


def _block(
    tally: Tally, x: Map, v: ResNetVariant, planes: int, stride: int, first: bool, name: str
) -> Map:
    out = planes * v.expansion
    if v.basic:
        y = _basic(tally, x, v, planes, stride, first, name)
    else:
        y = bottleneck(tally, x, v, planes, out, stride, first, name)
    shortcut = _shortcut(tally, x, v, out, stride, f"{name}.downsample")
    return tally.block(name, x, add(y, shortcut))


def _basic(
    tally: Tally, x: Map, v: ResNetVariant, planes: int, stride: int, first: bool, name: str
) -> Map:
    """Two 3×3; the second a Res2Net unit and a fusing 1×1 where scale is above 1."""
    width = split_channels(planes, v.width, v.cardinality)
    y = tally.conv_bn(x, v.scale * width, 3, stride=stride, name=f"{name}.conv1")
    if v.scale == 1:
        y = tally.conv_bn(y, planes, 3, groups=v.cardinality, name=f"{name}.conv2")
    else:
        y = unit(tally, y, v, width, 1, first, name)
        y = tally.conv_bn(y, planes, 1, name=f"{name}.conv3")
    return tally.se(y, name=f"{name}.se") if v.se else y


def _shortcut(tally: Tally, x: Map, v: ResNetVariant, out: int, stride: int, name: str) -> Map:
    if stride == 1 and x.channels == out:
        return x
    if not v.average_down:
        return tally.conv_bn(x, out, 1, stride=stride, name=f"{name}.0", norm=f"{name}.1")
    if stride > 1:
        x = tally.average_pool(x, stride, stride=stride, ceil_mode=True, name=f"{name}.0")
    return tally.conv_bn(x, out, 1, name=f"{name}.1", norm=f"{name}.2")


# ---------------------------------------------------------------- DLA-60 (Yu et al.)
# The unused projections are left out.


def dla(tally: Tally, v: DLAVariant, x: Map, num_classes: int) -> tuple[Level, ...]:
    """The whole network; c1 is level1, c2..c5 the trees. The head is a 1×1 convolution."""
    x = tally.conv_bn(x, v.channels[0], 7, name="base_layer.0", norm="base_layer.1")
    maps = []
    for i, (depth, out) in enumerate(zip(v.levels, v.channels, strict=True)):
        name = tally.stage = f"level{i}"
        if i < 2:
            x = _plain_level(tally, x, depth, out, stride=i + 1, name=name)
        else:
            x = _dla_tree(tally, x, v, depth, out, 2, name, level_root=i > 2)
        if i > 0:
            maps.append(x)
    tally.stage = "head"
    x = tally.global_pool(x, name="global_pool")
    if num_classes:
        tally.conv(x, num_classes, 1, bias=True, name="fc")
    return levels(maps)


def _plain_level(tally: Tally, x: Map, depth: int, out: int, stride: int, name: str) -> Map:
    """Consecutive 3×3 convolutions, the first with the stride."""
    for i in range(depth):
        conv, norm = f"{name}.{3 * i}", f"{name}.{3 * i + 1}"  # conv, norm, ReLU
        x = tally.conv_bn(x, out, 3, stride=stride if i == 0 else 1, name=conv, norm=norm)
    return x


def _dla_tree(
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
    """Two blocks and their root, or two smaller trees; the last root gets all ``children``."""
    if depth > 1 and not level_root:
        bottom = x  # not used: the smaller trees pool for themselves
    elif stride > 1:
        bottom = tally.max_pool(x, stride, stride=stride, ceil_mode=True, name=f"{name}.downsample")
    else:
        bottom = x
    if level_root:
        children = (*children, bottom)
    if depth > 1:
        x1 = _dla_tree(tally, x, v, depth - 1, out, stride, f"{name}.tree1")
        return _dla_tree(tally, x1, v, depth - 1, out, 1, f"{name}.tree2", (*children, x1))
    shortcut = bottom
    if bottom.channels != out:
        shortcut = tally.conv_bn(bottom, out, 1, name=f"{name}.project.0", norm=f"{name}.project.1")
    x1 = _dla_block(tally, x, v, out, stride, shortcut, f"{name}.tree1")
    x2 = _dla_block(tally, x1, v, out, 1, x1, f"{name}.tree2")
    roots = concatenate(x2, x1, *children)
    return tally.conv_bn(roots, out, 1, name=f"{name}.root.conv")


def _dla_block(
    tally: Tally, x: Map, v: DLAVariant, out: int, stride: int, shortcut: Map, name: str
) -> Map:
    """A bottleneck of expansion 2; the stride decides whether the first-block rule holds."""
    y = bottleneck(tally, x, v, out // 2, out, stride, stride > 1, name)
    return tally.block(name, x, add(y, shortcut))


# ---------------------------------------------------------------- Big-Little Net (Chen et al.)

_BIGLITTLE_OUT = (256, 512, 1024)  # channels of the three modules
_BIGLITTLE_STRIDE = (2, 2, 1)  # of their fusion blocks


def biglittle(tally: Tally, v: BigLittleVariant, x: Map, num_classes: int) -> tuple[Level, ...]:
    """The whole network; c2 and c3 are the merged maps of modules 1 and 2 before their fusion."""
    x = tally.conv_bn(x, 64, 7, stride=2, name="conv1")
    maps = [x]
    x = _biglittle_stem(tally, v, x)
    for i, (out, stride) in enumerate(zip(_BIGLITTLE_OUT, _BIGLITTLE_STRIDE, strict=True)):
        name = tally.stage = f"layer{i + 1}"
        merged = _branches(tally, x, v, out, v.blocks[i], name)
        x = _sequence(tally, merged, v, out, 1, stride, f"{name}.fusion")
        maps.append(merged if stride > 1 else x)
    tally.stage = "layer4"
    x = _sequence(tally, x, v, 2048, v.blocks[3], 2, "layer4")
    tally.stage = "head"
    head(tally, x, num_classes)
    return levels([*maps, x])


def _biglittle_stem(tally: Tally, v: BigLittleVariant, x: Map) -> Map:
    """A second downsampling, itself in a big and a little branch; no max-pool."""
    big = tally.conv_bn(x, 64, 3, stride=2, name="b_conv0", norm="bn_b0")
    little = tally.conv_bn(x, 64 // v.alpha, 3, name="l_conv0", norm="bn_l0")
    little = tally.conv_bn(little, 64 // v.alpha, 3, stride=2, name="l_conv1", norm="bn_l1")
    little = tally.conv_bn(little, 64, 1, name="l_conv2", norm="bn_l2")
    return tally.conv_bn(add(big, little), 64, 1, name="bl_init", norm="bn_bl_init")


def _branches(tally: Tally, x: Map, v: BigLittleVariant, out: int, blocks: int, name: str) -> Map:
    """The big branch at half the resolution, enlarged again, plus the thin little branch."""
    big = _sequence(tally, x, v, out, blocks - 1, 2, f"{name}.big")
    few = max(1, blocks // v.beta - 1)
    little = _sequence(tally, x, v, out // v.alpha, few, 1, f"{name}.little")
    little = tally.conv_bn(little, out, 1, name=f"{name}.little_e.0", norm=f"{name}.little_e.1")
    return add(upsample(big, little), little)


def _sequence(
    tally: Tally, x: Map, v: BigLittleVariant, out: int, blocks: int, stride: int, name: str
) -> Map:
    """Consecutive bottlenecks; the first has the stride and follows the first-block rule."""
    for i in range(blocks):
        x = _biglittle_block(tally, x, v, out, stride if i == 0 else 1, i == 0, f"{name}.{i}")
    return x


def _biglittle_block(
    tally: Tally, x: Map, v: BigLittleVariant, out: int, stride: int, first: bool, name: str
) -> Map:
    """A bottleneck; its shortcut is average-pooled, then widened by a 1×1, where need be."""
    shortcut, index = x, 0
    if stride > 1:
        shortcut = tally.average_pool(
            shortcut, 3, stride=stride, padding=1, name=f"{name}.downsample.0"
        )
        index = 1
    if x.channels != out:
        conv, norm = f"{name}.downsample.{index}", f"{name}.downsample.{index + 1}"
        shortcut = tally.conv_bn(shortcut, out, 1, name=conv, norm=norm)
    y = bottleneck(tally, x, v, out // 4, out, stride, first, name)
    return tally.block(name, x, add(y, shortcut))
