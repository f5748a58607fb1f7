"""The Res2Net unit as one Triton kernel, for inference with folded norms. Not measured on a GPU.

A program makes a tile of the output map. Split i is convolved on the tile and on as many pixels
around it as the splits behind it read, so programs never wait for each other: two of them write the
same values where their tiles meet. Between two splits a program waits for its own threads alone.
``res2net.nn.fused`` launches it; Triton is optional, so this file is imported where it is used.

Legend: B batch · s splits · w channels of one split · g channels of one group of a split · H, W
space (H', W' after the stride)
"""

from __future__ import annotations

import triton
from triton import language as tl


@triton.jit  # type: ignore[untyped-decorator]
def res2net_unit(  # type: ignore[no-untyped-def]
    x,  # (B, H, W, s·w)
    w,  # (convolutions · 9, g, w)
    b,  # (convolutions, w)
    y,  # (B, H', W', s·w)
    height,
    width,
    out_height,
    out_width,
    across,  # tiles per row
    ALL: tl.constexpr,  # s·w
    CHANNELS: tl.constexpr,  # w
    GROUP: tl.constexpr,  # g
    CONVS: tl.constexpr,
    STRIDE: tl.constexpr,
    DILATION: tl.constexpr,
    CHAINED: tl.constexpr,  # whether each split receives the previous output
    POOLED: tl.constexpr,  # last split: 0 passes unchanged, else dilation of its pool
    COUNTS_PAD: tl.constexpr,
    TILE: tl.constexpr,
    PLACES: tl.constexpr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    SUM: tl.constexpr,  # type of accumulators
    FACTOR: tl.constexpr,  # type of factors
):
    image = tl.program_id(1).to(tl.int64)
    top, left = tl.program_id(0) // across * TILE, tl.program_id(0) % across * TILE
    x += image * height * width * ALL
    y += image * out_height * out_width * ALL
    kind = y.dtype.element_ty
    places, outs, ins = tl.arange(0, PLACES), tl.arange(0, OUTPUTS), tl.arange(0, INPUTS)
    for i in tl.static_range(CONVS):
        margin = (CONVS - 1 - i) * DILATION if CHAINED else 0
        side = TILE + 2 * margin
        for begin in range(0, side * side, PLACES):
            p = begin + places
            row, column = top - margin + p // side, left - margin + p % side
            there = (p < side * side) & (row >= 0) & (row < out_height)
            there = there & (column >= 0) & (column < out_width)
            for first in range(0, CHANNELS, GROUP):
                for o in range(0, GROUP, OUTPUTS):
                    written = o + outs < GROUP
                    channel = first + o + outs
                    sums = tl.zeros((PLACES, OUTPUTS), SUM)
                    for tap in range(9):
                        r = row * STRIDE + (tap // 3 - 1) * DILATION
                        c = column * STRIDE + (tap % 3 - 1) * DILATION
                        inside = there & (r >= 0) & (r < height) & (c >= 0) & (c < width)
                        for k in range(0, GROUP, INPUTS):
                            read = k + ins < GROUP
                            at = (r * width + c)[:, None] * ALL + (first + k + ins)[None, :]
                            mask = inside[:, None] & read[None, :]
                            a = tl.load(x + i * CHANNELS + at, mask=mask, other=0.0).to(SUM)
                            if CHAINED and i > 0:
                                z = tl.load(y + (i - 1) * CHANNELS + at, mask=mask, other=0.0)
                                a = (a + z.to(SUM)).to(kind).to(SUM)
                            at = ((i * 9 + tap) * GROUP + k + ins)[:, None] * CHANNELS
                            mask = read[:, None] & written[None, :]
                            f = tl.load(w + at + channel[None, :], mask=mask, other=0.0).to(SUM)
                            sums = tl.dot(
                                a.to(FACTOR),
                                f.to(FACTOR),
                                sums,
                                input_precision="ieee",
                                out_dtype=SUM,
                            )
                    shift = tl.load(b + i * CHANNELS + channel, mask=written, other=0.0).to(SUM)
                    sums = tl.maximum(sums + shift[None, :], 0.0)
                    at = (row * out_width + column)[:, None] * ALL + i * CHANNELS + channel[None, :]
                    tl.store(y + at, sums.to(kind), mask=there[:, None] & written[None, :])
        tl.debug_barrier()
    if ALL > CONVS * CHANNELS:
        x += CONVS * CHANNELS
        y += CONVS * CHANNELS
        for begin in range(0, TILE * TILE, PLACES):
            p = begin + places
            row, column = top + p // TILE, left + p % TILE
            there = (p < TILE * TILE) & (row < out_height) & (column < out_width)
            for o in range(0, CHANNELS, OUTPUTS):
                channel = o + outs
                written = channel < CHANNELS
                sums = tl.zeros((PLACES, OUTPUTS), SUM)
                taps = tl.zeros((PLACES,), SUM)
                for tap in range(9 if POOLED else 1):
                    r = row * STRIDE + ((tap // 3 - 1) * POOLED if POOLED else 0)
                    c = column * STRIDE + ((tap % 3 - 1) * POOLED if POOLED else 0)
                    inside = there & (r >= 0) & (r < height) & (c >= 0) & (c < width)
                    # a window reaches no further than its pad of the size of the dilation
                    counted = (r < height + POOLED) & (c < width + POOLED) if COUNTS_PAD else inside
                    taps += counted.to(SUM)
                    at = (r * width + c)[:, None] * ALL + channel[None, :]
                    mask = inside[:, None] & written[None, :]
                    sums += tl.load(x + at, mask=mask, other=0.0).to(SUM)
                sums = sums / tl.maximum(taps, 1.0)[:, None]
                at = (row * out_width + column)[:, None] * ALL + channel[None, :]
                tl.store(y + at, sums.to(kind), mask=there[:, None] & written[None, :])
