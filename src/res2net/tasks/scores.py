"""What every measurement has: options, results, tables and report."""

from __future__ import annotations

import csv
import io
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.table import Table

from res2net.card import ModelCard
from res2net.data.sampler import KeyedDataset
from res2net.errors import UserError
from res2net.files import write_text
from res2net.tasks.finding import Finding
from res2net.tasks.selection import History, described, part_of

if TYPE_CHECKING:
    from res2net.tasks.task import Job

Track = Callable[[Iterable[Any], int, str], Iterable[Any]]  # (things, count, label)


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How a network is measured; each task reads the options that apply to it."""

    precision: str = "auto"
    skip_bad: bool = False  # skip images that cannot be read
    limit: int | None = None  # largest number of batches; for tasks other than classify, of images
    track: Track | None = None  # wraps iterations in a progress bar
    batch: int = 64  # classify: images per batch
    workers: int | None = None  # classify: processes that read images
    scales: Sequence[float] = (1.0,)  # segment: scales of an image to average over
    flip: bool | None = None  # average over the mirror image too; pose does unless False
    crops: int = 1  # classify: 1 centre, or it and four corners
    finding: Finding | None = None  # detect: which detections are kept
    thresholds: bool = False  # classify, multi-label: find the thresholds, else the card's
    boxes: Any = None  # pose: boxes of a detector; None: the annotated ones


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A finished training, for its report."""

    folder: Path
    job: Job
    card: ModelCard  # with its scores
    history: History
    pictures: Sequence[str]  # of the scores

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(p.numel() for p in self.job.module.model.parameters())

    @property
    def weights(self) -> str:
        """The epoch whose weights are kept, and the part that it was chosen on."""
        job = self.job
        return described(job.select, self.history, job.task.monitor, job.images.validation)


class Figures(NamedTuple):
    """Figures computed on all or some of the measured images."""

    values: dict[str, float]  # by name, as in ``Scores.summary``
    per_class: Mapping[str, float]  # class → figure, if it has one


Resampled = Callable[[npt.NDArray[np.int64]], Figures]  # images by number, repeated or not


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores(ABC):
    """The results of a measurement."""

    images: int  # number of measured images
    rows: Sequence[int] = ()  # of the part: the measured ones

    @property
    def counts(self) -> str:
        """The name of the main figure."""
        return next(iter(self.summary()))

    @property
    @abstractmethod
    def headline(self) -> str:
        """The main figure, in words."""

    @abstractmethod
    def summary(self) -> dict[str, float]:
        """The figures of ``model.json``."""

    @abstractmethod
    def table(self) -> list[tuple[str, str]]:
        """(label, figure) rows for display."""

    @abstractmethod
    def write(self, folder: Path) -> tuple[str, ...]:
        """Write tables and pictures; returns the names of the pictures."""

    @property
    def marks(self) -> dict[str, Any]:
        """What a card stores besides the figures."""
        return {}

    def as_dict(self) -> dict[str, Any]:
        """The content of ``metrics.json``."""
        return dict(self.summary())

    def tables(self) -> tuple[Table, ...]:
        """Tables for a terminal, where ``table`` is not enough."""
        return ()

    def report(self, end: Ended) -> str:
        """The report of a run: Markdown."""
        job, card = end.job, end.card
        task, images = job.task, job.images
        lines = [f"| {what} | {figure} |" for what, figure in self.table()]
        facts = (
            f"{card.network} with {task.head}, {end.parameters:,} parameters; {card.data}: "
            f"{len(images.train)} training and {len(images.val)} validation images, "
            f"{self.images} of them evaluated; "
            f"recipe {card.recipe}, {card.preprocess.size} pixels.\n\n"
            f"Validated on {part_of(images.validation)}. Weights: {end.weights}."
        )
        pictures = (*end.pictures, "curves.png")
        shown = "\n\n".join(f"![{Path(name).stem}]({name})" for name in pictures)
        commands = "\n".join(("```sh", *self.commands(end), "```"))
        body = "\n".join(["| | |", "| --- | ---: |", *lines])
        sizes = f"Small is below 32² = 1,024 pixels, large is 96² = 9,216 or more: {task.sizes}."
        title = f"# {card.network} on {images.name}: {task.title}"
        parts = [title, facts, body, *([sizes] if task.sizes else []), shown, commands]
        return "\n\n".join(parts)

    def commands(self, end: Ended) -> Sequence[str]:
        """The commands that use the network."""
        run, data = shlex.quote(str(end.folder)), shlex.quote(end.card.data)
        return (f"res2net evaluate {run} --data {data}", f"res2net predict {run} IMAGE")


class Comparable(Scores):
    """Results of predictions, which those of another network on the same images compare with."""

    by_image: ClassVar[str]  # the figure that compares two predictions of one image

    @abstractmethod
    def resampled(self) -> Resampled:
        """The figures over chosen images, for intervals; ``rows`` numbers the images."""


Measure = Callable[[Any, ModelCard, Any, Any, Measuring], Scores]  # model, card, images, part, how


def each_sample(shown: KeyedDataset[Any], how: Measuring) -> Iterator[Any]:
    """The samples of a data set in order; faulty ones raise an error or are skipped with a warning.

    Raises:
        UserError: a file that cannot be read, unless ``shown.skip_bad``.
    """
    count = len(shown) if how.limit is None else min(how.limit, len(shown))
    for index in how.track(range(count), count, "evaluating") if how.track else range(count):
        batch = shown.__getitems__([index])
        if isinstance(batch, UserError):
            if shown.skip_bad:
                continue
            raise UserError(str(batch))
        yield batch[0]


def write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file; a None is a blank."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([[_shown(cell) for cell in row] for row in rows])
    write_text(path, text.getvalue())


def known(names: Sequence[str], values: Sequence[float | None]) -> dict[str, float]:
    """Name → value, without missing values."""
    return {name: v for name, v in zip(names, values, strict=True) if v is not None}


def percent(value: float | None) -> str:
    """A figure for people; None is the figure of absent objects."""
    return "none present" if value is None else f"{value:.2f} %"


def _shown(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else value
