"""The native engine's program in int8: ranges from images, weight scales per output channel.

A map's values are whole steps, 0 to 255, the largest of which is the largest value observed. All
channels that an operation writes have one step; an operation that reads channels of several steps
folds them into its weights before these are rounded; the mean rounding error goes into the bias.
Images are used as bytes. Signed maps (before squeeze-and-excitation) and the classifier stay
in bf16.

Legend: B batch · C channels · H, W space
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from res2net.deploy.engine import Pixels
from res2net.deploy.native_plain import MOST, PlainNetwork
from res2net.native.program import Array, NativeProgram

LARGEST = 127  # largest magnitude of a weight
Key = tuple[int, str]  # operation, name of its output


@dataclass
class Seen:
    """Statistics of one map over the images."""

    largest: float
    mean: npt.NDArray[np.float64]  # by channel (C,), over images and pixels
    images: int


def in_int8(program: NativeProgram, images: Iterable[Pixels]) -> NativeProgram:
    """The program with rounded weights and scales, with ranges from batches of images.

    Args:
        program: float32, of ``native_walk``.
        images: uint8 (B, H, W, 3), the graph's input.
    """
    return _Quantiser(program, seen_by(program, images)).all()


def seen_by(program: NativeProgram, images: Iterable[Pixels]) -> dict[Key, Seen]:
    """Statistics of every operation's outputs, in float32."""
    found: dict[Key, Seen] = {}

    def watch(i: int, what: str, values: Tensor) -> None:
        new = Seen(
            largest=float(values.max()),
            mean=values.double().mean((0, 2, 3)).numpy(),
            images=len(values),
        )
        old = found.get((i, what), new)
        images = old.images + new.images
        found[i, what] = Seen(
            largest=max(old.largest, new.largest),
            mean=(old.mean * old.images + new.mean * new.images) / images,
            images=new.images if old is new else images,
        )

    network = PlainNetwork(program, watch)
    for batch in images:
        network(batch)
    return found


class _Quantiser:
    def __init__(self, program: NativeProgram, seen: dict[Key, Seen]) -> None:
        self.program = program
        self.seen = seen
        self.found = NativeProgram(
            buffers=copy.deepcopy(program.buffers),
            vectors=list(program.vectors),
            tensors={},
        )
        self.steps: dict[int, npt.NDArray[np.float64]] = {}  # buffer → value of a step (C,)
        self.means: dict[int, npt.NDArray[np.float64]] = {}  # buffer → mean value (C,)
        self.shift: npt.NDArray[np.float64] = np.zeros(3)  # offset of the images, in their steps
        self.signed: dict[int, int] = {}  # buffer → its signed counterpart
        self.now: dict[int, int] = {}  # buffer → it or its counterpart, the one written last

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
        """The step of an operation's output (C,). Steps per channel would be free and round the map
        better, but the weights worse if a few of them are large, and that lost more.
        """
        seen = self.seen[i, what]
        return np.full(len(seen.mean), max(seen.largest, 1e-12) / MOST)

    def write(
        self, i: int, what: str, buffer: int, channel: int, step: npt.NDArray[np.float64]
    ) -> None:
        for held, values in ((self.steps, step), (self.means, self.seen[i, what].mean)):
            all_ = held.setdefault(buffer, np.ones(self.found.buffers[buffer]["channels"]))
            all_[channel : channel + len(step)] = values
        self.now[buffer] = buffer

    def twin(self, buffer: int) -> int:
        """A buffer like this one for signed values."""
        if buffer not in self.signed:
            self.signed[buffer] = len(self.found.buffers)
            self.found.buffers.append(self.found.buffers[buffer] | {"signed": True})
        self.now[buffer] = self.signed[buffer]
        return self.signed[buffer]

    def normalise(self, i: int, op: dict[str, Any]) -> dict[str, Any]:
        scale, shift = (self.program.tensors[op[name]] for name in ("scale", "shift"))
        self.shift = shift.astype(np.float64) / scale
        for name in ("scale", "shift"):
            self.found.tensors[op[name]] = self.program.tensors[op[name]]
        op["pad"] = self.tensor("images.pad", np.clip(np.rint(-self.shift), 0, MOST), np.uint8)
        self.write(i, "output", op["output"], 0, scale.astype(np.float64))
        return op

    def conv(self, i: int, op: dict[str, Any]) -> dict[str, Any]:
        name, first = op["weights"], op.get("input_channel", 0)
        step = self.steps[op["input"]][first : first + op["channels"]]
        bias = self.program.tensors[op["bias"]].astype(np.float64)
        # (outputs, inputs of a group): the inputs of each output
        mean = self.means[op["input"]][first : first + op["channels"]] / step
        step, mean = (
            np.repeat(x.reshape(op["groups"], -1), op["outputs"] // op["groups"], 0)
            for x in (step, mean)
        )
        weights = self.program.tensors[name].astype(np.float64) * step[:, :, None, None]
        whole, unit = _rounded(weights, bias)
        bias = bias - _shift(whole, unit, weights, mean)
        if op.get("rows"):  # images are not shifted by their mean; the bias is
            bias = bias + unit * (whole.sum((2, 3)) * self.shift).sum(1)
        self.tensor(name, whole, np.int8)
        first_unit = unit
        if op.get("second", -1) >= 0:
            across = self.program.tensors[op["weights2"]] * self.steps[op["second"]]
            across = across[:, :, None, None]
            whole2, unit2 = _rounded(across, np.zeros(len(across)))
            mean = self.means[op["second"]] / self.steps[op["second"]]
            bias = bias - _shift(whole2, unit2, across, mean)
            self.tensor(op["weights2"], whole2[:, :, 0, 0], np.int8)
            op["scale_second"] = self.tensor(f"{name}.second", unit / unit2)
            unit = unit2
        self.tensor(op["bias"], np.rint(bias / first_unit), np.int32)
        if not op.get("relu"):
            op["output"] = self.twin(op["output"])
            op["scale_sum"] = self.tensor(f"{name}.sum", unit)
            return op
        out = self.step(i, "output")
        self.write(i, "output", op["output"], op.get("output_channel", 0), out)
        if op.get("output2", -1) >= 0:
            second = self.step(i, "output2")
            self.write(i, "output2", op["output2"], op["output2_channel"], second)
            out = np.concatenate((out, second))
        op["scale_sum"] = self.tensor(f"{name}.sum", unit / out)
        op["steps"] = self.tensor(f"{name}.steps", out)
        if op.get("residual", -1) >= 0:
            residual = self.steps[op["residual"]]
            op["scale_residual"] = self.tensor(f"{name}.residual", residual / out)
        if op.get("add", -1) >= 0:
            channel, then = op["add_channel"], self.step(i, "add")
            before = self.steps[op["add"]][channel : channel + op["outputs"]].copy()
            self.write(i, "add", op["add"], channel, then)
            op["scale_add"] = self.tensor(f"{name}.add", before / then)
            op["scale_output"] = self.tensor(f"{name}.output", out / then)
        return op

    def pool(self, i: int, op: dict[str, Any]) -> dict[str, Any]:
        first = op.get("input_channel", 0)
        step = self.steps[op["input"]][first : first + op["channels"]]
        self.write(i, "output", op["output"], op.get("output_channel", 0), step)
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
        self.write(i, "output", op["output"], 0, out)
        return op


def _rounded(weights: Array, bias: Array) -> tuple[Array, npt.NDArray[np.float64]]:
    """(O, I, k, k) and (O,) → 8-bit integers, and the value of one unit (O,)."""
    largest = np.abs(weights).max((1, 2, 3), initial=0.0) / LARGEST
    # a bias must be a 32-bit integer in the same unit, with headroom for the sum
    unit = np.maximum(np.maximum(largest, np.abs(bias) / 2**28), 1e-30)
    return np.rint(weights / unit[:, None, None, None]), unit


def _shift(whole: Array, unit: Array, weights: Array, mean: Array) -> npt.NDArray[np.float64]:
    """The mean error of outputs due to rounding (O,), for inputs of these means (O or 1, I)."""
    off = (whole * unit[:, None, None, None] - weights).sum((2, 3))
    shift: npt.NDArray[np.float64] = (off * mean).sum(1)
    return shift
