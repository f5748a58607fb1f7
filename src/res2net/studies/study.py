"""What a study is, as data: points, the settings they share, seeds, and how it is shown. No torch.

A point is one network with settings of its own; it is trained once for each seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from res2net.config import RunConfig, TaskName
from res2net.data.source import PATHLESS, parse_source
from res2net.errors import UserError, did_you_mean
from res2net.paper.networks import find_variant
from res2net.paper.recipes import find_recipe
from res2net.paper.structure import Structure, tally
from res2net.paper.variant import FirstBlock
from res2net.studies.measures import headline

Settings = Mapping[str, Any]  # option of `res2net train` → value
Drawing = Literal["bars", "lines", "sizes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One network of a study."""

    label: str  # names its rows and its run folders
    network: str  # a row of the model table
    group: str = ""  # points of one group make one line of the picture
    settings: Settings = field(default_factory=dict)  # where it differs from the study


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A question and the runs that answer it."""

    name: str
    question: str
    points: tuple[Point, ...]
    seeds: int  # 0, 1, ... of each point
    data: str  # format of the images
    images: int  # of an epoch
    classes: int
    pixels: int  # side that the networks see
    recipe: str
    task: TaskName = "classify"
    settings: Settings = field(default_factory=dict)  # where all differ from the recipe
    measure: Callable[[Path], dict[str, float]] = headline  # a finished run → what its row holds
    score: str = "top-1 accuracy"  # what 100 % minus the column ``last_error`` is
    drawing: Drawing = "bars"

    def find_point(self, label: str) -> Point:
        """The point of that label.

        Raises:
            UserError: no such point; names the nearest.
        """
        labels = [point.label for point in self.points]
        if label not in labels:
            raise UserError(
                f"--only {label!r}: study {self.name} has no such point."
                f"{did_you_mean(label, labels)} It has {', '.join(labels)}."
            )
        return self.points[labels.index(label)]

    def settings_of(self, point: Point) -> dict[str, Any]:
        """Every setting of a point that is not a default: recipe, study, point, in this order."""
        return {**find_recipe(self.recipe, self.task).settings, **self.settings, **point.settings}

    def config(self, point: Point, seed: int, data: str, machine: Settings) -> RunConfig:
        """The configuration of one run.

        Args:
            data: FORMAT:PATH.
            machine: settings that change how fast a run is, not what it computes.

        Raises:
            UserError: an unknown setting, or a value out of range.
        """
        values: dict[str, Any] = {
            "model": point.network,
            "data": data,
            "recipe": self.recipe,
            "task": self.task,
            "seed": seed,
        }
        for name, value in {**self.settings_of(point), **machine}.items():
            group, _, option = name.partition(".")
            values.setdefault(group, {})[option] = value
        return RunConfig.from_dict(values)

    def count(self, point: Point) -> Structure:
        """The network of a point counted, for the images of this study."""
        settings = self.settings_of(point)
        changed = ("width", "scale", "cardinality", "depth", "se")
        given = {name: settings.get(f"net.{name}") for name in changed}
        options = {name: value for name, value in given.items() if value is not None}
        variant = find_variant(point.network, options)
        if rule := settings.get("net.first_block"):
            variant = replace(variant, first_block=FirstBlock(rule))  # type: ignore[arg-type]
        return tally(variant, size=self.pixels, num_classes=self.classes)

    def work(self, point: Point) -> float:
        """Multiply-adds of the forward passes of one training."""
        settings = self.settings_of(point)
        return float(self.count(point).macs * self.images * settings["train.epochs"])

    def source(self, given: str | None) -> str:
        """FORMAT:PATH of the data: as given, with or without the format.

        Raises:
            UserError: no path where one is needed, data of another format, or no such path.
        """
        if self.data in PATHLESS:
            if given and given != self.data:
                raise UserError(f"--data {given}: study {self.name} takes {self.data}, no path")
            return self.data
        if not given:
            raise UserError(f"--data is missing: study {self.name} needs {self.data}:PATH")
        source = parse_source(
            given if given.startswith(f"{self.data}:") else f"{self.data}:{given}"
        )
        if source.path is not None and not source.path.exists():
            raise UserError(f"{source.path}: no such file or folder")
        return str(source)


def as_trial(study: Study) -> Study:
    """Two steps of everything: shows that a study runs, measures nothing."""
    few = {"train.epochs": 1, "train.max_steps": 2, "train.val_batches": 2, "train.batch": 8}
    points = tuple(replace(p, settings={**p.settings, **few}) for p in study.points)
    return replace(study, points=points)
