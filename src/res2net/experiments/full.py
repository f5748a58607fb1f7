"""``--scale full``: the paper's trainings as studies, with data, hours and commands.

No torch in here. Tables may share a study: Tables 5 and 6 use the same runs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from res2net.errors import option
from res2net.experiments.items import ITEMS, Item, TableRow, rows_of
from res2net.experiments.sheets import GROWTH
from res2net.experiments.study import Point, Study, run_folder, scores_of
from res2net.paper.tasks import CLASSIFY, TaskName
from res2net.weights.catalogue import CATALOGUE

RATE = 10.0  # 10^12 multiply-adds per second sustained by a recent GPU in mixed precision
PASSES = 3  # a training step costs three forward passes


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A full data set and its place below ``--data-root``."""

    format: str
    folder: str
    needs: str  # required content, for messages

    def path(self, root: Path) -> Path:
        """Its path."""
        return root / self.folder

    def source(self, root: Path) -> str:
        """The value for ``--data``."""
        return f"{self.format}:{self.path(root)}"


_IMAGENET = Place(
    format="imagenet",
    folder="imagenet",
    needs="ILSVRC 2012: train/<wnid>/ and val/, from image-net.org after registration",
)
_COCO = Place(
    format="coco",
    folder="coco",
    needs="train2017/, val2017/, annotations/ with instances and person_keypoints",
)
_CIFAR100 = Place(
    format="cifar100",
    folder="cifar100",
    needs="cifar-100-python.tar.gz, or the folder that it unpacks to",
)
_VOC07 = Place(format="voc", folder="VOC2007", needs="the devkit's VOC2007 with trainval and test")
_VOC12 = Place(
    format="voc",
    folder="VOC2012",
    needs="the devkit's VOC2012 with SegmentationClassAug and train_aug.txt (SBD)",
)
_MSRA_B = Place(
    format="msra-b",
    folder="MSRA-B",
    needs="images, masks and the lists of 2,500 and 500 (see docs/errata.md)",
)
TESTS: Mapping[str, Place] = MappingProxyType(  # saliency sets, evaluated besides MSRA-B
    {
        name.lower(): Place(format="ecssd", folder=name, needs="images and masks")
        for name in ("ECSSD", "PASCAL-S", "HKU-IS", "DUT-OMRON")
    }
)


@dataclass(frozen=True, slots=True)
class Training:
    """The paper's training for some tables."""

    task: TaskName
    place: Place
    recipe: str
    images: int  # of an epoch
    classes: int
    pixels: int  # side of a square of the area that is seen
    tests: Mapping[str, Place] = field(default_factory=dict)  # further sets for evaluation


TRAININGS: Mapping[str, Training] = MappingProxyType(
    {  # task, place, recipe, images of an epoch, classes, pixels
        "classify-imagenet": Training("classify", _IMAGENET, "imagenet", 1_281_167, 1000, 224),
        "classify-imagenet-299": Training(
            "classify", _IMAGENET, "imagenet299", 1_281_167, 1000, 299
        ),
        "classify-cifar100": Training("classify", _CIFAR100, "cifar", 50_000, 100, 32),
        "detect-voc07": Training("detect", _VOC07, "paper", 5_011, 20, 693),  # 600 x 800
        "detect-coco": Training("detect", _COCO, "paper-coco", 117_266, 80, 693),
        "segment-voc12": Training("segment", _VOC12, "paper", 10_582, 21, 513),
        "instances-coco": Training("instances", _COCO, "paper", 117_266, 80, 924),  # 800 x 1066
        "saliency-msra-b": Training("saliency", _MSRA_B, "paper", 2_500, 2, 352, TESTS),
        "pose-coco": Training("pose", _COCO, "paper", 149_813, 1, 222),  # persons at 256 x 192
    }
)


def full_study(name: str) -> Study:
    """The study of that name, with a point for each network of its tables."""
    training = TRAININGS[name]
    networks = dict.fromkeys(
        row.network
        for item in ITEMS.values()
        for row in rows_of(item)
        if (how := item.how(row.setting)) and how.study == name
    )
    return Study(
        name=name,
        question="The paper's own training.",
        points=tuple(Point(label=network, network=network) for network in networks),
        seeds=1,
        data=training.place.format,
        images=training.images,
        classes=training.classes,
        pixels=training.pixels,
        recipe=training.recipe,
        task=training.task,
        measure=scores_of,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One training of an item."""

    study: Study
    point: Point
    rows: tuple[TableRow, ...]  # rows of the table that it fills

    @property
    def _training(self) -> Training:
        return TRAININGS["classify-cifar100" if self.study.name == GROWTH else self.study.name]

    @property
    def place(self) -> Place:
        """The path of its data."""
        return self._training.place

    @property
    def tests(self) -> Mapping[str, Place]:
        """Further sets for evaluation."""
        return self._training.tests

    def missing(self, root: Path) -> list[Place]:
        """Missing data."""
        return [p for p in (self.place, *self.tests.values()) if not p.path(root).exists()]

    def hours(self, rate: float = RATE) -> float:
        """Hours on a device with ``rate``·10^12 multiply-adds per second, without heads."""
        return self.study.work(self.point) * PASSES / (rate * 1e12) / 3600


def growth_study() -> Study:
    """Fig. 5: scale, cardinality and depth grown from 6c×24w, one at a time."""
    steps = {
        "scale": ("net.scale", (2, 3, 4, 5, 6)),
        "cardinality": ("net.cardinality", (12, 18, 24, 30, 36)),
        "depth": ("net.depth", (56, 83, 110)),
    }
    base: dict[str, int] = {"net.scale": 1}
    network = "res2next29_6c24w_4s"
    points = [Point(label="base", network=network, group="base", settings=base)]
    points += [
        Point(
            label=f"{group}-{value}",
            network=network,
            group=group,
            settings={**base, option: value},
        )
        for group, (option, values) in steps.items()
        for value in values
    ]
    plain = full_study("classify-cifar100")
    return replace(plain, name=GROWTH, points=tuple(points))


def full_plan(item: Item) -> tuple[Planned, ...]:
    """The unique trainings of a table, or those of the networks in a figure."""
    if item.figure == "growth":
        study = growth_study()
        return tuple(Planned(study=study, point=point, rows=()) for point in study.points)
    if item.of:
        plan = full_plan(ITEMS[item.of])
        return tuple(each for each in plan if each.point.network in item.networks)
    filled: dict[tuple[str, str], list[TableRow]] = {}
    for row in rows_of(item):
        how = item.how(row.setting)
        assert how is not None, row
        filled.setdefault((how.study, row.network), []).append(row)
    return tuple(
        Planned(
            study=(study := full_study(name)), point=study.find_point(network), rows=tuple(rows)
        )
        for (name, network), rows in filled.items()
    )


def published_networks(item: Item) -> Mapping[str, Place]:
    """The networks of an item with published weights, and the data to evaluate them on."""
    known = {file.network for file in CATALOGUE}
    return {
        planned.point.network: planned.place
        for planned in full_plan(item)
        if planned.study.name == "classify-imagenet" and planned.point.network in known
    }


def readable(hours: float) -> str:
    """Hours as text with two digits."""
    if hours < 1:
        return f"{max(1, round(60 * hours))} min"
    return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"


def train_words(study: Study, point: Point, source: str, run: Path) -> list[str]:
    """Arguments of `res2net` to train a point: the recipe and the differences from it."""
    task = [] if study.task == CLASSIFY else ["--task", study.task]
    words = ["train", *task, "--model", point.network, "--data", source, "--recipe", study.recipe]
    for name, value in {**study.settings, **point.settings}.items():
        words += [option(name), value if isinstance(value, str) else json.dumps(value)]
    return [*words, "--out", str(run)]


def as_line(words: Sequence[str]) -> str:
    """The command line as typed."""
    return shlex.join(["res2net", *words])


def runs_of(study: Study, out: Path) -> Path:
    """The folder of a study's runs below ``--out``."""
    return out / "runs" / study.name


def full_words(planned: Planned, root: Path, out: Path) -> list[list[str]]:
    """The commands of a full training and its further evaluations."""
    run = run_folder(runs_of(planned.study, out), planned.point, 0)
    source = planned.place.source(root)
    words = [train_words(planned.study, planned.point, source, run)]
    for name, place in planned.tests.items():
        folder = str(run / f"on-{name}")
        words.append(["evaluate", str(run), "--data", place.source(root), "--out", folder])
    return words


def published_words(network: str, place: Place, root: Path, out: Path) -> list[str]:
    """The command that evaluates published weights."""
    folder = str(out / "published" / network)
    return ["evaluate", network, "--data", place.source(root), "--out", folder]
