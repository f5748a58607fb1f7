"""Studies as data, and the recorded results of their runs. No torch.

A point is one network with its settings, trained once per seed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from res2net.card import CARD_NAME
from res2net.config import RunConfig
from res2net.data.source import PATHLESS, parse_source
from res2net.errors import UserError, did_you_mean, no_such_path
from res2net.paper.networks import find_variant
from res2net.paper.recipes import find_recipe
from res2net.paper.structure import Structure, tally
from res2net.paper.tasks import TaskName
from res2net.paper.variant import FirstBlock

Settings = Mapping[str, Any]  # option of `res2net train` → value
Drawing = Literal["bars", "lines", "sizes", "maps"]
SCORES = ("top1_error", "top5_error", "loss", "calibration_error")
Found = TypeVar("Found")


def headline(run: Path) -> dict[str, float]:
    """The scores of the best epoch's weights, and the error of the last epoch.

    The best epoch is selected on the evaluation images, which biases its score; means over seeds
    therefore use ``last_error``.

    Raises:
        UserError: a damaged file of the run.
    """

    def scores(text: str) -> dict[str, float]:
        content = json.loads(text)
        found = {name: round(float(content[name]), 4) for name in SCORES}
        return {**found, "val_images": content["count"]}

    last = _last(run, "val/top1_error")
    return {"last_error": last, **_read(run / "metrics.json", scores)}


def annotated_headline(run: Path, error: str, val_images: int) -> dict[str, float]:
    """The scores of the best epoch's weights on whole images, and the error of the last epoch.

    Args:
        error: column of ``metrics.csv``, in percent.
        val_images: number of evaluation images.

    Raises:
        UserError: a damaged file of the run.
    """
    return {"last_error": _last(run, error), **scores_of(run, 4), "val_images": val_images}


def scores_of(run: Path, decimals: int = 6) -> dict[str, float]:
    """The scalar values of ``metrics.json``, for any task.

    Raises:
        UserError: a damaged file of the run.
    """

    def scores(text: str) -> dict[str, float]:
        numbers = {k: v for k, v in json.loads(text).items() if isinstance(v, int | float)}
        return {name: round(float(value), decimals) for name, value in numbers.items()}

    return _read(run / "metrics.json", scores)


def epochs_of(run: Path) -> list[dict[str, str]]:
    """The rows of a run, one per epoch.

    Raises:
        UserError: a damaged file.
    """

    def rows(text: str) -> list[dict[str, str]]:
        read = list(csv.DictReader(io.StringIO(text, newline="")))
        for row in read:
            float(row["epoch"]), float(row["step"]), float(row["seconds"])
        if not read:
            raise ValueError("no epoch")
        return read

    return _read(run / "metrics.csv", rows)


def card_of(run: Path) -> dict[str, Any]:
    """The run's record of its network, data and versions.

    Raises:
        UserError: a damaged file.
    """

    def card(text: str) -> dict[str, Any]:
        content = json.loads(text)
        return {**content, "options": dict(content["options"])}

    return _read(run / CARD_NAME, card)


def _last(run: Path, column: str) -> float:
    return _read(run / "metrics.csv", lambda _: float(epochs_of(run)[-1][column]))


def _read(path: Path, parse: Callable[[str], Found]) -> Found:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except UserError:
        raise
    except Exception as error:  # a truncated or edited file can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise UserError(
            f"{path}: damaged ({reason}); delete the run folder and train again"
        ) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One network of a study."""

    label: str  # names its rows and its run folders
    network: str  # a row of the model table
    group: str = ""  # points of one group form one line of the chart
    settings: Settings = field(default_factory=dict)  # differences from the study


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A question and the runs that answer it."""

    name: str
    question: str
    points: tuple[Point, ...]
    seeds: int  # seeds 0, 1, ... per point
    data: str  # format of the images
    images: int  # of an epoch
    classes: int
    pixels: int  # side of the network's input
    recipe: str
    task: TaskName = "classify"
    settings: Settings = field(default_factory=dict)  # differences from the recipe
    measure: Callable[[Path], dict[str, float]] = headline  # a finished run → values of its row
    score: str = "top-1 accuracy"  # name of 100 % minus the column ``last_error``
    drawing: Drawing = "bars"
    sizes: Mapping[str, str] = field(default_factory=dict)  # heading → score by object size

    def find_point(self, label: str) -> Point:
        """The point of that label.

        Raises:
            UserError: no such point; suggests the nearest.
        """
        labels = [point.label for point in self.points]
        if label not in labels:
            raise UserError(
                f"--only {label!r}: study {self.name} has no such point."
                f"{did_you_mean(label, labels)} It has {', '.join(labels)}."
            )
        return self.points[labels.index(label)]

    def settings_of(self, point: Point) -> dict[str, Any]:
        """Settings of a point that are not defaults, from recipe, study and point in this order."""
        return {**find_recipe(self.recipe, self.task).settings, **self.settings, **point.settings}

    def config(self, point: Point, seed: int, data: str, machine: Settings) -> RunConfig:
        """The configuration of one run.

        Args:
            data: FORMAT:PATH.
            machine: settings that affect the speed of a run, not its result.

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
        """Counts of a point's network for the images of this study."""
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
        seen = self.images * settings["train.epochs"]
        if (most := settings.get("train.max_steps", -1)) > 0:
            seen = min(seen, most * settings["train.batch"])
        return float(self.count(point).macs * seen)

    def source(self, given: str | None) -> str:
        """FORMAT:PATH of the data, given with or without the format.

        Raises:
            UserError: a missing path, data of another format, or a path that does not exist.
        """
        if self.data in PATHLESS:
            if given and given != self.data:
                raise UserError(f"--data {given}: study {self.name} takes {self.data} without path")
            return self.data
        if not given:
            raise UserError(f"--data is missing: study {self.name} needs {self.data}:PATH")
        source = parse_source(
            given if given.startswith(f"{self.data}:") else f"{self.data}:{given}"
        )
        if source.path is not None and not source.path.exists():
            raise no_such_path(source.path)
        return str(source)


def as_trial(study: Study) -> Study:
    """Two steps of everything, to test that a study runs."""
    few = {"train.epochs": 1, "train.max_steps": 2, "train.val_batches": 2, "train.batch": 8}
    points = tuple(replace(p, settings={**p.settings, **few}) for p in study.points)
    return replace(study, points=points)


def run_folder(folder: Path, point: Point, seed: int) -> Path:
    """The run folder of a point and a seed."""
    return folder / f"{point.label}-seed{seed}"


def machine_settings(threads: int | None, workers: int | None) -> dict[str, int]:
    """Settings that affect the speed of a run, not its result."""
    given = {"train.threads": threads, "input.workers": workers}
    return {name: value for name, value in given.items() if value is not None}
