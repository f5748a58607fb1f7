"""The block: the Res2Net unit, the bottlenecks around it, and their plain counterparts."""

from res2net.nn.block import (
    BasicBlock,
    Bottleneck,
    Res2NetBasicBlock,
    Res2NetBottleneck,
    Res2NetUnit,
)

__all__ = ["BasicBlock", "Bottleneck", "Res2NetBasicBlock", "Res2NetBottleneck", "Res2NetUnit"]
