"""What a row of results holds of a finished run. No torch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from res2net.errors import UserError

SCORES = ("top1_error", "top5_error", "loss", "calibration_error")
Found = TypeVar("Found")


def headline(run: Path) -> dict[str, float]:
    """The scores of the best epoch's weights, and the error of the last epoch.

    The best epoch is chosen on the images that are measured; the last one is not, so means over
    seeds are taken of ``last_error``.

    Raises:
        UserError: a damaged file of the run.
    """

    def scores(text: str) -> dict[str, float]:
        content = json.loads(text)
        found = {name: round(float(content[name]), 4) for name in SCORES}
        return {**found, "val_images": content["count"]}

    last = _last(run, "val/top1_error")
    return {"last_error": last, **_read(run / "metrics.json", scores)}


def dense_headline(run: Path, error: str, val_images: int) -> dict[str, float]:
    """The figures of the best epoch's weights on whole images, and the error of the last epoch.

    Args:
        error: column of ``metrics.csv``, in percent.
        val_images: number of images that are measured.

    Raises:
        UserError: a damaged file of the run.
    """

    def scores(text: str) -> dict[str, float]:
        return {name: round(float(value), 4) for name, value in json.loads(text).items()}

    found = _read(run / "metrics.json", scores)
    return {"last_error": _last(run, error), **found, "val_images": val_images}


def epochs_of(run: Path) -> list[dict[str, str]]:
    """A row an epoch, as the run wrote them.

    Raises:
        UserError: a damaged file.
    """

    def rows(text: str) -> list[dict[str, str]]:
        read = list(csv.DictReader(io.StringIO(text, newline="")))
        for row in read:
            float(row["epoch"]), float(row["step"]), float(row["seconds"])
        if not read:
            raise ValueError("no epoch")
        return read

    return _read(run / "metrics.csv", rows)


def card_of(run: Path) -> dict[str, Any]:
    """What the run says of its network, its data and the versions it was trained with.

    Raises:
        UserError: a damaged file.
    """

    def card(text: str) -> dict[str, Any]:
        content = json.loads(text)
        return {**content, "options": dict(content["options"])}

    return _read(run / "model.json", card)


def _last(run: Path, column: str) -> float:
    return _read(run / "metrics.csv", lambda _: float(epochs_of(run)[-1][column]))


def _read(path: Path, parse: Callable[[str], Found]) -> Found:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except UserError:
        raise
    except Exception as error:  # a file that was cut or edited can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise UserError(
            f"{path}: damaged ({reason}); remove the run folder and train again"
        ) from None
