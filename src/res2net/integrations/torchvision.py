"""torchvision's detectors on our backbones: Faster R-CNN, Mask R-CNN, RetinaNet, FCOS, ...

Legend: B batch · C channels · H, W space · s stride of a level
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import (
    ExtraFPNBlock,
    FeaturePyramidNetwork,
    LastLevelMaxPool,
)

from res2net.models.backbone import Backbone
from res2net.nn.layers import NormLayer


class FPNBackbone(nn.Module):
    """A backbone and a feature pyramid: (B, 3, H, W) → {"0", "1", ...: (B, C, H/s, W/s)}.

    The maps carry the names that torchvision's detectors look for, finest first, and those that
    ``extra_blocks`` adds.

    Attributes:
        body: the backbone.
        fpn: torchvision's feature pyramid.
        out_channels: channels of every map (C).
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        *,
        extra_blocks: ExtraFPNBlock,
        norm_layer: NormLayer | None,
    ) -> None:
        super().__init__()
        self.body = backbone
        self.out_channels = channels
        levels = sorted(backbone.levels)  # c2 before c3: finest first
        self.names = [level.name for level in levels]
        self.fpn = FeaturePyramidNetwork(
            [level.channels for level in levels], channels, extra_blocks, norm_layer
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.body(x)
        pyramid: dict[str, Tensor] = self.fpn(
            {str(i): maps[name] for i, name in enumerate(self.names)}
        )
        return pyramid


def fpn_backbone(
    backbone: Backbone,
    channels: int = 256,
    *,
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: NormLayer | None = None,
) -> FPNBackbone:
    """Put a feature pyramid on a backbone, for the detectors of torchvision.

    Args:
        backbone: from ``create_backbone``; each of its levels becomes one of the pyramid's.
        channels: of every map of the pyramid.
        extra_blocks: adds coarser maps; None is one max-pool, as torchvision's R-CNNs have it.
        norm_layer: channels → normalisation inside the pyramid; None is none.

    Raises:
        TypeError: not a backbone.
    """
    if not isinstance(backbone, Backbone):
        raise TypeError(
            f"fpn_backbone takes what create_backbone returns, not {type(backbone).__name__}"
        )
    return FPNBackbone(
        backbone,
        channels,
        extra_blocks=LastLevelMaxPool() if extra_blocks is None else extra_blocks,
        norm_layer=norm_layer,
    )
