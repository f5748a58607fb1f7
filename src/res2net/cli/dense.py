"""What ``res2net evaluate`` and ``predict`` do with networks of the dense tasks."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from rich.markup import escape

from res2net.cli.progress import track
from res2net.cli.tables import new_table, show
from res2net.errors import UserError
from res2net.files import make_folder, write_bytes, write_text
from res2net.tasks.table import task_of as task_of


def evaluate(task: str, options: Any, source: str) -> None:
    """Measure and show the table.

    Raises:
        UserError: as ``tasks.dense.evaluate``.
    """
    from res2net.tasks.dense.evaluate import evaluate as measure
    from res2net.tasks.table import find_dense_task

    _check_precision(options)
    how: dict[str, Any] = {}
    if options.scales or options.flip:
        how = {"scales": tuple(options.scales or (1.0,)), "turned": options.flip}
    if boxes := read_boxes_of(options.boxes):
        how["boxes"] = boxes
    scores, folder = measure(
        find_dense_task(task),
        options.target,
        source,
        split=options.split,
        out=options.out,
        precision=options.precision,
        val_fraction=options.val_fraction,
        seed=options.seed,
        skip_bad=options.skip_bad,
        track=track,
        **how,
    )
    shown = new_table("", "figure")
    for row in scores.table():
        shown.add_row(*row)
    show(shown)
    print(f"tables and pictures: {folder}")


def predict(task: str, options: Any, files: Sequence[Path]) -> None:
    """A picture of each image with what was found, and all of it as JSON.

    Raises:
        UserError: no image can be read, or a file cannot be written.
    """
    from res2net.tasks.dense.predictor import load
    from res2net.tasks.table import find_dense_task

    _check_precision(options)
    predictor = load(find_dense_task(task), options.target)
    boxes = read_boxes_of(options.boxes)
    folder = options.out or Path("predictions")
    done: list[dict[str, Any]] = []
    lines: list[tuple[str, str]] = []
    for file in track(files, len(files), "predicting"):
        try:
            how = {"boxes": boxes, "name": file.name} if boxes else {}
            found = predictor.predict(file, precision=options.precision, **how)
        except UserError as error:
            if len(files) == 1:
                raise
            warnings.warn(f"left out: {error}", stacklevel=1)
            continue
        make_folder(folder, "--out")
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


def _check_precision(options: Any) -> None:
    from res2net.runtime.artifact import is_artifact

    if options.precision != "auto" and is_artifact(options.target):
        raise UserError(
            f"--precision {options.precision}: {options.target} has its own; "
            "export another artifact"
        )


def read_boxes_of(file: Path | None) -> Any:
    """The boxes that ``--boxes`` names; None where it is not given.

    Raises:
        UserError: a file that is not one of boxes.
    """
    if file is None:
        return None
    from res2net.tasks.pose.boxes import read_boxes

    return read_boxes(file)


def _png(picture: Any) -> bytes:
    from PIL import Image

    data = BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return data.getvalue()
