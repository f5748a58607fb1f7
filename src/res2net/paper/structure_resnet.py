"""The ResNet family counted: ResNet, ResNeXt, SE, Res2Net, Res2NeXt, on ImageNet and CIFAR.

The bottleneck and the Res2Net unit here serve DLA and Big-Little Net too.
"""

from __future__ import annotations

from dataclasses import replace

from res2net.paper.maps import Level, Map, add, concatenate, levels
from res2net.paper.tally import Tally
from res2net.paper.variant import (
    BigLittleVariant,
    DLAVariant,
    FirstBlock,
    ParallelVariant,
    ResNetVariant,
    split_channels,
)

BlockVariant = ResNetVariant | DLAVariant | BigLittleVariant


def unit(
    tally: Tally, x: Map, v: BlockVariant, width: int, stride: int, first: bool, name: str
) -> Map:
    """The Res2Net unit, s·w channels in and out: s − 1 convolutions, the last split bypasses.

    ``first`` says whether it stands first in its stage (in DLA: whether it is strided).
    """
    rule = v.first_block if first else None
    if rule is FirstBlock.GROUP:
        groups = v.cardinality * v.scale
        return tally.conv_bn(x, x.channels, 3, stride=stride, groups=groups, name=f"{name}.convs.0")
    pooled = stride > 1 or rule in (FirstBlock.POOL, FirstBlock.POOL_EXCLUDE_PAD)
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
    moved = v.scale > 1 and first and v.first_block is FirstBlock.PAPER  # the stride, to conv1
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
