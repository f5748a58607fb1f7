"""``res2net receptive-field NAME``: receptive fields of all paths, counted and measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from res2net.cli.info import VARIANT_OPTIONS
from res2net.cli.parser import Parser, read_options
from res2net.cli.tables import new_table, show
from res2net.errors import UserError, check_needs
from res2net.files import alone_in, write_text
from res2net.paper.networks import find_variant, plain_twin
from res2net.paper.paths import Paths, paths_in, paths_of
from res2net.paper.structure import Structure, tally
from res2net.paper.variant import Variant

if TYPE_CHECKING:
    from res2net.explain.field_pictures import Fields

EXAMPLES = (
    "res2net receptive-field res2net50_26w_4s",
    "res2net receptive-field res2net50_26w_4s --level c4 --against resnet101",
    "res2net receptive-field res2net29_small --scale 8 --measure false",
)
MARGIN = 1.25  # side of the noise over the network's input side: less is cut off at the edge


def make_parser() -> Parser:
    """The options of the command."""
    parser = Parser(
        "receptive-field NAME [--against OTHER] [--option value ...]",
        "Count the paths of each block and of the whole network by receptive field (the "
        "combinatorial explosion of the paper's section 3.1), exactly, and measure the effective "
        "receptive field of the untrained network by gradients on noise, beside the plain network.",
        EXAMPLES,
    )
    parser.add_argument("name", type=str, help="a network that `res2net models` lists")
    parser.add_argument(
        "--against",
        type=str | None,
        help="a second network, or none; default: the plain network of equal depth",
    )
    parser.add_argument(
        "--level", type=str | None, help="count paths to this level: c1, c2, ...; default: the last"
    )
    parser.add_argument(
        "--measure",
        type=bool,
        default=True,
        help="measure the effective receptive field by gradients",
    )
    parser.add_argument("--images", type=int, default=8, help="noise images for the measurement")
    parser.add_argument(
        "--size",
        type=int | None,
        help="side of those images in pixels; default: 1.25 times the model's",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed for weights and noise")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("receptive-field"),
        help="folder for fields.png, fields.json, paths.csv and blocks.csv",
    )
    for option, (kind, text) in VARIANT_OPTIONS.items():
        parser.add_argument(f"--{option}", type=kind | None, help=text)
    return parser


def main(argv: Sequence[str]) -> None:
    """Count, measure, print and draw.

    Raises:
        UserError: no such network, an option that it does not have, a value out of range, or a
            folder that cannot be written or that another process writes to.
    """
    parser = make_parser()
    options = read_options(parser, argv)
    measured = ("--measure true", options.measure)
    check_needs(parser.typed, dict.fromkeys(("images", "size", "seed"), measured))
    if options.images < 1:
        raise UserError(f"--images is {options.images}; it must be at least 1")
    given = {name: options[name] for name in VARIANT_OPTIONS if options[name] is not None}
    variant = _variant(options.name, given)
    twin = options.against or plain_twin(variant)
    chosen: list[tuple[str, Variant, dict[str, Any]]] = [(options.name, variant, given)]
    if twin and twin != "none":
        chosen.append((twin, _variant(twin, {}), {}))
    folder = options.out
    with alone_in(folder, "--out"):
        found = [_fields(*each, options) for each in chosen]
        shown = [fields for fields, _ in found]
        from res2net.explain.field_pictures import draw_fields

        write_text(folder / "fields.json", json.dumps([_record(*each) for each in found], indent=1))
        write_text(folder / "paths.csv", _paths_csv(shown))
        write_text(folder / "blocks.csv", _blocks_csv(found))
        draw_fields(shown, folder / "fields.png")
    notes = [Text(f"{options.name}: no plain counterpart; --against names another network")]
    show(
        _block_table(found),
        _network_table(shown),
        *(notes if len(found) == 1 and options.against != "none" else []),
    )
    print(f"picture and tables: {folder}")


def _variant(name: str, given: Mapping[str, Any]) -> Variant:
    try:
        return find_variant(name, given)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error


def _fields(
    name: str, variant: Variant, given: Mapping[str, Any], options: Any
) -> tuple[Fields, Structure]:
    from res2net.explain.field_pictures import Fields

    structure = tally(variant)
    names = [level.name for level in structure.levels]
    wanted = options.level or names[-1]
    if wanted not in names:
        raise UserError(f"--level: no level {wanted!r}; {name} has {', '.join(names)}")
    trail = structure.levels[names.index(wanted)].trail
    paths = paths_of(structure.image, [trail])[0]
    block = structure.blocks[-1]
    effective = None
    if options.measure:
        from res2net.explain.effective import effective_field, untrained

        size = _centred(variant, structure) if options.size is None else options.size
        tally(variant, size=size)  # raises if a map would be empty
        network = untrained(name, size=size, seed=options.seed, **given)
        effective = effective_field(
            network, size=size, level=wanted, images=options.images, seed=options.seed
        )
    changed = "".join(f" {option}={value}" for option, value in given.items())
    return Fields(
        network=name + changed,
        level=wanted,
        block=block.name,
        block_paths=paths_in(block),
        paths=paths,
        effective=effective,
    ), structure


def _centred(variant: Variant, structure: Structure) -> int:
    """An input side for which a value of the deepest level lies at the centre of the image."""
    both_ways = 2 * structure.levels[-1].stride
    return both_ways * ceil(MARGIN * variant.size / both_ways) + 1


def _block_table(found: Sequence[tuple[Fields, Structure]]) -> Table:
    """Merge blocks of equal distribution into one row."""
    table = new_table("Blocks", right=("Number", "Paths"), wrapped=("Field (pixels): paths",))
    for fields, structure in found:
        groups: dict[str, list[tuple[str, Paths]]] = {}
        for block in structure.blocks:
            paths = paths_in(block)
            groups.setdefault(_listed(paths), []).append((block.name, paths))
        table.add_row(Text(fields.network, style="bold"))
        for listed, blocks in groups.items():
            first = blocks[0][0] if len(blocks) == 1 else f"{blocks[0][0]}, ..."
            table.add_row(f"  {first}", str(len(blocks)), str(blocks[0][1].total), listed)
    return table


def _listed(paths: Paths) -> str:
    return "  ".join(f"{side}: {number}" for side, number in paths.counts.items())


def _network_table(shown: Sequence[Fields]) -> Table:
    from res2net.explain.field_pictures import scientific

    table = new_table(
        "Whole network",
        right=("Level", "Paths", "Sizes", "Mean", "Median", "Largest", "50 %", "95 %"),
    )
    for each in shown:
        used = ["-", "-"]
        if each.effective is not None:
            used = [str(each.effective.side(share)) for share in (0.5, 0.95)]
        table.add_row(
            each.network,
            each.level,
            scientific(each.paths.total),
            str(len(each.paths.counts)),
            f"{each.paths.mean:.0f}",
            str(each.paths.quantile(Fraction(1, 2))),
            str(each.paths.largest),
            *used,
        )
    table.caption = (
        "pixels of the image; 50 % and 95 %: side of the square that holds this share of the "
        "gradient's energy in the untrained network"
    )
    table.caption_justify = "left"
    return table


def _record(fields: Fields, structure: Structure) -> dict[str, Any]:
    """Exact counts, as whole numbers of any length."""
    record: dict[str, Any] = {
        "network": fields.network,
        "level": fields.level,
        "paths": fields.paths.total,
        "mean": fields.paths.mean,
        "largest": fields.paths.largest,
        "counts": fields.paths.counts,
        "blocks": {block.name: paths_in(block).counts for block in structure.blocks},
    }
    if fields.effective is not None:
        record["effective"] = {
            "size": len(fields.effective.energy),
            "centre": fields.effective.centre,
            "side_50": fields.effective.side(0.5),
            "side_95": fields.effective.side(0.95),
        }
    return record


def _paths_csv(shown: Sequence[Fields]) -> str:
    lines = ["network,level,side,paths"]
    for each in shown:
        lines += [
            f"{each.network},{each.level},{side},{number}"
            for side, number in each.paths.counts.items()
        ]
    return "\n".join(lines) + "\n"


def _blocks_csv(found: Sequence[tuple[Fields, Structure]]) -> str:
    lines = ["network,block,side,paths"]
    for fields, structure in found:
        lines += [
            f"{fields.network},{block.name},{side},{number}"
            for block in structure.blocks
            for side, number in paths_in(block).counts.items()
        ]
    return "\n".join(lines) + "\n"
