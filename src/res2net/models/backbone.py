"""Networks as backbones: named feature maps for any head (docs/backbones.md).

Legend: B batch · C channels of a level · H, W space · s stride of a level
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from res2net.models.factory import create_model, find_row
from res2net.models.network import Level, Network, Step
from res2net.nn.layers import ActLayer, NormLayer
from res2net.paper.networks import check_levels, find_variant
from res2net.paper.variant import FirstBlock

DEFAULT_LEVELS = ("c2", "c3", "c4", "c5")  # for photos; models for 32×32 return all


class Interface(Network):
    """Methods that take precedence over those of the network's own family (see ``recast``)."""

    _parts: ClassVar[tuple[type[Interface], type[Network]]]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Copy and pickle by the two classes, since the combined class is created on demand."""
        return _bare, type(self)._parts, self.__dict__


InterfaceT = TypeVar("InterfaceT", bound=Interface)


def recast(network: Network, interface: type[InterfaceT]) -> InterfaceT:
    """The same object, modules and parameter names, with the methods of ``interface``.

    A wrapper would prefix every parameter name, by which weight files, optimisers and sharding
    identify parameters. Therefore the network itself changes class, as in
    ``torch.nn.utils.parametrize``.
    """
    network.__class__ = _combined(interface, type(network))
    assert isinstance(network, interface)
    return network


@cache
def _combined(interface: type[Interface], family: type[Network]) -> type[Network]:
    name = f"{family.__name__}{interface.__name__}"
    members = {"__module__": interface.__module__, "_parts": (interface, family)}
    return type(name, (interface, family), members)


def _bare(interface: type[Interface], family: type[Network]) -> Network:
    combined = _combined(interface, family)
    return combined.__new__(combined)


class Backbone(Interface):
    """A network that returns feature maps: (B, in_channels, H, W) → {level: (B, C, H/s, W/s)}.

    Parameter names are those of the network; layers after the deepest level are removed.

    Attributes:
        levels: name, channels and stride of the maps that ``forward`` returns, in order.
    """

    _reached: tuple[Level, ...]  # all levels up to the deepest one; freezing counts these

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return self.forward_levels(x)

    def steps(self) -> tuple[Step, ...]:
        steps: tuple[Step, ...] = super().steps()  # type: ignore[safe-super]
        return steps_up_to(steps, self._reached[-1].name)

    def reset_classifier(self, num_classes: int) -> None:  # noqa: ARG002
        """Refused: a backbone has no classifier.

        Raises:
            TypeError: always.
        """
        raise TypeError("a backbone has no classifier; use create_model for a network with one")


def create_backbone(
    name: str,
    *,
    out_levels: Sequence[str] | None = None,
    output_stride: int | None = None,
    frozen_stages: int = 0,
    frozen_norm: bool = False,
    pretrained: str | Path | None = None,
    in_channels: int = 3,
    drop_path: float = 0.0,
    first_block: FirstBlock | str | None = None,
    zero_init: bool | None = None,
    norm_layer: NormLayer | None = None,
    act_layer: ActLayer | None = None,
    **variant: Any,
) -> Backbone:
    """Build a network of the model table as a backbone: (B, in_channels, H, W) → named maps.

    Args:
        name: a model name (``res2net.list_models()``).
        out_levels: the maps to return, in this order; None: c2 to c5, or c1 to c3 for models for
            32×32 images. Layers after the deepest of them are left out.
        output_stride: of the deepest map: 32, 16 or 8 (models for 32×32 images: 4, 2 or 1); None:
            the model's own. Removed strides become dilations. Inception-v3, DenseNets and Wide
            ResNet support only their own.
        frozen_stages: freeze this many levels: 1 is the stem (up to c1), 2 the first stage as well.
        frozen_norm: every batch norm keeps its statistics, weight and bias.
        pretrained, in_channels, drop_path, first_block, zero_init, norm_layer, act_layer, variant:
            as in ``create_model``.

    Raises:
        UserError: an unknown network, or weights that cannot be loaded.
        TypeError: an option that this model, or any backbone, does not have.
        ValueError: an unknown level or unsupported stride (the message lists the choices), or a
            value out of range.
    """
    strangers = sorted(variant.keys() & inspect.signature(create_model).parameters.keys())
    if strangers:
        raise TypeError(f"create_backbone takes no {strangers[0]}: a backbone has no classifier")
    find_row(name, variant, create_backbone)
    check_levels(name)
    network = network_at_stride(
        name,
        output_stride,
        num_classes=0,
        pretrained=pretrained,
        in_channels=in_channels,
        drop_path=drop_path,
        first_block=first_block,
        zero_init=zero_init,
        norm_layer=norm_layer,
        act_layer=act_layer,
        **variant,
    )
    levels = _chosen(network, out_levels)
    if frozen_norm:
        freeze_norms(network)
    backbone = as_backbone(network, levels)
    backbone.freeze(frozen_stages)
    return backbone


def network_at_stride(name: str, output_stride: int | None, **options: Any) -> Network:
    """``create_model(name, **options)`` at an output stride; None is the model's own.

    Raises:
        ValueError: a stride that the network does not have; names those it has.
        UserError, TypeError, ValueError: what ``create_model`` refuses.
    """
    network = create_model(name, **options)
    own = network.levels[-1].stride
    if output_stride is None or output_stride == own:
        return network
    family: Callable[..., Network] = type(network)
    if "output_stride" not in inspect.signature(family).parameters:
        raise ValueError(f"output_stride is {output_stride}; {name} has {own} only")
    fields = find_variant(name).OPTIONS  # options of the variant; the network takes all others
    variant = {option: value for option, value in options.items() if option in fields}
    given = {
        option: value
        for option, value in options.items()
        if option not in (*fields, "pretrained") and value is not None
    }
    given.update(
        num_classes=network.num_classes,
        first_block=network.first_block,  # default: the rule of the weights
        output_stride=output_stride,
    )
    dense = family(find_variant(name, variant), **given)
    dense.load_state_dict(network.state_dict())
    dense.first_block, dense.weights_notice = network.first_block, network.weights_notice
    return dense


def as_backbone(network: Network, levels: Sequence[Level]) -> Backbone:
    """Turn a network into a backbone that returns the given levels, in place."""
    order = [level.name for level in network.levels]
    deepest = max(order.index(level.name) for level in levels)
    reached = network.levels[: deepest + 1]
    drop_unused(network, reached[-1].name)
    backbone = recast(network, Backbone)
    backbone._reached, backbone.levels = reached, tuple(levels)
    backbone.num_classes = 0
    return backbone


def drop_unused(network: Network, deepest: str) -> None:
    """Remove, in place, every parameter that does not affect the map of level ``deepest``."""
    steps = steps_up_to(network.steps(), deepest)
    keep_only(network, {module for step in steps for module in step.modules})


def keep_only(network: Network, used: set[nn.Module]) -> None:
    """Remove, in place, the parameters of all modules of steps that are not ``used``."""
    unused = {module for step in network.steps() for module in step.modules} - used
    _drop(network, unused, kept=used)


def freeze_norms(module: nn.Module) -> None:
    """Replace every batch norm with a frozen one, in place: same outputs as in evaluation mode.

    Raises:
        ValueError: there is none.
    """
    found = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d)]
    if not found:
        raise ValueError("frozen_norm is for batch norm, and this network has none")
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, _frozen(child))


def _frozen(norm: nn.BatchNorm2d) -> FrozenBatchNorm2d:
    frozen = FrozenBatchNorm2d(norm.num_features, eps=norm.eps).to(norm.running_mean)
    frozen.load_state_dict(norm.state_dict())
    return frozen


def _chosen(network: Network, names: Sequence[str] | None) -> list[Level]:
    known = {level.name: level for level in network.levels}
    if names is None:
        names = DEFAULT_LEVELS if DEFAULT_LEVELS[-1] in known else tuple(known)
    has = ", ".join(known)
    if isinstance(names, str) or not names or len(set(names)) < len(names):
        raise ValueError(f"out_levels is {names!r}; give different names out of {has}, as a tuple")
    for name in names:
        if name not in known:
            raise ValueError(f"no level {name!r}; this network has {has}")
    return [known[name] for name in names]


def steps_up_to(steps: tuple[Step, ...], deepest: str) -> tuple[Step, ...]:
    """The steps of a forward pass that ends in level ``deepest``."""
    end = next(i for i, step in enumerate(steps) if step.level == deepest)
    return steps[: end + 1]


def _drop(parent: nn.Module, unused: set[nn.Module], kept: set[nn.Module]) -> None:
    """Replace every unused module, and those that no step runs (heads), with an identity."""
    for name, child in parent.named_children():
        if child in kept or not child.state_dict():
            continue
        if child in unused or (kept | unused).isdisjoint(child.modules()):
            setattr(parent, name, nn.Identity())
        else:
            _drop(child, unused, kept)
