"""``convert``: replace the k×k convolutions in a network's bottlenecks by Res2Net units."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping

from torch import nn

from res2net.errors import UserError, did_you_mean
from res2net.nn.block import SplitUnit
from res2net.nn.layers import ActLayer, NormLayer
from res2net.paper.variant import FirstBlock
from res2net.paper.widths import nearest_width
from res2net.plug.budget import Budget, cost_of_width, count_params
from res2net.plug.find import ConvSequence, find_sequences
from res2net.plug.record import Record, record
from res2net.plug.replace import Setting, replace
from res2net.plug.report import BlockChange, ConversionReport

Where = Callable[[str, nn.Module, ConvSequence], bool] | Iterable[str]


def convert(
    model: nn.Module,
    *,
    scale: int = 4,
    width: Budget | int = "match-params",
    cardinality: int | None = None,
    where: Where | None = None,
    first_block: FirstBlock | str = FirstBlock.POOL,
    image_size: int = 224,
    norm_layer: NormLayer | None = None,
    act_layer: ActLayer | None = None,
) -> tuple[nn.Module, ConversionReport]:
    """Put a Res2Net unit into every bottleneck of a network, in a copy: (network, report).

    The k×k convolution of each bottleneck becomes a unit of s splits of w channels, the layers
    around it are resized to s·w channels, and the norm and activation after the k×k move into the
    splits. Layers with unchanged channels keep their weights; the others are reinitialised, so the
    network must be trained.

    Args:
        model: a network that takes an image (B, C, H, W); it is not changed.
        scale: splits of each unit (s), at least 2.
        width: channels of one split where the k×k has 64 (the paper's w), floor(channels·w/64)
            elsewhere, down to a multiple of the groups; or the w that comes nearest to the
            network's own parameters ("match-params") or multiply-adds ("match-macs").
        cardinality: groups of each split's convolution; None divides those of the k×k, as in the
            paper (32 groups become 8 in each of 4 splits).
        where: which k×k convolutions to replace. None: those of bottlenecks, found by shape. Names
            of modules: the bottlenecks inside them, or the convolutions themselves. A function
            (name, convolution, sequence) → bool: called for every k×k convolution between two
            others (``sequence.is_bottleneck``: whether it is found by shape).
        first_block: rule for the first block of a stage, that is one that is strided or whose
            output has other channels than its input (``res2net.FirstBlock``).
        image_size: pixels, side of the image for tracing and counting the network.
        norm_layer, act_layer: norm and activation inside the splits; None: the block's own.

    Raises:
        UserError: nothing to replace, a name that matches nothing, a width too small, a network
            that cannot be run on such an image, or an activation that would be applied twice.
    """
    _check(model, scale, width, cardinality)
    setting = Setting(
        scale=scale,
        cardinality=cardinality,
        first_block=FirstBlock(first_block),
        norm_layer=norm_layer,
        act_layer=act_layer,
    )
    converted = copy.deepcopy(model)
    before = record(converted, image_size)
    sequences = select(converted, before, where)
    layers = dict(model.named_modules())
    least = max(setting.least_width(_conv(layers, sequence)) for sequence in sequences)
    if isinstance(width, str):
        cost = cost_of_width(converted, before, sequences, setting, width)
        budget = count_params(model) if width == "match-params" else before.macs
        width = nearest_width(cost, budget, least=least)
    elif width < least:
        raise UserError(f"width is {width}; the narrowest of these blocks needs {least} or more")
    for sequence in sequences:
        replace(converted, sequence, setting, width)
    after = _run_again(converted, before, image_size)
    report = ConversionReport(
        network=type(model).__name__,
        image_size=image_size,
        width=width,
        scale=scale,
        first_block=setting.first_block.value,
        blocks=tuple(_change(model, converted, before, after, s) for s in sequences),
        params=(count_params(model), count_params(converted)),
        macs=(before.macs, after.macs),
        notes=_notes(sequences),
    )
    return converted, report


def _run_again(converted: nn.Module, before: Record, image_size: int) -> Record:
    """Trace the converted network, which must have the same output shapes."""
    try:
        after = record(converted, image_size)
        if after.output == before.output:
            return after
        reason = f"it outputs {after.output} instead of {before.output}"
    except UserError as error:
        reason = str(error)
    raise UserError(f"after conversion: {reason}; leave blocks out with `where`")


def _check(model: object, scale: int, width: str | int, cardinality: int | None) -> None:
    if not isinstance(model, nn.Module):
        raise UserError(f"convert takes a built network (torch.nn.Module), not {model!r}")
    if scale < 2:
        raise UserError(f"scale is {scale}; a unit needs at least 2 splits")
    if cardinality is not None and cardinality < 1:
        raise UserError(f"cardinality is {cardinality}; it must be at least 1")
    if isinstance(width, str) and width not in ("match-params", "match-macs"):
        raise UserError(f"width is {width!r}; it must be match-params, match-macs or a number")


def _conv(layers: Mapping[str, nn.Module], sequence: ConvSequence) -> nn.Conv2d:
    conv = layers[sequence.conv]
    assert isinstance(conv, nn.Conv2d)
    return conv


def _change(
    model: nn.Module, converted: nn.Module, before: Record, after: Record, sequence: ConvSequence
) -> BlockChange:
    conv = _conv(dict(model.named_modules()), sequence)
    unit = converted.get_submodule(sequence.conv)
    assert isinstance(unit, SplitUnit)
    inner = next(m for m in unit.modules() if isinstance(m, nn.Conv2d))
    return BlockChange(
        name=sequence.block or sequence.conv,
        conv=sequence.conv,
        kernel=(conv.kernel_size[0], conv.kernel_size[1]),
        stride=max(inner.stride),
        form=unit.form,
        channels=conv.out_channels,
        groups=conv.groups,
        width=unit.width,
        scale=unit.scale,
        cardinality=inner.groups // (unit.scale if unit.grouped else 1),
        params=(_block_params(model, sequence), _block_params(converted, sequence)),
        macs=(_macs(before, sequence), _macs(after, sequence)),
        receptive_field=(_sees(before, sequence), _sees(after, sequence)),
    )


def _block_params(model: nn.Module, sequence: ConvSequence) -> int:
    """Learned parameters from entry to exit; the unit has its own in its children."""
    layers = dict(model.named_modules())
    return sum(
        p.numel()
        for name in sequence.modules
        for p in layers[name].parameters(recurse=name == sequence.conv)
    )


def _macs(run: Record, sequence: ConvSequence) -> int:
    names, unit = set(sequence.modules), f"{sequence.conv}."
    return sum(s.macs for s in run.steps if s.module in names or s.module.startswith(unit))


def _sees(run: Record, sequence: ConvSequence) -> int:
    return next(s.receptive_field for s in run.steps if s.module == sequence.exit)


def _notes(sequences: list[ConvSequence]) -> tuple[str, ...]:
    """Notes on the norm and activation after the k×k."""
    notes = []
    if any(s.tail.norm or s.tail.act_alone for s in sequences):
        notes.append(
            "Norm and activation after each k×k are now inside the splits; an identity replaces "
            "them."
        )
    stays = [s for s in sequences if s.tail.act and not s.tail.act_alone and not s.tail.act_in_norm]
    if stays:
        same = all(s.entry_tail.act == s.tail.act for s in stays)
        effect = "changes nothing" if same else "changes only the split that passes"
        notes.append(
            "The activation after the k×k cannot be removed, since the block calls it in several "
            f"places or as a function; applied again to the unit's output, it {effect}."
        )
    tails = [(s.tail, s.entry_tail) for s in sequences]
    if any(
        (tail.norm is None and entry.norm) or (tail.act is None and entry.act)
        for tail, entry in tails
    ):
        notes.append(
            "Where no norm or no activation directly follows the k×k, the splits have that of the "
            "1×1 before; later ones stay."
        )
    return tuple(notes)


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
