"""``res2net evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from res2net.cli.parser import Parser, read_options
from res2net.cli.progress import track
from res2net.cli.tables import new_table, show
from res2net.cli.targets import (
    add_capture_options,
    add_finding_options,
    add_part_options,
    add_precision,
    check_targets,
)
from res2net.errors import UserError
from res2net.paper.tasks import FINDING

if TYPE_CHECKING:
    from res2net.tasks.scores import Scores

EXAMPLES = (
    "res2net evaluate runs/photos --data photos/",
    "res2net evaluate runs/cifar/checkpoints/last.ckpt --data cifar100:cifar-100-python.tar.gz",
    "res2net evaluate res2net50_26w_4s --data imagenet:ILSVRC2012   # published weights",
)

OPTIONS = (  # passed to `tasks.evaluate` under the same names
    *("split", "out", "precision", "val_fraction", "seed", "group_by", "skip_bad"),
    *("batch", "size", "workers", "scales", "flip", "crops", "boxes", "capture", "compile"),
    *FINDING,
)


def make_parser() -> Parser:
    """All options of an evaluation."""
    parser = Parser(
        "evaluate RUN|CHECKPOINT|ARTIFACT|NAME --data DATA [--option value ...]",
        "Measure a trained network: top-1 and top-5 error and accuracy, scores per class, "
        "calibration, confused pairs and a sheet of the worst mistakes; for the other tasks "
        "average precision, IoU or F-measure by class and object size.",
        EXAMPLES,
    )
    parser.add_argument(
        "target",
        type=str,
        help="run folder, checkpoint, .safetensors, artifact, or network name (published weights)",
    )
    parser.add_argument(
        "--data", type=str, help="FORMAT:PATH, or a path whose format is recognised; required"
    )
    add_part_options(parser)
    parser.add_argument(
        "--out", type=Path | None, help="folder for tables and pictures; default: RUN/evaluation"
    )
    parser.add_argument(
        "--batch", type=int | None, help="classifiers: images per batch; default: 64"
    )
    parser.add_argument(
        "--size", type=int | None, help="classifiers: input size in pixels; default: as in training"
    )
    parser.add_argument(
        "--workers",
        type=int | None,
        help="classifiers: processes that read images; default: chosen for the machine",
    )
    add_precision(parser)
    parser.add_argument(
        "--scales",
        type=tuple[float, ...] | None,
        help="segmenters: average the predictions at these image scales; default: 1",
    )
    parser.add_argument(
        "--flip",
        action="store_true",
        help="classifiers, segmenters: also average over the mirrored image",
    )
    parser.add_argument(
        "--crops",
        type=int | None,
        help="classifiers: 5 averages the centre and the four corners; default: the centre",
    )
    parser.add_argument(
        "--boxes",
        type=Path | None,
        help="pose: predictions.json of a detector; default: the annotated boxes",
    )
    add_finding_options(parser)
    add_capture_options(parser)
    return parser


def main(argv: Sequence[str]) -> None:
    """Evaluate and show the tables."""
    options = read_options(make_parser(), argv)
    if not options.data:
        raise UserError("--data is missing; `res2net evaluate --help` explains it")
    check_targets(options.target)

    from res2net.machine import memory_mended_by
    from res2net.tasks.evaluate import BATCH, evaluate

    batch = BATCH if options.batch is None else options.batch
    with memory_mended_by(f"lower --batch (it is {batch}), --size or --workers"):
        found = evaluate(
            options.target,
            options.data,
            **{name: options[name] for name in OPTIONS},
            track=track,
        )
    show(*(found.scores.tables() or [_figures(found.scores)]))
    print(f"tables and pictures: {found.folder}")


def _figures(scores: Scores) -> Table:
    table = new_table("", "figure")
    for row in scores.table():
        table.add_row(*row)
    return table
