"""Studies of dense tasks from scratch: a small Res2Net against its ResNet twin on real images.

Both have 26 layers and half of ResNet's planes; their backbones differ by 0.6 % in parameters and
5 % in multiply-adds. Nothing is pretrained, and an hour of one processor is the budget of a study.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from res2net.config import TaskName
from res2net.studies.measures import dense_headline
from res2net.studies.study import Point, Study

_POINTS = tuple(Point(label=name, network=name) for name in ("resnet26_small", "res2net26_small"))


def _twins(
    name: str,
    question: str,
    *,
    task: TaskName,
    data: str,
    images: tuple[int, int],
    pixels: int,
    error: str,
    score: str,
    settings: dict[str, Any],
) -> Study:
    """The twins under one recipe.

    Args:
        images: for training, for validation.
        error: column of ``metrics.csv`` that is 100 % minus ``score``.
    """
    return Study(
        name=name,
        question=question,
        points=_POINTS,
        seeds=2,
        data=data,
        images=images[0],
        classes=0,  # the backbone alone is counted; the head is the same
        pixels=pixels,
        recipe="scratch",
        task=task,
        settings=settings,
        measure=partial(dense_headline, error=error, val_images=images[1]),
        score=score,
    )


DENSE_TWINS = (
    _twins(
        "bccd-twins",
        "Blood cells from scratch: does Res2Net find more of them?",
        task="detect",
        data="voc",
        images=(205, 87),
        pixels=256,
        error="val/ap50_error",
        score="AP50",
        settings={"input.size": 256, "train.epochs": 10},
    ),
    _twins(
        "camvid-twins",
        "Street scenes from scratch: does Res2Net name more of each class?",
        task="segment",
        data="camvid",
        images=(60, 20),
        pixels=256,
        error="val/iou_error",
        score="mean IoU",
        settings={"head.channels": 64, "train.epochs": 40},
    ),
    _twins(
        "ecssd-twins",
        "Salient objects from scratch: does Res2Net show them better?",
        task="saliency",
        data="ecssd",
        images=(140, 50),
        pixels=224,
        error="val/f_error",
        score="max F-measure",
        settings={"train.epochs": 20},
    ),
)
