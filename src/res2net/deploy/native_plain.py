"""The native engine's list of operations in plain torch: the reference for its kernels, and the
source of the ranges of all maps for int8.

In an int8 program every integer equals the engine's: sums are exact in double precision. Only
products with scales, which the engine computes in float32, may be rounded to the next step.

Legend: B batch · C channels · H, W space
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from res2net.deploy.engine import Floats, Pixels
from res2net.native.program import NativeProgram

Watch = Callable[[int, str, Tensor], None]  # (operation, name of its output, values (B, C, H, W))
MOST = 255  # steps of a map in int8


class PlainNetwork:
    """Computes the program's outputs for images of any size and number.

    Args:
        program: the program to run.
        watch: called with every map that is written: "output", "output2" and, if a result is
            added into a third buffer, "add".
    """

    def __init__(self, program: NativeProgram, watch: Watch | None = None) -> None:
        self._program = program
        self._watch = watch
        self._whole = any("scale_sum" in op for op in program.ops)
        self._dtype = torch.float64 if self._whole else torch.float32
        self._maps: dict[int, Tensor] = {}
        self._vectors: dict[int, Tensor] = {}
        self._pad: Tensor | None = None  # for images in bytes: the value of zero

    def __call__(self, images: Pixels) -> list[Floats]:
        """uint8 (B, H, W, 3) → (B, N) for a vector, (B, C, H', W') for a map."""
        self._maps.clear()
        run = {
            "normalise": self._normalise,
            "conv": self._conv,
            "pool": self._pool,
            "mean": self._mean,
            "linear": self._linear,
            "gate": self._gate,
        }
        x = torch.from_numpy(images).permute(0, 3, 1, 2).to(self._dtype)
        self._maps[-1] = x
        with torch.inference_mode():
            for i, op in enumerate(self._program.ops):
                run[op["op"]](i, op)
        return [self._output(output) for output in self._program.outputs]

    def _output(self, output: dict[str, Any]) -> Floats:
        if "vector" in output:
            found = self._vectors[output["vector"]]
        else:
            found = self._maps[output["map"]]
            if "steps" in output:
                found = found * _across(self._tensor(output["steps"]))
        return found.float().numpy().copy()

    def _tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self._program.tensors[name]).to(self._dtype)

    def _write(self, i: int, what: str, buffer: int, channel: int, values: Tensor) -> None:
        if self._watch is not None:
            self._watch(i, what, values)
        batch, channels, *space = values.shape
        total = self._program.buffers[buffer]["channels"]
        held = self._maps.get(buffer)
        if channels == total:
            self._maps[buffer] = values
            return
        if held is None or held.shape != (batch, total, *space):
            held = self._maps[buffer] = values.new_zeros(batch, total, *space)
        held[:, channel : channel + channels] = values

    def _rounded(self, buffer: int, values: Tensor) -> Tensor:
        """Round to whole steps in int8, or to bf16 if the buffer holds that."""
        if not self._whole:
            return values
        if self._program.buffers[buffer].get("signed"):
            return _in_bf16(values)
        return values.round().clamp(0, MOST)

    def _normalise(self, i: int, op: dict[str, Any]) -> None:
        x = self._maps[-1]
        if self._whole:
            self._pad = self._tensor(op["pad"])
        else:
            x = x * _across(self._tensor(op["scale"])) + _across(self._tensor(op["shift"]))
        self._write(i, "output", op["output"], 0, x)

    def _conv(self, i: int, op: dict[str, Any]) -> None:
        first, given = op.get("input_channel", 0), self._maps[op["input"]]
        x = given[:, first : first + op["channels"]]
        weights, bias = self._tensor(op["weights"]), self._tensor(op["bias"])
        if self._whole and op.get("rows"):
            assert self._pad is not None
            x = x - _across(self._pad)
            bias = bias + (weights.sum((2, 3)) * self._pad).sum(1)
        dilation = op.get("dilation", 1)
        around = (op["stride"], op["kernel"] // 2 * dilation, dilation)  # stride, pad, dilation
        sums = F.conv2d(x, weights, bias, *around, op["groups"])
        if op.get("second", -1) >= 0:
            if self._whole:
                sums = (sums * _across(self._tensor(op["scale_second"]))).round()
            across = self._tensor(op["weights2"])[:, :, None, None]
            sums = sums + F.conv2d(self._maps[op["second"]], across, None, op["second_stride"])
        y = sums * _across(self._tensor(op["scale_sum"])) if self._whole else sums
        if op.get("residual", -1) >= 0:
            residual = self._maps[op["residual"]]
            if self._whole:
                residual = residual * _across(self._tensor(op["scale_residual"]))
            y = y + residual
        if op.get("relu"):
            y = y.relu()
        split = op.get("split", op["outputs"])
        rounded = self._rounded(op["output"], y)
        self._write(i, "output", op["output"], op.get("output_channel", 0), rounded[:, :split])
        if op.get("output2", -1) >= 0:
            self._write(i, "output2", op["output2"], op["output2_channel"], rounded[:, split:])
        if op.get("add", -1) >= 0:
            channel = op["add_channel"]
            held = self._maps[op["add"]][:, channel : channel + op["outputs"]]
            if self._whole:
                held = held * _across(self._tensor(op["scale_add"]))
                y = y * _across(self._tensor(op["scale_output"]))
            self._write(i, "add", op["add"], channel, self._rounded(op["add"], held + y))

    def _pool(self, i: int, op: dict[str, Any]) -> None:
        first = op.get("input_channel", 0)
        x = self._maps[op["input"]][:, first : first + op["channels"]]
        given = (op["kernel"], op["stride"], op.get("pad", 0))
        if op.get("average"):
            y = F.avg_pool2d(x, *given, bool(op.get("ceil")), bool(op.get("count_pad")))
            y = self._rounded(op["output"], y)
        else:
            y = F.max_pool2d(x, *given, ceil_mode=bool(op.get("ceil")))
        self._write(i, "output", op["output"], op.get("output_channel", 0), y)

    def _mean(self, i: int, op: dict[str, Any]) -> None:  # noqa: ARG002
        found = self._maps[op["input"]].mean((2, 3))
        self._vectors[op["output"]] = found * self._tensor(op["steps"]) if "steps" in op else found

    def _linear(self, i: int, op: dict[str, Any]) -> None:  # noqa: ARG002
        weights = self._tensor(op["weights"])
        if self._whole:
            weights = _in_bf16(weights)
        y = F.linear(self._vectors[op["input"]], weights, self._tensor(op["bias"]))
        if op["activation"] == "relu":
            y = y.relu()
        self._vectors[op["output"]] = y.sigmoid() if op["activation"] == "sigmoid" else y

    def _gate(self, i: int, op: dict[str, Any]) -> None:
        residual, gates = self._maps[op["residual"]], self._vectors[op["gates"]]
        if self._whole:
            residual = residual * _across(self._tensor(op["scale_residual"]))
        y = (self._maps[op["input"]] * gates[:, :, None, None] + residual).relu()
        if self._whole:
            y = self._rounded(op["output"], y * _across(self._tensor(op["scale_output"])))
        self._write(i, "output", op["output"], 0, y)


def _in_bf16(values: Tensor) -> Tensor:
    return values.float().bfloat16().to(values.dtype)


def _across(channels: Tensor) -> Tensor:
    return channels[:, None, None]
