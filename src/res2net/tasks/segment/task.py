"""The segmentation task: options, data, prediction.

An image is predicted whole, or in windows where it is large or the network is a graph of one size.
Legend: B windows · N classes · H, W of an image or window
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess, Reading
from res2net.data.scene import IGNORED, Objects, Scene, Scenes
from res2net.data.scenes.dataset import SceneDataset, Transform, listed, stacked
from res2net.data.scenes.transforms import as_it_is, chain, colours, flip, scale_and_crop
from res2net.drawing.marks import VOID, Colour, draw_legend, with_palette
from res2net.errors import UserError
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.models.factory import norm_by_name
from res2net.prediction import Prediction
from res2net.tasks.data import Annotated
from res2net.tasks.deployed import (
    Compared,
    Comparison,
    Deployment,
    Outputs,
    Pixels,
    channels_last,
    check_side,
    filled,
)
from res2net.tasks.network import Deployed, InUse, Size, in_colours, in_use
from res2net.tasks.task import Curve, Datasets, Task, later

CROP = 513  # pixels; the paper's base
SCALES = (0.5, 2.0)  # range of random scales before the crop


def describe(config: RunConfig, images: Scenes) -> tuple[dict[str, Any], Preprocess]:  # noqa: ARG001
    """The head's options and the size of training crops.

    Raises:
        UserError: crops that are too small.
    """
    size = CROP if config.input.size is None else config.input.size
    if size < 32:
        raise UserError(f"--input.size is {size}; crops need at least 32 pixels")
    head = {
        "output_stride": config.head.output_stride,
        "channels": config.head.channels or 256,
        "as_base": config.head.as_base,
    }
    return head, Preprocess(size=size, resize=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def build(card: ModelCard, pretrained: str | None) -> DeepLabV3Plus:
    """The network that a card describes."""
    options = dict(card.options)
    norm = options.pop("norm", None)
    return DeepLabV3Plus(
        card.network,
        len(card.classes),
        as_base=options.pop("as_base", False),  # absent in older runs
        pretrained=pretrained,
        norm_layer=norm and norm_by_name(norm),
        **options,
    )


def datasets(config: RunConfig, card: ModelCard, images: Scenes) -> Datasets:
    """Random crops for training, whole images one by one for validation."""
    fill = [255 * value for value in card.preprocess.mean]
    augment = config.augment
    least, most = augment.scale or SCALES
    crop = chain(
        scale_and_crop(card.preprocess.size, least, most, fill),
        flip(augment.hflip),
        colours(augment.color_jitter, card.preprocess.channels),
    )
    common: dict[str, Any] = {
        "skip_bad": config.input.skip_bad,
        "reading": card.preprocess.reading,
    }
    return Datasets(
        train=dataset_of(images, images.train, crop, **common),
        val=dataset_of(images, images.val, as_it_is, **common),
        collate_train=stacked,
        collate_val=listed,
    )


def seen(
    batch: tuple[Tensor, Tensor], images: Scenes, config: RunConfig
) -> Iterator[tuple[Any, str]]:
    """The crops of a training batch under their class maps; ignored pixels are pale."""
    del config
    for image, classes in zip(*batch, strict=True):
        shown = labelled(in_colours(image), classes.numpy(), images.classes, images.palette)
        counting = float((classes != IGNORED).float().mean())
        yield shown, f"{100 * counting:.0f} % of the pixels count"


def dataset_of(
    images: Scenes,
    part: Sequence[Scene],
    transform: Transform,
    *,
    skip_bad: bool,
    reading: Reading,
) -> SceneDataset:
    """A part of the data with its class maps."""
    return SceneDataset(
        *(part, "classes", len(images.classes), transform),
        legend=images.legend,
        skip_bad=skip_bad,
        reading=reading,
    )


def predict(
    model: DeepLabV3Plus | Deployed, card: ModelCard, image: Tensor, precision: str
) -> Segmentation:
    """The class of each pixel."""
    found = classes_of(model, image, card.preprocess, precision=precision)
    colours = tuple(tuple(each) for each in card.marks["palette"])
    return Segmentation(image=in_colours(image), classes=found, names=card.classes, palette=colours)


LARGEST = 1536  # pixels of a side of one window
OVERLAP = 256  # pixels shared by neighbouring windows


@torch.inference_mode()
def classes_of(
    model: DeepLabV3Plus | Deployed,
    image: Tensor,
    preprocess: Preprocess,
    *,
    precision: str = "auto",
    largest: int = LARGEST,
    scales: Sequence[float] = (1.0,),
    turned: bool = False,
) -> Tensor:
    """The class of each pixel: uint8 (C, H, W) → int64 (H, W), on the CPU.

    Args:
        largest: longer sides are split into windows of this length that overlap by 256 pixels (a
            quarter of it, if that is less); where they do, their scores are added. An exported
            network uses windows of its own size.
        scales: scales of the image, as factors of its size; scores are added.
        turned: also average over the mirror image (flip test).
    """
    height, width = image.shape[-2:]
    net = in_use(model, preprocess, precision)
    total: Tensor | None = None
    for scale in scales:
        seen = image
        if scale != 1:
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            small = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)
            seen = small[0].round().clamp(0, 255).to(torch.uint8)
        for mirrored in (False, True) if turned else (False,):
            scores = _windows(net, seen.flip(-1) if mirrored else seen, preprocess, largest)
            scores = scores.flip(-1) if mirrored else scores
            if scale != 1:
                scores = F.interpolate(scores[None], (height, width), mode="bilinear")[0]
            total = scores if total is None else total + scores
    if total is None:
        raise ValueError("scales is empty")
    return total.argmax(0).cpu()


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation(Prediction):
    """The classes of an image's pixels.

    Attributes:
        image: uint8 (3, H, W).
        classes: int64 (H, W), indices of ``names``.
        names: names of the classes.
        palette: one colour per class.

    Example:
        >>> (found,) = res2net.load("runs/streets").predict("street.jpg")
        >>> found.shares()  # {"road": 0.41, "sky": 0.2, ...}
    """

    image: Tensor
    classes: Tensor
    names: tuple[str, ...]
    palette: Sequence[tuple[int, int, int]]

    def shares(self) -> dict[str, float]:
        """The share of the image that each class covers, largest first; only classes present."""
        found = self.classes.numpy()
        counts = np.bincount(found.ravel(), minlength=len(self.names)) / found.size
        order = np.argsort(-counts, kind="stable")
        return {self.names[k]: float(counts[k]) for k in order if counts[k]}

    def as_dict(self) -> dict[str, Any]:
        return {"shares": self.shares()}

    def line(self) -> str:
        return "  ".join(f"{name} {100 * share:.0f} %" for name, share in self.shares().items())

    def pictures(self) -> Mapping[str, Any]:
        """The image in the colours of its classes, with their names, and the map of classes.

        The map is a Pillow image of mode "P", whose values are indices of ``names``.
        """
        classes = self.classes.numpy()
        picture = labelled(self.image, classes, self.names, self.palette)
        coloured = with_palette(classes.astype(np.uint8), self.palette)
        return {"": picture, "-classes": coloured}


def _windows(net: InUse, image: Tensor, preprocess: Preprocess, largest: int) -> Tensor:
    """Probabilities (N, H, W) of an image."""
    height, width = image.shape[-2:]
    total: Tensor | None = None
    fill = preprocess if net.size else None
    for top, left, window in windows(image, net.size or (largest, largest), fill):
        scores = net(window[None])[0].softmax(0)  # (N, h, w)
        if total is None:
            total = scores.new_zeros((scores.shape[0], height, width))
        part = total[:, top : top + window.shape[1], left : left + window.shape[2]]
        part += scores[:, : part.shape[1], : part.shape[2]]
    assert total is not None
    return total


def windows(
    image: Tensor, size: tuple[int, int], fill: Preprocess | None
) -> Iterator[tuple[int, int, Tensor]]:
    """Top, left and pixels (C, h, w) of the windows over an image (C, H, W).

    Args:
        size: largest h, w.
        fill: its mean colour pads every window to exactly this size; None leaves them smaller.
    """
    height, width = image.shape[-2:]
    if fill is not None and (height < size[0] or width < size[1]):
        image = filled(image, (max(height, size[0]), max(width, size[1])), fill)
    for top in starts(height, size[0]):
        for left in starts(width, size[1]):
            yield top, left, image[:, top : top + size[0], left : left + size[1]]


def starts(length: int, window: int) -> list[int]:
    """Start positions of windows that cover ``length`` and overlap."""
    if length <= window:
        return [0]
    step = window - min(OVERLAP, window // 4)
    last = length - window
    return sorted({*range(0, last, step), last})


LEAST = 0.97  # share of pixels whose class int8 keeps; our own rule


def outputs(card: ModelCard) -> tuple[dict[str, Any], ...]:
    """Logits (B, N, H, W)."""
    return ({"name": "class_logits", "channels": len(card.classes), "stride": 1},)


def resized(card: ModelCard, size: Size | int | None) -> tuple[ModelCard, Size]:
    """A square of the training crops' side, or any rectangle.

    Raises:
        UserError: too few pixels.
    """
    side = card.preprocess.size if size is None else size
    found = side if isinstance(side, tuple) else (side, side)
    check_side(*found)
    return card, found


def inputs(image: Tensor, objects: Objects | None, card: ModelCard, size: Size) -> Pixels:  # noqa: ARG001
    """The windows over an image, padded if it is smaller."""
    return channels_last(torch.stack([seen for *_, seen in windows(image, size, card.preprocess)]))


def compare(wanted: Outputs, found: Outputs) -> Compared:
    """The share of pixels with the same class in both."""
    a, b = wanted[0].argmax(1), found[0].argmax(1)  # (B, H, W)
    first = a[:, :1, :1]  # a map of one class in both has no results
    things = ((a != first) | (b != first)).sum(axis=(1, 2))
    return Compared(wanted, found, (a == b).mean(axis=(1, 2), dtype=np.float64), things)


OPACITY = 0.55  # opacity of the colours over the image
NAMED = 8  # classes in a legend
LEAST_SHARE = 0.002  # smallest share of the image of a class in the legend


def overlay(image: Tensor, classes: npt.NDArray[np.integer], palette: Sequence[Colour]) -> Any:
    """The image (3, H, W) under the colours of its classes (H, W).

    Black in the palette (a background) leaves the image unchanged, ignored pixels are pale.
    """
    colours = np.full((256, 3), VOID, np.uint8)
    colours[: len(palette)] = palette
    pixels = image.permute(1, 2, 0).numpy().astype(np.float32)  # (H, W, 3)
    over = colours[classes.clip(0, IGNORED)]
    share = np.where(over.any(axis=2, keepdims=True), OPACITY, 0.0)
    return ((1 - share) * pixels + share * over).astype(np.uint8)


def labelled(
    image: Tensor,
    classes: npt.NDArray[np.integer],
    names: Sequence[str],
    palette: Sequence[Colour],
) -> Any:
    """The same with the names of the largest classes, in their colours."""
    counts = np.bincount(classes.ravel(), minlength=256)[: len(names)]
    order = [
        k for k in np.argsort(-counts, kind="stable") if counts[k] > LEAST_SHARE * classes.size
    ]
    order = [k for k in order if any(palette[k])][:NAMED]
    over = overlay(image, classes, palette)
    return draw_legend(over, [names[k] for k in order], [palette[k] for k in order])


SEGMENT = Task(
    name="segment",
    title="segmentation",
    head="DeepLab v3+",
    data=Annotated("classes"),
    monitor="val/iou_error",
    curves=(
        Curve("Loss", (("train/loss", "training"), ("val/loss", "validation"))),
        Curve("Error, 100 % - mean IoU", (("val/iou_error", "validation"),), percent=True),
    ),
    sizes="a region is a connected area of one class in the annotated map, of 16 pixels or more, "
    "and its size is its area; shown is the share of its pixels that is found",
    describe=describe,
    build=build,
    body=lambda model: model.body,
    datasets=datasets,
    seen=seen,
    module=later("res2net.tasks.segment.module", "SegmenterModule"),
    measure=later("res2net.tasks.segment.scores", "measure"),
    predict=predict,
    deployment=Deployment(
        graph=lambda model: model,
        outputs=outputs,
        resized=resized,
        inputs=inputs,
        comparison=Comparison(what="class of a pixel", least=LEAST, of=compare),
    ),
)
