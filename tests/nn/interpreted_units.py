"""Not a test: runs fused units in Triton's interpreter, which must be chosen before the import.

Takes a JSON list of [options of the unit, [batch, height, width], type] and prints, for each, the
relative L2 of the kernel to the eager unit in float64 and whether all of its values are finite.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from torch import nn

from res2net.nn import fused
from res2net.nn.block import Res2NetUnit
from res2net.rewrite import fold_batchnorm


def error_of(options: dict[str, Any], shape: tuple[int, int, int], kind: str) -> tuple[float, bool]:
    """Of one unit with norms as training leaves them."""
    torch.manual_seed(0)
    unit = Res2NetUnit(**options).double().eval().requires_grad_(False)
    for norm in unit.bns:
        assert isinstance(norm, nn.BatchNorm2d)
        norm.running_mean.normal_(0, 0.3)  # type: ignore[union-attr]
        norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_(0, 0.3)
    dtype = getattr(torch, kind)
    batch, height, width = shape
    images = torch.randn(batch, unit.width * unit.scale, height, width).to(dtype)
    wanted = unit(images.double())
    folded = fold_batchnorm(nn.Sequential(unit))[0]
    assert isinstance(folded, Res2NetUnit)
    found = fused.FusedUnit(folded).to(dtype)(images).double()
    assert found.shape == wanted.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    return float((found - wanted).norm() / wanted.norm()), bool(found.isfinite().all())


if __name__ == "__main__":
    fused.PLACES = 256  # fewer and larger operations: the interpreter takes its time for each
    torch.set_num_threads(1)
    print(json.dumps([error_of(*case) for case in json.loads(sys.stdin.read())]))
