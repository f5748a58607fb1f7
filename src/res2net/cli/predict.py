"""``res2net predict``."""

from __future__ import annotations

import csv
import io
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jsonargparse import Namespace
from rich.markup import escape
from rich.table import Table

from res2net.cli.parser import Parser, read_options
from res2net.cli.progress import track
from res2net.cli.tables import new_table, show
from res2net.cli.targets import (
    add_capture_options,
    add_finding_options,
    add_precision,
    images_in,
    target_and_images,
)
from res2net.errors import Stopped, UserError, check_meaning, printable
from res2net.files import (
    Journal,
    alone_in,
    json_text,
    locked,
    make_folder,
    write_bytes,
    write_text,
)
from res2net.paper.tasks import FINDING, TASKS, readers

if TYPE_CHECKING:
    from res2net.prediction import Classification
    from res2net.tasks.classify.task import Classifier
    from res2net.tasks.finding import Finding
    from res2net.tasks.predictor import Predictor

    Found = tuple[Path, Classification]

ON_A_SHEET = 48
JOURNAL = ".predictions.partial"  # in --out, until predictions.json is written
_RESULT = ("top", "csv", "boxes", "precision", "coco", "yolo", *FINDING)  # what results depend on
EXAMPLES = (
    "res2net predict runs/photos holiday.jpg",
    "res2net predict runs/photos holiday/ --csv holiday.csv",
    "res2net predict runs/photos a.jpg b.png --json --top 3",
    "res2net predict runs/cells slides/ --out found      # a detector: boxes drawn, and as JSON",
    "res2net predict runs/cells slides/ --out found --score 0.4 --tiles auto   # large photos",
    "res2net predict runs/cells slides/ --out found --resume   # after a stop",
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
        help="classifiers, detectors: also write a table to this file; default: none",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one line per image")
    parser.add_argument(
        "--sheet",
        type=Path | None,
        help=f"also draw the first {ON_A_SHEET} with their file names on a PNG; default: no",
    )
    parser.add_argument(
        "--out",
        type=Path | None,
        help="other tasks: folder of pictures and predictions.json; default: predictions",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted prediction in --out (classifiers: --csv); without it, all "
        "images are predicted again",
    )
    parser.add_argument(
        "--boxes",
        type=Path | None,
        help="pose: predictions.json of a detector; default: the whole image",
    )
    add_finding_options(parser)
    parser.add_argument(
        "--coco",
        type=Path | None,
        help="detectors, pose: also write OUT/coco.json, results for a server, with the ids of "
        "this annotation file; default: no",
    )
    parser.add_argument(
        "--yolo",
        action="store_true",
        help="boxes: also write OUT/labels, YOLO's text with confidence; default: no",
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
    finding = predictor.finding({n: options[n] for n in FINDING if n in parser.typed})
    files = [
        (file, file.relative_to(place) if place.is_dir() else Path(file.name))
        for place in places
        for file in images_in(place)
    ]
    about = {name: str(options[name]) for name in _RESULT if name in parser.typed}
    exported = opened.runtime and opened.runtime.artifact.files
    about["network"] = str(sorted(exported.items())) if exported else opened.sha256
    if "out" in TASKS[predictor.task].predict:
        folder = options.out or Path("predictions")
        kinds = formats(predictor, files, folder, options)
        with alone_in(folder, "--out"), resumable():
            journal = Journal(folder / JOURNAL, about, resume=options.resume)
            mark(predictor, [file for file, _ in files], folder, options, finding, kinds, journal)
        return
    if options.resume and not options.csv:
        raise UserError("--resume needs --csv, the file whose rows are kept")
    beside = options.csv and options.csv.with_name(f".{options.csv.name}.partial")
    with memory_mended_by(f"lower --batch (it is {options.batch})"), ExitStack() as stack:
        if beside:
            stack.enter_context(locked(beside.with_suffix(".lock"), f"--csv {options.csv}"))
            stack.enter_context(resumable())
        kept = Journal(beside, about, resume=options.resume) if beside else None
        found = classify(predictor, [file for file, _ in files], options, kept)
        if options.csv:
            write_text(options.csv, as_csv(found))
        if kept:
            kept.end()
    if options.sheet:
        draw_sheet(found, predictor, options.sheet)
    if not options.json:
        show(as_table(found))
    for path in (options.csv, options.sheet):
        if path:
            print(f"written: {path}", file=sys.stderr)


@contextmanager
def resumable() -> Iterator[None]:
    """A stop says how to resume."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped("stopped; the same command with --resume resumes") from error


class Format(NamedTuple):
    """A file for other programs, beside predictions.json."""

    rows: Callable[[int, Any], list[Any]]  # of an image: its number among all, what was found
    write: Callable[[list[list[Any]]], None]  # all rows, image by image


def formats(
    predictor: Predictor, files: Sequence[tuple[Path, Path]], folder: Path, options: Namespace
) -> dict[str, Format]:
    """The files that are asked for, by option.

    Raises:
        UserError: an annotation file that does not fit, or two images with one label file.
    """
    from res2net.tasks.formats import COLUMNS, CocoResults, label_files, table_rows, yolo_text

    kinds: dict[str, Format] = {}
    if options.coco:
        results = CocoResults(options.coco, predictor.classes, [file for file, _ in files])
        kinds["coco"] = Format(
            results.rows,
            lambda rows: write_text(folder / "coco.json", json_text(list(chain(*rows))) + "\n"),
        )
    if options.csv:
        kinds["csv"] = Format(
            lambda number, found: table_rows(str(files[number][0]), found),
            lambda rows: write_text(options.csv, _csv_text([COLUMNS, *chain(*rows)])),
        )
    if options.yolo:
        names = label_files(files)

        def labels(number: int, found: Any) -> list[Any]:
            path = folder / "labels" / names[number]
            make_folder(path.parent, "--out")
            write_text(path, yolo_text(found))
            return []

        lines = "".join(f"{name}\n" for name in predictor.classes)
        kinds["yolo"] = Format(labels, lambda _: write_text(folder / "classes.txt", lines))
    return kinds


def mark(
    predictor: Predictor,
    files: Sequence[Path],
    folder: Path,
    options: Namespace,
    finding: Finding | None,
    kinds: Mapping[str, Format],
    journal: Journal,
) -> None:
    """A picture of each image with what was found, and all of it as JSON.

    Raises:
        UserError: no image can be read, or a file cannot be written.
    """
    boxes = None
    if options.boxes:
        from res2net.tasks.pose.crops import read_boxes

        boxes = read_boxes(options.boxes)
    done: list[dict[str, Any]] = []
    how = {"top": None, "batch": None, "precision": options.precision, "finding": finding}
    check_begun([each["image"] for each in journal.rows], files, journal)
    for number, file in enumerate(track(files, len(files), "predicting")):
        if number < len(journal.rows):
            entry = journal.rows[number]
        else:
            entry = {"image": str(file)}
            try:
                (found,) = predictor.results(file, boxes=boxes, **how)
            except UserError as error:
                if len(files) == 1:
                    raise
                entry["left_out"] = str(error)
            else:
                stem = f"{len(done):05d}-{file.stem}" if len(files) > 1 else file.stem
                entry["row"] = drawn(found, file, folder, stem)
                entry["line"] = found.line()
                entry["other"] = {name: each.rows(number, found) for name, each in kinds.items()}
            journal.add([entry])
        if "left_out" in entry:
            warnings.warn(f"left out: {entry['left_out']}", stacklevel=1)
            continue
        done.append(entry)
        if options.json:
            print_json(entry["row"])
    if not done:
        journal.end()
        raise UserError(f"none of the {len(files)} images could be read")
    rows = [entry["row"] for entry in done]
    write_text(folder / "predictions.json", json_text(rows, indent=2) + "\n")
    for name, kind in kinds.items():
        kind.write([entry["other"][name] for entry in done])
    if options.sheet:
        draw_marked(done, folder, options.sheet)
    journal.end()
    if not options.json:
        shown = new_table(wrapped=("Image", "Found"))
        for entry in done:
            shown.add_row(escape(entry["image"]), escape(entry["line"]))
        show(shown)
        print(f"pictures and predictions.json: {folder}")


def drawn(found: Any, file: Path, folder: Path, stem: str) -> dict[str, Any]:
    """The row of an image in predictions.json, its pictures written."""
    row: dict[str, Any] = {"image": str(file)}
    for suffix, picture in found.pictures().items():
        write_bytes(folder / f"{stem}{suffix}.png", _png(picture))
        row[suffix.removeprefix("-") or "picture"] = f"{stem}{suffix}.png"
    return {**row, **found.as_dict()}


def check_begun(begun: Sequence[str], files: Sequence[Path], journal: Journal) -> None:
    """Refuse to resume with other images.

    Raises:
        UserError: those that are done do not come first, in their order.
    """
    if begun != [str(file) for file in files[: len(begun)]]:
        raise UserError(
            f"--resume: {journal.path} was begun with other images; run with the same, or without "
            "--resume to start again"
        )


def print_json(value: Any) -> None:
    """A line; escapes where the output takes ASCII alone."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json_text(value) if utf8 else json.dumps(value), flush=True)


def _png(picture: Any) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return data.getvalue()


def classify(
    predictor: Classifier, files: Sequence[Path], options: Namespace, journal: Journal | None
) -> list[Found]:
    """Classify batch by batch; a file that cannot be read is left out with a note.

    With ``--json`` every batch is printed as soon as it is done.

    Raises:
        UserError: the only file, or every file, cannot be read.
    """
    from res2net.prediction import Classification, Labels

    found: list[Found] = []
    begun: list[Any] = []
    if journal:
        whole = len(journal.rows) // options.batch * options.batch
        journal.rows = begun = journal.rows[
            : len(files) if len(journal.rows) == len(files) else whole
        ]
        check_begun([row["image"] for row in begun], files, journal)
    starts = range(0, len(files), options.batch)
    for start in track(starts, len(starts), "predicting"):
        batch = slice(start, start + options.batch)
        rows = begun[batch]
        if not rows:
            rows = classified(predictor, files[batch], options, alone=len(files) == 1)
            if journal:
                journal.add(rows)
        for row in rows:
            if "left_out" in row:
                warnings.warn(f"left out: {row['left_out']}", stacklevel=1)
                continue
            top = tuple(map(tuple, row["top"]))
            labels = {"labels": row["labels"]} if "labels" in row else {}
            each = Labels(top, above=tuple(row["labels"])) if labels else Classification(top)
            found.append((Path(row["image"]), each))
            if options.json:
                print_json({"image": row["image"], "top": dict(row["top"]), **labels})
    if not found:
        if journal:
            journal.end()
        raise UserError(f"none of the {len(files)} images could be read")
    return found


def classified(
    predictor: Classifier, files: Sequence[Path], options: Namespace, *, alone: bool
) -> list[dict[str, Any]]:
    """The rows of a batch: image and (class, probability), or why it is left out.

    Raises:
        UserError: the only file cannot be read.
    """
    rows: list[dict[str, Any]] = []
    shaped: list[Any] = []
    for file in files:
        rows.append({"image": str(file)})
        try:
            shaped.append(predictor.shaped(file))
        except UserError as error:
            if alone:
                raise
            rows[-1]["left_out"] = str(error)
    good = [row for row in rows if "left_out" not in row]
    if good:
        found = predictor.classify(shaped, top=options.top, precision=options.precision)
        for row, each in zip(good, found, strict=True):
            row["top"] = list(each.top)
            if each.labels is not None:
                row["labels"] = list(each.labels)
    return rows


def as_csv(found: Sequence[Found]) -> str:
    """image, class_1, probability_1, class_2, ... as CSV."""
    numbers = range(1, len(found[0][1].top) + 1)
    names = [f"{what}_{k}" for k in numbers for what in ("class", "probability")]
    several = found[0][1].labels is not None
    rows = [
        [
            str(file),
            *([";".join(each.labels or ())] if several else []),
            *(cell for name, p in each.top for cell in (name, f"{p:.6f}")),
        ]
        for file, each in found
    ]
    return _csv_text([["image", *(["labels"] if several else []), *names], *rows])


def _csv_text(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def as_table(found: Sequence[Found]) -> Table:
    """A row an image."""
    numbers = range(1, len(found[0][1].top) + 1)
    several = found[0][1].labels is not None
    table = new_table(wrapped=("Image", *(["Labels"] if several else []), *map(str, numbers)))
    for file, prediction in found:
        table.add_row(
            escape(str(file)),
            *([escape(prediction.line())] if several else []),
            *(escape(f"{name} {100 * p:.1f} %") for name, p in prediction.top),
        )
    return table


def draw_sheet(found: Sequence[Found], predictor: Classifier, path: Path) -> None:
    """The contact sheet of predictions: the first images at most, each with its file's name."""
    import numpy as np

    from res2net.tasks.classify.pictures import draw_predictions

    shown = found[:ON_A_SHEET]
    shaped = [predictor.shaped(file) for file, _ in shown]
    images = [x if isinstance(x, np.ndarray) else x.permute(1, 2, 0).numpy() for x in shaped]
    labels = [
        (p.line() if p.labels is not None else f"{p.label}\t{100 * p.probability:.0f} %")
        + f"\n{printable(file.name)}"
        for file, p in shown
    ]
    draw_predictions(images, labels, path)


def draw_marked(done: Sequence[Mapping[str, Any]], folder: Path, path: Path) -> None:
    """The same of pictures that are written already, with what was found in a line."""
    import numpy as np
    from PIL import Image

    from res2net.tasks.classify.pictures import draw_predictions

    images = []
    for entry in done[:ON_A_SHEET]:
        with Image.open(folder / entry["row"]["picture"]) as picture:
            images.append(np.asarray(picture.convert("RGB")))
    names = [f"{each['line']}\n{printable(Path(each['image']).name)}" for each in done[:ON_A_SHEET]]
    draw_predictions(images, names, path)
