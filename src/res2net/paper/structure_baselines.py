"""Counts of the other baselines: Wide ResNet, DenseNet-BC, DenseNet-161, Inception-v3."""

from __future__ import annotations

from res2net.paper.structure_res2net import head
from res2net.paper.tally import Kernel, Level, Map, Tally, add, concatenate, levels
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
    """Halve channels and pixels; ``norm`` and ``conv`` are the state-dict prefixes."""
    tally.stage = name.removeprefix("features.")
    x = tally.batch_norm(x, name=norm)
    x = tally.conv(x, x.channels // 2, 1, name=conv)
    return tally.average_pool(x, 2, stride=2, ceil_mode=ceil_mode, name=f"{name}.pool")


# ---------------------------------------------------------------- Inception-v3 (Szegedy et al.)
# As torchvision has it.


def inception_v3(tally: Tally, x: Map, num_classes: int) -> tuple[Level, ...]:
    """The main path; 3×3 convolutions of the stem are not padded."""
    x = _inception_conv(tally, x, 32, 3, "Conv2d_1a_3x3", stride=2, padding=0)
    x = _inception_conv(tally, x, 32, 3, "Conv2d_2a_3x3", padding=0)
    x = _inception_conv(tally, x, 64, 3, "Conv2d_2b_3x3")
    maps = [x]
    x = tally.max_pool(x, 3, stride=2, name="maxpool1")
    x = _inception_conv(tally, x, 80, 1, "Conv2d_3b_1x1")
    x = _inception_conv(tally, x, 192, 3, "Conv2d_4a_3x3", padding=0)
    maps.append(x)
    x = tally.max_pool(x, 3, stride=2, name="maxpool2")
    for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        tally.stage = name
        x = tally.block(name, x, _mixed_a(tally, x, pooled, name))
    maps.append(x)
    tally.stage = "Mixed_6a"
    x = tally.block("Mixed_6a", x, _mixed_b(tally, x, "Mixed_6a"))
    for name, inner in (
        ("Mixed_6b", 128),
        ("Mixed_6c", 160),
        ("Mixed_6d", 160),
        ("Mixed_6e", 192),
    ):
        tally.stage = name
        x = tally.block(name, x, _mixed_c(tally, x, inner, name))
    maps.append(x)
    tally.stage = "Mixed_7a"
    x = tally.block("Mixed_7a", x, _mixed_d(tally, x, "Mixed_7a"))
    for name in ("Mixed_7b", "Mixed_7c"):
        tally.stage = name
        x = tally.block(name, x, _mixed_e(tally, x, name))
    maps.append(x)
    tally.stage = "head"
    head(tally, x, num_classes)
    return levels(maps)


def inception_auxiliary(tally: Tally, num_classes: int) -> None:
    """The auxiliary classifier on Mixed_6e, used only in training; shapes as at 299 pixels."""
    tally.stage = "AuxLogits"
    x = tally.average_pool(Map(768, 17, 17, 16), 5, stride=3, name="AuxLogits.pool")
    x = _inception_conv(tally, x, 128, 1, "AuxLogits.conv0")
    x = _inception_conv(tally, x, 768, 5, "AuxLogits.conv1", padding=0)
    head(tally, x, num_classes, "AuxLogits.fc")


def _inception_conv(
    tally: Tally,
    x: Map,
    out: int,
    kernel: Kernel,
    name: str,
    *,
    stride: int = 1,
    padding: Kernel | None = None,
) -> Map:
    return tally.conv_bn(
        x, out, kernel, stride=stride, padding=padding, name=f"{name}.conv", norm=f"{name}.bn"
    )


def _branch(tally: Tally, x: Map, name: str, *convs: tuple[str, int, Kernel]) -> Map:
    """Consecutive convolutions, given as (name, channels, kernel), that keep the size."""
    for suffix, out, kernel in convs:
        x = _inception_conv(tally, x, out, kernel, f"{name}.{suffix}")
    return x


def _pooled_branch(tally: Tally, x: Map, out: int, name: str) -> Map:
    x = tally.average_pool(x, 3, stride=1, padding=1, name=f"{name}.pool")
    return _inception_conv(tally, x, out, 1, f"{name}.branch_pool")


def _mixed_a(tally: Tally, x: Map, pooled: int, name: str) -> Map:
    """1×1 · 5×5 · double 3×3 · pool."""
    return concatenate(
        _branch(tally, x, name, ("branch1x1", 64, 1)),
        _branch(tally, x, name, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        _branch(
            tally,
            x,
            name,
            ("branch3x3dbl_1", 64, 1),
            ("branch3x3dbl_2", 96, 3),
            ("branch3x3dbl_3", 96, 3),
        ),
        _pooled_branch(tally, x, pooled, name),
    )


def _mixed_b(tally: Tally, x: Map, name: str) -> Map:
    """Half the size: 3×3 · double 3×3 · max-pool, none of the strided ones padded."""
    double = _branch(tally, x, name, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3))
    return concatenate(
        _inception_conv(tally, x, 384, 3, f"{name}.branch3x3", stride=2, padding=0),
        _inception_conv(tally, double, 96, 3, f"{name}.branch3x3dbl_3", stride=2, padding=0),
        tally.max_pool(x, 3, stride=2, name=f"{name}.pool"),
    )


def _mixed_c(tally: Tally, x: Map, inner: int, name: str) -> Map:
    """1×1 · 7×7 in two strips · double 7×7 in four strips · pool."""
    flat, tall = (1, 7), (7, 1)
    return concatenate(
        _branch(tally, x, name, ("branch1x1", 192, 1)),
        _branch(
            tally,
            x,
            name,
            ("branch7x7_1", inner, 1),
            ("branch7x7_2", inner, flat),
            ("branch7x7_3", 192, tall),
        ),
        _branch(
            tally,
            x,
            name,
            ("branch7x7dbl_1", inner, 1),
            ("branch7x7dbl_2", inner, tall),
            ("branch7x7dbl_3", inner, flat),
            ("branch7x7dbl_4", inner, tall),
            ("branch7x7dbl_5", 192, flat),
        ),
        _pooled_branch(tally, x, 192, name),
    )


def _mixed_d(tally: Tally, x: Map, name: str) -> Map:
    """Half the size: 3×3 · 7×7 in strips, then 3×3 · max-pool."""
    short = _branch(tally, x, name, ("branch3x3_1", 192, 1))
    long = _branch(
        tally,
        x,
        name,
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
    )
    return concatenate(
        _inception_conv(tally, short, 320, 3, f"{name}.branch3x3_2", stride=2, padding=0),
        _inception_conv(tally, long, 192, 3, f"{name}.branch7x7x3_4", stride=2, padding=0),
        tally.max_pool(x, 3, stride=2, name=f"{name}.pool"),
    )


def _mixed_e(tally: Tally, x: Map, name: str) -> Map:
    """1×1 · 3×3 as two strips side by side · 3×3, then such strips · pool."""
    flat, tall = (1, 3), (3, 1)
    short = _branch(tally, x, name, ("branch3x3_1", 384, 1))
    long = _branch(tally, x, name, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
    return concatenate(
        _branch(tally, x, name, ("branch1x1", 320, 1)),
        _branch(tally, short, name, ("branch3x3_2a", 384, flat)),
        _branch(tally, short, name, ("branch3x3_2b", 384, tall)),
        _branch(tally, long, name, ("branch3x3dbl_3a", 384, flat)),
        _branch(tally, long, name, ("branch3x3dbl_3b", 384, tall)),
        _pooled_branch(tally, x, 192, name),
    )
