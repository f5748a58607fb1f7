"""Options of ``res2net bench``, one class per subject; comments are the help. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

ROUNDS = 45  # enough that the median of a ratio moves by about 0.02 at most
NETWORK = "res2net50_26w_4s"
OtherTask = Literal["detect", "instances", "segment", "saliency", "pose"]  # than classify
Grown = Literal["folder", "index", "annotations", "classes", "checkpoint"]


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """Options of subjects timed in rounds."""

    rounds: int = ROUNDS  # counted rounds


@dataclass(frozen=True, kw_only=True)
class DeployOptions(Rounds):
    """Networks in inference engines, ours beside timm's and torchvision's."""

    model: str = NETWORK  # networks, separated by commas
    makers: str = "ours,timm"  # implementations: ours, timm, torchvision
    engines: str = "eager-nchw,eager,onnxruntime,openvino,native"  # any; also compiled, captured
    precisions: str = "fp32,bf16,int8"  # separated by commas
    batch: int = 1  # images per batch
    size: int = 224  # input size in pixels
    chart: Path | None = None  # also draw the results to this PNG file; default: none


@dataclass(frozen=True, kw_only=True)
class RooflineOptions(Rounds):
    """Speed of each stage in our engine, beside the processor's measured peak."""

    model: str = NETWORK  # networks, separated by commas
    precisions: str = "fp32,bf16,int8"  # separated by commas
    size: int = 224  # input size in pixels
    chart: Path | None = None  # also draw the results to this PNG file; default: none


@dataclass(frozen=True, kw_only=True)
class TrainStepOptions(Rounds):
    """A training step beside timm's: images per second, memory."""

    model: str = NETWORK  # network
    batch: int = 8  # images per batch
    size: int = 224  # input size in pixels


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """An artifact over a folder of files, beside the network alone."""

    artifact: str  # artifact of `res2net export`
    data: str  # images: a file or a folder


@dataclass(frozen=True, kw_only=True)
class LoadingOptions:
    """The share of an epoch that reading images costs."""

    data: str  # training images, FORMAT:PATH
    model: str = NETWORK  # network
    batch: int = 8  # images per batch
    size: int = 224  # input size in pixels
    epochs: int = 2  # epochs per case
    workers: int | None = None  # processes that read images; default: chosen for the machine


@dataclass(frozen=True, kw_only=True)
class TasksOptions(Rounds):
    """Training step and inference of the other tasks, beside other libraries' models."""

    task: OtherTask | None = None  # task; default: all, one after the other
    batch: int = 2  # images per batch
    size: int = 224  # input size in pixels


@dataclass(frozen=True, kw_only=True)
class EvaluatorsOptions(Rounds):
    """COCO's AP beside faster-coco-eval called directly, peaks of heat maps."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Many clients of `res2net serve`: answered and retried requests, 95th percentile."""

    artifact: str  # run folder, or artifact of `res2net export`
    clients: int = 64  # concurrent clients
    requests: int = 1000  # requests in all
    queue: int = 32  # images that may wait; further ones get HTTP 429


@dataclass(frozen=True, kw_only=True)
class ParityOptions:
    """Outputs, gradients and statistics beside timm's and torchvision's, same weights."""

    model: str = NETWORK  # network; all: every one that another library has


@dataclass(frozen=True, kw_only=True)
class GrowthOptions:
    """Time and memory against the size of folders, annotations, classes, weights."""

    what: Grown | None = None  # kind of data; default: all, one after the other
    sizes: str = ""  # numbers of it, separated by commas; default: three from small to huge
    rounds: int = 3  # measurements of a size, each in a process of its own
    chart: Path | None = None  # also draw the results to this PNG file; default: none


# subject → its options, whose docstring is the help; the measurement is in the subject's file
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
        "growth": GrowthOptions,
    }
)
