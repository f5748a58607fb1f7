"""Commands as functions: the same names, defaults, results and errors, from Python."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from res2net.card import CARD_NAME, ModelCard
from res2net.config import Capture, Compile, RunConfig
from res2net.errors import arguments_named
from res2net.optionfile import flat
from res2net.paper.tasks import TaskName
from res2net.tasks.open import open_target
from res2net.training.configure import check_options, configure, saved_config

if TYPE_CHECKING:  # imports that only one function needs take seconds
    import torch

    from res2net.deploy.export import Exported
    from res2net.tasks.finding import FindingOptions
    from res2net.tasks.predictor import Picture, Predictor

Options = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished training.

    Attributes:
        folder: weights, configuration, checkpoints, tables, pictures and ``report.md``.
    """

    folder: Path

    @property
    def config(self) -> RunConfig:
        """Every option of the training."""
        return RunConfig.read(self.folder / "config.yaml")

    @property
    def card(self) -> ModelCard:
        """Network, classes, preprocessing and scores."""
        return ModelCard.read(self.folder / CARD_NAME)

    @property
    def metrics(self) -> dict[str, float]:
        """The scores of the kept weights on the validation part."""
        return dict(self.card.metrics)

    @property
    def history(self) -> list[dict[str, float]]:
        """One row per epoch, as in ``metrics.csv``."""
        with (self.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
            return [
                {name: float(value) for name, value in row.items() if value}
                for row in csv.DictReader(file)
            ]

    @arguments_named()
    def load(self, *, device: str | torch.device | None = None) -> Predictor:
        """The trained network, ready to predict."""
        return load(self.folder, device=device)


def load(
    target: str | Path,
    *,
    device: str | torch.device | None = None,
    capture: str = "auto",
    compile: str | None = None,
) -> Predictor:
    """A trained network of any task, ready to predict.

    Args:
        target: run folder, checkpoint, ``.safetensors`` file with its ``model.json``, artifact of
            ``res2net export``, a Hugging Face Hub repository (``hf-hub:OWNER/NAME``), or
            "shipped", the small network that comes with the package.
        device: of a network in PyTorch; None: the best of this machine.
        capture: on a GPU, "auto" and "on" fold the norms, compute in the weights' own precision
            and replay recorded launches per batch size (``res2net.capture``); "triton" also runs
            each Res2Net unit as one kernel (speed not measured); "off" runs it as in training.
        compile: "default", "reduce-overhead" or "max-autotune" of ``torch.compile``, any device.

    Returns:
        A predictor with ``task``, ``classes``, ``preprocess``, ``model`` (None for an artifact) and
        ``predict(images)``.

    Raises:
        UserError: the target does not exist or cannot predict; the message says what to do.

    Example:
        >>> network = res2net.load("runs/digits")
        >>> network.predict("photo.png")[0].label
        '3'
    """
    return open_target(target).predictor(device, capture=capture, compiled=compile)


def predict(
    target: str | Path,
    images: Picture | Iterable[Picture],
    *,
    top: int | None = None,
    boxes: Any = None,
    batch: int | None = None,
    precision: str = "auto",
    capture: str = "auto",
    compile: str | None = None,
    **finding: Unpack[FindingOptions],
) -> list[Any]:
    """Predict each image, in order; the same as ``load(target).predict(images)``.

    Args:
        target: as for ``load``.
        images: one or many of: a path, a folder (the images under it, at any depth, sorted), a PIL
            image, an array (H, W), (H, W, 3) or (H, W, 4) of uint8, a tensor (3, H, W) of uint8.
        top, boxes, batch, precision: see ``Predictor.predict``.
        capture, compile: as for ``load``.
        finding: detectors, pose: ``score`` and the other fields of ``Finding``: which detections
            are kept.

    Returns:
        A ``Classification``, ``Detections``, ``Segmentation``, ``SaliencyMap`` or ``Poses`` for
        each image; each has ``as_dict()``, ``plot()`` and ``save(path)``.

    Raises:
        UserError: a target or an image that cannot be read, or an argument that does not apply to
            the network's task.

    Example:
        >>> res2net.predict("runs/digits", ["photo.png"], top=3)[0].top
        (('3', 0.97), ('5', 0.01), ('8', 0.01))
    """
    network = load(target, capture=capture, compile=compile)
    return network.predict(
        images, top=top, boxes=boxes, batch=batch, precision=precision, **finding
    )


def train(
    model: str | None = None,
    data: str | Path | None = None,
    *,
    task: TaskName | None = None,
    recipe: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    init: str | Path | None = None,
    seed: int | None = None,
    compile: Compile | None = None,
    capture: Capture | None = None,
    net: Options | None = None,
    head: Options | None = None,
    input: Options | None = None,
    augment: Options | None = None,
    train: Options | None = None,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Train a network of the model table, as ``res2net train`` does.

    Args:
        model: a name from ``list_models``.
        data: FORMAT:PATH, or a path whose format is recognised.
        task: "classify", "detect", "instances", "segment", "saliency", "pose" or "pretrain".
        recipe: initial values of all options; None chooses by the data.
        out: run folder; ``runs/MODEL-FORMAT`` if None.
        resume: resume the run in ``out``, with its own configuration.
        init: run folder, checkpoint or weights of the same task and network to start from, head
            included: the weights of classes with the same name are kept. None: not used.
        seed: random seed for weights, data order and augmentation; 0 if None.
        compile: ``torch.compile`` the network; a mode of it, or True for its default.
        capture: replay training steps as CUDA graphs on a GPU: "on", "auto" (if possible) or
            "off" (also None).
        net, head, input, augment, train: options of these groups by name, as in ``config.yaml``.
        say: called with each line of progress; printed if None.

    Raises:
        UserError: an option that does not exist or apply to the task (names the nearest),
            a value out of range, data that cannot be read or trained on.
        TakenError: another process trains in the folder.

    Example:
        >>> run = res2net.train("res2net29_small", "digits", train={"epochs": 12})
        >>> run.metrics["top1_error"]
        2.5
    """
    from res2net.training.callbacks import speak
    from res2net.training.run import fit

    options: dict[str, Any] = {
        "model": model,
        "data": None if data is None else str(data),
        "task": task,
        "recipe": recipe,
        "init": None if init is None else str(init),
        "seed": seed,
        "compile": compile,
        "capture": capture,
        "net": net,
        "head": head,
        "input": input,
        "augment": augment,
        "train": train,
    }
    given = {name: value for name, value in options.items() if value is not None}
    say = say or speak
    place = None if out is None else Path(out)
    config, folder, note = configure(
        given, out=place, resume=resume, saved=saved_config(place) if resume else None
    )
    check_options(flat(given), config)
    if note:
        say(note)
    fit(config, folder, resume=resume, say=say)
    return Run(folder=folder)


def preview(
    model: str,
    data: str | Path,
    sheet: str | Path,
    *,
    task: TaskName | None = None,
    recipe: str | None = None,
    seed: int | None = None,
    net: Options | None = None,
    head: Options | None = None,
    input: Options | None = None,
    augment: Options | None = None,
    train: Options | None = None,
) -> Path:
    """Draw augmented training images with their annotations, as ``res2net train --preview`` does.

    Nothing is trained.

    Args:
        model, data, task, recipe, seed, net, head, input, augment, train: as for ``train``.
        sheet: PNG to write.

    Returns:
        The file.

    Raises:
        UserError: what ``train`` would refuse, or a file that is not a PNG or cannot be written.

    Example:
        >>> res2net.preview("res2net29_small", "digits", "sheet.png").name
        'sheet.png'
    """
    from res2net.tasks.job import draw_preview

    options: dict[str, Any] = {
        "model": model,
        "data": str(data),
        "task": task,
        "recipe": recipe,
        "seed": seed,
        "net": net,
        "head": head,
        "input": input,
        "augment": augment,
        "train": train,
    }
    given = {name: value for name, value in options.items() if value is not None}
    config, _, _ = configure(given, out=None, resume=False, saved=None)
    check_options(flat(given), config)
    draw_preview(config, Path(sheet))
    return Path(sheet)


def export(
    target: str | Path,
    out: str | Path,
    *,
    to: str,
    precision: str = "fp32",
    size: int | tuple[int, int] | None = None,
    dynamic_batch: bool = False,
    features: Sequence[str] | None = None,
    images: str | Path | None = None,
    max_drop: float | None = None,
    val_images: int | None = None,
    overflow_safe: bool | None = None,
) -> Exported:
    """Export an artifact that runs without PyTorch, verified, as ``res2net export`` does.

    Args:
        target: run folder, checkpoint, or the name of a model (structure only).
        out: folder to write; it must not exist.
        to: "openvino", "onnx", "coreml", "torch-export", "aoti" or "native".
        precision: "fp32", "bf16", "fp16" or "int8".
        size: side of the square input; for segmenters and detectors also (height, width).
        dynamic_batch: accept any batch size; else one image.
        features: levels whose maps are the outputs, instead of classes.
        images: folder of images to calibrate and verify with, instead of the run's data; int8 of
            a detector takes annotated images, as "FORMAT:PATH".
        max_drop: largest allowed drop with int8, in points, of a classifier's top-1 accuracy or a
            detector's AP; 0.5 if None.
        val_images: largest number of images to verify with; None: all of ``images``, or 1,000 of
            a run's data (100 for other tasks).
        overflow_safe: limit int8 weights to 7 bits, which is also correct on processors without
            VNNI; None: if this one lacks it.

    Returns:
        The folder, and how the artifact compares with the network.

    Raises:
        UserError: a target that cannot be exported this way, or an artifact that differs too much;
            nothing is written then.

    Example:
        >>> done = res2net.export("runs/digits", "digits-onnx", to="onnx")
        >>> res2net.predict(done.folder, "photo.png")[0].label
        '3'
    """
    from res2net.deploy import export as exporting

    return exporting.export(
        str(target),
        Path(out),
        engine=to,
        precision=precision,
        size=size,
        dynamic_batch=dynamic_batch,
        features=features,
        images=None if images is None else Path(images),
        max_drop=max_drop,
        val_images=val_images,
        overflow_safe=overflow_safe,
    )
