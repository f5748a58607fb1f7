"""A network by its maker: ours, timm's or torchvision's, none of them pretrained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import nn

from res2net.errors import UserError
from res2net.models.factory import create_model
from res2net.paper.networks import find_variant

MAKERS = ("ours", "timm", "torchvision")


def builder(network: str, maker: str) -> Callable[[], nn.Module]:
    """What builds a maker's network.

    Raises:
        UserError: the maker lacks it (ours, registered in timm, are not timm's), or is missing.
    """
    if maker == "ours":
        find_variant(network)
        return partial(create_model, network)
    try:
        if maker == "timm":
            import timm

            known = timm.models.is_model(network)
            entry = timm.models.model_entrypoint(network) if known else None
            if entry is None or not entry.__module__.startswith("timm."):
                raise UserError(f"timm has no {network}")
            return cast(Callable[[], nn.Module], entry)
        from torchvision.models import get_model, list_models

        if network not in list_models():
            raise UserError(f"torchvision has no {network}")
        extra = {"init_weights": False} if network == "inception_v3" else {}
        return partial(get_model, network, weights=None, **extra)
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install {error.name}") from None
