"""``res2net evaluate``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from res2net.cli.meaning import check_meaning
from res2net.cli.parser import Parser, read_options
from res2net.cli.progress import track
from res2net.cli.tables import show
from res2net.errors import UserError

EXAMPLES = (
    "res2net evaluate runs/photos --data photos/",
    "res2net evaluate runs/cifar/checkpoints/last.ckpt --data cifar100:cifar-100-python.tar.gz",
    "res2net evaluate res2net50_26w_4s --data imagenet:ILSVRC2012   # published weights",
)
MEANS = {  # option → tasks whose networks read it
    "batch": ("classify",),
    "size": ("classify",),
    "workers": ("classify",),
    "scales": ("segment",),
    "flip": ("segment",),
    "boxes": ("pose",),
}


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
    parser.add_argument("--batch", type=int, default=64, help="images at a time")
    parser.add_argument("--size", type=int | None, help="pixels; default: as in training")
    parser.add_argument("--workers", type=int | None, help="processes that read images")
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
        help="key-points: boxes of a detector (JSON) instead of marked ones",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Evaluate and show the tables."""
    options = read_options(make_parser(), argv)
    wrong = [scale for scale in options.scales or () if not 0 < scale < math.inf]
    if wrong:
        raise UserError(f"--scales holds {wrong[0]:g}; a size must be above 0")
    if not options.data:
        raise UserError("--data is missing; `res2net evaluate --help` explains it")

    from res2net.data.source import parse_source

    source = parse_source(options.data)
    if source.guessed:
        print(f"{source.path}: taken for {source.format} data")

    from res2net.cli import dense

    task = dense.task_of(options.target)
    check_meaning(argv, MEANS, task, "a network of --task {}")
    if task != "classify":
        dense.evaluate(task, options, str(source))
        return

    from res2net.machine import memory_mended_by
    from res2net.tasks.classify.evaluate import evaluate
    from res2net.tasks.classify.report import evaluation_table

    with memory_mended_by(f"lower --batch (it is {options.batch}), --size or --workers"):
        evaluation, folder = evaluate(
            options.target,
            str(source),
            split=options.split,
            out=options.out,
            batch=options.batch,
            size=options.size,
            workers=options.workers,
            precision=options.precision,
            val_fraction=options.val_fraction,
            seed=options.seed,
            skip_bad=options.skip_bad,
            track=track,
        )
    show(*evaluation_table(evaluation))
    print(f"tables and pictures: {folder}")
