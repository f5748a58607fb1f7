"""Select the places to change: the meaning of ``where``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import nn

from res2net.errors import UserError, did_you_mean
from res2net.nn.block import SplitUnit
from res2net.plug.find import ConvSequence, find_sequences
from res2net.plug.record import Record

Where = Callable[[str, nn.Module, ConvSequence], bool] | Iterable[str]


def select(model: nn.Module, run: Record, where: Where | None) -> list[ConvSequence]:
    """The sequences to change, in the order they run (see ``convert``).

    Raises:
        UserError: nothing to replace, a name that matches nothing, or two that follow each other.
    """
    found = find_sequences(model, run)
    if where is None:
        chosen = [s for s in found if s.is_bottleneck]
    elif callable(where):
        layers = dict(model.named_modules())
        chosen = [s for s in found if where(s.conv, layers[s.conv], s)]
    else:
        names = [where] if isinstance(where, str) else list(where)
        chosen = _named(found, names, dict(model.named_modules()))
    if not chosen:
        raise UserError(_nothing(model, found, where))
    replaced = {s.conv for s in chosen}
    for sequence in chosen:
        if sequence.entry in replaced:
            raise UserError(
                f"{sequence.entry} and {sequence.conv} follow each other: only one of them can be "
                "replaced"
            )
    return chosen


def _named(
    found: list[ConvSequence], names: list[str], layers: Mapping[str, nn.Module]
) -> list[ConvSequence]:
    """Sequences whose convolution has one of the names, and bottlenecks inside what has one."""
    for name in names:
        if name not in layers:
            raise UserError(f"where: there is no module {name!r}.{did_you_mean(name, layers)}")
        inside = [s for s in found if s.conv == name or s.conv.startswith(f"{name}.")]
        if not any(s.conv == name or s.is_bottleneck for s in inside):
            reason = inside[0].obstacle if inside else "no k×k stands between two convolutions"
            raise UserError(f"where: there is nothing to replace in {name}: {reason}")
    return [
        s
        for s in found
        if s.conv in names or (s.is_bottleneck and any(s.conv.startswith(f"{n}.") for n in names))
    ]


def _nothing(model: nn.Module, found: list[ConvSequence], where: Where | None) -> str:
    """Why nothing was chosen."""
    network = type(model).__name__
    for name, module in model.named_modules():
        lists = getattr(module, "convs", None), getattr(module, "bns", None)
        if isinstance(module, SplitUnit) or all(isinstance(x, nn.ModuleList) for x in lists):
            return f"nothing to replace in {network}: it is a Res2Net already ({name})"
    if where is not None:
        return (
            f"nothing to replace in {network}: `where` took none of {len(found)} k×k convolutions"
        )
    near = f"; {found[-1].obstacle}" if found else ""
    return (
        f"nothing to replace in {network}: no sequence of 1×1, k×k and 1×1 convolutions whose "
        f"result is added to a shortcut{near}. `where` can name other k×k convolutions, and "
        "Res2Conv2d can take the place of any"
    )
