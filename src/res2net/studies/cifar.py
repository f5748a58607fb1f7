"""Studies on CIFAR-100.

bf16 is set, not left to the machine, so that the outcome does not depend on where a study runs.
"""

from __future__ import annotations

from res2net.studies.study import Point, Study

IMAGES, CLASSES, PIXELS = 50_000, 100, 32

TWINS = Study(
    name="cifar-twins",
    question="At equal parameters, multiply-adds and recipe, is Res2NeXt better than ResNeXt?",
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
            network="res2net29_small",
            settings={"net.cardinality": 2, "net.width": 18},
        ),
    ),
    seeds=3,
    data="cifar100",
    images=IMAGES,
    classes=CLASSES,
    pixels=PIXELS,
    recipe="cifar-short",
    settings={"train.epochs": 15, "train.precision": "bf16"},
)

SHIPPED = Study(
    name="cifar-shipped",
    question="How far does a Res2Net get on one processor in two to three hours?",
    points=(
        Point(
            label="res2net29_32w_4s",  # as fast as 26w×4s: channels in multiples of 8
            network="res2net29_small",
            settings={"net.width": 32},
        ),
    ),
    seeds=1,
    data="cifar100",
    images=IMAGES,
    classes=CLASSES,
    pixels=PIXELS,
    recipe="cifar-short",
    settings={"train.precision": "bf16"},
)
