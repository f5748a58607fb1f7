"""Inputs of a task's graph from real images, for calibration and verification.

Legend: B views of an image · H, W of the graph
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.decode import as_pixels, decode
from res2net.data.preprocess import Preprocess, Reading
from res2net.data.scene import Scene, Scenes
from res2net.data.source import parse_source
from res2net.data.split import Holdout
from res2net.deploy.engine import Pixels, Run
from res2net.deploy.pictures import data_gone, other_classes, parts
from res2net.errors import UserError
from res2net.paper.tasks import TASKS
from res2net.tasks.deployed import channels_last
from res2net.tasks.network import Deployed, Size
from res2net.tasks.scores import Measuring
from res2net.tasks.task import Task

CALIBRATION = 60  # images; a map has thousands of positions for the ranges


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """Images of one origin as inputs of the graph; some tasks make several views of each."""

    origin: str  # for the report
    scenes: Sequence[Scene]
    task: Task
    card: ModelCard
    size: Size
    skip_bad: bool = False  # skip images that cannot be read
    labelled: bool = False  # there are no classes of whole images
    data: Scenes | None = None  # the data set of the scenes, if they are annotated

    @property
    def steps(self) -> int:
        """Batches, at most."""
        return len(self.scenes)

    def batches(self) -> Iterator[tuple[Pixels, npt.NDArray[np.int64]]]:
        """uint8 (B, H, W, 3) of each image in order, and zeros (B,).

        An image without views (no object is annotated in it) is skipped.

        Raises:
            UserError: a file that cannot be read, unless skipped; or no view at all.
        """
        seen = False
        for scene in self.scenes:
            try:
                image = _pixels(scene, self.card.preprocess.reading)
            except UserError as error:
                if not self.skip_bad:
                    raise
                warnings.warn(f"skipped: {error}", stacklevel=2)
                continue
            assert self.task.deployment.inputs is not None
            views = self.task.deployment.inputs(image, scene.objects, self.card, self.size)
            if len(views):
                seen = True
                yield views, np.zeros(len(views), np.int64)
        if not seen:
            raise UserError(f"{self.origin}: no views to verify with; give --images DIR")

    def score(self, run: Run) -> tuple[str, float]:
        """The main figure of a graph over the annotated images, as ``evaluate`` has it.

        Returns:
            Its name, such as "ap", and percent.

        Raises:
            UserError: no object to measure.
        """
        net, how = _InUse(run, self), Measuring(skip_bad=self.skip_bad)
        assert self.data is not None
        scores: Any = self.task.measure()(net, self.card, self.data, self.scenes, how)
        return scores.counts, scores.summary()[scores.counts]


class _InUse(Deployed):
    """A graph during its export, used as an artifact is."""

    def __init__(self, run: Run, views: Views) -> None:
        self.graph, self.views = run, views

    @property
    def size(self) -> Size:
        return self.views.size

    @property
    def preprocess(self) -> Preprocess:
        return self.views.card.preprocess

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        names = (each["name"] for each in self.views.task.deployment.outputs(self.views.card))
        found = map(torch.from_numpy, self.graph(channels_last(images)))
        return dict(zip(names, found, strict=True))


def of_run(
    run: RunConfig, task: Task, card: ModelCard, size: Size, *, most: int
) -> tuple[Views, Views]:
    """Calibration from the run's training images, verification from its validation images.

    Args:
        most: largest number of images to verify with, spread evenly over the validation images.

    Raises:
        UserError: the data are not where they were, or have other classes now.
    """
    given = run.input
    try:
        data: Any = task.data.read(run.data, run.holdout)
    except UserError as error:
        raise data_gone(error) from None
    if data.classes != card.classes:
        raise other_classes(run)
    training = Views(
        origin=f"views of training images of {data.name}",
        scenes=_spread(data.train, CALIBRATION),
        task=task,
        card=card,
        size=size,
        skip_bad=given.skip_bad,
        data=data,
    )
    validation = replace(
        training,
        origin=f"views of validation images of {data.name}",
        scenes=_spread(data.val, most),
    )
    return training, validation


def of_folder(
    folder: Path, task: Task, card: ModelCard, size: Size, *, most: int | None, calibrate: bool
) -> tuple[Views, Views]:
    """The images under a folder, as in ``parts``; ``most`` None: verify with all."""
    calibration, verification = (
        Views(
            origin=f"views of images in {folder}",
            scenes=_spread([Scene(name=path.name, image=path) for path in part], count),
            task=task,
            card=card,
            size=size,
            skip_bad=True,
        )
        for part, count in zip(parts(folder, calibrate), (CALIBRATION, most), strict=True)
    )
    return calibration, verification


def of_annotated(
    data: str, task: Task, card: ModelCard, size: Size, *, most: int | None
) -> tuple[Views, Views]:
    """Every second annotated image of FORMAT:PATH calibrates, the others verify.

    Raises:
        UserError: no annotated images of the network's classes.
    """
    try:
        source = parse_source(data, TASKS[card.task].annotations)
        found: Any = task.data.read(str(source), Holdout())
        found = task.data.in_order_of(found, card.classes, "the network", data)
    except UserError as error:
        raise UserError(
            f"--images: int8 of a {task.head} is checked by its AP, on annotated images: {error}"
        ) from None
    first = Views(
        origin=f"images of {found.name}",
        scenes=_spread(found.everything[1::2], CALIBRATION),
        task=task,
        card=card,
        size=size,
        data=found,
    )
    return first, replace(first, scenes=_spread(found.everything[::2], most))


def _pixels(scene: Scene, reading: Reading) -> Tensor:
    """uint8 (C, H, W)."""
    if isinstance(scene.image, Path):
        return decode(scene.image, reading=reading)
    return as_pixels(scene.image.copy(), reading)


def _spread(scenes: Sequence[Scene], most: int | None) -> Sequence[Scene]:
    """At most this many, evenly spaced."""
    if most is None or len(scenes) <= most:
        return scenes
    return [scenes[i] for i in np.linspace(0, len(scenes) - 1, most).round().astype(int)]
