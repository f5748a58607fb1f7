"""``res2net evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from res2net.cli.parser import Parser, read_options
from res2net.cli.progress import track
from res2net.cli.tables import new_table, show
from res2net.errors import UserError

EXAMPLES = (
    "res2net evaluate runs/photos --data photos/",
    "res2net evaluate runs/cifar/checkpoints/last.ckpt --data cifar100:cifar-100-python.tar.gz",
    "res2net evaluate res2net50_26w_4s --data imagenet:ILSVRC2012   # published weights",
)

OPTIONS = (  # that `tasks.evaluate` takes under the same names
    *("split", "out", "precision", "val_fraction", "seed", "skip_bad"),
    *("batch", "size", "workers", "scales", "flip", "boxes"),
)


def make_parser() -> Parser:
    """All options of an evaluation."""
    parser = Parser(
        "evaluate RUN|CHECKPOINT|ARTIFACT|NAME --data DATA [--option value ...]",
        "Measure a trained network: top-1 and top-5 error and accuracy, every class, calibration, "
        "the pairs it confuses, a sheet of its worst mistakes; average precision, IoU or F-measure "
        "by class and by size of object where it was trained for another task.",
        EXAMPLES,
    )
    parser.add_argument(
        "target",
        type=str,
        help="run folder, checkpoint, .safetensors or artifact; a network: published weights",
    )
    parser.add_argument("--data", type=str, help="FORMAT:PATH, or a path that is recognised")
    parser.add_argument(
        "--split",
        type=str | None,
        choices=("val", "train", "test", "all"),
        help="part of the data; default: val or, of data without parts that the network was not "
        "trained on, all",
    )
    parser.add_argument(
        "--out", type=Path | None, help="folder of tables and pictures; default RUN/evaluation"
    )
    parser.add_argument("--batch", type=int | None, help="classifiers: images at a time [64]")
    parser.add_argument(
        "--size", type=int | None, help="classifiers: pixels; default: as in training"
    )
    parser.add_argument(
        "--workers", type=int | None, help="classifiers: processes that read images"
    )
    parser.add_argument(
        "--precision",
        type=str,
        default="auto",
        choices=("auto", "fp32", "bf16", "fp16"),
        help="auto: bf16 where the hardware has it",
    )
    parser.add_argument(
        "--val_fraction", type=float | None, help="of data without val part; default: as in the run"
    )
    parser.add_argument("--seed", type=int | None, help="of that split; default: as in the run")
    parser.add_argument("--skip_bad", action="store_true", help="leave out unreadable images")
    parser.add_argument(
        "--scales",
        type=list[float] | None,
        help="segmenters: sizes to see each image at; 1 is as it is",
    )
    parser.add_argument("--flip", action="store_true", help="segmenters: see the mirror image too")
    parser.add_argument(
        "--boxes",
        type=Path | None,
        help="key-points: boxes of a detector (JSON) instead of annotated ones",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Evaluate and show the tables."""
    options = read_options(make_parser(), argv)
    if not options.data:
        raise UserError("--data is missing; `res2net evaluate --help` explains it")

    from res2net.data.source import parse_source

    source = parse_source(options.data)
    if source.guessed:
        print(f"{source.path}: taken for {source.format} data")

    from res2net.machine import memory_mended_by
    from res2net.tasks.evaluate import BATCH, evaluate

    batch = BATCH if options.batch is None else options.batch
    with memory_mended_by(f"lower --batch (it is {batch}), --size or --workers"):
        found = evaluate(
            options.target,
            str(source),
            **{name: options[name] for name in OPTIONS},
            track=track,
        )
    if found.task == "classify":
        from res2net.tasks.classify.report import evaluation_table

        show(*evaluation_table(found.scores))
    else:
        table = new_table("", "figure")
        for row in found.scores.table():
            table.add_row(*row)
        show(table)
    print(f"tables and pictures: {found.folder}")
