"""``res2net predict``."""

from __future__ import annotations

import csv
import io
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    add_finding_options,
    add_precision,
    check_targets,
    target_and_images,
)
from res2net.cli.video import only_video, predict_video
from res2net.data.files import images_in
from res2net.errors import Stopped, UserError, check_meaning, check_needs, printable
from res2net.files import (
    Journal,
    alone_in,
    check_file_to_write,
    json_text,
    locked,
    make_folder,
    write_bytes,
    write_text,
)
from res2net.paper.tasks import CLASSIFY, FINDING, TASKS, readers

if TYPE_CHECKING:
    from res2net.tasks.classify.task import Classifier
    from res2net.tasks.finding import Finding
    from res2net.tasks.predictor import Predictor

Entry = dict[str, Any]  # an image's entry in the journal
ON_A_SHEET = 48
JOURNAL = ".predictions.partial"  # in --out, until predictions.json is written
_RESULT = ("top", "csv", "boxes", "precision", "coco", "yolo", *FINDING)  # what results depend on
_OF_IMAGES = ("csv", "json", "sheet", "resume", "boxes", "coco", "yolo", "batch")  # of no video
EXAMPLES = (
    "res2net predict runs/photos holiday.jpg",
    "res2net predict runs/photos holiday/ --csv holiday.csv",
    "res2net predict runs/photos a.jpg b.png --json --top 3",
    "res2net predict runs/cells slides/ --out found      # a detector: boxes drawn, and as JSON",
    "res2net predict runs/cells slides/ --out found --score 0.4 --tiles auto   # large photos",
    "res2net predict runs/cells slides/ --out found --resume   # after a stop",
    "res2net predict runs/cells clip.mp4 --every 5 --out found   # a video drawn, and JSONL",
)


def make_parser() -> Parser:
    """All options of a prediction."""
    parser = Parser(
        "predict [RUN|CHECKPOINT|ARTIFACT] IMAGE_OR_FOLDER ... [--option value ...]",
        "Predict the most likely classes of images, or the boxes, masks, pixel classes or "
        "key-points that the network was trained for. Unreadable files in a folder are listed and "
        "skipped. Without a network, the small one shipped with the package is used.",
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
        help="the network, if all arguments are images; default: the first argument",
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
        help=f"also draw the first {ON_A_SHEET} images and their predictions on a PNG; default: no",
    )
    parser.add_argument(
        "--out",
        type=Path | None,
        help="other tasks: folder for pictures and predictions.json; default: predictions",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted prediction in --out (classifiers: --csv); without it, start "
        "over",
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
        help="detectors, pose: also write OUT/coco.json, COCO results with the ids of "
        "this annotation file; default: no",
    )
    parser.add_argument(
        "--yolo",
        action="store_true",
        help="boxes: also write OUT/labels, YOLO text files with confidences; default: no",
    )
    parser.add_argument("--batch", type=int, default=32, help="classifiers: images per batch")
    parser.add_argument("--every", type=int, default=1, help="videos: predict every n-th frame")
    add_precision(parser)
    add_capture_options(parser)
    return parser


def main(argv: Sequence[str]) -> None:
    """Predict and print."""
    parser = make_parser()
    options = read_options(parser, argv)
    for name in ("top", "batch", "every"):
        if options[name] < 1:
            raise UserError(f"--{name} is {options[name]}; it must be at least 1")
    for path in (options.csv, options.sheet):
        if path:
            check_file_to_write(path)

    target, places = target_and_images(options.words, options.model)
    check_targets(target)
    video = only_video(places)
    check_needs(parser.typed, {"every": ("a video", video is not None)})
    images = ("images, not a video", video is None)
    check_needs(parser.typed, dict.fromkeys(_OF_IMAGES, images))

    from res2net.machine import memory_mended_by
    from res2net.tasks.open import open_target
    from res2net.tasks.predictor import NETWORK

    opened = open_target(target, stream=True)
    predictor: Any = opened.predictor(capture=options.capture, compiled=options.compile)
    typed = [name for name in parser.typed if not (video and name == "out")]  # of every task
    check_meaning(typed, readers("predict"), predictor.task, NETWORK)
    predictor.check_precision(options.precision)
    finding = predictor.finding({n: options[n] for n in FINDING if n in parser.typed})
    if video:
        predict_video(
            predictor,
            video,
            options.out or Path("predictions"),
            every=options.every,
            precision=options.precision,
            top=options.top if predictor.task == CLASSIFY else None,
            finding=finding,
        )
        return
    files = [
        (file, file.relative_to(place) if place.is_dir() else Path(file.name))
        for place in places
        for file in images_in(place)
    ]
    about = {name: str(options[name]) for name in _RESULT if name in parser.typed}
    exported = opened.runtime and opened.runtime.artifact.files
    about["network"] = str(sorted(exported.items())) if exported else opened.sha256
    if "out" in TASKS[predictor.task].predict:
        mark(predictor, files, options, finding, about)
    else:
        if options.resume and not options.csv:
            raise UserError("--resume needs --csv, the file whose rows are kept")
        with memory_mended_by(f"lower --batch (it is {options.batch})"):
            done = classify(predictor, [file for file, _ in files], options, about)
        if options.sheet:
            draw_sheet(done, lambda row: predictor.shaped(row["image"]), options.sheet)
        if not options.json:
            show(as_table(done))
    for path in (options.csv, options.sheet):
        if path:
            print(f"written: {path}", file=sys.stderr)


@contextmanager
def resumable() -> Iterator[None]:
    """Report how to resume when stopped."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped("stopped; rerun with --resume to continue") from error


def each_entry(
    files: Sequence[Path],
    batch: int,
    make: Callable[[int, Sequence[Path]], list[Entry]],
    journal: Journal | None,
    *,
    as_json: bool,
) -> Iterator[Entry]:
    """The entries of a journal, then new ones, batch by batch, as they are made.

    An entry holds "left_out", the reason why a file is skipped, which is printed as a note, or
    "row", which is printed with ``as_json``.

    Args:
        make: (number of the first file, files of a batch) → their entries.

    Raises:
        UserError: every file is left out, or the journal was started with other images.
    """
    begun: list[Entry] = journal.rows if journal else []
    if len(begun) < len(files):
        del begun[len(begun) // batch * batch :]
    if journal and [entry["image"] for entry in begun] != [str(f) for f in files[: len(begun)]]:
        raise UserError(
            f"--resume: {journal.path} was started with other images; use the same, or run without "
            "--resume to start again"
        )
    readable = False
    starts = range(0, len(files), batch)
    for start in track(starts, len(starts), "predicting"):
        entries = begun[start : start + batch]
        if not entries:
            entries = make(start, files[start : start + batch])
            if journal:
                journal.add(entries)
        for entry in entries:
            if "left_out" in entry:
                warnings.warn(f"left out: {entry['left_out']}", stacklevel=1)
                continue
            readable = True
            if as_json:
                print_json(entry["row"])
            yield entry
    if not readable:
        if journal:
            journal.end()
        raise UserError(f"none of the {len(files)} images could be read")


def mark(
    predictor: Predictor,
    below: Sequence[tuple[Path, Path]],
    options: Namespace,
    finding: Finding | None,
    about: Mapping[str, str],
) -> None:
    """Write a picture of each image with its predictions, and all predictions as JSON.

    Args:
        below: images, and their paths relative to the given folder.

    Raises:
        UserError: no image can be read, or a file cannot be written.
    """
    from res2net.tasks.formats import COLUMNS, coco_ids, label_files, table_rows, yolo_text

    files, folder = [file for file, _ in below], options.out or Path("predictions")
    ids, categories = coco_ids(options.coco, predictor.classes, files) if options.coco else ([], [])
    labels = label_files(below) if options.yolo else []
    boxes = None
    if options.boxes:
        from res2net.tasks.pose.crops import read_boxes

        boxes = read_boxes(options.boxes)
    how = {"top": None, "batch": None, "precision": options.precision, "finding": finding}
    done: list[Entry] = []

    def made(number: int, batch: Sequence[Path]) -> list[Entry]:
        (file,) = batch
        try:
            (found,) = predictor.results(file, boxes=boxes, **how)
        except UserError as error:
            if len(files) == 1:
                raise
            return [{"image": str(file), "left_out": str(error)}]
        stem = f"{len(done):05d}-{file.stem}" if len(files) > 1 else file.stem
        row = drawn(found, file, folder, stem)
        if options.yolo:
            path = folder / "labels" / labels[number]
            make_folder(path.parent, "--out")
            write_text(path, yolo_text(found))
        results = found.to_coco(ids[number], categories) if options.coco else []
        return [{"image": str(file), "row": row, "line": found.line(), "coco": results}]

    with alone_in(folder, "--out"), resumable():
        journal = Journal(folder / JOURNAL, about, resume=options.resume)
        for entry in each_entry(files, 1, made, journal, as_json=options.json):
            done.append(entry)  # one by one: the next picture is named by their number
        rows = [entry["row"] for entry in done]
        write_text(folder / "predictions.json", json_text(rows, indent=2) + "\n")
        if options.coco:
            results = [result for entry in done for result in entry["coco"]]
            write_text(folder / "coco.json", json_text(results) + "\n")
        if options.csv:
            write_text(options.csv, _csv_text([COLUMNS, *table_rows(rows)]))
        if options.yolo:
            names = "".join(f"{name}\n" for name in predictor.classes)
            write_text(folder / "classes.txt", names)
        if options.sheet:
            draw_sheet(done, lambda row: _pixels(folder / row["picture"]), options.sheet)
        journal.end()
    if not options.json:
        shown = new_table(wrapped=("Image", "Found"))
        for entry in done:
            shown.add_row(escape(entry["image"]), escape(entry["line"]))
        show(shown)
        print(f"pictures and predictions.json: {folder}")


def drawn(found: Any, file: Path, folder: Path, stem: str) -> dict[str, Any]:
    """Write an image's pictures and return its row in predictions.json."""
    row: dict[str, Any] = {"image": str(file)}
    for suffix, picture in found.pictures().items():
        write_bytes(folder / f"{stem}{suffix}.png", _png(picture))
        row[suffix.removeprefix("-") or "picture"] = f"{stem}{suffix}.png"
    return {**row, **found.as_dict()}


def print_json(value: Any) -> None:
    """Print a line, with escapes if the output takes only ASCII."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json_text(value) if utf8 else json.dumps(value), flush=True)


def _png(picture: Any) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(data, "PNG")
    return data.getvalue()


def _pixels(path: Path) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def classify(
    predictor: Classifier, files: Sequence[Path], options: Namespace, about: Mapping[str, str]
) -> list[Entry]:
    """Classify batch by batch and write ``--csv``; unreadable files are skipped.

    Raises:
        UserError: the only file, or every file, cannot be read.
    """

    def made(_: int, batch: Sequence[Path]) -> list[Entry]:
        return classified(predictor, batch, options, alone=len(files) == 1)

    if not options.csv:
        return list(each_entry(files, options.batch, made, None, as_json=options.json))
    beside = options.csv.with_name(f".{options.csv.name}.partial")
    with locked(beside.with_suffix(".lock"), f"--csv {options.csv}"), resumable():
        journal = Journal(beside, about, resume=options.resume)
        done = list(each_entry(files, options.batch, made, journal, as_json=options.json))
        write_text(options.csv, as_csv([entry["row"] for entry in done]))
        journal.end()
    return done


def classified(
    predictor: Classifier, files: Sequence[Path], options: Namespace, *, alone: bool
) -> list[Entry]:
    """The entries of a batch.

    Raises:
        UserError: the only file cannot be read.
    """
    entries: list[Entry] = []
    shaped: list[Any] = []
    for file in files:
        entries.append({"image": str(file)})
        try:
            shaped.append(predictor.shaped(file))
        except UserError as error:
            if alone:
                raise
            entries[-1]["left_out"] = str(error)
    good = [entry for entry in entries if "left_out" not in entry]
    if good:
        found = predictor.classify(shaped, top=options.top, precision=options.precision)
        for entry, each in zip(good, found, strict=True):
            entry["row"] = {**entry, "top": dict(each.top)}
            entry["line"] = f"{each.label}\t{100 * each.probability:.0f} %"
            if each.labels is not None:
                entry["row"]["labels"], entry["line"] = list(each.labels), each.line()
    return entries


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """image, class_1, probability_1, class_2, ... as CSV; of several labels also these."""
    numbers = range(1, len(rows[0]["top"]) + 1)
    names = [f"{what}_{k}" for k in numbers for what in ("class", "probability")]
    head = ["image", "labels", *names] if "labels" in rows[0] else ["image", *names]
    return _csv_text(
        [head]
        + [
            [
                row["image"],
                *([";".join(row["labels"])] if "labels" in row else []),
                *(cell for name, p in row["top"].items() for cell in (name, f"{p:.6f}")),
            ]
            for row in rows
        ]
    )


def _csv_text(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def as_table(done: Sequence[Entry]) -> Table:
    """One row per image."""
    numbers = range(1, len(done[0]["row"]["top"]) + 1)
    labels = ["Labels"] if "labels" in done[0]["row"] else []
    table = new_table(wrapped=("Image", *labels, *map(str, numbers)))
    for entry in done:
        table.add_row(
            escape(entry["image"]),
            *([escape(entry["line"])] if labels else []),
            *(escape(f"{name} {100 * p:.1f} %") for name, p in entry["row"]["top"].items()),
        )
    return table


def draw_sheet(done: Sequence[Entry], pixels: Callable[[Any], Any], path: Path) -> None:
    """The first images on one picture, each with its prediction and file name.

    Args:
        pixels: gives the image of a row: (H, W, 3), or a tensor (3, H, W).
    """
    import numpy as np

    from res2net.tasks.classify.pictures import draw_predictions

    found = [pixels(entry["row"]) for entry in done[:ON_A_SHEET]]
    images = [x if isinstance(x, np.ndarray) else x.permute(1, 2, 0).numpy() for x in found]
    names = [f"{each['line']}\n{printable(Path(each['image']).name)}" for each in done[:ON_A_SHEET]]
    draw_predictions(images, names, path)
