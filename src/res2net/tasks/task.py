"""The interface of a task: the functions in which its package differs from the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import nn
from torch.utils.data import DataLoader

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.feed import Feed
from res2net.data.preprocess import Preprocess
from res2net.data.sampler import KeyedDataset
from res2net.data.scene import Pixels
from res2net.metrics.detections import DetectionArrays
from res2net.paper.tasks import TaskName
from res2net.prediction import Prediction
from res2net.tasks.data import Annotated, Images, Labelled
from res2net.tasks.deployed import Deployment
from res2net.tasks.predictor import Predictor
from res2net.tasks.selection import Chosen

if TYPE_CHECKING:  # slow imports: Lightning, only for training, and matplotlib
    from res2net.tasks.module import TaskModule
    from res2net.tasks.scores import Measure


def later(module: str, name: str) -> Callable[[], Any]:
    """A function that imports ``name``: Lightning and matplotlib take seconds."""
    return lambda: getattr(import_module(module), name)


class Curve(NamedTuple):
    """A plot of a training."""

    title: str
    lines: tuple[tuple[str, str], ...]  # column of metrics.csv, label
    percent: bool = False


@dataclass(frozen=True, kw_only=True)
class Datasets:
    """How the training data reach the network."""

    train: KeyedDataset[Any]
    val: KeyedDataset[Any]
    collate_train: Callable[[list[Any]], Any]
    collate_val: Callable[[list[Any]], Any]
    val_batch: int | None = 1  # None: as in training
    factors: npt.NDArray[np.float64] | None = None  # relative frequency of each image; None: equal
    feed: Feed | None = None  # trains in place of ``train``; batches are finished on the device


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task of the table."""

    name: TaskName
    title: str  # title of reports
    head: str  # the head, in words
    data: Labelled | Annotated  # kind of its data
    monitor: str  # the metric to monitor; the lowest is best
    curves: tuple[Curve, ...]
    sizes: str = ""  # definition of small, medium and large
    one_size: bool = False  # all inputs have one size: cuDNN may benchmark its kernels
    describe: Callable[[RunConfig, Any], tuple[dict[str, Any], Preprocess]]  # head's options
    build: Callable[[ModelCard, str | None], nn.Module]  # (card, pretrained) → network
    body: Callable[[Any], Any]  # the backbone inside; for a classifier, all of it
    datasets: Callable[[RunConfig, ModelCard, Any], Datasets]
    # (training batch, its data set's images, options) → pictures with captions, annotations drawn
    seen: Callable[[Any, Any, RunConfig], Iterator[tuple[Pixels, str]]]
    module: Callable[[], type[TaskModule]]  # imports the training code: see ``later``
    measure: Callable[[], Measure]  # imports the measuring code
    # (model, card, image, precision), places and finding if it has them; None: the predictor's own
    predict: Callable[..., Prediction] | None = None
    for_run: Callable[[RunConfig], Task] | None = None  # the task as the options of a run change it
    deployment: Deployment
    predictor: type[Predictor] = Predictor
    # boxes given to predict → (number, image, classes) → those of one image; None: takes no boxes
    places: Callable[[Any], Callable[[int, Any, Sequence[str]], DetectionArrays]] | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """A module with its data, ready for the Trainer."""

    task: Task
    module: TaskModule  # ``module.model`` is the network
    card: ModelCard
    images: Images
    train_loader: DataLoader[Any]
    val_loader: DataLoader[Any]
    steps: int  # optimiser steps per epoch
    precision: str
    skip_bad: bool  # unreadable images are skipped
    select: Chosen = "best"  # epoch whose weights are kept
