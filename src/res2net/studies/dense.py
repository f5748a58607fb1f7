"""Studies of dense tasks from scratch: a small Res2Net against its ResNet twin on real images.

Both have 26 layers and half of ResNet's planes; their backbones differ by 0.6 % in parameters and
5 % in multiply-adds. Nothing is pretrained, and an hour of one processor is the budget of a study.
"""

from __future__ import annotations

from functools import partial

from res2net.studies.measures import dense_headline
from res2net.studies.study import Point, Study

_twins = partial(
    Study,
    points=tuple(Point(label=name, network=name) for name in ("resnet26_small", "res2net26_small")),
    seeds=2,
    classes=0,  # the backbone alone is counted; the head is the same
    recipe="scratch",
)
DENSE_TWINS = (
    _twins(
        name="bccd-twins",
        question="Blood cells from scratch: does Res2Net find more of them?",
        task="detect",
        data="voc",
        images=205,
        pixels=256,
        measure=partial(dense_headline, error="val/ap50_error", val_images=87),
        score="AP50",
        settings={"input.size": 256, "train.epochs": 10},
    ),
    _twins(
        name="camvid-twins",
        question="Street scenes from scratch: does Res2Net name more of each class?",
        task="segment",
        data="camvid",
        images=60,
        pixels=256,
        measure=partial(dense_headline, error="val/iou_error", val_images=20),
        score="mean IoU",
        settings={"head.channels": 64, "train.epochs": 40},
    ),
    _twins(
        name="ecssd-twins",
        question="Salient objects from scratch: does Res2Net show them better?",
        task="saliency",
        data="ecssd",
        images=140,
        pixels=224,
        measure=partial(dense_headline, error="val/f_error", val_images=50),
        score="max F-measure",
        settings={"train.epochs": 20},
    ),
)
