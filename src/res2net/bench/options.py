"""Every option of ``res2net bench``, a class a subject; the comment is the help. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

ROUNDS = 45  # enough that the median of a ratio moves by about 0.02 at most
NETWORK = "res2net50_26w_4s"
OtherTask = Literal["detect", "instances", "segment", "saliency", "pose"]  # than classify


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """Of what is timed in rounds."""

    rounds: int = ROUNDS  # counted rounds


@dataclass(frozen=True, kw_only=True)
class DeployOptions(Rounds):
    """Networks in inference engines, ours beside timm's and torchvision's."""

    model: str = NETWORK  # networks, by commas
    makers: str = "ours,timm"  # also torchvision
    engines: str = "eager-nchw,eager,onnxruntime,openvino,native"  # also compiled (takes minutes)
    precisions: str = "fp32,bf16,int8"  # by commas
    batch: int = 1  # images at a time
    size: int = 224  # pixels
    chart: Path | None = None  # draw the figures, PNG


@dataclass(frozen=True, kw_only=True)
class RooflineOptions(Rounds):
    """What each stage reaches in our engine, beside the processor's measured peak."""

    model: str = NETWORK  # networks, by commas
    precisions: str = "fp32,bf16,int8"  # by commas
    size: int = 224  # pixels
    chart: Path | None = None  # draw the figures, PNG


@dataclass(frozen=True, kw_only=True)
class TrainStepOptions(Rounds):
    """A training step beside timm's: images a second, memory."""

    model: str = NETWORK  # network
    batch: int = 8  # images at a time
    size: int = 224  # pixels


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """An artifact over a folder of files, beside the network alone."""

    artifact: str  # what `res2net export` wrote
    data: str  # images: a file or a folder


@dataclass(frozen=True, kw_only=True)
class LoadingOptions:
    """The share of an epoch that reading images costs."""

    data: str  # images to train on, FORMAT:PATH
    model: str = NETWORK  # network
    batch: int = 8  # images at a time
    size: int = 224  # pixels
    epochs: int = 2  # epochs of each kind
    workers: int | None = None  # processes that read


@dataclass(frozen=True, kw_only=True)
class TasksOptions(Rounds):
    """Training step and inference of the other tasks, beside other libraries' models."""

    task: OtherTask | None = None  # one of the tasks; default: all, one after the other
    batch: int = 2  # images at a time
    size: int = 224  # pixels


@dataclass(frozen=True, kw_only=True)
class EvaluatorsOptions(Rounds):
    """COCO's AP beside faster-coco-eval called directly, peaks of heat maps."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """A crowd before `res2net serve`: who is answered, who has to come back, p95."""

    artifact: str  # a run, or what `res2net export` wrote
    clients: int = 64  # that ask at a time
    requests: int = 1000  # of all clients
    queue: int = 32  # images that may wait


@dataclass(frozen=True, kw_only=True)
class ParityOptions:
    """Outputs, gradients and statistics beside timm's and torchvision's, same weights."""

    model: str = NETWORK  # network; all: every one that another library has


# subject → its options, whose docstring is its help; what measures it is in its own file
SUBJECTS: Mapping[str, type] = MappingProxyType(
    {
        "deploy": DeployOptions,
        "roofline": RooflineOptions,
        "train-step": TrainStepOptions,
        "folder": FolderOptions,
        "loading": LoadingOptions,
        "tasks": TasksOptions,
        "evaluators": EvaluatorsOptions,
        "serve": ServeOptions,
        "parity": ParityOptions,
    }
)
