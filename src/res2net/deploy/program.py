"""The deployed program: pixels in, logits or named maps out.

Legend: B batch · H, W of the images · N classes · C channels and s stride of a level
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from res2net.data.preprocess import Preprocess
from res2net.models.backbone import Backbone
from res2net.tasks.network import LOGITS

INPUT = "images"


class Program(nn.Module):
    """uint8 (B, H, W, channels) → float32 logits (B, N), or float32 maps (B, C, H/s, W/s).

    Normalisation is one multiply-add before the network. Folded into the first convolution it would
    be wrong at the border: that convolution pads with zeros after the normalisation, and zero
    there is the mean colour, not black.

    Args:
        net: a network, a backbone for maps, or the graph of a task; used unchanged (see
            ``res2net.rewrite``).
        preprocess: its mean and std.
        outputs: names of the graph's outputs, in order; None: logits, or a backbone's levels.
        rows_vary: its number of output rows varies; it takes one image at a time.
        dtype: dtype that the network computes in; the normalisation is float32.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        net: nn.Module,
        preprocess: Preprocess,
        *,
        outputs: Sequence[str] | None = None,
        rows_vary: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.net = net.eval().requires_grad_(False).to(dtype)
        self.dtype = dtype
        self.rows_vary = rows_vary
        levels = (level.name for level in net.levels) if isinstance(net, Backbone) else (LOGITS,)
        self.outputs = tuple(levels if outputs is None else outputs)  # names of forward's outputs
        mean, std = (
            torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)
            for values in (preprocess.mean, preprocess.std)
        )
        self.channels = preprocess.channels
        self.register_buffer("scale", (1 / (255 * std)).float())
        self.register_buffer("shift", (-mean / std).float())
        self.train(False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = images.permute(0, 3, 1, 2).float() * self.scale + self.shift  # (B, channels, H, W)
        found = self.net(x.to(self.dtype))
        return tuple(each.float() for each in listed(found))


def listed(found: Any) -> tuple[Tensor, ...]:
    """The outputs of a network in order: one tensor, several, or maps by name."""
    if isinstance(found, dict):
        return tuple(found.values())
    return found if isinstance(found, tuple) else (found,)
