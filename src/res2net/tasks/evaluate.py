"""``res2net evaluate`` and ``res2net.evaluate``: a trained network measured on annotated images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Unpack, cast

from res2net.card import ModelCard
from res2net.config import ANNOTATIONS
from res2net.data.faults import usable_part
from res2net.data.files import spread, warn_rescaled
from res2net.data.labelled import LabelledImages, Split
from res2net.data.packed import File
from res2net.data.readers import LOOKED_AT
from res2net.data.scenes.options import Marks
from res2net.data.source import parse_source
from res2net.data.split import Holdout
from res2net.data.transforms import CROPS
from res2net.errors import UserError, check_meaning, counted
from res2net.files import alone_in
from res2net.models.factory import create_model
from res2net.models.network import Network
from res2net.paper.tasks import readers
from res2net.tasks.data import Images
from res2net.tasks.finding import Finding, FindingOptions, given
from res2net.tasks.finish import write_scores
from res2net.tasks.open import open_target
from res2net.tasks.predictor import NETWORK, Predictor
from res2net.tasks.scores import Comparable, Measuring, Track
from res2net.tasks.selection import held_out, measured_part
from res2net.tasks.table import find_task
from res2net.weights.catalogue import published_for
from res2net.weights.pretrained import IN1K

BATCH = Measuring().batch
IMAGENET_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of a network on a part of a data set.

    Attributes:
        task: the network's.
        images: how many were measured.
        metrics: the figures of ``metrics.json`` by name.
        scores: everything that was measured: the task's own object.
        folder: tables and pictures.
        data: the data set.
        part: the images of it that were measured, with their annotations.
        predictor: the loaded network; None for published weights.
    """

    task: str
    images: int
    metrics: dict[str, float]
    scores: Comparable
    folder: Path
    data: Any = field(repr=False)
    part: Any = field(repr=False)
    predictor: Predictor | None = field(default=None, repr=False)


def read_images(task: str, data: str, holdout: Holdout, *, skip_bad: bool) -> Images:
    """The images of FORMAT:PATH that a task measures, or some of them."""
    return find_task(task).data.read(data, holdout, skip_bad=skip_bad)


def evaluate(
    target: str | Path,
    data: str | Path,
    *,
    split: str | None = None,
    out: str | Path | None = None,
    precision: str = "auto",
    val_fraction: float | None = None,
    seed: int | None = None,
    group_by: str | None = None,
    skip_bad: bool = False,
    batch: int | None = None,
    size: int | None = None,
    workers: int | None = None,
    scales: Sequence[float] | None = None,
    flip: bool = False,
    crops: int | None = None,
    boxes: str | Path | None = None,
    capture: str = "auto",
    compile: str | None = None,
    track: Track | None = None,
    say: Callable[[str], None] = print,
    read: Callable[..., Any] = read_images,
    **finding: Unpack[FindingOptions],
) -> Evaluation:
    """Measure a trained network on annotated images, as ``res2net evaluate`` does.

    Args:
        target: as for ``load``, or the name of a network, whose published ImageNet weights are
            measured.
        data: FORMAT:PATH, or a path whose format is recognised.
        split: "val", "train", "test" or "all"; None: the validation part, or all images of data
            that have no parts and that the network was not trained on.
        out: folder for tables and pictures; default: ``evaluation`` beside the weights,
            ``runs/NAME-published`` for a network's name.
        precision: "auto", "fp32", "bf16" or "fp16".
        val_fraction, seed, group_by: split of data that have none; None: the run's, so
            that no training image is among the measured ones.
        skip_bad: skip images that cannot be read.
        batch, size, workers: classify: images per batch (64), input size in pixels (as in
            training), processes that read images.
        flip: classify, segment: also average over the mirrored image.
        crops: classify: 5 averages the centre and the four corners, 1 is the centre.
        scales: segment: scales of the image to average over (1 is its own size).
        boxes: pose: a detector's predictions, instead of annotated boxes.
        capture, compile: as for ``load``.
        track: wraps the images in a progress bar.
        say: called with the line that names the measured part.
        read: reads the images; two networks that are measured on the same can share them.
        finding: detect, instances: as for ``predict``; they choose the measured detections.

    Returns:
        The figures in ``metrics``, all measurements in ``scores``, the pictures in ``folder``.

    Raises:
        UserError: target or data that cannot be read, whose classes differ, or an option that does
            not apply to the network's task.

    Example:
        >>> res2net.evaluate("runs/digits", "digits").metrics["top1_error"]
        2.5
    """
    opened = open_target(target)
    own: dict[str, Any] = {
        "batch": batch,
        "size": size,
        "workers": workers,
        "scales": scales,
        "flip": flip,
        "crops": crops,
        "boxes": boxes,
    }
    own, wanted = given(own), given(finding)
    check_meaning((*own, *wanted), readers("evaluate"), opened.task, NETWORK)
    for name, least in (("batch", 1), ("workers", 0)):
        if own.get(name, least) < least:
            raise UserError(f"--{name} is {own[name]}; it must be at least {least}")
    if crops not in (None, 1, CROPS):
        raise UserError(f"--crops is {crops}; it can be 1 or {CROPS}")
    if wrong := [scale for scale in scales or () if not 0 < scale < inf]:
        raise UserError(f"--scales holds {wrong[0]:g}; a scale must be above 0")
    if opened.runtime is not None and size is not None:
        raise UserError(f"{target}: an artifact has its size and precision; export another")
    exported = None if opened.runtime is None else str(target)
    kept = Finding.of(wanted, exported=exported)
    network, card, predictor = None, opened.card, None
    if opened.trained:
        predictor = opened.predictor(capture=capture, compiled=compile)
        predictor.check_precision(precision)
        network = predictor.network
    task = find_task(opened.task)
    source = parse_source(str(data), ANNOTATIONS[task.name])
    if source.guessed:
        say(f"{source.path}: recognised as {source.format} data")
    data = str(source)
    if boxes is not None:
        from res2net.tasks.pose.crops import read_boxes

        own["boxes"] = read_boxes(Path(boxes))
    holdout = held_out(
        *(opened.run, card, data),
        split=split,
        val_fraction=val_fraction,
        seed=seed,
        group_by=group_by,
    )
    images = read(task.name, data, holdout, skip_bad=skip_bad)
    if network is None:
        network, card = published_network(opened.given, images)
    if own.pop("size", None) is not None:
        card, _ = task.deployment.resized(card, size)
    if images.classes != card.classes:
        images = task.data.in_order_of(images, card.classes, opened.given, data)
    part, words = measured_part(images, split, data)
    if not (skip_bad and source.format in LOOKED_AT and isinstance(images, LabelledImages)):
        part = usable_part(
            data,
            part,
            images,
            None if isinstance(images, LabelledImages) else cast(Marks, ANNOTATIONS[task.name]),
            skip_bad=skip_bad,
            option="--skip-bad",
            say=say,
        )
    if card.preprocess.range is None:
        held: Any = part.images if isinstance(part, Split) else [scene.image for scene in part]
        warn_rescaled(data, [image for image in spread(held, 64) if isinstance(image, File)])
    say(f"measuring {words}: {counted(len(part), 'image')}")
    how = Measuring(precision=precision, skip_bad=skip_bad, track=track, finding=kept, **own)
    scores = task.measure()(network, card, images, part, how)
    assert isinstance(scores, Comparable)  # pretrained features are refused when they are opened
    usual = opened.home / "evaluation" if opened.trained else Path(f"runs/{target}-published")
    folder = usual if out is None else Path(out)
    with alone_in(folder, "--out"):
        write_scores(folder, scores)
    return Evaluation(
        task=opened.task,
        images=scores.images,
        metrics=scores.summary(),
        scores=scores,
        folder=folder,
        data=images,
        part=part,
        predictor=predictor,
    )


def published_network(name: str, images: LabelledImages) -> tuple[Network, ModelCard]:
    """A network with published ImageNet weights, to be evaluated on ImageNet.

    Raises:
        UserError: none are published, they are not available, or the data are not ImageNet.
    """
    row = published_for(name)
    if len(images.classes) != IMAGENET_CLASSES:
        raise UserError(
            f"{name}: its published weights predict ImageNet's {IMAGENET_CLASSES:,} classes, "
            f"{images.name} has {len(images.classes)}; give the run folder of your own network"
        )
    model = create_model(name, pretrained=IN1K)
    card = ModelCard(network=name, classes=images.classes, preprocess=row.preprocess)
    return model.eval(), card
