"""Deeply supervised salient object detection with short connections (section 4.9, Table 9).

Five sides c1 to c5, c5 at stride 16. A deep side hands its one-channel map to shallower ones, by
the true ratio of their sizes (the released network enlarges one of them twice too much; see
docs/errata.md). Legend: B batch · H, W space
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from res2net.heads.precision import LastConv2d, at_least_float32
from res2net.models.backbone import create_backbone

fx.wrap("at_least_float32")  # it looks at the type, which a traced value does not have


class Side(NamedTuple):
    """A side output."""

    level: str
    channels: int  # of its two convolutions
    kernel: int
    receives: tuple[str, ...]  # deeper sides whose maps it takes


SIDES = (  # deepest first
    Side("c5", 512, 7, ()),
    Side("c4", 512, 5, ()),
    Side("c3", 256, 5, ("c5", "c4")),
    Side("c2", 256, 5, ("c5", "c4")),
    Side("c1", 128, 3, ("c5", "c4", "c3", "c2")),
)


EPSILON = 1e-8  # where a map is flat, as in the paper's base


class SaliencyNet(nn.Module):
    """(B, 3, H, W) → six logit maps (B, 1, H, W): the fused one, then c5 to c1.

    Args:
        network: a row of the model table.
        channels: of the two deepest sides, the others in proportion; the paper's base has 512.
        as_base: start values and prediction of the paper's base: convolutions of the sides from
            normal draws (deviation 0.01, bias 0); predicted is the mean of the fused map, c4, c3
            and c2, stretched to 0..1. Without, as runs of before have it: the fused map.
        options: of ``create_backbone``.

    Raises:
        UserError, TypeError, ValueError: what ``create_backbone`` refuses.
    """

    def __init__(
        self,
        network: str,
        *,
        channels: int = SIDES[0].channels,
        as_base: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        self.as_base = as_base
        names = tuple(side.level for side in reversed(SIDES))
        self.body = create_backbone(network, out_levels=names, output_stride=16, **options)
        inputs = {level.name: level.channels for level in self.body.levels}
        self.sides = nn.ModuleDict()
        self.joins = nn.ModuleDict()
        for side in SIDES:
            own = max(8, round(side.channels * channels / SIDES[0].channels))
            padding = side.kernel // 2
            self.sides[side.level] = nn.Sequential(
                nn.Conv2d(inputs[side.level], own, side.kernel, padding=padding),
                nn.ReLU(inplace=True),
                nn.Conv2d(own, own, side.kernel, padding=padding),
                nn.ReLU(inplace=True),
                nn.Conv2d(own, 1, 1),
            )
            if side.receives:
                self.joins[side.level] = _mean_of(1 + len(side.receives))
        self.fuse = _mean_of(len(SIDES), LastConv2d)
        if as_base:
            _start(self.sides, self.joins)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = self.body(x)
        made: dict[str, Tensor] = {}
        for side in SIDES:
            own = self.sides[side.level](maps[side.level])
            if side.receives:
                deeper = [_resized(made[name], own.shape[2:]) for name in side.receives]
                own = self.joins[side.level](torch.cat([own, *deeper], 1))
            made[side.level] = own
        full = [_resized(at_least_float32(each), x.shape[2:]) for each in made.values()]
        return [self.fuse(torch.cat(full, 1)), *full]

    def predicted(self, maps: list[Tensor]) -> Tensor:
        """How much each pixel stands out, 0..1, by the maps of ``forward``: (B, 1, H, W)."""
        if not self.as_base:
            return maps[0].sigmoid()
        fused, _, c4, c3, c2, _ = maps
        mean = torch.stack([each.sigmoid() for each in (fused, c4, c3, c2)]).mean(0)
        least, most = (
            reduced(mean, dim=(1, 2, 3), keepdim=True) for reduced in (torch.amin, torch.amax)
        )
        return (mean - least + EPSILON) / (most - least + EPSILON)


def _start(*parts: nn.Module) -> None:
    for layer in (layer for part in parts for layer in part.modules()):
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _mean_of(maps: int, kind: type[nn.Conv2d] = nn.Conv2d) -> nn.Conv2d:
    """A 1×1 over one-channel maps that begins as their mean (bias 0)."""
    join = kind(maps, 1, 1)
    nn.init.constant_(join.weight, 1 / maps)
    join.bias = nn.Parameter(torch.zeros(1))
    return join


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
