"""``res2net info NAME``: the structure of one network, and its published results."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from res2net.cli.parser import Parser, read_options
from res2net.cli.tables import depth, new_table, notation, show
from res2net.errors import UserError, check_needs
from res2net.files import alone_in, write_text
from res2net.paper.claims import CLAIMS
from res2net.paper.networks import NETWORKS, find_variant
from res2net.paper.published import Published, published
from res2net.paper.structure import Layer, Structure, tally
from res2net.paper.variant import (
    BigLittleVariant,
    DLAVariant,
    ResNetVariant,
    TorchvisionVariant,
    Variant,
)

if TYPE_CHECKING:
    from res2net.bench.compare import Compared

EXAMPLES = (
    "res2net info res2net50_26w_4s",
    "res2net info res2net50_26w_4s --width 18 --se true --size 299",
    "res2net info dla60_res2net --layers",
    "res2net info --compare resnet50 res2net50_26w_4s res2net50_14w_8s",
)
VARIANT_OPTIONS = {  # of the model
    "width": (int, "channels per split at 64 planes (the paper's w); default: the model's"),
    "scale": (int, "number of splits (the paper's s); default: the model's"),
    "cardinality": (int, "groups of each 3×3 (the paper's c); default: the model's"),
    "depth": (int, "number of layers, one that the family has; default: the model's"),
    "se": (bool, "squeeze-and-excitation; default: the model's"),
}
METRICS = {  # others: "mask_ap_small" is printed as "AP small", as the table names the task
    "top1_error": "top-1 error",
    "top5_error": "top-5 error",
    "flops": "FLOPs",
    "params": "params",
    "runtime": "runtime",
    "mean_iou": "mean IoU",
    "f_measure": "F-measure",
    "mae": "MAE",
}


def make_parser() -> Parser:
    """The options of the command."""
    parser = Parser(
        "info NAME [--size PIXELS] [--option value ...]  or  info --compare A B C",
        "Show the structure of a network: parameters, multiply-adds and activations by stage, the "
        "feature levels, and its published results. --width, --scale, --cardinality, --depth and "
        "--se change the network. Or compare networks, timed on this machine.",
        EXAMPLES,
    )
    parser.add_argument(
        "name", type=str | None, nargs="?", help="a network that `res2net models` lists"
    )
    parser.add_argument(
        "--compare",
        type=str,
        nargs="+",
        help="networks to compare with the first of them; default: none",
    )
    parser.add_argument(
        "--time", type=bool, default=True, help="with --compare: measure memory and latency"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("comparison"),
        help="with --compare: folder for compare.png and compare.csv",
    )
    parser.add_argument(
        "--layers", action="store_true", help="list every convolution, not only stages"
    )
    parser.add_argument(
        "--size", type=int | None, help="input size in pixels; default: the model's"
    )
    parser.add_argument(
        "--num-classes",
        type=int | None,
        help="number of classes, 0 for no classifier; default: the model's",
    )
    for option, (kind, text) in VARIANT_OPTIONS.items():
        parser.add_argument(f"--{option}", type=kind | None, help=text)
    return parser


def main(argv: Sequence[str]) -> None:
    """Print the structure and published results of one network.

    Raises:
        UserError: no such network, an option that it does not have, or a value out of range.
    """
    parser = make_parser()
    options = read_options(parser, argv)
    given = {name: options[name] for name in VARIANT_OPTIONS if options[name] is not None}
    if options.compare:
        _refuse_one_networks_options([*given, *(["layers"] if options.layers else [])])
        compare(
            [*([options.name] if options.name else []), *options.compare],
            size=options.size,
            num_classes=options.num_classes,
            time=options.time,
            out=options.out,
        )
        return
    if options.name is None:
        raise UserError("name a network, or several: `res2net info --compare A B`")
    check_needs(parser.typed, dict.fromkeys(("time", "out"), ("--compare", False)))
    try:
        variant = find_variant(options.name, given)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error
    structure = tally(variant, size=options.size, num_classes=options.num_classes)
    published_part: tuple[Table | Text, ...] = (Text("Published results: none for these options."),)
    if variant == NETWORKS[options.name]:
        published_part = (_published(options.name), *map(Text, _notes(options.name)))
    show(
        _summary(options.name, variant, structure),
        _layers(structure) if options.layers else _stages(structure),
        _levels(structure),
        *published_part,
    )


def _refuse_one_networks_options(given: Sequence[str]) -> None:
    if given:
        raise UserError(f"--{given[0]} is for one network; --compare takes unmodified models")


def _summary(name: str, variant: Variant, structure: Structure) -> Table:
    table = new_table("Network", wrapped=(name,))
    changed = "" if variant == NETWORKS[name] else ", changed"
    size = structure.size
    table.add_row("Setting", f"{_setting(variant)}{changed}")
    table.add_row("Image", f"{size}×{size} pixels, {structure.num_classes} classes")
    table.add_row("Parameters", f"{structure.params:,} in {structure.tensors:,} tensors")
    table.add_row("Multiply-adds", f"{structure.macs:,} (the paper's FLOPs)")
    table.add_row("Activations", f"{structure.activations:,} out of all convolutions")
    table.add_row("First block", _first_block(variant))
    return table


def _setting(variant: Variant) -> str:
    if isinstance(variant, TorchvisionVariant):
        return f"{variant.architecture} of torchvision"
    layers = depth(variant)
    return notation(variant) if layers == "-" else f"{notation(variant)}, depth {layers}"


def _first_block(variant: Variant) -> str:
    """The rule for the first block of a stage, in words."""
    if not isinstance(variant, ResNetVariant | DLAVariant | BigLittleVariant) or variant.scale == 1:
        return "like all other blocks: nothing is split"
    where = "first block of each stage"
    if isinstance(variant, DLAVariant):
        where = "each strided block"
    elif isinstance(variant, BigLittleVariant):
        where = "first block of each sequence (big, little, fusion, layer4)"
    return f"{variant.first_block.value}; {where}: {variant.first_block.words}"


def _stages(structure: Structure) -> Table:
    table = new_table("Stage", right=("Convs", "Params M", "%", "MACs G", "%", "Activations M"))
    rows = (*structure.layers, *structure.auxiliary)
    for stage, group in groupby(rows, key=lambda layer: layer.stage):
        layers = list(group)
        runs = layers[0] not in structure.auxiliary
        params = sum(layer.params for layer in layers)
        macs = sum(layer.macs for layer in layers) if runs else 0
        activations = sum(layer.activations for layer in layers) if runs else 0
        table.add_row(
            stage if runs else f"{stage} (training)",
            str(sum(layer.kind == "conv" for layer in layers)),
            f"{params / 1e6:.3f}",
            f"{100 * params / structure.params:.1f}",
            f"{macs / 1e9:.3f}",
            f"{100 * macs / structure.macs:.1f}",
            f"{activations / 1e6:.3f}",
        )
    return table


def _layers(structure: Structure) -> Table:
    table = new_table(
        "Layer", "Kernel", right=("Groups", "In", "Out", "Size", "Params", "MACs M", "RF")
    )
    table.padding = (0, 1, 0, 0)  # 80 columns hold it so
    rows = [layer for layer in structure.layers if layer.kind in ("conv", "linear")]
    for stage, group in groupby(rows, key=lambda layer: layer.stage):
        table.add_row(Text(stage, style="bold"))
        for layer in group:
            table.add_row(*_layer_cells(layer))
    return table


def _layer_cells(layer: Layer) -> tuple[str, ...]:
    kernel = "×".join(map(str, layer.kernel))  # height×width
    inner = layer.name.removeprefix("features.").removeprefix(f"{layer.stage}.")
    return (
        f"  {inner}",
        f"{kernel}/{layer.stride}" if layer.stride > 1 else kernel,
        str(layer.groups),
        str(layer.channels_in),
        str(layer.channels_out),
        str(layer.height),
        f"{layer.params:,}",
        f"{layer.macs / 1e6:.2f}",
        str(layer.receptive_field),
    )


def _levels(structure: Structure) -> Table:
    table = new_table("Level", right=("Channels", "Stride", "Size", "Receptive field"))
    for level in structure.levels:
        table.add_row(
            level.name,
            str(level.channels),
            str(level.stride),
            f"{level.height}×{level.width}",
            str(level.receptive_field),
        )
    return table


def _published(name: str) -> Table | Text:
    rows = published(network=name)
    if not rows:
        return Text("Published results: not in the paper.")
    table = new_table("Published", wrapped=("As printed", "Result"))

    def line(row: Published) -> tuple[str, str, str]:
        return row.item, row.label, row.setting

    for (item, label, setting), cells in groupby(rows, key=line):
        results = ", ".join(_cell(row) for row in cells)
        table.add_row(item, f"{label} {setting}".strip(), results)
    return table


def _cell(row: Published) -> str:
    """``top-1 error 22.01%``, with the decimals that the paper prints."""
    metric = METRICS.get(row.metric)
    if metric is None:
        what, *group = row.metric.split("_")[1:]
        metric = " ".join((what.upper(), *group))
    decimals = 2 if row.metric.endswith("error") else {"1": 3, "ms": 0}.get(row.unit, 1)
    unit = "" if row.unit == "1" else row.unit
    return f"{metric} {row.value:.{decimals}f}{unit}"


def _notes(name: str) -> list[str]:
    """Errata of the paper's claims that involve this network."""
    rows = {(row.item, row.label, row.setting) for row in published(network=name)}
    notes = []
    for claim in CLAIMS:
        if claim.erratum and {(claim.item, *claim.ours), (claim.item, *claim.baseline)} & rows:
            ours, baseline = (" ".join(row).strip() for row in (claim.ours, claim.baseline))
            notes.append(f"Note on {claim.item}, {ours} and {baseline}: {claim.erratum}.")
    return notes


def compare(
    names: Sequence[str],
    *,
    size: int | None,
    num_classes: int | None,
    time: bool,
    out: Path,
) -> None:
    """Count, measure (unless ``--time false``), print and draw.

    Raises:
        UserError: fewer than two networks, one twice, an unknown one, no PyTorch, or a folder that
            cannot be written or that another process writes to.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError("--compare takes two or more networks, each once: --compare A B C")
    for name in names:
        find_variant(name)
    if importlib.util.find_spec("torch") is None:
        raise UserError("--compare needs torch: pip install 'res2net[train]'")
    from res2net.bench.compare import ROUNDS, as_csv, count, draw_comparison, time_networks

    found = count(names, size=size, num_classes=num_classes)
    sizes = sorted({each.size for each in found})
    subtitle = f"one image of {' or '.join(f'{side}x{side}' for side in sizes)} pixels"
    with alone_in(out, "--out"):
        if time:
            from res2net import machine
            from res2net.processor import threads

            machine.set_threads(None, machine.processes(1))
            found = time_networks(found, num_classes=num_classes)
            subtitle += (
                f"; PyTorch in fp32 on {machine.versions()['cpu']}, {threads()} threads, median "
                f"of {ROUNDS} interleaved rounds"
            )
        write_text(out / "compare.csv", as_csv(found))
        draw_comparison(found, out / "compare.png", subtitle=f"{subtitle}; × the first")
    table = _side_by_side(found)
    table.caption = subtitle
    table.caption_justify = "left"
    show(table)
    print(f"picture and table: {out}")


def _side_by_side(found: Sequence[Compared]) -> Table:
    from res2net.bench.compare import MEASURES

    shown = [m for m in MEASURES if getattr(found[0], m[0]) is not None]
    short = {
        "params": "Params M",
        "macs": "MACs G",
        "activations": "Activations M",
        "kept": "Kept MiB",
        "latency": "ms",
    }
    right = tuple(head for field, *_ in shown for head in (short[field], "×"))
    table = new_table("Network", right=right)
    for each in found:
        cells: list[str] = []
        for field, _, factor, decimals in shown:
            value = getattr(each, field)
            ratio = value / getattr(found[0], field)
            cells += [f"{factor * value:.{decimals}f}", f"{ratio:.2f}"]
        table.add_row(each.network, *cells)
    return table
