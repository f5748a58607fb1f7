"""The native engine's program in int8: ranges from images, weights by output channel.

A map's values are whole steps, 0 to 255; each of its channels has a step of its own, which costs
nothing: the step of an input channel goes into the weights that read it before they are rounded,
that of an output channel into what the sums are scaled with. Images are their own bytes. Maps with
a sign (before squeeze-and-excitation) and the classifier stay in bf16.

Legend: B batch · C channels · H, W space
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from res2net.deploy.engine import Pixels
from res2net.deploy.native_plain import MOST, PlainNetwork
from res2net.native.program import Array, NativeProgram

LARGEST = 127  # of a weight
# A channel that calibration hardly saw has at least this share of its map's largest range.
LEAST_RANGE = 1 / 32
Ranges = dict[tuple[int, str], npt.NDArray[np.float64]]  # operation, what it wrote → (C,)


def in_int8(program: NativeProgram, images: Iterable[Pixels]) -> NativeProgram:
    """The program with rounded weights and scales, ranges taken from batches of images.

    Args:
        program: float32, of ``native_walk``.
        images: uint8 (B, H, W, 3) as the graph takes them.
    """
    return _Quantiser(program, ranges(program, images)).all()


def ranges(program: NativeProgram, images: Iterable[Pixels]) -> Ranges:
    """By channel, the largest value of every map that every operation writes."""
    found: Ranges = {}

    def watch(i: int, what: str, values: Tensor) -> None:
        largest = values.amax((0, 2, 3)).double().numpy()
        found[i, what] = np.maximum(found.get((i, what), 0.0), largest)

    network = PlainNetwork(program, watch)
    for batch in images:
        network(batch)
    return found


class _Quantiser:
    def __init__(self, program: NativeProgram, ranges: Ranges) -> None:
        self.program = program
        self.ranges = ranges
        self.found = NativeProgram(
            buffers=copy.deepcopy(program.buffers),
            vectors=list(program.vectors),
            tensors={},
        )
        self.steps: dict[int, npt.NDArray[np.float64]] = {}  # buffer → value of a step (C,)
        self.signed: dict[int, int] = {}  # buffer → its twin, where values with a sign go
        self.now: dict[int, int] = {}  # buffer → itself or its twin, whichever was written last

    def all(self) -> NativeProgram:
        turn = {
            "normalise": self.normalise,
            "conv": self.conv,
            "pool": self.pool,
            "mean": self.mean,
            "linear": self.linear,
            "gate": self.gate,
        }
        for i, op in enumerate(self.program.ops):
            self.found.ops.append(turn[op["op"]](i, dict(op)))
        for output in self.program.outputs:
            given = dict(output)
            if "map" in given:
                name = f"steps.{given['map']}"
                given["steps"] = self.tensor(name, self.steps[given["map"]])
            self.found.outputs.append(given)
        return self.found

    def tensor(self, name: str, values: npt.NDArray[Any], kind: type = np.float32) -> str:
        self.found.tensors[name] = np.ascontiguousarray(values.astype(kind))
        return name

    def step(self, i: int, what: str) -> npt.NDArray[np.float64]:
        """Of what an operation wrote, so that the largest value seen is the last step."""
        seen = self.ranges[i, what]
        least = max(LEAST_RANGE * float(seen.max()), 1e-12)
        return np.maximum(seen, least) / MOST

    def write(self, buffer: int, channel: int, step: npt.NDArray[np.float64]) -> None:
        held = self.steps.setdefault(buffer, np.ones(self.found.buffers[buffer]["channels"]))
        held[channel : channel + len(step)] = step
        self.now[buffer] = buffer

    def twin(self, buffer: int) -> int:
        """A buffer like this one for values with a sign."""
        if buffer not in self.signed:
            self.signed[buffer] = len(self.found.buffers)
            self.found.buffers.append(self.found.buffers[buffer] | {"signed": True})
        self.now[buffer] = self.signed[buffer]
        return self.signed[buffer]

    def normalise(self, i: int, op: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        scale, shift = (self.program.tensors[op[name]] for name in ("scale", "shift"))
        self.shift = shift.astype(np.float64) / scale  # in steps
        for name in ("scale", "shift"):
            self.found.tensors[op[name]] = self.program.tensors[op[name]]
        op["pad"] = self.tensor("images.pad", np.clip(np.rint(-self.shift), 0, MOST), np.uint8)
        self.write(op["output"], 0, scale.astype(np.float64))
        return op

    def conv(self, i: int, op: dict[str, Any]) -> dict[str, Any]:
        name, first = op["weights"], op.get("input_channel", 0)
        step = self.steps[op["input"]][first : first + op["channels"]]
        bias = self.program.tensors[op["bias"]].astype(np.float64)
        by_group = step.reshape(op["groups"], 1, -1, 1, 1)
        weights = self.program.tensors[name].astype(np.float64)
        weights = weights.reshape(op["groups"], -1, *weights.shape[1:]) * by_group
        whole, unit = _rounded(weights.reshape(op["outputs"], -1), bias)
        whole = whole.reshape(self.program.tensors[name].shape)
        if op.get("rows"):  # images are not shifted by their mean; the bias is
            bias = bias + unit * (whole.sum((2, 3)) * self.shift).sum(1)
        self.tensor(name, whole, np.int8)
        self.tensor(op["bias"], np.rint(bias / unit), np.int32)
        if op.get("second", -1) >= 0:
            across = self.program.tensors[op["weights2"]] * self.steps[op["second"]]
            whole2, unit2 = _rounded(across, np.zeros(len(across)))
            self.tensor(op["weights2"], whole2, np.int8)
            op["scale_second"] = self.tensor(f"{name}.second", unit / unit2)
            unit = unit2
        if not op.get("relu"):
            op["output"] = self.twin(op["output"])
            op["scale_sum"] = self.tensor(f"{name}.sum", unit)
            return op
        out = self.step(i, "output")
        self.write(op["output"], op.get("output_channel", 0), out)
        if op.get("output2", -1) >= 0:
            second = self.step(i, "output2")
            self.write(op["output2"], op["output2_channel"], second)
            out = np.concatenate((out, second))
        op["scale_sum"] = self.tensor(f"{name}.sum", unit / out)
        op["steps"] = self.tensor(f"{name}.steps", out)
        if op.get("residual", -1) >= 0:
            residual = self.steps[op["residual"]]
            op["scale_residual"] = self.tensor(f"{name}.residual", residual / out)
        if op.get("add", -1) >= 0:
            channel, then = op["add_channel"], self.step(i, "add")
            before = self.steps[op["add"]][channel : channel + op["outputs"]].copy()
            self.write(op["add"], channel, then)
            op["scale_add"] = self.tensor(f"{name}.add", before / then)
            op["scale_output"] = self.tensor(f"{name}.output", out / then)
        return op

    def pool(self, i: int, op: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        first = op.get("input_channel", 0)
        step = self.steps[op["input"]][first : first + op["channels"]]
        self.write(op["output"], op.get("output_channel", 0), step)
        return op

    def mean(self, i: int, op: dict[str, Any]) -> dict[str, Any]:
        buffer = self.now[op["input"]]
        if buffer == op["input"]:
            op["steps"] = self.tensor(f"mean.{i}.steps", self.steps[buffer])
        return op | {"input": buffer}

    def linear(self, i: int, op: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        for name in ("weights", "bias"):
            self.found.tensors[op[name]] = self.program.tensors[op[name]]
        return op

    def gate(self, i: int, op: dict[str, Any]) -> dict[str, Any]:
        out, residual = self.step(i, "output"), self.now[op["residual"]]
        plain = residual == op["residual"]
        step = self.steps[residual] if plain else np.ones(len(out))
        op["scale_residual"] = self.tensor(f"gate.{i}.residual", step)
        op["scale_output"] = self.tensor(f"gate.{i}.output", 1 / out)
        op |= {"residual": residual, "input": self.now[op["input"]]}
        self.write(op["output"], 0, out)
        return op


def _rounded(weights: Array, bias: Array) -> tuple[Array, npt.NDArray[np.float64]]:
    """(O, ·) and (O,) → whole numbers (O, ·) of 8 bits, and the value of one (O,)."""
    largest = np.abs(weights).max(1, initial=0.0) / LARGEST
    # a bias must be a whole number of 32 bits in the same unit, with room for the sum
    unit = np.maximum(np.maximum(largest, np.abs(bias) / 2**28), 1e-30)
    return np.rint(weights / unit[:, None]), unit
