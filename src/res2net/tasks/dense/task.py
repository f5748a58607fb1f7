"""What a dense task is: the functions by which its room differs from the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn
from torch.utils.data import DataLoader

from res2net.card import ModelCard
from res2net.config import RunConfig, TaskName
from res2net.data.preprocess import Preprocess
from res2net.data.scene import Scenes
from res2net.data.scenes.loader import Collate, SceneSet
from res2net.data.scenes.options import Marks
from res2net.metrics.detections import DetectionArrays
from res2net.models.backbone import Backbone
from res2net.prediction import Prediction
from res2net.tasks.dense.deployed import Deployment
from res2net.tasks.selection import Chosen

if TYPE_CHECKING:
    import pytorch_lightning as pl  # of seconds, which only a training needs

Track = Callable[[Iterable[Any], int, str], Iterable[Any]]  # (things, count, label)
Curve = tuple[str, tuple[tuple[str, str], ...]]  # title, (column of metrics.csv, label) ...


class Scores(Protocol):
    """What a measurement found."""

    @property
    def images(self) -> int:
        """How many images were measured."""

    @property
    def headline(self) -> str:
        """The figure that counts, in words."""

    def summary(self) -> dict[str, float]:
        """The figures of ``model.json`` and ``metrics.json``."""

    def table(self) -> list[tuple[str, str]]:
        """(what, figure) for people."""

    def write(self, folder: Path) -> tuple[str, ...]:
        """Tables and pictures; returns the names of the pictures."""


@dataclass(frozen=True, kw_only=True)
class Datasets:
    """How the data reach the network in training."""

    train: SceneSet
    val: SceneSet
    collate_train: Collate
    collate_val: Collate
    val_batch: int = 1


@dataclass(frozen=True, kw_only=True)
class DenseTask:
    """A row of the table of tasks."""

    name: TaskName
    title: str  # of reports
    head: str  # what stands on the backbone, in words
    marks: Marks  # that it learns from
    monitor: str  # the lowest is best
    curves: tuple[Curve, ...]
    sizes: str  # what small, medium and large mean, for people
    describe: Callable[[RunConfig, Scenes], tuple[dict[str, Any], Preprocess]]  # head's options
    build: Callable[[ModelCard, str | None], nn.Module]  # (card, pretrained) → network
    body: Callable[[Any], Backbone]  # the backbone inside
    datasets: Callable[[RunConfig, ModelCard, Scenes], Datasets]
    module: Callable[..., pl.LightningModule]  # (model, job card, images, optimiser)
    measure: Callable[..., Scores]  # (model, card, images, part, **how)
    predict: Callable[..., Prediction]  # (model, card, image, precision), and places if it has them
    deployment: Deployment
    # boxes given to predict → (number, image, classes) → those of one image; None: it takes none
    places: Callable[[Any], Callable[[int, Any, Sequence[str]], DetectionArrays]] | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """A module and its data, ready for the Trainer."""

    task: DenseTask
    module: Any  # the task's LightningModule; ``module.model`` is the network
    card: ModelCard
    images: Scenes
    train_loader: DataLoader[Any]
    val_loader: DataLoader[Any]
    steps: int  # of the optimiser, an epoch
    precision: str
    skip_bad: bool  # unreadable images are left out
    monitor: str
    select: Chosen = "best"  # epoch whose weights are kept
