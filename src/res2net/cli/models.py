"""``res2net models [PATTERN]``: every network with its size, its cost and its tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from res2net.cli.parser import Parser, read_options
from res2net.cli.tables import depth, new_table, notation, show
from res2net.errors import UserError, did_you_mean
from res2net.paper.networks import NETWORKS, list_models
from res2net.paper.published import tables_of
from res2net.paper.structure import Structure, tally

EXAMPLES = (
    "res2net models",
    "res2net models dla60",
    "res2net models 'res2net50*' --json",
)


def make_parser() -> Parser:
    """The options of the command."""
    parser = Parser(
        "models [PATTERN] [--json]",
        "List the networks of the model table: splits (w×s), depth, input size, parameters "
        "in millions, multiply-adds per image in billions, and their tables in the paper.",
        EXAMPLES,
    )
    parser.add_argument(
        "pattern",
        type=str,
        nargs="?",
        default="*",
        help="part of a name, or a shell pattern",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with exact numbers")
    return parser


def main(argv: Sequence[str]) -> None:
    """Print the matching networks.

    Raises:
        UserError: none matches.
    """
    options = read_options(make_parser(), argv)
    names = list_models(options.pattern)
    if not names:
        raise UserError(
            f"no model matches {options.pattern!r}.{did_you_mean(options.pattern, NETWORKS)} "
            f"`res2net models` lists all {len(NETWORKS)}."
        )
    structures = {name: tally(NETWORKS[name]) for name in names}
    if options.json:
        print(json.dumps([_record(name, structures[name]) for name in names], indent=1))
        return
    table = new_table(
        "Name",
        "Setting",
        right=("Depth", "Size", "Params M", "MACs G"),
        wrapped=("Tables",),
    )
    for name, structure in structures.items():
        variant = NETWORKS[name]
        table.add_row(
            name,
            notation(variant),
            depth(variant),
            str(variant.size),
            f"{structure.params / 1e6:.3f}",
            f"{structure.macs / 1e9:.3f}",
            _short([int(item.removeprefix("Table ")) for item in tables_of(name)]),
        )
    show(table)


def _record(name: str, structure: Structure) -> dict[str, Any]:
    """One network as a JSON object."""
    variant = NETWORKS[name]
    return {
        "name": name,
        **variant.options(),
        "size": structure.size,
        "num_classes": structure.num_classes,
        "params": structure.params,
        "macs": structure.macs,
        "activations": structure.activations,
        "levels": [[level.name, level.channels, level.stride] for level in structure.levels],
        "tables": list(tables_of(name)),
    }


def _short(numbers: list[int]) -> str:
    """``[1, 3, 5, 6, 7]`` as ``1, 3, 5-7``; ``-`` for none."""
    if not numbers:
        return "-"
    starts = [numbers[0], *(b for a, b in pairwise(numbers) if b != a + 1)]
    ends = [*(a for a, b in pairwise(numbers) if b != a + 1), numbers[-1]]
    return ", ".join(
        str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a}-{b}"
        for a, b in zip(starts, ends, strict=True)
    )
