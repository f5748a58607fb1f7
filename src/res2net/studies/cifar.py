"""Studies on CIFAR-100.

bf16 is set, not left to the machine, so that the outcome does not depend on where a study runs.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from res2net.studies.study import Point, Study

_SPLIT = "res2net29_small"
_on_cifar = partial(
    Study, data="cifar100", images=50_000, classes=100, pixels=32, recipe="cifar-short"
)
# Ten minutes a training on one processor: three passes, in twice as many steps.
BRIEF: dict[str, Any] = {
    "train.epochs": 3,
    "train.batch": 64,
    "train.warmup": 0.5,
    "train.precision": "bf16",
}

TWINS = _on_cifar(
    name="cifar-twins",
    question="At equal cost and recipe, is Res2NeXt better than ResNeXt?",
    # 2c×48w against 2c×18w×4s: the widths of one cardinality whose counts agree best among
    # networks of 300,000 to 500,000 parameters (+0.1 % parameters, +0.5 % MACs).
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
    question="How far does a Res2Net get on one processor in two hours?",
    points=(
        Point(
            label="res2net29_32w_4s",  # as fast as 26w×4s: channels in multiples of 8
            network=_SPLIT,
            settings={"net.width": 32},
        ),
    ),
    seeds=1,
    settings={"train.epochs": 20, "train.precision": "bf16"},
)

# The paper grows each dimension from one base (depth 29, cardinality 6, 24w, scale 1); here the
# base has a quarter of the planes and cardinality 2. The steps of the three dimensions are those
# whose parameters are nearest to each other.
_BASE = {"net.width": 24, "net.cardinality": 2}
_GROWN: dict[str, tuple[tuple[str, dict[str, int]], ...]] = {
    "scale": (("scale_2", {"net.scale": 2}), ("scale_3", {"net.scale": 3})),
    "cardinality": (
        ("cardinality_4", {"net.cardinality": 4}),
        ("cardinality_6", {"net.cardinality": 6}),
    ),
    "depth": (("depth_47", {"net.depth": 47}), ("depth_74", {"net.depth": 74})),
}

FIGURE5 = _on_cifar(
    name="figure5",
    question="Is scale the better dimension to grow? Fig. 5, in small",
    points=(
        Point(label="base", network="resnet29_small", settings=_BASE),
        *(
            Point(
                label=label, network="resnet29_small", group=group, settings={**_BASE, **settings}
            )
            for group, steps in _GROWN.items()
            for label, settings in steps
        ),
    ),
    seeds=2,
    settings=BRIEF,
    drawing="lines",
)

ABLATIONS = _on_cifar(
    name="ablations",
    question="What do first block, additions, label smoothing and SE change?",
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
