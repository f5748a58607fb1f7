"""torchvision's Inception-v3 counted (Szegedy et al., CVPR 2016)."""

from __future__ import annotations

from res2net.paper.maps import Kernel, Level, Map, concatenate, levels
from res2net.paper.structure_resnet import head
from res2net.paper.tally import Tally


def inception_v3(tally: Tally, x: Map, num_classes: int) -> tuple[Level, ...]:
    """The main path; 3×3 convolutions of the stem are not padded."""
    x = _conv(tally, x, 32, 3, "Conv2d_1a_3x3", stride=2, padding=0)
    x = _conv(tally, x, 32, 3, "Conv2d_2a_3x3", padding=0)
    x = _conv(tally, x, 64, 3, "Conv2d_2b_3x3")
    maps = [x]
    x = tally.max_pool(x, 3, stride=2, name="maxpool1")
    x = _conv(tally, x, 80, 1, "Conv2d_3b_1x1")
    x = _conv(tally, x, 192, 3, "Conv2d_4a_3x3", padding=0)
    maps.append(x)
    x = tally.max_pool(x, 3, stride=2, name="maxpool2")
    for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        tally.stage = name
        x = tally.block(name, x, _a(tally, x, pooled, name))
    maps.append(x)
    tally.stage = "Mixed_6a"
    x = tally.block("Mixed_6a", x, _b(tally, x, "Mixed_6a"))
    for name, inner in (
        ("Mixed_6b", 128),
        ("Mixed_6c", 160),
        ("Mixed_6d", 160),
        ("Mixed_6e", 192),
    ):
        tally.stage = name
        x = tally.block(name, x, _c(tally, x, inner, name))
    maps.append(x)
    tally.stage = "Mixed_7a"
    x = tally.block("Mixed_7a", x, _d(tally, x, "Mixed_7a"))
    for name in ("Mixed_7b", "Mixed_7c"):
        tally.stage = name
        x = tally.block(name, x, _e(tally, x, name))
    maps.append(x)
    tally.stage = "head"
    head(tally, x, num_classes)
    return levels(maps)


def inception_auxiliary(tally: Tally, num_classes: int) -> None:
    """The second classifier on Mixed_6e: runs in training only; shapes as at 299 pixels."""
    tally.stage = "AuxLogits"
    x = tally.average_pool(Map(768, 17, 17, 16), 5, stride=3, name="AuxLogits.pool")
    x = _conv(tally, x, 128, 1, "AuxLogits.conv0")
    x = _conv(tally, x, 768, 5, "AuxLogits.conv1", padding=0)
    head(tally, x, num_classes, "AuxLogits.fc")


def _conv(
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


def _row(tally: Tally, x: Map, name: str, *convs: tuple[str, int, Kernel]) -> Map:
    """Convolutions one after the other: (name, channels, kernel) each, sizes kept."""
    for suffix, out, kernel in convs:
        x = _conv(tally, x, out, kernel, f"{name}.{suffix}")
    return x


def _pooled(tally: Tally, x: Map, out: int, name: str) -> Map:
    x = tally.average_pool(x, 3, stride=1, padding=1, name=f"{name}.pool")
    return _conv(tally, x, out, 1, f"{name}.branch_pool")


def _a(tally: Tally, x: Map, pooled: int, name: str) -> Map:
    """1×1 · 5×5 · double 3×3 · pool."""
    return concatenate(
        _row(tally, x, name, ("branch1x1", 64, 1)),
        _row(tally, x, name, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        _row(
            tally,
            x,
            name,
            ("branch3x3dbl_1", 64, 1),
            ("branch3x3dbl_2", 96, 3),
            ("branch3x3dbl_3", 96, 3),
        ),
        _pooled(tally, x, pooled, name),
    )


def _b(tally: Tally, x: Map, name: str) -> Map:
    """Half the size: 3×3 · double 3×3 · max-pool, none of the strided ones padded."""
    double = _row(tally, x, name, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3))
    return concatenate(
        _conv(tally, x, 384, 3, f"{name}.branch3x3", stride=2, padding=0),
        _conv(tally, double, 96, 3, f"{name}.branch3x3dbl_3", stride=2, padding=0),
        tally.max_pool(x, 3, stride=2, name=f"{name}.pool"),
    )


def _c(tally: Tally, x: Map, inner: int, name: str) -> Map:
    """1×1 · 7×7 in two strips · double 7×7 in four strips · pool."""
    flat, tall = (1, 7), (7, 1)
    return concatenate(
        _row(tally, x, name, ("branch1x1", 192, 1)),
        _row(
            tally,
            x,
            name,
            ("branch7x7_1", inner, 1),
            ("branch7x7_2", inner, flat),
            ("branch7x7_3", 192, tall),
        ),
        _row(
            tally,
            x,
            name,
            ("branch7x7dbl_1", inner, 1),
            ("branch7x7dbl_2", inner, tall),
            ("branch7x7dbl_3", inner, flat),
            ("branch7x7dbl_4", inner, tall),
            ("branch7x7dbl_5", 192, flat),
        ),
        _pooled(tally, x, 192, name),
    )


def _d(tally: Tally, x: Map, name: str) -> Map:
    """Half the size: 3×3 · 7×7 in strips, then 3×3 · max-pool."""
    short = _row(tally, x, name, ("branch3x3_1", 192, 1))
    long = _row(
        tally,
        x,
        name,
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
    )
    return concatenate(
        _conv(tally, short, 320, 3, f"{name}.branch3x3_2", stride=2, padding=0),
        _conv(tally, long, 192, 3, f"{name}.branch7x7x3_4", stride=2, padding=0),
        tally.max_pool(x, 3, stride=2, name=f"{name}.pool"),
    )


def _e(tally: Tally, x: Map, name: str) -> Map:
    """1×1 · 3×3 as two strips side by side · 3×3, then such strips · pool."""
    flat, tall = (1, 3), (3, 1)
    short = _row(tally, x, name, ("branch3x3_1", 384, 1))
    long = _row(tally, x, name, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
    return concatenate(
        _row(tally, x, name, ("branch1x1", 320, 1)),
        _row(tally, short, name, ("branch3x3_2a", 384, flat)),
        _row(tally, short, name, ("branch3x3_2b", 384, tall)),
        _row(tally, long, name, ("branch3x3dbl_3a", 384, flat)),
        _row(tally, long, name, ("branch3x3dbl_3b", 384, tall)),
        _pooled(tally, x, 192, name),
    )
