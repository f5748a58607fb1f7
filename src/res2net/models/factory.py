"""Build a network from its name in the model table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from res2net.errors import UserError, did_you_mean
from res2net.models.biglittle import BigLittleNet
from res2net.models.cifar_baselines import DenseNetBC, WideResNet
from res2net.models.dla import DLA
from res2net.models.libraries import LibraryNetwork
from res2net.models.network import GlobalPool, Network, check_count
from res2net.models.resnet import ResNet
from res2net.models.torchvision_baselines import DenseNet161, InceptionV3
from res2net.nn.layers import ActLayer, NormLayer, frozen_batch_norm, group_norm
from res2net.paper.networks import find_variant
from res2net.paper.variant import (
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
from res2net.weights.pretrained import open_pretrained

_FAMILIES: dict[type, Callable[..., Network]] = {
    ResNetVariant: ResNet,
    ParallelVariant: ResNet,
    DLAVariant: DLA,
    BigLittleVariant: BigLittleNet,
    WideResNetVariant: WideResNet,
    DenseNetVariant: DenseNetBC,
    LibraryVariant: LibraryNetwork,
}
_TORCHVISION: dict[str, Callable[..., Network]] = {
    "inception_v3": InceptionV3,
    "densenet161": DenseNet161,
}


def create_model(
    name: str,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    pretrained: str | Path | None = None,
    drop_path: float = 0.0,
    first_block: FirstBlock | str | None = None,
    zero_init: bool | None = None,
    norm_layer: NormLayer | None = None,
    act_layer: ActLayer | None = None,
    global_pool: GlobalPool = "avg",
    **variant: Any,
) -> Network:
    """Build a network of the model table: (B, in_channels, H, W) → (B, num_classes).

    Args:
        name: a model name (``res2net.list_models()``), or ``timm:NAME`` or
            ``torchvision:NAME``, whose bottlenecks a ``scale`` above 1 splits.
        num_classes: 0 leaves the classifier out, so the network returns pooled features.
        in_channels: channels of the image.
        pretrained: initial weights: ``"in1k"`` (published ones, downloaded and checked), a name
            from ``res2net weights list``, a URL, a file in a layout of docs/weights.md, or a run
            folder. The licence is printed once and kept in ``weights_notice``; changes made to fit
            the network are printed too.
        drop_path: probability of dropping the last block's residual branch in training; it
            decreases linearly towards the first block.
        first_block: rule for the first block of each stage (``res2net.FirstBlock``); None: the
            training rule of the weights, or the model's.
        zero_init: start residual branches at zero; None: as published for the model.
        norm_layer: channels → normalisation; None is batch normalisation.
        act_layer: () → activation; None is ReLU.
        global_pool: "avg", "max" or "avgmax".
        **variant: fields of the model to change: width, scale, cardinality, depth, se (those that
            it has).

    Raises:
        UserError: an unknown network, or weights that cannot be loaded.
        TypeError: an option that this model does not have (suggests the nearest), or an invalid
            layer.
        ValueError: a value out of range.
    """
    row = find_row(name, variant, create_model)
    builder = (
        _TORCHVISION[row.architecture]
        if isinstance(row, TorchvisionVariant)
        else _FAMILIES[type(row)]
    )
    given: dict[str, Any] = {
        "drop_path": drop_path or None,
        "first_block": FirstBlock(first_block) if first_block is not None else None,
        "zero_init": zero_init,
        "norm_layer": norm_layer,
        "act_layer": act_layer,
    }
    splits = getattr(row, "scale", 1) > 1
    takes = inspect.signature(builder).parameters
    options = {option: value for option, value in given.items() if value is not None}
    for option in options:
        if option not in takes:
            raise TypeError(f"{name} has no option {option}: its architecture does not use it")
    if "first_block" in options and not splits:
        raise TypeError(f"{name} has no option first_block: the rule needs several splits")
    check_count("num_classes", num_classes, 0)
    check_count("in_channels", in_channels, 1)
    if zero_init not in (None, True, False):
        raise ValueError(f"zero_init is {zero_init!r}; it must be True, False or None")
    for what, layer in (("norm_layer", norm_layer), ("act_layer", act_layer)):
        if layer is not None and not callable(layer):
            raise TypeError(f"{what} is {layer!r}; it must be a class or function that makes one")
    weights = None if pretrained is None else open_pretrained(pretrained, name)
    if weights is not None and weights.first_block is not None and splits:
        options.setdefault("first_block", weights.first_block)
    model = builder(
        row, num_classes=num_classes, in_channels=in_channels, global_pool=global_pool, **options
    )
    if splits:
        model.first_block = options.get("first_block", getattr(row, "first_block", None))
    if weights is not None:
        weights.load_into(model, head=model.HEAD, first_block=model.first_block)
        model.weights_notice = weights.notice
    return model


def find_row(name: str, options: dict[str, Any], maker: Callable[..., Any]) -> Variant:
    """``find_variant``; the hint for an unknown option may be an argument of ``maker`` too."""
    try:
        return find_variant(name, options)
    except TypeError as error:
        row = find_variant(name)
        stranger = next(option for option in options if option not in row.OPTIONS)
        arguments = [a for a in inspect.signature(maker).parameters if a not in ("name", "variant")]
        hint = did_you_mean(stranger, [*row.OPTIONS, *arguments])
        if hint and "Did you mean" not in str(error):
            raise TypeError(f"{error}{hint}") from None
        raise


def norm_by_name(name: str) -> NormLayer:
    """The normalisation layer of a configuration name: "batch", "group" or "frozen"."""
    norms: dict[str, NormLayer] = {
        "batch": nn.BatchNorm2d,
        "group": group_norm,
        "frozen": frozen_batch_norm,
    }
    if name not in norms:
        raise UserError(f"unknown norm {name!r}; it must be one of {', '.join(norms)}")
    return norms[name]
