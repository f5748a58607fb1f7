"""``--scale small``: each item with small networks on local data, in at most ten minutes.

With one seed, short trainings and small networks, such a study shows that the item runs end to end
and how the two kinds of network compare at this size. It neither confirms nor refutes the paper.
No torch in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from res2net.errors import UserError
from res2net.experiments.items import Item
from res2net.experiments.study import Point, Settings, Study, scores_of
from res2net.paper.tasks import TaskName

SPEED = 1e10  # multiply-adds of forward passes per second in training, on one core of 2026
MINUTES = 10  # maximum per item at that speed


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Training images for small networks."""

    data: str  # format
    found: tuple[str, ...]  # patterns below --data-root, the first match counts; () needs no file
    images: int
    classes: int
    pixels: int
    plain: str  # the small ResNet
    split: str  # the small Res2Net
    deeper: int  # layers of the deeper network
    recipe: str
    settings: Settings

    def source(self, root: Path | None) -> str | None:
        """The value for ``--data``; None if it is not below the root."""
        if not self.found:
            return self.data
        places = (place for word in self.found for place in sorted((root or Path()).glob(word)))
        place = next(places, None) if root else None
        return f"{self.data}:{place}" if place else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A row of a small study."""

    label: str
    split: bool  # a Res2Net
    settings: Settings = field(default_factory=dict)
    group: str = ""
    deeper: bool = False

    def point(self, images: Images) -> Point:
        """The row as a point of a study on these images."""
        settings = dict(self.settings)
        if self.deeper:
            settings["net.depth"] = images.deeper
        network = images.split if self.split else images.plain
        return Point(label=self.label, network=network, group=self.group, settings=settings)


_DIGITS = Images(
    data="digits",
    found=(),
    images=1438,
    classes=10,
    pixels=32,
    plain="resnet29_small",  # CIFAR architecture: three stages, a quarter of the planes
    split="res2net29_small",
    deeper=47,
    recipe="digits",
    settings={},
)
_CIFAR = replace(
    _DIGITS,
    data="cifar100",
    found=("cifar100/cifar-100-python.tar*", "cifar100", "cifar-100-python*"),
    images=50_000,
    classes=100,
    recipe="cifar-short",
    settings={"train.epochs": 1, "train.warmup": 0.1, "train.schedule": "constant"},
)
_FEW: Settings = {"train.epochs": 12, "train.warmup": 1.0}


def _photos(
    data: str,
    found: tuple[str, ...],
    images: int,
    *,
    classes: int,
    pixels: int,
    channels: int,
    length: Settings = _FEW,
) -> Images:
    """Annotated images, for a head with this number of channels."""
    return Images(
        data=data,
        found=found,
        images=images,
        classes=classes,
        pixels=pixels,
        plain="resnet26_small",
        split="res2net26_small",
        deeper=50,
        recipe="scratch",
        settings={**length, "input.size": pixels, "head.channels": channels},
    )


_CELLS = _photos("voc", ("bccd/BCCD", "bccd", "BCCD"), 205, classes=3, pixels=160, channels=32)
_STREETS = _photos("camvid", ("camvid", "CamVid"), 60, classes=11, pixels=160, channels=64)
_SALIENT = _photos("ecssd", ("ecssd", "ECSSD"), 140, classes=2, pixels=128, channels=32)
_scenes = partial(_photos, "scenes", (), 256)
CHOICES: Mapping[TaskName, tuple[Images, ...]] = MappingProxyType(
    {
        "classify": (_CIFAR, _DIGITS),
        "detect": (_CELLS, _scenes(classes=4, pixels=160, channels=32)),
        "instances": (_scenes(classes=4, pixels=128, channels=32, length={"train.epochs": 6}),),
        "segment": (_STREETS, _scenes(classes=5, pixels=128, channels=64)),
        "saliency": (_SALIENT, _scenes(classes=2, pixels=128, channels=32)),
        "pose": (_scenes(classes=4, pixels=96, channels=64),),
    }
)


def _w(width: int, scale: int, cardinality: int | None = None) -> dict[str, int]:
    groups = {} if cardinality is None else {"net.cardinality": cardinality}
    return {"net.width": width, "net.scale": scale, **groups}


_PLAIN = Line(label="ResNet", split=False)
_SPLIT = Line(label="Res2Net-26w4s", split=True)
_SCALES = (
    _PLAIN,
    Line(label="Res2Net-48w2s", split=True, settings=_w(48, 2)),
    _SPLIT,
    Line(label="Res2Net-18w6s", split=True, settings=_w(18, 6)),
    Line(label="Res2Net-14w8s", split=True, settings=_w(14, 8)),
)
_SE = {"net.se": True}
_NEXT = (
    Line(label="ResNeXt-2c64w", split=False, settings={"net.cardinality": 2}),
    Line(label="Res2NeXt-2c24w4s", split=True, settings=_w(24, 4, 2)),
    Line(label="Res2NeXt-2c24w6s", split=True, settings=_w(24, 6, 2)),
)


def _grown() -> tuple[Line, ...]:
    """Fig. 5: growing one dimension at a time from one base."""
    base = {"net.width": 24, "net.scale": 1, "net.cardinality": 2, "net.depth": 20}
    steps = {
        "scale": ("net.scale", (2, 3, 4)),
        "cardinality": ("net.cardinality", (4, 6, 8)),
        "depth": ("net.depth", (29, 38, 47)),
    }
    return (
        Line(label="base", split=True, group="base", settings=base),
        *(
            Line(
                label=f"{group}-{value}", split=True, group=group, settings={**base, option: value}
            )
            for group, (option, values) in steps.items()
            for value in values
        ),
    )


# item → its rows, and epochs on the digits or steps on CIFAR-100, for a run of minutes
_LINES: Mapping[str, tuple[tuple[Line, ...], int, int]] = MappingProxyType(
    {
        "table1": (
            (
                _PLAIN,
                _SPLIT,
                Line(label="ResNeXt-8c16w", split=False, settings=_w(16, 1, 8)),
                Line(label="Res2NeXt-4c8w4s", split=True, settings=_w(8, 4, 4)),
                Line(label="SENet", split=False, settings=_SE),
                Line(label="SE-Res2Net-26w4s", split=True, settings=_SE),
            ),
            8,
            120,
        ),
        "table2": (
            (
                Line(label="ResNet-deeper", split=False, deeper=True),
                Line(label="Res2Net-26w4s-deeper", split=True, deeper=True),
            ),
            12,
            250,
        ),
        "table3": (
            (
                *_SCALES[:3],
                _SCALES[4],
                Line(label="Res2Net-26w6s", split=True, settings=_w(26, 6)),
                Line(label="Res2Net-26w8s", split=True, settings=_w(26, 8)),
                Line(label="Res2Net-18w4s", split=True, settings=_w(18, 4)),
            ),
            6,
            90,
        ),
        "table4": (
            (
                *_NEXT,
                *(
                    Line(
                        label=f"{line.label}-SE",
                        split=line.split,
                        settings={**line.settings, **_SE},
                    )
                    for line in _NEXT
                ),
            ),
            5,
            60,
        ),
        "table5": ((_PLAIN, _SPLIT), 0, 0),
        "table6": ((_PLAIN, _SPLIT), 0, 0),
        "table7": (_SCALES, 0, 0),
        "table8": ((_PLAIN, _SPLIT), 0, 0),
        "table9": ((_PLAIN, _SPLIT), 0, 0),
        "table10": ((_PLAIN, _SPLIT), 0, 0),
        "fig5": (_grown(), 6, 90),
    }
)


PAIR = (_PLAIN.label, _SPLIT.label)  # the two networks of Figs. 4, 6 and 7


def has_small(item: Item) -> bool:
    """Whether the item trains small networks."""
    return item.name in _LINES


def small_study(item: Item, root: Path | None) -> tuple[Study, str]:
    """The study of an item on the available images, and the value of its ``--data``.

    Raises:
        UserError: ``root`` is not a folder.
    """
    if root is not None and not root.is_dir():
        raise UserError(f"--data-root {root}: no such folder")
    lines, epochs, steps = _LINES[item.name]
    choices = CHOICES[item.task]
    images, source = next(
        (each, source) for each in choices if (source := each.source(root)) is not None
    )
    settings = dict(images.settings)
    if images.data == "digits":
        settings["train.epochs"] = epochs
    if images.data == "cifar100":
        settings |= {"train.max_steps": steps, "train.val_batches": 20}
    study = Study(
        name=f"{shared_name(item)}-small-{images.data}",
        question=f"{shared_name(item)} with small networks on {images.data}.",
        points=tuple(line.point(images) for line in lines),
        seeds=1,
        data=images.data,
        images=min(images.images, steps * 128) if images.data == "cifar100" else images.images,
        classes=images.classes,
        pixels=images.pixels,
        recipe=images.recipe,
        task=item.task,
        settings=settings,
        measure=scores_of,
    )
    return study, source


def shared_name(item: Item) -> str:
    """The shared name of items with the same networks, such as Tables 5 and 6."""
    return "table5" if item.name == "table6" else item.name


def minutes(study: Study) -> float:
    """Minutes of a study at ``SPEED``, for backbones without heads."""
    return sum(study.work(point) for point in study.points) / SPEED / 60


# Columns in the table of a task, with their headings.
COLUMNS: Mapping[TaskName, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "classify": (("top1_error", "top-1 error, %"),),
        "detect": (
            *(("ap", "AP, %"), ("ap50", "AP50, %"), ("ap_small", "APS, %")),
            *(("ap_medium", "APM, %"), ("ap_large", "APL, %")),
        ),
        "instances": (("mask_ap", "AP, %"), ("mask_ap50", "AP50, %")),
        "segment": (("mean_iou", "mean IoU, %"),),
        "saliency": (("max_f", "max F"), ("mae", "MAE")),
        "pose": (("ap", "AP, %"), ("ap50", "AP50, %")),
    }
)
