"""The tasks for the commands, without importing networks: names, texts, options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

TaskName = Literal["classify", "detect", "instances", "segment", "saliency", "pose", "pretrain"]
CLASSIFY: TaskName = "classify"  # the default task
PRETRAIN: TaskName = "pretrain"  # its networks predict nothing

_CROPS = ("augment.crop", "augment.crop_scale")
_REGIONS = ("head.anchors", "head.regions")
# options that select detections: explained in `tasks.finding`
_SUPPRESSION = ("iou", "class_agnostic", "tiles", "overlap")
FINDING = ("score", "max_detections", *_SUPPRESSION)
_HEAD = ("head.channels", "head.lr_factor")
_LOSS = ("train.loss", "train.class_weights")
_VARIED = (*_CROPS, "augment.color_jitter", "augment.scale", "augment.sides")
_MIXED = ("augment.mosaic", "augment.copy_paste")
_OBJECTS = (*_REGIONS, *_HEAD, *_VARIED, *_MIXED, "train.loss", "input.balance")
_MAPS = (*_LOSS, "augment.scale", "augment.color_jitter")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRow:
    """Help texts of a task, and the options that only some tasks read.

    Its code is the row called ``NAME`` in ``tasks/ROOM/task.py``.
    """

    learns: str  # the trained ability
    annotations: str  # training annotations, as in ``data.source.HOLDS``
    example: str  # data and run folder of the example in the help
    room: str = ""  # package in ``tasks``, if not named like the task
    train: tuple[str, ...] = _HEAD
    predict: tuple[str, ...] = ("out",)  # with "out", the results of an image are drawn there
    evaluate: tuple[str, ...] = ()


TASKS: Mapping[str, TaskRow] = MappingProxyType(
    {
        "classify": TaskRow(
            learns="classify images",
            annotations="labels",
            example="--data photos/ --out runs/photos",
            train=(
                *("net.global_pool", "net.whiten"),
                *("input.interpolation", "input.download", "input.decode", "input.index"),
                *("input.multi_label", "input.balance"),
                *(*_CROPS, "augment.pad", "augment.border"),
                *("augment.flip", "augment.color_jitter"),
                *("augment.randaugment", "augment.randaugment_magnitude"),
                *("augment.random_erasing", "augment.mixup", "augment.cutmix"),
                "augment.where",
                *("train.label_smoothing", *_LOSS, "train.dropout"),
                "head.lr_factor",
            ),
            predict=("top", "csv", "batch"),
            evaluate=("batch", "size", "workers", "flip", "crops"),
        ),
        "detect": TaskRow(
            learns="detect objects: boxes with classes",
            annotations="boxes",
            example="--data coco:cells/ --out runs/cells",
            train=("head.form", "head.as_base", *_OBJECTS),
            predict=("out", "csv", "coco", "yolo", *FINDING),
            evaluate=FINDING,
        ),
        "instances": TaskRow(
            learns="segment each object: masks with classes",
            annotations="masks",
            example="--data coco:cells/ --recipe smoke",
            room="detect",
            train=_OBJECTS,
            predict=("out", "csv", "coco", *FINDING),
            evaluate=FINDING,
        ),
        "segment": TaskRow(
            learns="predict the class of each pixel",
            annotations="classes",
            example="--data pairs:roads/ --out runs/roads",
            train=("head.output_stride", "head.as_base", *_HEAD, *_MAPS),
            evaluate=("scales", "flip"),
        ),
        "saliency": TaskRow(
            learns="segment salient objects",
            annotations="salient",
            example="--data pairs:shop/ --out runs/shop",
            train=("head.as_base", *_HEAD, *_MAPS),
        ),
        "pose": TaskRow(
            learns="locate key-points",
            annotations="keypoints",
            example="--data coco:people/ --out runs/people",
            train=("input.partners", *_HEAD),
            predict=("out", "boxes", "coco", "score", "max_detections"),
            evaluate=("boxes",),
        ),
        PRETRAIN: TaskRow(
            learns="learn features without labels",
            annotations="none",
            example="--data images:photos/ --out runs/features",
            room="classify",
            train=(
                *("net.global_pool", "input.download", "input.index"),
                *("augment.crop_scale", "augment.color_jitter"),
                *_HEAD,
            ),
            predict=(),
        ),
    }
)


def readers(command: Literal["train", "predict", "evaluate"]) -> Mapping[str, tuple[str, ...]]:
    """Option → the tasks that read it, for the options of a command that not all tasks read."""
    found: dict[str, tuple[str, ...]] = {}
    for name, row in TASKS.items():
        for option in getattr(row, command):
            found[option] = (*found.get(option, ()), name)
    return found
