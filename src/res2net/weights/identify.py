"""Identify the network of a state dict by the shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache

from torch import Tensor

from res2net.paper.networks import NETWORKS
from res2net.paper.variant import (
    BASIC_DEPTHS,
    IMAGENET_BLOCKS,
    BigLittleVariant,
    DenseNetVariant,
    DLAVariant,
    FirstBlock,
    LibraryVariant,
    ResNetVariant,
    TorchvisionVariant,
    Variant,
    WideResNetVariant,
)

Shapes = Mapping[str, tuple[int, ...]]

_GROUPED, _SPLIT = "grouped first blocks", "split first blocks"


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """A network's identity by shapes. Networks with equal identities can share files."""

    family: str
    setting: str = ""  # the paper's notation: "26w x 4s", "8c x 4w x 4s"
    blocks: str = ""  # blocks per stage
    layers: str = ""  # "50 layers", if the table has that depth
    stem: str = ""
    shortcuts: str = ""
    se: str = ""
    planes: str = ""
    first_blocks: str = ""
    options: tuple[tuple[str, int | bool], ...] = ()  # options for create_model

    def name(self) -> str | None:
        """The matching row of the model table."""
        return _names().get(_key(self))

    def recipe(self) -> str | None:
        """How to build it: its name, or the nearest row with options; None if none fits."""
        return self.name() or min(_recipes(self), key=len, default=None)


def _recipes(wanted: Identity) -> Iterator[str]:
    """All rows that give the network with suitable options."""
    options = dict(wanted.options)
    for name, row in NETWORKS.items():
        known = {key: value for key, value in options.items() if key in row.OPTIONS}
        try:
            candidate = of_variant(row.changed(name, known))
        except ValueError:
            continue
        if _key(replace(candidate, first_blocks=wanted.first_blocks)) == _key(wanted):
            given = {key: value for key, value in known.items() if getattr(row, key) != value}
            words = [f"{key}={value}" for key, value in given.items()]
            if candidate.first_blocks != wanted.first_blocks:
                rule = FirstBlock.GROUP if wanted.first_blocks == _GROUPED else FirstBlock.POOL
                words.append(f"first_block='{rule}'")
            yield f"create_model({', '.join([repr(name), *words])})"


_SAID = ("setting", "layers", "blocks", "stem", "se", "shortcuts", "planes", "first_blocks")


def differences(file: Identity, model: Identity) -> tuple[str, str] | None:
    """Descriptions of the differences, or None if shapes show none."""
    if _key(file) == _key(model):
        return None
    if file.family != model.family:
        return _told(file, ("family", "setting")), _told(model, ("family", "setting"))
    differing = [name for name in _SAID if getattr(file, name) != getattr(model, name)]
    if "layers" in differing and file.layers and model.layers:
        differing.remove("blocks")
    if "stem" in differing and "shortcuts" in differing:
        differing.remove("shortcuts")  # they go together
    if "first_blocks" in differing and not (file.first_blocks and model.first_blocks):
        differing.remove("first_blocks")  # a plain network has no splits
    if "stem" in differing and "planes" in differing:
        differing.remove("planes")
    return _told(file, differing), _told(model, differing)


def _told(identity: Identity, names: Iterable[str]) -> str:
    return ", ".join(text for name in names if (text := getattr(identity, name)))


def _key(identity: Identity) -> tuple[object, ...]:
    return tuple(getattr(identity, f.name) for f in fields(Identity) if f.name != "options")


@cache
def _names() -> dict[tuple[object, ...], str]:
    names: dict[tuple[object, ...], str] = {}
    for name, variant in NETWORKS.items():
        names.setdefault(_key(of_variant(variant)), name)
    return names


# ---------------------------------------------------------------- identity of a row


def of_variant(variant: Variant) -> Identity:
    """The identity of a row of the model table."""
    match variant:
        case ResNetVariant():
            return _identity(
                "a ResNet",
                blocks=variant.blocks,
                basic=variant.basic,
                stem=variant.stem,
                pooled=variant.average_down,
                planes=variant.planes,
                cardinality=variant.cardinality,
                width=variant.width,
                scale=variant.scale,
                se=variant.se,
                grouped=variant.first_block is FirstBlock.GROUP,
            )
        case DLAVariant() | BigLittleVariant():
            dla = isinstance(variant, DLAVariant)
            return _identity(
                "a DLA" if dla else "a Big-Little network",
                blocks=() if isinstance(variant, DLAVariant) else variant.blocks,
                cardinality=variant.cardinality,
                width=variant.width,
                scale=variant.scale,
                se=variant.se,
                grouped=variant.first_block is FirstBlock.GROUP,
            )
        case WideResNetVariant():
            return _plain("a Wide ResNet", depth=variant.depth, width=variant.width)
        case DenseNetVariant():
            return _plain("a DenseNet-BC", depth=variant.depth, width=variant.width)
        case TorchvisionVariant():
            return Identity(family=f"torchvision's {variant.architecture}")
        case LibraryVariant():
            return Identity(family=f"{variant.origin}'s {variant.architecture}")


def _identity(
    family: str,
    *,
    blocks: tuple[int, ...],
    cardinality: int,
    width: int,
    scale: int,
    se: bool,
    grouped: bool,
    basic: bool = False,
    stem: str = "",
    pooled: bool = False,
    planes: int = 64,
) -> Identity:
    notation = ([f"{cardinality}c"] if cardinality > 1 else []) + [f"{width}w"]
    notation += [f"{scale}s"] if scale > 1 else []
    depth = _depth(family, blocks, basic, stem)
    options: dict[str, int | bool] = {
        "width": width,
        "scale": scale,
        "cardinality": cardinality,
        **({"depth": depth} if depth else {}),
        "se": se,
    }
    return Identity(
        family=family,
        setting=" x ".join(notation),
        blocks=f"blocks {'-'.join(map(str, blocks))}{' basic' if basic else ''}" if blocks else "",
        layers=f"{depth} layers" if depth else "",
        stem={"": "", "cifar": "CIFAR stem"}.get(stem, f"{stem} stem"),
        shortcuts="pooled shortcuts" if pooled else "strided shortcuts",
        se="with SE" if se else "without SE",
        planes=f"{planes} planes",
        first_blocks="" if scale == 1 else _GROUPED if grouped else _SPLIT,
        options=tuple(options.items()),
    )


def _depth(family: str, blocks: tuple[int, ...], basic: bool, stem: str) -> int | None:
    if not blocks:
        return None
    if stem == "cifar":
        return 9 * blocks[0] + 2
    known = BigLittleVariant.BLOCKS if "Big" in family else IMAGENET_BLOCKS
    return next(
        (
            depth
            for depth, has in known.items()
            if has == blocks and (depth in BASIC_DEPTHS) == basic
        ),
        None,
    )


def _plain(family: str, *, depth: int, width: int) -> Identity:
    return Identity(
        family=family,
        setting=f"k={width}",
        layers=f"{depth} layers",
        options=(("depth", depth), ("width", width)),
    )


# ---------------------------------------------------------------- identity of a state dict


def of_state(state: Mapping[str, Tensor]) -> Identity | None:
    """The identity of a network from its tensors under our names; None if unknown."""
    shapes: Shapes = {name: tuple(value.shape) for name, value in state.items()}
    try:
        return _of_shapes(shapes)
    except (KeyError, IndexError, ZeroDivisionError, ValueError, TypeError):
        # parts are missing, or shapes match no network
        return None


def _of_shapes(shapes: Shapes) -> Identity | None:
    if "Conv2d_1a_3x3.conv.weight" in shapes:
        return Identity(family="torchvision's inception_v3")
    if "features.conv0.weight" in shapes:
        return Identity(family="torchvision's densenet161")
    if "block1.0.conv1.weight" in shapes:
        growth = shapes["block1.0.conv2.weight"][0]
        return _plain("a DenseNet-BC", depth=6 * _count(shapes, "block1.") + 4, width=growth)
    if "level2.tree1.conv1.weight" in shapes:
        return _of_blocks(shapes, "a DLA", "level2.tree1.", "level2.tree2.", blocks=(), planes=64)
    if "layer1.big.0.conv1.weight" in shapes:
        modules = tuple(_count(shapes, f"layer{i}.big.") + 1 for i in (1, 2, 3))
        blocks = (*modules, _count(shapes, "layer4."))
        first, second = "layer1.big.0.", "layer1.big.1."
        return _of_blocks(shapes, "a Big-Little network", first, second, blocks=blocks, planes=64)
    if "layer2.0.shortcut.weight" in shapes:
        depth = 6 * _count(shapes, "layer1.") + 4
        return _plain("a Wide ResNet", depth=depth, width=shapes["layer1.0.conv1.weight"][0] // 16)
    return _of_resnet(shapes)


def _of_resnet(shapes: Shapes) -> Identity:
    stages = tuple(count for i in range(1, 5) if (count := _count(shapes, f"layer{i}.")))
    last = len(stages)
    planes = shapes["bn1.weight"][0]
    deep = "conv1.0.weight" in shapes
    kernel = 7 if deep else shapes["conv1.weight"][-1]
    pooled = f"layer{last}.0.downsample.2.weight" in shapes
    second = f"layer{last}.1." if stages[-1] > 1 else f"layer{last}.0."
    return _of_blocks(
        shapes,
        "a ResNet",
        "layer1.0.",
        second,
        blocks=stages,
        planes=planes * 2 ** (last - 1),
        stem="deep" if deep else "7x7" if kernel == 7 else "cifar",
        pooled=pooled,
        base=planes,
    )


def _of_blocks(
    shapes: Shapes,
    family: str,
    first: str,
    normal: str,
    *,
    blocks: tuple[int, ...],
    planes: int,
    stem: str = "",
    pooled: bool = False,
    base: int = 64,
) -> Identity:
    """Identity from one normal block whose plain form would have ``planes`` inner channels."""
    whole, *_, kernel = shapes[f"{normal}conv1.weight"]
    basic = kernel > 1
    inner = shapes.get(f"{normal}convs.0.weight")
    if inner is None and basic:
        split, cardinality, scale = whole, 1, 1
    else:
        split, per_group = (inner or shapes[f"{normal}conv2.weight"])[:2]
        cardinality = split // per_group
        scale = whole // split
    grouped = inner is not None and scale > 2 and f"{first}convs.1.weight" not in shapes
    if scale == 2 and inner is not None:  # one convolution in both cases: over all splits, or one
        grouped = shapes[f"{first}convs.0.weight"][0] == shapes[f"{first}conv1.weight"][0]
    return _identity(
        family,
        blocks=blocks,
        basic=basic,
        stem=stem,
        pooled=pooled,
        planes=base,
        cardinality=cardinality,
        width=-(-split * 64 // (planes * cardinality)),
        scale=scale,
        se=f"{normal}se.fc1.weight" in shapes,
        grouped=grouped,
    )


def _count(shapes: Shapes, stage: str) -> int:
    """Number of blocks of a stage."""
    numbered = re.compile(rf"{re.escape(stage)}(\d+)\.")
    return len({found[1] for name in shapes if (found := numbered.match(name))})
