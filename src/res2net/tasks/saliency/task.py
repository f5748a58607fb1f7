"""The saliency task: options, data, prediction.

Legend: B batch · S side of the network's square input · H, W of a whole image
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from res2net.data.scene import Objects, Scenes
from res2net.data.scenes.dataset import SceneDataset, listed, stacked
from res2net.data.scenes.transforms import as_it_is, chain, colours, flip, scale_and_crop, square
from res2net.data.transforms import normalise
from res2net.drawing.marks import OBJECT, draw_boxes, tint
from res2net.errors import UserError
from res2net.heads.dss import SIDES, SaliencyNet
from res2net.heads.precision import at_least_float32
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
    square_of,
)
from res2net.tasks.network import Deployed, Size, in_colours, in_use
from res2net.tasks.task import Curve, Datasets, Task, later

SIDE = 352  # pixels side of a network's square input


def describe(config: RunConfig, images: Scenes) -> tuple[dict[str, Any], Preprocess]:  # noqa: ARG001
    """The head's options and the side of the input.

    Raises:
        UserError: the input is too small.
    """
    size = SIDE if config.input.size is None else config.input.size
    if size < 32:
        raise UserError(f"--input.size is {size}; it needs at least 32 pixels")
    channels = config.head.channels or SIDES[0].channels
    head = {"channels": channels, "as_base": config.head.as_base}
    return head, Preprocess(size=size, resize=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def build(card: ModelCard, pretrained: str | None) -> SaliencyNet:
    """The network that a card describes."""
    options = dict(card.options)
    norm = options.pop("norm", None)
    if "channels" not in options:  # an older card: its width is a factor on the sides' channels
        options["channels"] = round(SIDES[0].channels * options.pop("width", 1))
    return SaliencyNet(
        card.network,
        as_base=options.pop("as_base", False),  # absent in older runs
        pretrained=pretrained,
        norm_layer=norm and norm_by_name(norm),
        **options,
    )


def datasets(config: RunConfig, card: ModelCard, images: Scenes) -> Datasets:
    """Squares for training, whole images one by one for validation."""
    augment, side = config.augment, card.preprocess.size
    steps = [square(side), flip(augment.hflip)]
    if augment.scale:  # padding is not salient
        fill = [255 * value for value in card.preprocess.mean]
        least, most = augment.scale
        steps.insert(1, scale_and_crop(side, least, most, fill, void=0))
    vary = chain(*steps, colours(augment.color_jitter, card.preprocess.channels))
    common: dict[str, Any] = {
        "skip_bad": config.input.skip_bad,
        "reading": card.preprocess.reading,
    }
    return Datasets(
        train=SceneDataset(images.train, "salient", 2, vary, **common),
        val=SceneDataset(images.val, "salient", 2, as_it_is, **common),
        collate_train=stacked,
        collate_val=listed,
    )


def seen(
    batch: tuple[Tensor, Tensor], images: Scenes, config: RunConfig
) -> Iterator[tuple[npt.NDArray[np.uint8], str]]:
    """The squares of a training batch, salient pixels in a colour."""
    del images, config
    for image, salient in zip(*batch, strict=True):
        pixels = in_colours(image).permute(1, 2, 0).contiguous().numpy()
        mask = salient.numpy() > 0
        yield tint(pixels, mask, OBJECT), f"{100 * mask.mean():.0f} % is salient"


def predict(
    model: SaliencyNet | Deployed, card: ModelCard, image: Tensor, precision: str
) -> SaliencyMap:
    """The saliency map of an image."""
    found = saliency_of(model, image, card.preprocess, precision=precision)
    return SaliencyMap(image=in_colours(image), saliency=found)


SALIENT = 128  # from here on a pixel is shown as salient
DIM = 0.25  # brightness of pixels that are not salient

fx.wrap("at_least_float32")  # it reads the dtype, which a traced value lacks


class Fused(nn.Module):
    """The map that is the prediction: normalised (B, 3, S, S) → (B, 1, S, S), 0..1."""

    def __init__(self, model: SaliencyNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.predicted([at_least_float32(each) for each in self.model(x)])


@torch.inference_mode()
def saliency_of(
    model: SaliencyNet | Deployed, image: Tensor, preprocess: Preprocess, *, precision: str = "auto"
) -> Tensor:
    """uint8 (3, H, W) → uint8 (H, W), on the CPU: the prediction for the image as a square."""
    net = in_use(model, preprocess, precision, Fused)
    fused = net(as_square(image[None], preprocess.size))
    full = F.interpolate(fused, tuple(image.shape[-2:]), mode="bilinear", align_corners=False)
    return (full[0, 0] * 255).round().to(torch.uint8).cpu()


def squared(images: Tensor, preprocess: Preprocess, dtype: torch.dtype) -> Tensor:
    """uint8 (B, 3, H, W) → normalised (B, 3, S, S)."""
    x = normalise(as_square(images, preprocess.size), preprocess, dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last)


def as_square(images: Tensor, side: int) -> Tensor:
    """uint8 (B, 3, H, W) → uint8 (B, 3, S, S), antialiased."""
    if images.shape[-2:] == (side, side):
        return images
    small = F.interpolate(images.float(), (side, side), mode="bilinear", antialias=True)
    return small.round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True, kw_only=True, eq=False)
class SaliencyMap(Prediction):
    """The saliency map of an image.

    Attributes:
        image: uint8 (3, H, W).
        saliency: uint8 (H, W), 0..255; 128 or more counts as salient.
    """

    image: Tensor
    saliency: Tensor

    def share(self) -> float:
        """The share of the image that is salient."""
        return float((self.saliency >= SALIENT).float().mean())

    def box(self) -> list[int] | None:
        """The box around all salient pixels: left, top, right, bottom in pixels."""
        rows, columns = np.nonzero(self.saliency.numpy() >= SALIENT)
        if not rows.size:
            return None
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return [int(edge) for edge in edges]

    def as_dict(self) -> dict[str, Any]:
        return {"share": round(self.share(), 4), "box": self.box()}

    def line(self) -> str:
        return f"{100 * self.share():.0f} % of the image is salient"

    def pictures(self) -> Mapping[str, Any]:
        """The image, dark where it is not salient, and the map."""
        return {"": lit(self.image, self.saliency, self.box()), "-map": self.saliency.numpy()}


def lit(image: Tensor, saliency: Tensor, box: list[int] | None = None) -> Any:
    """The image (3, H, W), dark where it is not salient: (H, W, 3)."""
    light = DIM + (1 - DIM) * saliency.numpy()[..., None] / 255
    pixels = (image.permute(1, 2, 0).numpy() * light).astype(np.uint8)
    if box is None:
        return pixels
    return draw_boxes(pixels, np.array([box], np.float64), [""], [OBJECT])


LEAST = 0.97  # share of pixels that int8 keeps on their side of the threshold; our own rule


def outputs(card: ModelCard) -> tuple[dict[str, Any], ...]:  # noqa: ARG001  passed to every task
    """The saliency of each pixel, 0..1: (B, 1, S, S)."""
    return ({"name": "saliency", "channels": 1, "stride": 1},)


def inputs(image: Tensor, objects: Objects | None, card: ModelCard, size: Size) -> Pixels:  # noqa: ARG001
    """The image as a square."""
    return channels_last(as_square(image[None], size[0]))


def compare(wanted: Outputs, found: Outputs) -> Compared:
    """The share of pixels on the same side of the threshold for drawing."""
    least = SALIENT / 255
    a, b = wanted[0] >= least, found[0] >= least  # (B, 1, S, S)
    places = (1, 2, 3)
    return Compared(
        wanted, found, (a == b).mean(axis=places, dtype=np.float64), (a | b).sum(axis=places)
    )


SALIENCY = Task(
    name="saliency",
    title="salient objects",
    head="DSS",
    data=Annotated("salient"),
    monitor="val/f_error",
    curves=(
        Curve("Loss, all sides", (("train/loss", "training"), ("val/loss", "validation"))),
        Curve(
            "Error, %",
            (("val/f_error", "1 - max F-measure"), ("val/mae", "mean absolute error")),
            percent=True,
        ),
    ),
    sizes="an image's size class is the area of all its salient pixels together",
    describe=describe,
    build=build,
    body=lambda model: model.body,
    datasets=datasets,
    seen=seen,
    module=later("res2net.tasks.saliency.module", "SaliencyModule"),
    measure=later("res2net.tasks.saliency.scores", "measure"),
    predict=predict,
    deployment=Deployment(
        graph=Fused,
        outputs=outputs,
        resized=square_of,
        inputs=inputs,
        comparison=Comparison(what="side of the threshold of each pixel", least=LEAST, of=compare),
    ),
)
