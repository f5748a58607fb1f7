"""What stands out in an image: uint8 (H, W), 0..255."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from res2net.data.preprocess import Preprocess
from res2net.data.transforms import normalise
from res2net.drawing.marks import draw_boxes
from res2net.heads.dss import SaliencyNet
from res2net.heads.precision import at_least_float32
from res2net.prediction import Prediction
from res2net.tasks.dense.network import Deployed, in_use

SALIENT = 128  # from here on a pixel is shown as salient
DIM = 0.25  # of the brightness that is left where nothing stands out

fx.wrap("at_least_float32")  # it looks at the type, which a traced value does not have


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
    """uint8 (3, H, W) → uint8 (H, W), on the CPU: the prediction, seen as a square."""
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
    """What stands out in an image.

    Attributes:
        image: uint8 (3, H, W).
        saliency: uint8 (H, W), 0..255; from 128 on a pixel counts as salient.
    """

    image: Tensor
    saliency: Tensor

    def share(self) -> float:
        """Of the image that stands out."""
        return float((self.saliency >= SALIENT).float().mean())

    def box(self) -> list[int] | None:
        """Around all that stands out: left, top, right, bottom in pixels."""
        rows, columns = np.nonzero(self.saliency.numpy() >= SALIENT)
        if not rows.size:
            return None
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return [int(edge) for edge in edges]

    def as_dict(self) -> dict[str, Any]:
        return {"share": round(self.share(), 4), "box": self.box()}

    def line(self) -> str:
        return f"{100 * self.share():.0f} % of the image stands out"

    def pictures(self) -> Mapping[str, Any]:
        """The image, dark where nothing stands out, and the map."""
        return {"": lit(self.image, self.saliency, self.box()), "-map": self.saliency.numpy()}


def lit(image: Tensor, saliency: Tensor, box: list[int] | None = None) -> Any:
    """The image (3, H, W), dark where nothing stands out: (H, W, 3)."""
    light = DIM + (1 - DIM) * saliency.numpy()[..., None] / 255
    pixels = (image.permute(1, 2, 0).numpy() * light).astype(np.uint8)
    if box is None:
        return pixels
    return draw_boxes(pixels, np.array([box], np.float64), [""], [(230, 159, 0)])
