"""What is deployed: pixels in, logits or named maps out.

Legend: B batch · S side of the square image · N classes · C channels and s stride of a level
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from res2net.data.preprocess import Preprocess
from res2net.models.backbone import Backbone
from res2net.models.network import Network

INPUT = "images"
LOGITS = "logits"


class Program(nn.Module):
    """uint8 (B, S, S, 3) → float32 logits (B, N), or a float32 map (B, C, S/s, S/s) a level.

    Normalisation is one multiply-add before the network. Folded into the first convolution it would
    be wrong along the border: that convolution pads with zeros after the normalisation, and zero
    there is the mean colour, not black.

    Args:
        net: a network, or a backbone for maps; used as it is (see ``res2net.deploy.fold``).
        preprocess: its mean and std.
        dtype: what the network computes in; the normalisation is float32.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, net: Network, preprocess: Preprocess, *, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.net = net.eval().requires_grad_(False).to(dtype)
        self.dtype = dtype
        mean, std = (
            torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)
            for values in (preprocess.mean, preprocess.std)
        )
        self.register_buffer("scale", (1 / (255 * std)).float())
        self.register_buffer("shift", (-mean / std).float())
        self.train(False)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what ``forward`` gives, in order."""
        if isinstance(self.net, Backbone):
            return tuple(level.name for level in self.net.levels)
        return (LOGITS,)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = images.permute(0, 3, 1, 2).float() * self.scale + self.shift  # (B, 3, S, S)
        found = self.net(x.to(self.dtype))
        maps = found.values() if isinstance(found, dict) else (found,)
        return tuple(each.float() for each in maps)
