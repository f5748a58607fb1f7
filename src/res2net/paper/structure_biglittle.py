"""Big-Little Net counted (Chen et al., ICLR 2019), with plain or Res2Net bottlenecks."""

from __future__ import annotations

from res2net.paper.maps import Level, Map, add, levels, upsample
from res2net.paper.structure_resnet import bottleneck, head
from res2net.paper.tally import Tally
from res2net.paper.variant import BigLittleVariant

_OUT = (256, 512, 1024)  # channels of the three modules
_STRIDE = (2, 2, 1)  # of their fusion blocks


def biglittle(tally: Tally, v: BigLittleVariant, x: Map, num_classes: int) -> tuple[Level, ...]:
    """The whole network; c2 and c3 are the merged maps of modules 1 and 2 before their fusion."""
    x = tally.conv_bn(x, 64, 7, stride=2, name="conv1")
    maps = [x]
    x = _stem(tally, v, x)
    for i, (out, stride) in enumerate(zip(_OUT, _STRIDE, strict=True)):
        name = tally.stage = f"layer{i + 1}"
        merged = _branches(tally, x, v, out, v.blocks[i], name)
        x = _sequence(tally, merged, v, out, 1, stride, f"{name}.fusion")
        maps.append(merged if stride > 1 else x)
    tally.stage = "layer4"
    x = _sequence(tally, x, v, 2048, v.blocks[3], 2, "layer4")
    tally.stage = "head"
    head(tally, x, num_classes)
    return levels([*maps, x])


def _stem(tally: Tally, v: BigLittleVariant, x: Map) -> Map:
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
    """Bottlenecks in a row; the first has the stride and follows the first-block rule."""
    for i in range(blocks):
        x = _block(tally, x, v, out, stride if i == 0 else 1, i == 0, f"{name}.{i}")
    return x


def _block(
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
