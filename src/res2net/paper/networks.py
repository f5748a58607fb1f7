"""The model table: one row per network. To add a network, add a row."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from res2net.errors import UserError, did_you_mean
from res2net.paper.variant import (
    LIBRARIES,
    BigLittleVariant,
    DenseNetVariant,
    DLAVariant,
    FirstBlock,
    LibraryVariant,
    ParallelVariant,
    ResNetVariant,
    TorchvisionVariant,
    Variant,
    WideResNetVariant,
)

_RESNET = ResNetVariant()
_RES2NET = replace(_RESNET, width=26, scale=4)
_RES2NET_D = replace(_RES2NET, stem="deep", average_down=True)  # official v1b
_RES2NET_BASIC = replace(_RES2NET, width=16, first_block=FirstBlock.PAPER)  # w = planes/s
_DLA = DLAVariant()
_CIFAR = ResNetVariant(depth=29, stem="cifar", first_block=FirstBlock.GROUP, size=32)
_CIFAR_SMALL = replace(_CIFAR, planes=16)
_SMALL = replace(_RESNET, depth=26, planes=32)

_CIFAR_ROWS: dict[str, ResNetVariant] = {
    "resnext29_8c64w": replace(_CIFAR, cardinality=8),
    "resnext29_16c64w": replace(_CIFAR, cardinality=16),
    "res2next29_6c24w_4s": replace(_CIFAR, cardinality=6, width=24, scale=4),
    "res2next29_8c25w_4s": replace(_CIFAR, cardinality=8, width=25, scale=4),
    "res2next29_6c24w_6s": replace(_CIFAR, cardinality=6, width=24, scale=6),
}

NETWORKS: dict[str, Variant] = {
    # Baselines of Tables 1-3
    "resnet50": _RESNET,
    "resnet101": replace(_RESNET, depth=101),
    "resnext50_32x4d": replace(_RESNET, width=4, cardinality=32),
    "seresnet50": replace(_RESNET, se=True),
    "inception_v3": TorchvisionVariant(architecture="inception_v3", size=299),
    "densenet161": TorchvisionVariant(architecture="densenet161"),
    "dla60": _DLA,
    "dla60x": replace(_DLA, width=4, cardinality=32),
    "blresnet50": BigLittleVariant(),
    # Res2Net on ImageNet, Tables 1-3
    "res2net50_48w_2s": replace(_RES2NET, width=48, scale=2),
    "res2net50_26w_4s": _RES2NET,
    "res2net50_14w_8s": replace(_RES2NET, width=14, scale=8),
    "res2net50_18w_6s": replace(_RES2NET, width=18, scale=6),  # Table 7
    "res2net50_26w_6s": replace(_RES2NET, scale=6),
    "res2net50_26w_8s": replace(_RES2NET, scale=8),
    "res2net50_18w_4s": replace(_RES2NET, width=18),  # the paper's Res2Net-50-L
    "res2net101_26w_4s": replace(_RES2NET, depth=101),
    "res2net152_26w_4s": replace(_RES2NET, depth=152),
    "res2next50": replace(_RESNET, width=4, cardinality=8, scale=4),
    "seres2net50_26w_4s": replace(_RES2NET, se=True),
    "dla60_res2net": replace(_DLA, width=28, scale=4),
    "dla60_res2next": replace(_DLA, width=4, cardinality=8, scale=4),
    "blres2net50": BigLittleVariant(width=26, scale=4),
    # Not in the paper: deep stem and average-pooled shortcut (official v1b, timm's "d")
    "res2net50d": _RES2NET_D,
    "res2net101d": replace(_RES2NET_D, depth=101),
    "res2net200d": replace(_RES2NET_D, depth=200),
    # Not in the paper: lighter networks
    "resnet18": replace(_RESNET, depth=18),
    "resnet34": replace(_RESNET, depth=34),
    "res2net18": replace(_RES2NET_BASIC, depth=18),
    "res2net34": replace(_RES2NET_BASIC, depth=34),
    "res2net26_26w_4s": replace(_RES2NET, depth=26),
    # Not in the paper: half the planes, for training on a few hundred photos on a laptop
    "resnet26_small": _SMALL,
    "res2net26_small": replace(_SMALL, width=26, scale=4),
    # CIFAR, Table 4 and Fig. 5
    **_CIFAR_ROWS,
    **{f"{name}_se": replace(row, se=True) for name, row in _CIFAR_ROWS.items()},
    "wideresnet28_10": WideResNetVariant(),
    "densenet_bc190_40": DenseNetVariant(),
    # Not in the paper: a quarter of the planes, for 32-pixel images on a laptop
    "resnet29_small": _CIFAR_SMALL,
    "res2net29_small": replace(_CIFAR_SMALL, width=26, scale=4),
    # The same without additions between splits, for the ablation (docs/studies.md)
    "parallel29_small": ParallelVariant(
        depth=29,
        width=26,
        scale=4,
        stem="cifar",
        planes=16,
        first_block=FirstBlock.GROUP,
        size=32,
    ),
}


_SPLITS = ("width", "scale", "cardinality", "first_block")  # that the plain baseline may change


def list_models(pattern: str = "*") -> list[str]:
    """Names of the networks that match a shell pattern, in the table's order.

    A pattern without a wildcard matches any name that contains it.
    """
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    return [name for name in NETWORKS if fnmatch.fnmatchcase(name, pattern)]


def plain_twin(variant: Variant) -> str | None:
    """The plain baseline of a Res2Net: the row that differs only in not being split.

    With groups it is the row with the same total number of groups (8c×4w×4s → 32×4d), if any.
    None if the table has no such row, and for rows that are not split.
    """
    if getattr(variant, "scale", 1) == 1:
        return None
    c, s, w = variant.cardinality, variant.scale, variant.width  # type: ignore[union-attr]
    wanted = (c * s, w) if c > 1 else (1, 64)
    twins = {
        name: (row.cardinality, row.width)  # type: ignore[union-attr]
        for name, row in NETWORKS.items()
        if type(row) is type(variant)
        and getattr(row, "scale", 0) == 1
        and replace(variant, **{field: getattr(row, field) for field in _SPLITS}) == row
    }
    return min(twins, key=lambda name: (twins[name] != wanted, twins[name][0] == 1), default=None)


def library_of(name: str) -> str:
    """The library that a name such as ``timm:resnet50`` names; "" for a row of the table."""
    library, _, architecture = name.partition(":")
    return library if library in LIBRARIES and re.fullmatch(r"\w+", architecture, re.A) else ""


def check_levels(name: str) -> None:
    """Refuse a network of a library where feature maps are needed.

    Raises:
        UserError: ``timm:NAME`` or ``torchvision:NAME``.
    """
    if library_of(name):
        raise UserError(
            f"{name}: networks of libraries are classifiers here and have no feature maps; use a "
            "network of the model table"
        )


def find_variant(name: str, options: Mapping[str, Any] | None = None) -> Variant:
    """The row of a network, with options (width, scale, cardinality, depth, se) replaced.

    Args:
        name: a row of the table, or ``timm:NAME`` or ``torchvision:NAME``, whose NAME is checked
            when the network is built.

    Raises:
        UserError: no such network; suggests the nearest.
        TypeError: an option that the row does not have; suggests the nearest.
        ValueError: a value out of range.
    """
    if isinstance(name, str) and (library := library_of(name)):
        foreign = LibraryVariant(origin=library, architecture=name.partition(":")[2])
        changed: Variant = foreign.changed(name, options or {})
        return changed
    if not isinstance(name, str) or name not in NETWORKS:
        raise UserError(
            f"unknown model {name!r}.{did_you_mean(str(name), NETWORKS)} "
            f"`res2net models` lists all {len(NETWORKS)}."
        )
    row: Variant = NETWORKS[name].changed(name, options or {})
    return row
