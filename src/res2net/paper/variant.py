"""The rows of the model table.

A variant is frozen data. ``planes`` is the bottleneck's inner width of a plain ResNet in that stage
(64, 128, 256, 512 on ImageNet); every split width of this project follows from it by one rule,
``split_channels``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, ClassVar, Literal, NamedTuple, Self

from res2net.errors import did_you_mean

_POOLED = "the splits are not added to each other and the last one is average-pooled 3×3"
_NORMAL = "at stride 1 it is a normal block"


class _Rule(NamedTuple):
    words: str
    pools: bool = False
    counts_pad: bool = True
    grouped: bool = False
    stride_at_entry: bool = False


class FirstBlock(StrEnum):
    """Rule for the splits in the first block of a stage (docs/first-block.md).

    Attributes:
        words: the rule in a sentence.
        pools: nothing is added and the last split is average-pooled even at stride 1, as in
            every strided unit.
        counts_pad: that average includes the padding, as zeros.
        grouped: one 3×3 convolution over all splits instead of one for each.
        stride_at_entry: the convolution before the splits has the stride.
    """

    POOL = "pool", _Rule(f"{_POOLED} (pad counted)", pools=True)
    """The authors' ImageNet weights."""
    POOL_EXCLUDE_PAD = (
        "pool_exclude_pad",
        _Rule(f"{_POOLED} (pad not counted)", pools=True, counts_pad=False),
    )
    """PaddlePaddle's pooling, TensorRT's default."""
    STRIDED_ONLY = "strided_only", _Rule(f"where strided, {_POOLED}; {_NORMAL}")
    """mmdetection's, nearly."""
    STRIDED_EXCLUDE_PAD = (
        "strided_exclude_pad",
        _Rule(f"where strided, {_POOLED} (pad not counted); {_NORMAL}", counts_pad=False),
    )
    """PaddlePaddle's weights."""
    GROUP = "group", _Rule("one 3×3 convolution over all splits, with c·s groups", grouped=True)
    """The authors' CIFAR networks."""
    PAPER = (
        "paper",
        _Rule(
            "as in every block (Eq. 1); the convolution before the splits has the stride",
            stride_at_entry=True,
        ),
    )
    """The paper's equation in every block."""

    words: str
    pools: bool
    counts_pad: bool
    grouped: bool
    stride_at_entry: bool

    def __new__(cls, name: str, rule: _Rule = _Rule("")) -> Self:  # noqa: B008
        member = str.__new__(cls, name)
        member._value_ = name
        for what, value in rule._asdict().items():
            setattr(member, what, value)
        return member

    @classmethod
    def _missing_(cls, value: object) -> FirstBlock:
        raise ValueError(
            f"{value!r} is not a valid FirstBlock; it can be {', '.join(cls)}."
            f"{did_you_mean(str(value), map(str, cls))}"
        )

    @property
    def as_if_strided(self) -> FirstBlock:
        """The rule that gives a block at stride 1 the form this one gives to strided blocks."""
        return _AS_IF_STRIDED.get(self, self)


_AS_IF_STRIDED = {
    FirstBlock.STRIDED_ONLY: FirstBlock.POOL,
    FirstBlock.STRIDED_EXCLUDE_PAD: FirstBlock.POOL_EXCLUDE_PAD,
}


def split_channels(planes: int, width: int, cardinality: int = 1) -> int:
    """Channels of one split: ``floor(planes·width/64)·cardinality`` (paper 3.1, 3.2.1)."""
    return planes * width // 64 * cardinality


_MOST = 4096  # maximum of any option, far above real networks, since structures are listed at once


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """Base of all rows: the fields that a caller may change."""

    OPTIONS: ClassVar[tuple[str, ...]] = ()

    size: int  # pixels, side of the square image the published number was measured at

    def __post_init__(self) -> None:
        for option in self.OPTIONS:
            value = getattr(self, option)
            if option == "se":
                if not isinstance(value, bool):
                    raise ValueError(f"se is {value!r}; it must be True or False")
            elif isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
                raise ValueError(
                    f"{option} is {value!r}; it must be a whole number from 1 to {_MOST:,}"
                )

    def changed(self, name: str, options: Mapping[str, Any]) -> Any:
        """This row with the given options replaced.

        Raises:
            TypeError: an option that this row does not have; suggests the nearest.
            ValueError: a value out of range.
        """
        for option in options:
            if option not in self.OPTIONS:
                has = ", ".join(self.OPTIONS) or "none"
                raise TypeError(
                    f"{name} has no option {option!r} (it has: {has})."
                    f"{did_you_mean(option, self.OPTIONS)}"
                )
        return replace(self, **options)

    def options(self) -> dict[str, Any]:
        """The values of the fields that a caller may change."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name in self.OPTIONS}


# depth -> blocks per stage. 200 is PaddlePaddle's Res2Net-200, not He et al.'s ResNet-200.
IMAGENET_BLOCKS: dict[int, tuple[int, ...]] = {
    18: (2, 2, 2, 2),
    26: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 12, 48, 3),
}
BASIC_DEPTHS = (18, 34)  # two 3×3 per block; all other depths use bottlenecks


@dataclass(frozen=True, kw_only=True, slots=True)
class ResNetVariant(_Row):
    """ResNet, ResNeXt, SE-ResNet and their Res2Net forms; CIFAR rows have three stages."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("width", "scale", "cardinality", "depth", "se")

    depth: int = 50
    width: int = 64  # channels of one split, of one group, where planes = 64: the paper's w
    scale: int = 1  # splits: the paper's s; 1 is the plain bottleneck
    cardinality: int = 1  # groups of each 3×3: the paper's c
    se: bool = False  # squeeze-and-excitation before the residual addition
    stem: Literal["7x7", "deep", "cifar"] = "7x7"
    average_down: bool = False  # shortcut: average-pool, then a 1×1 at stride 1 (the "d" rows)
    planes: int = 64  # planes of the first stage
    first_block: FirstBlock = FirstBlock.POOL
    size: int = 224

    def __post_init__(self) -> None:
        _Row.__post_init__(self)
        if self.stem == "cifar":
            if self.depth < 11 or (self.depth - 2) % 9:
                raise ValueError(
                    f"depth is {self.depth}; a CIFAR network has 9n+2 layers: 11, 20, 29, 38, ..."
                )
        elif self.depth not in IMAGENET_BLOCKS:
            known = ", ".join(map(str, IMAGENET_BLOCKS))
            raise ValueError(f"depth is {self.depth}; this family has {known}")
        smallest = self.planes * self.width // 64
        if smallest < 1:
            raise ValueError(
                f"width is {self.width}; with {self.planes} planes a split would have no channel"
            )

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks per stage."""
        if self.stem == "cifar":
            return ((self.depth - 2) // 9,) * 3
        return IMAGENET_BLOCKS[self.depth]

    @property
    def basic(self) -> bool:
        """Two 3×3 a block (depth 18, 34) instead of a bottleneck."""
        return self.stem != "cifar" and self.depth in BASIC_DEPTHS

    @property
    def expansion(self) -> int:
        """Output channels of a block over its planes."""
        return 1 if self.basic else 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelVariant(ResNetVariant):
    """A Res2Net with independent splits: Eq. 1 without additions, as an ablation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DLAVariant(_Row):
    """DLA-60 and its X, Res2Net and Res2NeXt forms (the dead projections left out)."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("width", "scale", "cardinality", "se")

    width: int = 64  # channels of one split for 128 block output channels (planes = 64)
    scale: int = 1
    cardinality: int = 1
    se: bool = False
    levels: tuple[int, ...] = (1, 1, 1, 2, 3, 1)  # depth of each level's tree
    channels: tuple[int, ...] = (16, 32, 128, 256, 512, 1024)
    first_block: FirstBlock = FirstBlock.POOL  # here the stride decides, not the position
    size: int = 224


@dataclass(frozen=True, kw_only=True, slots=True)
class BigLittleVariant(_Row):
    """bLResNet and bLRes2Net (Big-Little Net, alpha and beta as published for bLResNet-50)."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("width", "scale", "cardinality", "depth", "se")

    depth: int = 50
    width: int = 64
    scale: int = 1
    cardinality: int = 1
    se: bool = False
    alpha: int = 2  # the little branch has 1/alpha of the channels
    beta: int = 4  # and about 1/beta of the blocks
    first_block: FirstBlock = FirstBlock.POOL
    size: int = 224

    BLOCKS: ClassVar[dict[int, tuple[int, ...]]] = {
        50: (3, 4, 6, 3),
        101: (4, 8, 18, 3),
        152: (5, 12, 30, 3),
    }

    def __post_init__(self) -> None:
        _Row.__post_init__(self)
        if self.depth not in self.BLOCKS:
            known = ", ".join(map(str, self.BLOCKS))
            raise ValueError(f"depth is {self.depth}; this family has {known}")
        if 64 // self.alpha // 2 * self.width // 64 < 1:
            raise ValueError(f"width is {self.width}; a split of the little branch would be empty")

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of the three modules and of layer4."""
        return self.BLOCKS[self.depth]


@dataclass(frozen=True, kw_only=True, slots=True)
class WideResNetVariant(_Row):
    """Wide ResNet for CIFAR, pre-activation basic blocks (Table 4's first baseline)."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("width", "depth")

    depth: int = 28  # 6n + 4
    width: int = 10  # widening factor k: stages of 16k, 32k, 64k channels
    size: int = 32

    def __post_init__(self) -> None:
        _Row.__post_init__(self)
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(
                f"depth is {self.depth}; a Wide ResNet has 6n+4 layers: 10, 16, 22, 28"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseNetVariant(_Row):
    """DenseNet-BC for CIFAR, compression 0.5 (Table 4)."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("width", "depth")

    depth: int = 190  # 6n + 4
    width: int = 40  # growth rate k: channels added per layer
    size: int = 32

    def __post_init__(self) -> None:
        _Row.__post_init__(self)
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"depth is {self.depth}; a DenseNet-BC has 6n+4 layers: 40, 100, 190")


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchvisionVariant(_Row):
    """A baseline taken from torchvision, without options."""

    architecture: Literal["inception_v3", "densenet161"]
    size: int = 224


LIBRARIES = ("timm", "torchvision")


@dataclass(frozen=True, kw_only=True, slots=True)
class LibraryVariant(_Row):
    """A classifier of timm or torchvision by its name there, as it is or with split bottlenecks."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("width", "scale")

    origin: str  # one of LIBRARIES
    architecture: str
    width: int = 64  # channels of one split where the k×k has 64
    scale: int = 1  # splits of each bottleneck; 1 leaves the network as it is
    first_block: FirstBlock = FirstBlock.POOL
    size: int = 224


Variant = (
    ResNetVariant
    | ParallelVariant
    | DLAVariant
    | BigLittleVariant
    | WideResNetVariant
    | DenseNetVariant
    | TorchvisionVariant
    | LibraryVariant
)
