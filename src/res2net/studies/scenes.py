"""A study on generated scenes: does scale help objects of some sizes more than others?"""

from __future__ import annotations

import csv
from pathlib import Path

from res2net.data.scenes.single import LENGTHS, SIDE, TRAIN, VAL, length_of
from res2net.studies.measures import headline
from res2net.studies.study import Point, Study

CLASSES = 4
PREFIX = "error_"  # columns of the error at each length: error_8, error_11.3, ...
# Scale → width at which parameters and multiply-adds are those of the plain network within 2 %.
WIDTHS = {1: 48, 2: 33, 4: 18, 8: 10}


def column_of(length: float) -> str:
    """The column that holds the error for objects of a length in pixels."""
    return f"{PREFIX}{length:.1f}".removesuffix(".0")


def by_size(run: Path) -> dict[str, float]:
    """The headline, and the top-1 error in percent for each length of the object."""
    with (run / "mistakes.csv").open(newline="", encoding="utf-8") as file:
        wrong = [length_of(int(row["file"].removeprefix("#"))) for row in csv.DictReader(file)]
    scores = headline(run)
    seen = [length_of(index) for index in range(int(scores["val_images"]))]
    errors = {
        column_of(length): round(100 * wrong.count(length) / seen.count(length), 4)
        for length in LENGTHS
        if length in seen
    }
    return {**scores, **errors}


SCENES = Study(
    name="scenes-scale",
    question="At equal cost, objects of which size does scale help?",
    points=tuple(
        Point(
            label=f"{width}w_{scale}s" if scale > 1 else f"{width}w",
            network="res2net29_small" if scale > 1 else "resnet29_small",
            group=f"s = {scale}" if scale > 1 else "ResNet",
            settings={"net.width": width, **({"net.scale": scale} if scale > 1 else {})},
        )
        for scale, width in WIDTHS.items()
    ),
    seeds=2,
    data="scenes",
    images=TRAIN + VAL // 3,  # an image that is only measured costs a third
    classes=CLASSES,
    pixels=SIDE,
    recipe="scenes",
    settings={"train.precision": "bf16"},
    measure=by_size,
    drawing="sizes",
)
