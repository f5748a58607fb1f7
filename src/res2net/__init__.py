"""Res2Net, the multi-scale backbone: every network of the paper, built, trained and used.

Names are loaded when first used; without PyTorch, those that need it raise an error that names
the extra to install.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from res2net.errors import arguments_named
from res2net.processor import hide_instructions

hide_instructions()  # before anything is imported that inspects the processor

__version__ = "0.1.0"

_HOMES = {
    "FirstBlock": "res2net.paper.variant",
    "Level": "res2net.models.network",
    "Network": "res2net.models.network",
    "Res2Conv1d": "res2net.nn.res2conv",
    "Res2Conv2d": "res2net.nn.res2conv",
    "Res2Conv3d": "res2net.nn.res2conv",
    "Res2NetBottleneck": "res2net.nn.block",
    "Res2NetUnit": "res2net.nn.block",
    "UserError": "res2net.errors",
    "choose_width": "res2net.paper.widths",
    "convert": "res2net.plug.convert",
    "create_backbone": "res2net.models.backbone",
    "create_model": "res2net.models.factory",
    "list_models": "res2net.paper.networks",
    "compare": "res2net.tasks.compare",
    "embed": "res2net.tasks.embed",
    "evaluate": "res2net.tasks.evaluate",
    "export": "res2net.api",
    "inspect_data": "res2net.inspection.inspect",
    "load": "res2net.api",
    "predict": "res2net.api",
    "preview": "res2net.api",
    "train": "res2net.api",
}
# errors of these functions name options, as typed; called as res2net.NAME they name arguments
_COMMANDS = (
    *("compare", "embed", "evaluate", "export", "inspect_data", "load", "predict", "preview"),
    "train",
)


__all__ = [
    "FirstBlock",
    "Level",
    "Network",
    "Res2Conv1d",
    "Res2Conv2d",
    "Res2Conv3d",
    "Res2NetBottleneck",
    "Res2NetUnit",
    "UserError",
    "__version__",
    "choose_width",
    "compare",
    "convert",
    "create_backbone",
    "create_model",
    "embed",
    "evaluate",
    "export",
    "inspect_data",
    "list_models",
    "load",
    "predict",
    "preview",
    "train",
]

if TYPE_CHECKING:
    from res2net.api import export, load, predict, preview, train
    from res2net.errors import UserError
    from res2net.inspection.inspect import inspect_data
    from res2net.models.backbone import create_backbone
    from res2net.models.factory import create_model
    from res2net.models.network import Level, Network
    from res2net.nn.block import Res2NetBottleneck, Res2NetUnit
    from res2net.nn.res2conv import Res2Conv1d, Res2Conv2d, Res2Conv3d
    from res2net.paper.networks import list_models
    from res2net.paper.variant import FirstBlock
    from res2net.paper.widths import choose_width
    from res2net.plug.convert import convert
    from res2net.tasks.compare import compare
    from res2net.tasks.embed import embed
    from res2net.tasks.evaluate import evaluate


def __getattr__(name: str) -> Any:
    if name == "runtime":  # needs no torch: `res2net.runtime.load(DIR)`
        return importlib.import_module("res2net.runtime")
    if name not in _HOMES:
        raise AttributeError(f"module 'res2net' has no attribute {name!r}")
    try:
        found = getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("torch", "torchvision", "pytorch_lightning", "torchmetrics"):
            raise ModuleNotFoundError(
                f"res2net.{name} needs {package}: pip install 'res2net[train]'", name=error.name
            ) from None
        raise
    if name in _COMMANDS:
        found = arguments_named()(found)
        found.__module__ = __name__  # where pickle finds it
    return globals().setdefault(name, found)


def __dir__() -> list[str]:
    return sorted(__all__)
