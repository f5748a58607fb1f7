"""What a row of results holds of a finished run. No torch."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

SCORES = ("top1_error", "top5_error", "loss", "calibration_error")


def headline(run: Path) -> dict[str, float]:
    """The scores of the best epoch's weights, and the error of the last epoch.

    The best epoch is chosen on the images that are measured; the last one is not, so means over
    seeds are taken of ``last_error``.
    """
    content = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    scores = {name: round(float(content[name]), 4) for name in SCORES}
    last = float(epochs_of(run)[-1]["val/top1_error"])
    return {"last_error": last, **scores, "val_images": content["count"]}


def dense_headline(run: Path, error: str, val_images: int) -> dict[str, float]:
    """The figures of the best epoch's weights on whole images, and the error of the last epoch.

    Args:
        error: column of ``metrics.csv``, in percent.
        val_images: number of images that are measured.
    """
    content = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    scores = {name: round(float(value), 4) for name, value in content.items()}
    return {"last_error": float(epochs_of(run)[-1][error]), **scores, "val_images": val_images}


def epochs_of(run: Path) -> list[dict[str, str]]:
    """A row an epoch, as the run wrote them."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def card_of(run: Path) -> dict[str, Any]:
    """What the run says of its network, its data and the versions it was trained with."""
    card: dict[str, Any] = json.loads((run / "model.json").read_text(encoding="utf-8"))
    return card
