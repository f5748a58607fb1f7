"""``res2net data``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from res2net.cli.parser import Parser, read_options
from res2net.cli.progress import track
from res2net.cli.tables import new_table, show
from res2net.data.convert import WRITERS
from res2net.errors import UserError, check_needs, printable
from res2net.inspection.images import RANGED
from res2net.inspection.inspect import Inspection, inspect_data
from res2net.metrics.sizes import SIZES
from res2net.paper.tasks import TaskName

if TYPE_CHECKING:
    from rich.table import Table

MOST_CLASSES = 100  # rows of the table
EXAMPLES = (
    "res2net data photos/                          # is it read as intended?",
    "res2net data coco:COCO --task instances --out sheets",
    "res2net data labels.csv --json",
    "res2net data cvat/ --write cells --format coco",
)


def make_parser() -> Parser:
    """All options of an inspection."""
    parser = Parser(
        "data PATH [--task TASK] [--option value ...]",
        "Inspect a data set as training would read it: its format, parts, classes, images and "
        "objects, sizes, unreadable and duplicate files, and what training would refuse or warn "
        "about. The exit code is 2 if it cannot be used for training.",
        EXAMPLES,
    )
    parser.add_argument("path", type=str, help="FORMAT:PATH, or a path whose format is recognised")
    parser.add_argument(
        "--task", type=TaskName | None, help="task to inspect it for; default: by the format"
    )
    parser.add_argument(
        "--val-fraction",
        type=float | None,
        help="share held out for validation; default: 0.2 where needed",
    )
    parser.add_argument(
        "--group-by",
        type=str,
        default="",
        help="keep images together: folder, column:NAME or pattern:REGEX; default: none",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the validation split")
    parser.add_argument(
        "--multi-label",
        action="store_true",
        help="CSV: several labels per image; without it, one",
    )
    parser.add_argument(
        "--out",
        type=Path | None,
        help="folder for pictures: annotations, counts by class, object sizes; default: none",
    )
    parser.add_argument(
        "--write", type=Path | None, help="write the data set to this folder; default: none"
    )
    parser.add_argument(
        "--format",
        type=str | None,
        choices=tuple(WRITERS),
        help="layout of --write; required with it",
    )
    parser.add_argument(
        "--copy", action="store_true", help="with --write: copy images instead of linking them"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main(argv: Sequence[str]) -> None:
    """Inspect a data set and print the findings.

    Raises:
        UserError: data that training would refuse.
    """
    parser = make_parser()
    options = read_options(parser, argv)
    with_write = ("--write", options.write is not None)
    check_needs(parser.typed, {"format": with_write, "copy": with_write})
    if options.write is not None and options.format is None:
        raise UserError(f"--write needs --format; it can be {', '.join(WRITERS)}")
    found = inspect_data(
        options.path,
        task=options.task,
        val_fraction=options.val_fraction,
        seed=options.seed,
        group_by=options.group_by,
        multi_label=options.multi_label,
        track=track,
    )
    pictures = found.save(options.out) if options.out is not None else []
    if options.write is not None:
        found.write(options.write, options.format, copy=options.copy)
    if options.json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        _print(found)
        for path in (*pictures, *([options.write] if options.write else [])):
            print(path)
    if found.fault is not None:
        raise UserError(found.fault)


def _print(found: Inspection) -> None:
    also = f"; it also fits {' and '.join(found.others)}" if found.others else ""
    print(printable(f"{found.data}: {found.why}, {found.marks}{also}"))
    if found.parts:
        show(_files(found), _parts(found), _classes(found))
    for note in found.notes:
        print(printable(f"note: {note}"))


def _files(found: Inspection) -> Table:
    """Images, sizes, modes and faults."""
    table = new_table("images", wrapped=("",))
    held = " (held out of training)" if found.validation == "train" else ""
    counts = [f"{part.name} {part.images:,}" for part in found.parts]
    table.add_row("in parts", ", ".join(counts) + held)
    for name, span in (("width", found.widths), ("height", found.heights)):
        if span is not None:
            table.add_row(name, f"{span[0]} to {span[2]} pixels, median {span[1]}")
    for mode, number in found.modes.items():
        text = f"{number:,} images"
        if mode in found.values:
            low, high = found.values[mode]
            text += f", values {low:g} to {high:g} in {min(number, RANGED)} of them"
        table.add_row(mode, text)
    if found.unreadable:
        first = found.unreadable[0]
        table.add_row("unreadable", f"{len(found.unreadable):,}; the first: {first[0]}: {first[1]}")
    for name, groups in (("equal files", found.duplicates), ("in two parts", found.leaks)):
        if groups:
            first_group = ", ".join(groups[0][:3])
            table.add_row(name, f"{len(groups):,} groups; the first: {first_group}")
    return table


def _parts(found: Inspection) -> Table:
    """Annotated images and objects of each part."""
    objects = ("objects", "ignored", *SIZES) if any(part.sizes for part in found.parts) else ()
    table = new_table("part", right=("images", "annotated", *objects))
    for part in found.parts:
        numbers = [part.images, part.annotated]
        if objects:
            numbers += [sum(row.objects for row in part.classes), part.ignored]
            numbers += [part.sizes.get(size, 0) for size in SIZES]
        table.add_row(part.name, *(f"{number:,}" for number in numbers))
    return table


def _classes(found: Inspection) -> Table:
    """Images, objects or pixels of each class in each part."""
    names = [part.name for part in found.parts]
    kinds = ["images"]
    if any(part.sizes for part in found.parts):
        kinds.append("objects")
    if any(row.pixels for part in found.parts for row in part.classes):
        kinds.append("pixels")
    heads = [f"{kind} {name}" for kind in kinds for name in names]
    table = new_table("class", right=tuple(heads))
    for k, name in enumerate(found.classes[:MOST_CLASSES]):
        rows = [part.classes[k] for part in found.parts]
        table.add_row(name, *(f"{getattr(row, kind):,}" for kind in kinds for row in rows))
    if len(found.classes) > MOST_CLASSES:
        table.add_row(f"... and {len(found.classes) - MOST_CLASSES:,} more (--json has all)")
    return table
