"""Count any network of the table without torch: layers, levels, parameters, multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from res2net.errors import UserError
from res2net.paper.structure_baselines import (
    densenet161,
    densenet_bc,
    inception_auxiliary,
    inception_v3,
    wide_resnet,
)
from res2net.paper.structure_res2net import biglittle, dla, resnet
from res2net.paper.tally import Block, Layer, Level, Map, Tally, Trail
from res2net.paper.variant import (
    BigLittleVariant,
    DenseNetVariant,
    DLAVariant,
    LibraryVariant,
    ResNetVariant,
    TorchvisionVariant,
    Variant,
    WideResNetVariant,
)

__all__ = ["Block", "Layer", "Level", "Structure", "default_classes", "tally"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """The structure of a network for one square image."""

    size: int  # pixels, side of the image
    num_classes: int
    layers: tuple[Layer, ...]  # in the order they run
    levels: tuple[Level, ...]  # c1, c2, ...
    image: Trail = field(compare=False, repr=False)  # start of all paths
    blocks: tuple[Block, ...]  # in the order they run
    auxiliary: tuple[Layer, ...] = ()  # used only in training: parameters, but no multiply-adds

    @property
    def params(self) -> int:
        """Learned parameters, including auxiliary heads."""
        return sum(layer.params for layer in (*self.layers, *self.auxiliary))

    @property
    def tensors(self) -> int:
        """Entries of the state dict (five per batch norm), including auxiliary heads."""
        return sum(layer.tensors for layer in (*self.layers, *self.auxiliary))

    @property
    def macs(self) -> int:
        """Multiply-adds of convolutions and linear layers for one image: the paper's FLOPs."""
        return sum(layer.macs for layer in self.layers)

    @property
    def activations(self) -> int:
        """Output values of all convolutions for one image."""
        return sum(layer.activations for layer in self.layers)


_MOST = 1_000_000  # pixels, classes or channels; keeps counts within float range


def default_classes(variant: Variant) -> int:
    """100 for the CIFAR rows (Table 4 is CIFAR-100), 1000 for all others."""
    return 100 if variant.size == 32 else 1000


def tally(
    variant: Variant,
    *,
    size: int | None = None,
    num_classes: int | None = None,
    in_channels: int = 3,
) -> Structure:
    """Count a network for one image of (in_channels, size, size).

    Args:
        variant: a row of the model table, as ``find_variant`` returns it.
        size: pixels; the row's own size when absent.
        num_classes: 100 for CIFAR rows and 1000 for others when absent; 0 for no classifier.
        in_channels: channels of the image.

    Raises:
        UserError: a size at which some map would be empty, or a count out of range.
    """
    size = variant.size if size is None else size
    num_classes = default_classes(variant) if num_classes is None else num_classes
    for what, value, least in (
        ("size", size, 1),
        ("num_classes", num_classes, 0),
        ("in_channels", in_channels, 1),
    ):
        if not least <= value <= _MOST:
            raise UserError(f"{what} is {value}; it must be from {least} to {_MOST:,}")
    main, auxiliary = Tally(), Tally()
    image = Map(in_channels, size, size)
    levels = _run(main, auxiliary, variant, image, num_classes)
    return Structure(
        size=size,
        num_classes=num_classes,
        layers=tuple(main.layers),
        auxiliary=tuple(auxiliary.layers),
        levels=levels,
        image=image.trail,
        blocks=tuple(main.blocks),
    )


def _run(
    main: Tally, auxiliary: Tally, variant: Variant, x: Map, num_classes: int
) -> tuple[Level, ...]:
    match variant:
        case ResNetVariant():
            return resnet(main, variant, x, num_classes)
        case DLAVariant():
            return dla(main, variant, x, num_classes)
        case BigLittleVariant():
            return biglittle(main, variant, x, num_classes)
        case WideResNetVariant():
            return wide_resnet(main, variant, x, num_classes)
        case DenseNetVariant():
            return densenet_bc(main, variant, x, num_classes)
        case TorchvisionVariant(architecture="densenet161"):
            return densenet161(main, x, num_classes)
        case TorchvisionVariant(architecture="inception_v3"):
            inception_auxiliary(auxiliary, num_classes)
            return inception_v3(main, x, num_classes)
        case TorchvisionVariant():
            raise AssertionError(f"no count for {variant.architecture}")
        case LibraryVariant():
            raise UserError(
                f"{variant.origin}:{variant.architecture} is not a row of the model table; its "
                "structure is not counted here, `res2net convert` reports it"
            )
        case _:
            assert_never(variant)
