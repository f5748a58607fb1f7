"""The other baselines counted: Wide ResNet and DenseNet-BC for CIFAR, DenseNet-161."""

from __future__ import annotations

from res2net.paper.maps import Level, Map, add, concatenate, levels
from res2net.paper.structure_resnet import head
from res2net.paper.tally import Tally
from res2net.paper.variant import DenseNetVariant, WideResNetVariant


def wide_resnet(tally: Tally, v: WideResNetVariant, x: Map, num_classes: int) -> tuple[Level, ...]:
    """Wide ResNet (Zagoruyko and Komodakis): pre-activation basic blocks in three stages."""
    x = tally.conv(x, 16, 3, name="conv1")
    maps = []
    for i in range(3):
        tally.stage = f"layer{i + 1}"
        for j in range((v.depth - 4) // 6):
            stride = 2 if i > 0 and j == 0 else 1
            x = _pre_activation(tally, x, 16 * v.width * 2**i, stride, f"layer{i + 1}.{j}")
        maps.append(x)
    tally.stage = "head"
    x = maps[-1] = tally.batch_norm(x, name="norm")
    head(tally, x, num_classes)
    return levels(maps)


def _pre_activation(tally: Tally, x: Map, out: int, stride: int, name: str) -> Map:
    start = x
    y = tally.batch_norm(x, name=f"{name}.bn1")
    y = tally.conv_bn(y, out, 3, stride=stride, name=f"{name}.conv1", norm=f"{name}.bn2")
    y = tally.conv(y, out, 3, name=f"{name}.conv2")
    if x.channels != out:
        x = tally.conv(x, out, 1, stride=stride, name=f"{name}.shortcut")
    return tally.block(name, start, add(y, x))


def densenet_bc(tally: Tally, v: DenseNetVariant, x: Map, num_classes: int) -> tuple[Level, ...]:
    """DenseNet-BC for CIFAR (Huang et al.): three dense blocks, compression 0.5.

    A level is the end of a dense block; the last one after the final norm.
    """
    x = tally.conv(x, 2 * v.width, 3, name="conv1")
    maps: list[Map] = []
    for i in range(1, 4):
        if maps:
            name = f"transition{i - 1}"
            x = _transition(tally, x, name, f"{name}.0", f"{name}.2", ceil_mode=True)
        tally.stage = f"block{i}"
        for j in range((v.depth - 4) // 6):
            x = _dense_layer(tally, x, v.width, f"block{i}.{j}")
        maps.append(x)
    tally.stage = "head"
    x = maps[-1] = tally.batch_norm(x, name="norm")
    head(tally, x, num_classes)
    return levels(maps)


def densenet161(tally: Tally, x: Map, num_classes: int) -> tuple[Level, ...]:
    """torchvision's DenseNet-161: growth 48.

    c1 is the stem, c2..c4 the ends of dense blocks 1..3, c5 the map after the final norm.
    """
    x = tally.conv_bn(x, 96, 7, stride=2, name="features.conv0", norm="features.norm0")
    maps = [x]
    x = tally.max_pool(x, 3, stride=2, padding=1, name="features.pool0")
    for i, layers in enumerate((6, 12, 36, 24), start=1):
        if i > 1:
            name = f"features.transition{i - 1}"
            x = _transition(tally, x, name, f"{name}.norm", f"{name}.conv")
        tally.stage = f"denseblock{i}"
        for j in range(1, layers + 1):
            x = _dense_layer(tally, x, 48, f"features.denseblock{i}.denselayer{j}")
        maps.append(x)
    tally.stage = "head"
    x = maps[-1] = tally.batch_norm(x, name="features.norm5")
    head(tally, x, num_classes, "classifier")
    return levels(maps)


def _dense_layer(tally: Tally, x: Map, growth: int, name: str) -> Map:
    """1×1 to 4k, 3×3 to k, concatenated to the input: k channels more."""
    y = tally.batch_norm(x, name=f"{name}.norm1")
    y = tally.conv_bn(y, 4 * growth, 1, name=f"{name}.conv1", norm=f"{name}.norm2")
    return tally.block(name, x, concatenate(x, tally.conv(y, growth, 3, name=f"{name}.conv2")))


def _transition(
    tally: Tally, x: Map, name: str, norm: str, conv: str, *, ceil_mode: bool = False
) -> Map:
    """Half the channels, half the pixels; ``norm`` and ``conv`` are the state-dict prefixes."""
    tally.stage = name.removeprefix("features.")
    x = tally.batch_norm(x, name=norm)
    x = tally.conv(x, x.channels // 2, 1, name=conv)
    return tally.average_pool(x, 2, stride=2, ceil_mode=ceil_mode, name=f"{name}.pool")
