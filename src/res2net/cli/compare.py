"""``res2net compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from res2net.cli.parser import Parser, read_options
from res2net.cli.progress import track
from res2net.cli.tables import new_table, show
from res2net.cli.targets import add_part_options, add_precision, check_targets
from res2net.errors import UserError

if TYPE_CHECKING:
    from res2net.tasks.compare import Comparison

SHOWN_CLASSES = 20
EXAMPLES = (
    "res2net compare runs/resnet runs/res2net --data photos/",
    "res2net compare runs/cells runs/cells-openvino --data voc:BCCD --split test",
)


def make_parser() -> Parser:
    """All options of a comparison."""
    parser = Parser(
        "compare FIRST SECOND --data DATA [--option value ...]",
        "Compare two networks of one task on the same images: the difference of every metric with "
        "a 95 % interval (paired bootstrap over images), by size and by class, and a sheet of the "
        "images on which they differ most. The interval covers the choice of images, not the "
        "variation between training seeds.",
        EXAMPLES,
    )
    what = "run folder, checkpoint, .safetensors, artifact, or network name (published weights)"
    parser.add_argument("first", type=str, help=what)
    parser.add_argument("second", type=str, help="network to compare with it, in the same forms")
    parser.add_argument(
        "--data", type=str, help="FORMAT:PATH, or a path whose format is recognised; required"
    )
    add_part_options(parser)
    parser.add_argument(
        "--out", type=Path | None, help="folder for tables and pictures; default: comparison"
    )
    parser.add_argument(
        "--rounds", type=int, default=1000, help="bootstrap resamples for the intervals"
    )
    add_precision(parser)
    return parser


def main(argv: Sequence[str]) -> None:
    """Compare and show the table."""
    options = read_options(make_parser(), argv)
    if not options.data:
        raise UserError("--data is missing; `res2net compare --help` explains it")
    check_targets(options.first, options.second)

    from res2net.tasks.compare import compare

    names = (
        *("split", "out", "precision", "val_fraction", "seed", "group_by", "skip_bad"),
        "rounds",
    )
    found = compare(
        *(options.first, options.second, options.data),
        **{name: options[name] for name in names},
        track=track,
    )
    show(as_table(found))
    print(f"\n{found.headline}")
    print(f"tables and pictures: {found.folder}")


def as_table(found: Comparison) -> Table:
    """One row per metric, then the classes that differ most."""
    table = new_table("", right=("first", "second", "difference", "95 % interval"), wrapped=("",))
    classes = sorted((d for d in found.differences if d.of_class), key=lambda d: -abs(d.difference))
    for each in (*(d for d in found.differences if not d.of_class), *classes[:SHOWN_CLASSES]):
        table.add_row(
            escape(f"class {each.name}" if each.of_class else each.name),
            f"{each.first:.4g}",
            f"{each.second:.4g}",
            f"{each.difference:+.3g}",
            f"{each.low:+.3g} to {each.high:+.3g}",
            "" if each.verdict == "open" else f"second is {each.verdict}",
        )
    return table
