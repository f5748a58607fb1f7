"""SimpleBaseline for key-points (section 4.10, Table 10).

Legend: B batch · K key-points · H, W space
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from res2net.heads.precision import LastConv2d
from res2net.models.backbone import create_backbone


class PoseNet(nn.Module):
    """(B, 3, H, W) → heat maps (B, K, H/4, W/4): three deconvolutions behind c5, then a 1×1.

    Args:
        network: a row of the model table.
        keypoints: K.
        channels: of each deconvolution; the paper's base has 256.
        options: of ``create_backbone``.

    Raises:
        UserError, TypeError, ValueError: what ``create_backbone`` refuses.
    """

    def __init__(
        self, network: str, keypoints: int, *, channels: int = 256, **options: Any
    ) -> None:
        super().__init__()
        self.body = create_backbone(network, out_levels=("c5",), **options)
        layers: list[nn.Module] = []
        inputs = self.body.levels[0].channels
        for _ in range(3):
            deconv = nn.ConvTranspose2d(inputs, channels, 4, stride=2, padding=1, bias=False)
            nn.init.normal_(deconv.weight, std=0.001)
            layers += [deconv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            inputs = channels
        self.deconvs = nn.Sequential(*layers)
        self.final = LastConv2d(channels, keypoints, 1)
        nn.init.normal_(self.final.weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.final(self.deconvs(self.body(x)["c5"]))
        return found
