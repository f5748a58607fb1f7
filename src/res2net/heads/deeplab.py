"""DeepLab v3+ (paper section 4.7, Table 7) on any backbone of the model table.

Legend: B batch · C channels · N classes · H, W space
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from res2net.heads.precision import at_least_float32
from res2net.models.backbone import create_backbone

fx.wrap("at_least_float32")  # it looks at the type, which a traced value does not have

RATES = {16: (6, 12, 18), 8: (12, 24, 36)}  # dilations of the pyramid by output stride
LOW_CHANNELS = 48  # of the low-level map in the decoder


def _conv(inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _ImagePooling(nn.Module):
    """The mean of the whole map, laid over it again."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.conv(x.mean(dim=(2, 3), keepdim=True))
        if self.training and pooled.shape[0] == 1:  # one value a channel has no variance
            pooled = F.batch_norm(
                pooled,
                self.norm.running_mean,
                self.norm.running_var,
                self.norm.weight,
                self.norm.bias,
                eps=self.norm.eps,
            )
        else:
            pooled = self.norm(pooled)
        return F.relu(pooled).expand(-1, -1, x.shape[2], x.shape[3])


class AtrousPyramid(nn.Module):
    """ASPP: 1×1, three dilated 3×3 and the image's mean, joined: (B, Cin, H, W) → (B, C, H, W)."""

    def __init__(self, inputs: int, outputs: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        dilated = (_conv(inputs, outputs, 3, rate) for rate in rates)
        self.branches = nn.ModuleList(
            [_conv(inputs, outputs), *dilated, _ImagePooling(inputs, outputs)]
        )
        self.project = nn.Sequential(_conv(outputs * len(self.branches), outputs), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.project(torch.cat([branch(x) for branch in self.branches], 1))
        return joined


class DeepLabV3Plus(nn.Module):
    """(B, 3, H, W) → logits (B, N, H, W).

    The decoder joins the pyramid, enlarged, with 48 channels of c2, then two 3×3 convolutions.

    Args:
        network: a row of the model table.
        classes: N.
        output_stride: 16 or 8, of the pyramid's map.
        channels: of pyramid and decoder; the paper's base has 256.
        as_base: maps are enlarged corner on corner and the head starts from normal draws for ReLU
            (He's), as in the paper's base; without, as runs of before have it.
        options: of ``create_backbone``.

    Raises:
        ValueError: another output stride.
        UserError, TypeError, ValueError: what ``create_backbone`` refuses.
    """

    def __init__(
        self,
        network: str,
        classes: int,
        *,
        output_stride: int = 16,
        channels: int = 256,
        as_base: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        if output_stride not in RATES:
            raise ValueError(f"output_stride is {output_stride}; DeepLab has 16 and 8")
        self.body = create_backbone(
            network, out_levels=("c2", "c5"), output_stride=output_stride, **options
        )
        low, high = self.body.levels
        self.pyramid = AtrousPyramid(high.channels, channels, RATES[output_stride])
        self.low = _conv(low.channels, LOW_CHANNELS)
        self.decoder = nn.Sequential(
            _conv(channels + LOW_CHANNELS, channels, 3),
            nn.Dropout(0.5),
            _conv(channels, channels, 3),
            nn.Dropout(0.1),
        )
        self.classifier = nn.Conv2d(channels, classes, 1)
        self.corners = as_base
        if as_base:
            _start(self.pyramid, self.low, self.decoder, self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.body(x)
        low, high = self.low(maps["c2"]), self.pyramid(maps["c5"])
        joined = torch.cat([self._enlarged(high, low), low], 1)
        return self._enlarged(at_least_float32(self.classifier(self.decoder(joined))), x)

    def _enlarged(self, x: Tensor, to: Tensor) -> Tensor:
        return F.interpolate(x, to.shape[2:], mode="bilinear", align_corners=self.corners)


def _start(*parts: nn.Module) -> None:
    for layer in (layer for part in parts for layer in part.modules()):
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
