"""A backbone with a feature pyramid, in the form that torchvision's detectors take.

Legend: B batch · C channels of the pyramid · H, W space
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from res2net.models.backbone import Backbone


class PyramidBackbone(nn.Module):
    """(B, 3, H, W) → maps "0" (stride 4) to "3" (stride 32) and "pool" (64), each of C channels.

    Args:
        body: a backbone; all the levels that it gives go into the pyramid.
        channels: C.
    """

    def __init__(self, body: Backbone, channels: int = 256) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(
            [level.channels for level in body.levels], channels, LastLevelMaxPool()
        )
        self.out_channels = channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.body(x)
        found: dict[str, Tensor] = self.fpn(
            OrderedDict((str(i), maps[level.name]) for i, level in enumerate(self.body.levels))
        )
        return found


class SingleLevelBackbone(nn.Module):
    """(B, 3, H, W) → {"0": the backbone's only map}: the C4 form, without a pyramid."""

    def __init__(self, body: Backbone) -> None:
        super().__init__()
        self.body = body
        (level,) = body.levels
        self.name, self.out_channels = level.name, level.channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return OrderedDict([("0", self.body(x)[self.name])])
