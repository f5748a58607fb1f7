"""``res2net embed``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from res2net.cli.parser import Parser, read_options
from res2net.cli.predict import resumable
from res2net.cli.progress import track
from res2net.cli.targets import add_precision, check_targets, target_and_images
from res2net.data.embeddings import ENDINGS, parquet
from res2net.errors import UserError, counted, no_such_path
from res2net.files import locked

EXAMPLES = (
    "res2net embed runs/photos holiday/ --out holiday.npz",
    "res2net embed res2net50_26w_4s photos.tar --out photos.parquet",
    "res2net similar holiday.npz beach.jpg",
)


def make_parser() -> Parser:
    """All options of embedding."""
    parser = Parser(
        "embed [RUN|CHECKPOINT|NAME|ARTIFACT] IMAGES ... --out FILE [--option value ...]",
        "Write the pooled features of each image to a file: for classifiers, the input of the last "
        "layer; for other tasks, the mean of the backbone's deepest map. A network's name stands "
        "for its published ImageNet weights; an artifact must output maps (export --features). "
        "Folders, archives (zip, tar), lists (.txt) and files are streamed, so any number of "
        "images works. Unreadable images are counted and skipped.",
        EXAMPLES,
    )
    parser.add_argument("words", type=str, nargs="*", help="the network; then images")
    parser.add_argument(
        "--model",
        type=str | None,
        help="the network, if all arguments are images; default: the first argument, or the "
        "small network shipped with the package",
    )
    parser.add_argument(
        "--out", type=Path | None, help="file to write: .npz, or .parquet (needs pyarrow); required"
    )
    parser.add_argument("--batch", type=int, default=32, help="images per batch")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted run with the same --out; without it, start over",
    )
    add_precision(parser)
    return parser


def main(argv: Sequence[str]) -> None:
    """Embed and report what was written."""
    options = read_options(make_parser(), argv)
    out: Path | None = options.out
    if not out or out.suffix.lower() not in ENDINGS or out.is_dir() or not out.parent.is_dir():
        ends = " or ".join(ENDINGS)
        raise UserError(
            f"--out is {out or 'missing'}; it must be a file {ends} in an existing folder"
        )
    if out.suffix.lower() == ".parquet":
        parquet(out)
    target, places = target_and_images(options.words, options.model)
    check_targets(target)
    for place in places:
        if not place.exists():
            raise no_such_path(place)

    from res2net.machine import memory_mended_by
    from res2net.runtime.sources import sources
    from res2net.tasks.embed import check_batch, embed_to_file, open_embedder

    check_batch(options.batch)
    embedder = open_embedder(target, options.precision)
    images = track(sources(map(str, places)), None, "embedding")
    lock = locked(out.with_name(f".{out.name}.lock"), f"--out {out}")
    with memory_mended_by(f"lower --batch (it is {options.batch})"), lock, resumable():
        done, faults = embed_to_file(
            embedder, images, out, batch=options.batch, resume=options.resume
        )
    if faults:
        many = counted(len(faults), "image")
        warnings.warn(f"left out: {many} that cannot be read; the first: {faults[0]}", stacklevel=1)
    print(f"written: {out}, {counted(done, 'image')}", file=sys.stderr)
