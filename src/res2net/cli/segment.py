"""What ``res2net evaluate`` and ``predict`` do with a segmenter."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from res2net.cli.progress import track
from res2net.cli.tables import new_table, show
from res2net.errors import UserError
from res2net.files import write_bytes, write_text


def task_of(target: str) -> str:
    """The task of a trained network; classify of an artifact, and of what is none of these."""
    from res2net.models.card import ModelCard
    from res2net.runtime.artifact import is_artifact
    from res2net.weights.reading import CARD_NAME

    path = Path(target)
    if is_artifact(target) or not path.exists():
        return "classify"
    try:
        card = (path if path.is_dir() else path.parent) / CARD_NAME
        if card.is_file() and path.suffix not in (".ckpt", ".pth", ".pt"):
            return ModelCard.read(card).task
        from res2net.models.weights import read_target

        return read_target(target)[1].task
    except UserError:
        return "classify"  # which says what is wrong


def evaluate(options: Any, source: str) -> None:
    """Measure and show the table."""
    from res2net.tasks.segment.evaluate import evaluate as measure
    from res2net.tasks.segment.evaluation import table

    if options.size is not None:
        raise UserError("--size: a segmenter sees images at their own size; leave it out")
    scores, classes, folder = measure(
        options.target,
        source,
        split=options.split,
        out=options.out,
        precision=options.precision,
        val_fraction=options.val_fraction,
        seed=options.seed,
        skip_bad=options.skip_bad,
        track=track,
    )
    shown = new_table("", "figure")
    for row in table(scores, classes):
        shown.add_row(*row)
    show(shown)
    print(f"tables and pictures: {folder}")


def predict(options: Any, files: Sequence[Path]) -> None:
    """A picture and a map of classes for each image, and the share of each class.

    Raises:
        UserError: no image can be read, or a file cannot be written.
    """
    from PIL import Image

    from res2net.tasks.segment.pictures import overlay
    from res2net.tasks.segment.predictor import load

    for name in ("csv", "sheet"):
        if options[name]:
            raise UserError(f"--{name} is for classifiers; a segmenter writes to --out FOLDER")
    predictor = load(options.target)
    folder = options.out or Path("segmented")
    done: list[dict[str, Any]] = []
    for file in track(files, len(files), "predicting"):
        try:
            image, found = predictor.predict(file, precision=options.precision)
        except UserError as error:
            if len(files) == 1:
                raise
            warnings.warn(f"left out: {error}", stacklevel=1)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{len(done):05d}-{file.stem}" if len(files) > 1 else file.stem
        pictures = {
            f"{stem}-classes.png": Image.fromarray(found),
            f"{stem}.png": Image.fromarray(overlay(image, found, predictor.palette)),
        }
        for name, picture in pictures.items():
            data = BytesIO()
            picture.save(data, "PNG")
            write_bytes(folder / name, data.getvalue())
        row = {"image": str(file), "picture": f"{stem}.png", "classes": f"{stem}-classes.png"}
        done.append({**row, "shares": predictor.shares(found)})
        if options.json:
            print(json.dumps(done[-1]), flush=True)
    if not done:
        raise UserError(f"none of the {len(files)} images could be read")
    write_text(folder / "predictions.json", json.dumps(done, indent=2) + "\n")
    if not options.json:
        shown = new_table(wrapped=("Image", "Classes"))
        for each in done:
            shares = "  ".join(f"{n} {100 * s:.0f} %" for n, s in each["shares"].items())
            shown.add_row(each["image"], shares)
        show(shown)
        print(f"pictures and maps: {folder}")
