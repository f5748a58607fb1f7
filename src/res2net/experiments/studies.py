"""The studies, one entry each: on CIFAR-100, generated scenes and annotated images. No torch.

To add a study, add an entry to ``STUDIES``. bf16 is set explicitly, so that the result does not
depend on the machine.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from res2net.data.scenes.single import LENGTHS, SIDE, TRAIN, VAL, length_of
from res2net.errors import UserError, did_you_mean
from res2net.experiments.study import Point, Study, annotated_headline, headline

_SPLIT = "res2net29_small"
_on_cifar = partial(
    Study, data="cifar100", images=50_000, classes=100, pixels=32, recipe="cifar-short"
)
# Ten minutes per training on one processor: three passes, in twice as many steps.
BRIEF: dict[str, Any] = {
    "train.epochs": 3,
    "train.batch": 64,
    "train.warmup": 0.5,
    "train.precision": "bf16",
}

TWINS = _on_cifar(
    name="cifar-twins",
    question="At equal cost and recipe, is Res2NeXt more accurate than ResNeXt?",
    # 2c×48w against 2c×18w×4s: the widths of one cardinality whose counts agree best among
    # networks with 300,000 to 500,000 parameters (+0.1 % parameters, +0.5 % MACs).
    points=(
        Point(
            label="resnext29_2c48w",
            network="resnet29_small",
            settings={"net.cardinality": 2, "net.width": 48},
        ),
        Point(
            label="res2next29_2c18w_4s",
            network=_SPLIT,
            settings={"net.cardinality": 2, "net.width": 18},
        ),
    ),
    seeds=3,
    settings={"train.epochs": 8, "train.precision": "bf16"},
)

SHIPPED = _on_cifar(
    name="cifar-shipped",
    question="What error does a small Res2Net reach in 40 epochs on one processor?",
    points=(
        Point(
            label="res2net29_32w_4s",  # as fast as 26w×4s: channels in multiples of 8
            network=_SPLIT,
            settings={"net.width": 32},
        ),
    ),
    seeds=1,
    settings={"train.epochs": 40, "train.precision": "bf16"},
)

# The paper increases each dimension from one base (depth 29, cardinality 6, 24w, scale 1); here the
# base has a quarter of the planes and cardinality 2. The steps of the three dimensions are those
# whose parameters are nearest to each other.
_BASE = {"net.width": 24, "net.cardinality": 2}
_GROWN = {
    "scale": (2, 3, 4, 5, 6),
    "cardinality": (4, 6, 8, 12),
    "depth": (47, 74),
}

FIGURE5 = _on_cifar(
    name="figure5",
    question="Does increasing the scale gain most? Fig. 5 at small scale",
    points=(
        Point(label="base", network="resnet29_small", settings=_BASE),
        *(
            Point(
                label=f"{group}_{value}",
                network="resnet29_small",
                group=group,
                settings={**_BASE, f"net.{group}": value},
            )
            for group, values in _GROWN.items()
            for value in values
        ),
    ),
    seeds=3,
    settings=BRIEF,
    drawing="lines",
)

ABLATIONS = _on_cifar(
    name="ablations",
    question="How do first block, additions, label smoothing and SE affect the error?",
    points=(
        Point(label="base_group", network=_SPLIT, group="the row as it is"),
        *(
            Point(
                label=f"first_block_{rule}",
                network=_SPLIT,
                group="first block of a stage",
                settings={"net.first_block": rule},
            )
            for rule in ("pool", "paper")
        ),
        Point(label="no_additions", network="parallel29_small", group="hierarchy"),
        Point(
            label="label_smoothing",
            network=_SPLIT,
            group="training",
            settings={"train.label_smoothing": 0.1},
        ),
        Point(label="se", network=_SPLIT, group="block", settings={"net.se": True}),
    ),
    seeds=2,
    settings=BRIEF,
)

PREFIX = "error_"  # columns with the error at each length: error_8, error_11.3, ...
# Scale → width that matches parameters and multiply-adds of the plain network within 2 %.
WIDTHS = {1: 48, 2: 33, 4: 18, 8: 10}


def column_of(length: float, prefix: str = PREFIX) -> str:
    """The column of a measure, by default the error, for objects of a length in pixels."""
    return f"{prefix}{length:.1f}".removesuffix(".0")


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


_on_scenes = partial(
    Study,
    data="scenes",
    images=TRAIN + VAL // 3,  # a validation image costs a third of a training image
    classes=4,
    pixels=SIDE,
    recipe="scenes",
)
_OF_EQUAL_COST = {
    scale: Point(
        label=f"{width}w_{scale}s" if scale > 1 else f"{width}w",
        network="res2net29_small" if scale > 1 else "resnet29_small",
        group=f"s = {scale}" if scale > 1 else "ResNet",
        settings={"net.width": width, **({"net.scale": scale} if scale > 1 else {})},
    )
    for scale, width in WIDTHS.items()
}

SCENES = _on_scenes(
    name="scenes-scale",
    question="At equal cost, for which object sizes does scale reduce the error?",
    points=tuple(_OF_EQUAL_COST.values()),
    seeds=2,
    settings={"train.precision": "bf16"},
    measure=by_size,
    drawing="sizes",
)

# measure of a map (``explain.study.on_single_objects``) → label
MAPS = {
    "energy": "energy on the object, %",
    "covered": "object covered, %",
    "pointing": "pointing game, % of maps",
    "iou": "IoU of map and object, %",
}


def maps_by_length(run: Path) -> dict[str, float]:
    """``by_size``, and measures of the class activation maps for each length."""
    from res2net.explain.study import on_single_objects

    found = on_single_objects(run, per_length=200)
    return by_size(run) | {
        column_of(length, f"{name}_"): round(value, 4)
        for length, means in found.items()
        for name, value in means.items()
    }


FIGURE4 = _on_scenes(
    name="figure4",
    question="Do activation maps of Res2Net fit small and large objects better?",
    points=(_OF_EQUAL_COST[1], _OF_EQUAL_COST[4]),
    seeds=3,
    settings={"train.precision": "bf16"},
    measure=maps_by_length,
    drawing="maps",
)

# A small Res2Net and its cost-matched ResNet on annotated images, from scratch. Both have 26 layers
# and half of ResNet's planes; their backbones differ by 0.6 % in parameters, 5 % in multiply-adds.
# The weights of the last epoch are kept, so that no score is of an epoch selected on the images
# that it is measured on. The budget of a study is 90 minutes on one processor.
PAIR = ("resnet26_small", "res2net26_small")
_PAIRED: dict[str, Any] = {"train.precision": "bf16", "train.select": "last"}
_twins = partial(
    Study,
    points=tuple(Point(label=name, network=name) for name in PAIR),
    seeds=3,
    classes=0,  # only the backbone is counted; the heads are equal
    recipe="scratch",
)
_SIZES = ("small", "medium", "large")  # of objects, as in COCO
_on_many_scenes = partial(_twins, data="scenes", images=256)
ANNOTATED_TWINS = (
    _twins(
        name="bccd-twins",
        question="Blood cells from scratch: does Res2Net detect more of them?",
        task="detect",
        data="voc",
        images=205,
        pixels=256,
        measure=partial(annotated_headline, error="val/ap50_error", val_images=87),
        score="AP50",
        settings={**_PAIRED, "input.size": 256, "train.epochs": 10},
        sizes={f"AP of {size}, %": f"ap_{size}" for size in _SIZES},
    ),
    _twins(
        name="camvid-twins",
        question="Street scenes from scratch: does Res2Net segment them better?",
        task="segment",
        data="camvid",
        images=60,
        pixels=256,
        measure=partial(annotated_headline, error="val/iou_error", val_images=20),
        score="mean IoU",
        settings={**_PAIRED, "head.channels": 64, "train.epochs": 40},
        sizes={f"recall of {size}, %": f"region_recall_{size}" for size in _SIZES},
    ),
    _twins(
        name="ecssd-twins",
        question="Salient objects from scratch: does Res2Net segment them better?",
        task="saliency",
        data="ecssd",
        images=140,
        pixels=224,
        measure=partial(annotated_headline, error="val/f_error", val_images=50),
        score="max F-measure",
        settings={**_PAIRED, "train.epochs": 20},
        sizes={f"max F of {size}": f"max_f_{size}" for size in _SIZES[1:]},
    ),
    _on_many_scenes(
        name="instances-twins",
        question="Generated scenes: does Res2Net segment more objects?",
        task="instances",
        pixels=160,
        measure=partial(annotated_headline, error="val/ap50_error", val_images=64),
        score="AP50 of masks",
        settings={**_PAIRED, "input.size": 160, "train.epochs": 20},
        sizes={f"AP of {size}, %": f"mask_ap_{size}" for size in _SIZES},
    ),
    _on_many_scenes(
        name="pose-twins",
        question="Generated scenes: does Res2Net locate key-points better?",
        task="pose",
        pixels=128,
        measure=partial(annotated_headline, error="val/ap_error", val_images=64),
        score="OKS AP",
        settings={**_PAIRED, "input.size": 128, "train.epochs": 30},
        sizes={f"OKS of {size}, %": f"oks_{size}" for size in _SIZES},
    ),
)

STUDIES: Mapping[str, Study] = {
    study.name: study
    for study in (TWINS, SHIPPED, FIGURE4, FIGURE5, SCENES, ABLATIONS, *ANNOTATED_TWINS)
}


def find_study(name: str) -> Study:
    """The study of that name.

    Raises:
        UserError: no such study; suggests the nearest.
    """
    if name not in STUDIES:
        raise UserError(
            f"unknown study {name!r}.{did_you_mean(name, STUDIES)} It can be {', '.join(STUDIES)}."
        )
    return STUDIES[name]
