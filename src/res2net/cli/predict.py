"""``res2net predict``."""

from __future__ import annotations

import csv
import io
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from rich.markup import escape
from rich.table import Table

from res2net.cli.parser import Parser, read_options
from res2net.cli.progress import track
from res2net.cli.tables import new_table, show
from res2net.cli.targets import (
    add_capture_options,
    add_precision,
    images_in,
    target_and_images,
)
from res2net.errors import UserError, check_meaning
from res2net.files import alone_in, write_bytes, write_text
from res2net.paper.tasks import TASKS, readers

if TYPE_CHECKING:
    from res2net.prediction import Classification
    from res2net.tasks.classify.task import Classifier
    from res2net.tasks.predictor import Predictor

    Found = tuple[Path, Classification]

ON_A_SHEET = 48
EXAMPLES = (
    "res2net predict runs/photos holiday.jpg",
    "res2net predict runs/photos holiday/ --csv holiday.csv",
    "res2net predict runs/photos a.jpg b.png --json --top 3",
    "res2net predict runs/cells slides/ --out found      # a detector: boxes drawn, and as JSON",
)


def make_parser() -> Parser:
    """All options of a prediction."""
    parser = Parser(
        "predict [RUN|CHECKPOINT|ARTIFACT] IMAGE_OR_FOLDER ... [--option value ...]",
        "Predict images: the most likely classes with their probabilities; boxes, masks, classes "
        "of pixels or key-points if the network was trained for them. Unreadable files of a folder "
        "are listed and left out. Without a network, the small one that comes with the package is "
        "used.",
        EXAMPLES,
    )
    parser.add_argument(
        "words",
        type=str,
        nargs="*",
        help="run folder, checkpoint, .safetensors or artifact; then image files and folders",
    )
    parser.add_argument(
        "--model",
        type=str | None,
        help="the network, so that all words are images; default: the first word",
    )
    parser.add_argument("--top", type=int, default=5, help="classifiers: classes listed per image")
    parser.add_argument(
        "--csv",
        type=Path | None,
        help="classifiers: also write a table to this file; default: none",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one line per image")
    parser.add_argument(
        "--sheet",
        type=Path | None,
        help=f"classifiers: also draw the first {ON_A_SHEET}; default: no",
    )
    parser.add_argument(
        "--out",
        type=Path | None,
        help="other tasks: folder of pictures and predictions.json; default: predictions",
    )
    parser.add_argument(
        "--boxes",
        type=Path | None,
        help="pose: predictions.json of a detector; default: the whole image",
    )
    parser.add_argument("--batch", type=int, default=32, help="classifiers: images per batch")
    add_precision(parser)
    add_capture_options(parser)
    return parser


def main(argv: Sequence[str]) -> None:
    """Predict and print."""
    parser = make_parser()
    options = read_options(parser, argv)
    for name in ("top", "batch"):
        if options[name] < 1:
            raise UserError(f"--{name} is {options[name]}; it must be at least 1")
    for path in (options.csv, options.sheet):
        if path and not path.parent.is_dir():
            raise UserError(f"{path}: folder {path.parent} does not exist; make it and run again")

    target, places = target_and_images(options.words, options.model)

    from res2net.machine import memory_mended_by
    from res2net.tasks.open import open_target
    from res2net.tasks.predictor import NETWORK

    opened = open_target(target, stream=True)
    predictor: Any = opened.predictor(capture=options.capture, compiled=options.compile)
    check_meaning(parser.typed, readers("predict"), predictor.task, NETWORK)
    predictor.check_precision(options.precision)
    files = [file for path in places for file in images_in(path)]
    if "out" in TASKS[predictor.task].predict:
        folder = options.out or Path("predictions")
        with alone_in(folder, "--out"):
            mark(predictor, files, folder, options)
        return
    with memory_mended_by(f"lower --batch (it is {options.batch})"):
        found = classify(predictor, files, options)
    if options.csv:
        write_text(options.csv, as_csv(found))
    if options.sheet:
        draw_sheet(found, predictor, options.sheet)
    if not options.json:
        show(as_table(found))
    for path in (options.csv, options.sheet):
        if path:
            print(f"written: {path}", file=sys.stderr)


def mark(predictor: Predictor, files: Sequence[Path], folder: Path, options: Namespace) -> None:
    """A picture of each image with what was found, and all of it as JSON.

    Raises:
        UserError: no image can be read, or a file cannot be written.
    """
    boxes = None
    if options.boxes:
        from res2net.tasks.pose.crops import read_boxes

        boxes = read_boxes(options.boxes)
    done: list[dict[str, Any]] = []
    lines: list[tuple[str, str]] = []
    for file in track(files, len(files), "predicting"):
        try:
            (found,) = predictor.results(
                file, top=None, boxes=boxes, batch=None, precision=options.precision
            )
        except UserError as error:
            if len(files) == 1:
                raise
            warnings.warn(f"left out: {error}", stacklevel=1)
            continue
        stem = f"{len(done):05d}-{file.stem}" if len(files) > 1 else file.stem
        row: dict[str, Any] = {"image": str(file)}
        for suffix, picture in found.pictures().items():
            write_bytes(folder / f"{stem}{suffix}.png", _png(picture))
            row[suffix.removeprefix("-") or "picture"] = f"{stem}{suffix}.png"
        done.append({**row, **found.as_dict()})
        lines.append((str(file), found.line()))
        if options.json:
            print(json.dumps(done[-1]), flush=True)
    if not done:
        raise UserError(f"none of the {len(files)} images could be read")
    write_text(folder / "predictions.json", json.dumps(done, indent=2) + "\n")
    if not options.json:
        shown = new_table(wrapped=("Image", "Found"))
        for image, line in lines:
            shown.add_row(escape(image), escape(line))
        show(shown)
        print(f"pictures and predictions.json: {folder}")


def _png(picture: Any) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return data.getvalue()


def classify(predictor: Classifier, files: Sequence[Path], options: Namespace) -> list[Found]:
    """Classify batch by batch; a file that cannot be read is left out with a note.

    With ``--json`` every batch is printed as soon as it is done.

    Raises:
        UserError: the only file, or every file, cannot be read.
    """
    found: list[Found] = []
    batches = [files[i : i + options.batch] for i in range(0, len(files), options.batch)]
    for batch in track(batches, len(batches), "predicting"):
        good: list[Path] = []
        shaped: list[Any] = []
        for file in batch:
            try:
                shaped.append(predictor.shaped(file))
                good.append(file)
            except UserError as error:
                if len(files) == 1:
                    raise
                warnings.warn(f"left out: {error}", stacklevel=1)
        if not good:
            continue
        predictions = predictor.classify(shaped, top=options.top, precision=options.precision)
        found.extend(zip(good, predictions, strict=True))
        if options.json:
            for file, prediction in found[-len(good) :]:
                print(json.dumps({"image": str(file), "top": dict(prediction.top)}), flush=True)
    if not found:
        raise UserError(f"none of the {len(files)} images could be read")
    return found


def as_csv(found: Sequence[Found]) -> str:
    """image, class_1, probability_1, class_2, ... as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = range(1, len(found[0][1].top) + 1)
    names = [f"{what}_{k}" for k in numbers for what in ("class", "probability")]
    writer.writerow(["image", *names])
    for file, prediction in found:
        cells = [cell for name, p in prediction.top for cell in (name, f"{p:.6f}")]
        writer.writerow([str(file), *cells])
    return text.getvalue()


def as_table(found: Sequence[Found]) -> Table:
    """A row an image."""
    numbers = range(1, len(found[0][1].top) + 1)
    table = new_table(wrapped=("Image", *map(str, numbers)))
    for file, prediction in found:
        table.add_row(
            escape(str(file)), *(escape(f"{name} {100 * p:.1f} %") for name, p in prediction.top)
        )
    return table


def draw_sheet(found: Sequence[Found], predictor: Classifier, path: Path) -> None:
    """The contact sheet of predictions: the first images at most."""
    import numpy as np

    from res2net.tasks.classify.pictures import draw_predictions

    shown = found[:ON_A_SHEET]
    shaped = [predictor.shaped(file) for file, _ in shown]
    images = [x if isinstance(x, np.ndarray) else x.permute(1, 2, 0).numpy() for x in shaped]
    labels = [f"{p.label} {100 * p.probability:.0f} %" for _, p in shown]
    draw_predictions(images, labels, path)
