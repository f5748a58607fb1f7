"""Classifiers of timm and torchvision by name, with or without Res2Net units.

Legend: B batch · C channels · H, W space · N classes
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torchvision.models as tv
from torch import Tensor, nn

from res2net.errors import UserError, did_you_mean
from res2net.models.network import GlobalPool, Level, Network, Step
from res2net.models.torchvision_baselines import accept_channels
from res2net.paper.variant import FirstBlock, LibraryVariant
from res2net.plug.convert import convert

_AUXILIARY = ("googlenet", "inception_v3")


class LibraryNetwork(Network):
    """A network of a library, with its own pooling: (B, in_channels, H, W) → (B, num_classes).

    Its only level is the pooled features, so it can be trained, evaluated and exported as a
    classifier, but is not a backbone.
    """

    HEAD = "head"

    def __init__(
        self,
        variant: LibraryVariant,
        *,
        num_classes: int,
        in_channels: int = 3,
        global_pool: GlobalPool = "avg",
        first_block: FirstBlock | None = None,
    ) -> None:
        if global_pool != "avg":
            raise TypeError(f"{variant.architecture} cannot take global_pool: it has its own")
        super().__init__(global_pool=global_pool)
        self.variant = variant
        make = _MAKERS[variant.origin]
        self.body, features = make(variant.architecture, in_channels)
        if variant.scale > 1:
            self.body, _ = convert(
                self.body,
                scale=variant.scale,
                width=variant.width,
                first_block=first_block or variant.first_block,
                image_size=variant.size,
            )
        self.levels = (Level("c1", features, variant.size),)
        self.reset_classifier(num_classes)

    def steps(self) -> tuple[Step, ...]:
        return (Step("c1", self.body, (self.body,)),)

    def forward_head(self, x: Tensor) -> Tensor:
        logits: Tensor = getattr(self, self.HEAD)(x)
        return logits


def _of_timm(name: str, in_channels: int) -> tuple[nn.Module, int]:
    """The network without its classifier, and the number of its pooled features."""
    try:
        import timm
    except ImportError:
        raise UserError(f"timm:{name} needs timm; run `pip install timm`") from None
    _check_name("timm", name, timm.list_models())
    network = timm.create_model(name, pretrained=False, in_chans=in_channels, num_classes=0)
    features: Any = getattr(network, "head_hidden_size", None) or network.num_features
    return network, int(features)


def _of_torchvision(name: str, in_channels: int) -> tuple[nn.Module, int]:
    """The network without its classifier (the last linear layer), and the number of features."""
    _check_name("torchvision", name, tv.list_models(module=tv))
    if name in _AUXILIARY:
        raise UserError(f"torchvision:{name} has auxiliary classifiers and cannot be trained here")
    network: Any = tv.get_model(name, weights=None)
    layers = dict(network.named_modules())
    linear = [layer for layer, module in layers.items() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"torchvision:{name} has no linear classifier and cannot be trained here")
    network.set_submodule(linear[-1], nn.Identity())
    if in_channels != 3:
        first = next(layer for layer, each in layers.items() if isinstance(each, nn.Conv2d))
        network.set_submodule(first, accept_channels(layers[first], in_channels))
    return network, layers[linear[-1]].in_features


_MAKERS: dict[str, Callable[[str, int], tuple[nn.Module, int]]] = {
    "timm": _of_timm,
    "torchvision": _of_torchvision,
}


def _check_name(library: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise UserError(
            f"unknown model {library}:{name}.{did_you_mean(name, known)} {library}'s "
            "list_models() lists them."
        )
