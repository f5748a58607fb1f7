"""A saliency network as a graph: squares in, the fused map out.

Legend: B batch · S side of the square
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.scene import Objects
from res2net.tasks.dense.deployed import (
    Compared,
    Comparison,
    Deployment,
    Outputs,
    Pixels,
    channels_last,
    square_frame,
)
from res2net.tasks.dense.network import Size
from res2net.tasks.saliency.inference import SALIENT, Fused, as_square

LEAST = 0.97  # share of pixels that stay on their side of the threshold in int8; our own rule


def outputs(card: ModelCard) -> tuple[dict[str, Any], ...]:  # noqa: ARG001  every task is given it
    """How much each pixel stands out, 0..1: (B, 1, S, S)."""
    return ({"name": "saliency", "channels": 1, "stride": 1},)


def views(image: Tensor, objects: Objects | None, card: ModelCard, size: Size) -> Pixels:  # noqa: ARG001
    """The image as a square."""
    return channels_last(as_square(image[None], size[0]))


def compare(wanted: Outputs, found: Outputs) -> Compared:
    """The share of pixels on the same side of the threshold from which one is shown."""
    least = SALIENT / 255
    a, b = wanted[0] >= least, found[0] >= least  # (B, 1, S, S)
    places = (1, 2, 3)
    return Compared(
        wanted, found, (a == b).mean(axis=places, dtype=np.float64), (a | b).sum(axis=places)
    )


DEPLOYMENT = Deployment(
    graph=Fused,
    outputs=outputs,
    frame=square_frame,
    views=views,
    comparison=Comparison(what="side of the threshold of a pixel", least=LEAST, of=compare),
)
