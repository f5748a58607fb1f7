"""Folded Res2Net units, each in one launch of ``res2net.nn.unit_kernel``. Not measured on a GPU.

Legend: B batch · s splits · w channels of one split · H, W space (H', W' after the stride)
"""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from res2net.nn.block import Res2NetBottleneck, SplitUnit
from res2net.nn.layers import DilatedAvgPool2d

TILE = 8  # pixels, side of a program's output tile
PLACES = 64  # output pixels per matrix product
LEAST = 16  # minimum channels per matrix product


def missing(device: torch.device) -> str | None:
    """Why the kernel does not run on a device; None if it does.

    On a CPU it runs only in Triton's interpreter (``TRITON_INTERPRET=1``), for tests.
    """
    if find_spec("triton") is None:
        return "Triton is not installed"
    if device.type != "cuda" and not _interpreted():
        return "no GPU is available"
    return None


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


class FusedUnit(nn.Module):
    """``SplitUnit.forward_unit`` of folded norms and ReLUs in one launch, without gradients.

    (B, s·w, H, W) → (B, s·w, H', W'), both laid out by pixels.

    Args:
        unit: its weights are copied.

    Raises:
        ValueError: norms that are not folded, or another activation than ReLU.
    """

    w: Tensor
    b: Tensor

    def __init__(self, unit: SplitUnit) -> None:
        super().__init__()
        if not fuses(unit):
            raise ValueError("one kernel needs folded norms and ReLUs")
        convs: list[Any] = list(unit.convs)
        first, pool = convs[0], unit.pool
        taps = [conv.weight.detach().permute(2, 3, 1, 0).flatten(0, 1) for conv in convs]
        self.register_buffer("w", torch.cat(taps).contiguous())
        self.register_buffer("b", torch.stack([conv.bias.detach() for conv in convs]))
        self.channels = unit.width * unit.scale
        self.stride = first.stride[0]
        self.how = {
            "ALL": self.channels,
            "CHANNELS": first.out_channels,
            "GROUP": first.out_channels // first.groups,
            "CONVS": len(convs),
            "STRIDE": self.stride,
            "DILATION": first.dilation[0],
            "CHAINED": unit.hierarchical,
            "POOLED": 0 if pool is None else getattr(pool, "dilation", 1),
            "COUNTS_PAD": bool(getattr(pool, "count_include_pad", False)),
        }

    def forward(self, x: Tensor) -> Tensor:
        from res2net.nn.unit_kernel import res2net_unit

        x = x.contiguous(memory_format=torch.channels_last)
        batch, _, height, width = x.shape
        shape = [(side - 1) // self.stride + 1 for side in (height, width)]
        y = x.new_empty(batch, *shape, self.channels).permute(0, 3, 1, 2)
        down, across = (-(-side // TILE) for side in shape)
        with torch.cuda.device_of(x):
            res2net_unit[down * across, batch](
                *(x, self.w, self.b, y, height, width, *shape, across),
                **self.how,
                **blocks(self.how["GROUP"], x.dtype),
            )
        return y

    def extra_repr(self) -> str:
        return ", ".join(f"{name.lower()}={value}" for name, value in self.how.items())


def blocks(group: int, kind: torch.dtype) -> dict[str, Any]:
    """Further compile-time constants of the kernel: sizes and types of its matrix products.

    Args:
        group: input channels of an output channel within one split.
        kind: type of the maps and weights.
    """
    import triton
    from triton import language as tl

    side = max(LEAST, triton.next_power_of_2(group))
    # products of 32 bits and more are unrolled
    inputs, outputs = (64, 128) if kind.itemsize == 2 else (32, 32)
    sums = tl.float64 if kind == torch.float64 else tl.float32
    halves = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
    # the interpreter's bfloat16 products are wrong
    factor = sums if _interpreted() else halves.get(kind, sums)
    channels = {"INPUTS": min(inputs, side), "OUTPUTS": min(outputs, side)}
    return {"TILE": TILE, "PLACES": PLACES, **channels, "SUM": sums, "FACTOR": factor}


def fuses(unit: SplitUnit) -> bool:
    """Whether the kernel can compute a unit: plain 3×3s with biases, ReLUs, a 3×3 average pool."""
    return (
        isinstance(unit.act, nn.ReLU)
        and all(isinstance(norm, nn.Identity) for norm in unit.bns)
        and all(type(conv) is nn.Conv2d and conv.bias is not None for conv in unit.convs)
        and (unit.pool is None or isinstance(unit.pool, nn.AvgPool2d | DilatedAvgPool2d))
    )


class _FusedBottleneck(Res2NetBottleneck):
    """A bottleneck whose unit was fused after it was built."""

    unit: FusedUnit

    def forward_unit(self, x: Tensor) -> Tensor:
        y: Tensor = self.unit(x)
        return y


def fuse_units(net: nn.Module) -> None:
    """Replace the splits of every folded bottleneck with one kernel, in place.

    A grouped unit is a single convolution already. A warning counts the units whose norms or
    activations the kernel does not support.
    """
    units = [
        block
        for block in net.modules()
        if isinstance(block, Res2NetBottleneck) and block.scale > 1 and not block.grouped
    ]
    fused = [block for block in units if fuses(block)]
    if len(fused) < len(units) or not units:
        what = f"{len(units) - len(fused)} of {len(units)} Res2Net units stay unchanged"
        if not units:
            what = "the network has no Res2Net unit"
        warnings.warn(f"--capture triton: {what}", stacklevel=2)
    for block in fused:
        block.unit = FusedUnit(block)
        block.__class__ = _FusedBottleneck
