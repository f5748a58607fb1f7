"""Load a program into the library and run it.

Legend: B batch · C channels · H, W space
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.errors import one_line
from res2net.native.binding import (
    TYPES,
    ConvSpec,
    PoolSpec,
    kind_and_level,
    library,
    unsupported_reason,
)
from res2net.native.program import Array, NativeProgram

Pixels = npt.NDArray[np.uint8]  # (B, H, W, 3)
Floats = npt.NDArray[np.float32]
_DAMAGED = (LookupError, TypeError, AttributeError, ArithmeticError)  # what damaged programs raise
_ACTIVATIONS = {"none": 0, "relu": 1, "sigmoid": 2}

# Pixels that go through the operations together: more push each other's maps out of the caches,
# fewer leave threads waiting for each other more often.
TOGETHER = 2 * 224 * 224

# Three taps of a row → the planes that two pixels are made of: Winograd's F(2, 3).
PLANES = np.array([[1, 0.5, 0.5, 0], [0, 0.5, -0.5, 0], [0, 0.5, 0.5, 1]], np.float32)


def by_pairs(op: dict[str, Any]) -> bool:
    """Whether a float convolution computes two pixels with four instead of six products per row."""
    one_source = op.get("second", -1) < 0 and not op.get("rows")
    side_by_side = op["stride"] == 1 and op.get("dilation", 1) == 1
    return bool(op["kernel"] == 3 and side_by_side and one_source)


def products(precision: str, rounds: int) -> int:
    """Multiply and add in registers alone, on one thread; returns the number of multiply-adds."""
    return int(library().r2n_products(*kind_and_level(precision), rounds))


class NativeNetwork:
    """Images of any size and number → the program's outputs. Calls from several threads take turns.

    Args:
        program: the program; its arrays are not needed afterwards.
        precision: "bf16", "fp32" or, of a program in int8, that: what convolutions multiply in.
            Sums are float32, of int8 whole numbers of 32 bits.
        threads: processors to use.

    Raises:
        ValueError: an inconsistent program, or missing CPU instructions.
    """

    def __init__(self, program: NativeProgram, precision: str, threads: int) -> None:
        if (reason := unsupported_reason(precision)) is not None:
            raise ValueError(reason)
        self._type = TYPES[precision]
        self._whole = precision == "int8"
        # what is not multiplied in int8: the classifier, what has a sign
        self._other = TYPES["bf16"] if self._whole else self._type
        self._library = library()
        self._handle = self._library.r2n_new(threads, *kind_and_level(precision))
        if not self._handle:
            raise ValueError(f"{threads} threads cannot be started")
        weakref.finalize(self, self._library.r2n_delete, self._handle)
        self._lock = threading.Lock()
        self._outputs = program.outputs
        try:
            self._steps = {
                output["map"]: _array(
                    program, output["steps"], (program.buffers[output["map"]]["channels"],)
                )
                for output in program.outputs
                if "steps" in output
            }
            self._vectors = program.vectors
            self.names = [str(op.get("name", op["op"])) for op in program.ops]
            self._build(program)
        except (*_DAMAGED, ctypes.ArgumentError) as error:
            raise ValueError(f"an operation is damaged ({one_line(error)})") from None

    def __call__(self, images: Pixels) -> list[Floats]:
        """uint8 (B, H, W, 3) → (B, N) for a vector, (B, C, H', W') for a map.

        Raises:
            ValueError: images of another type or shape, or too small.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"images are uint8 (B, H, W, 3); got {images.dtype} {images.shape}")
        images = np.ascontiguousarray(images)
        each = max(1, TOGETHER // max(1, images[:1].size // 3))
        with self._lock:
            found = [self._run(images[i : i + each]) for i in range(0, max(1, len(images)), each)]
        if len(found) == 1:
            return found[0]
        return [np.concatenate(of) for of in zip(*found, strict=True)]

    def _run(self, images: Pixels) -> list[Floats]:
        self._call("run", _pointer(images), *images.shape[:3])
        return [self._read(output, len(images)) for output in self._outputs]

    def seconds(self, images: Pixels, rounds: int) -> npt.NDArray[np.float64]:
        """(rounds, operations): what each operation took; a barrier stands behind each."""
        found = np.zeros((rounds + 1, len(self.names)))
        with self._lock:
            for row in found:
                self._call("seconds", _pointer(row), 0)
                self._call("run", _pointer(images), *images.shape[:3])
                self._call("seconds", _pointer(row), len(self.names))
        return found[1:]

    def shape(self, buffer: int) -> tuple[int, int, int]:
        """(C, H, W) that a buffer had in the last call."""
        found = (ctypes.c_int32 * 3)()
        self._call("shape", buffer, found)
        return found[0], found[1], found[2]

    def _call(self, name: str, *arguments: Any) -> int:
        found: int = getattr(self._library, f"r2n_{name}")(self._handle, *arguments)
        if found < 0:
            raise ValueError(self._library.r2n_error(self._handle).decode())
        return found

    def _read(self, output: dict[str, Any], batch: int) -> Floats:
        if "vector" in output:
            values = np.empty((batch, self._vectors[output["vector"]]), np.float32)
            self._call("read_vector", output["vector"], _pointer(values), values.size)
            return values
        values = np.empty((batch, *self.shape(output["map"])), np.float32)
        self._call("read_map", output["map"], _pointer(values), values.size)
        if self._whole:
            values *= self._steps[output["map"]][:, None, None]
        return values

    def _build(self, program: NativeProgram) -> None:
        for each in program.buffers:
            kind = self._other if each.get("signed") else self._type
            self._call("buffer", each["channels"], each["border"], kind, each["packed"])
        for size in program.vectors:
            self._call("vector", size)
        build = {
            "normalise": self._normalise,
            "conv": self._conv,
            "pool": self._pool,
            "mean": self._mean,
            "linear": self._linear,
            "gate": self._gate,
        }
        for op in program.ops:
            writes = op["output"] if op["op"] in ("normalise", "pool", "gate") else -1
            if self._whole and writes >= 0 and program.buffers[writes].get("signed"):
                raise ValueError(f"a {op['op']} of bytes writes what has a sign")
            build[op["op"]](op, program)
        for output in program.outputs:
            if not 0 <= output.get("vector", 0) < max(1, len(program.vectors)):
                raise ValueError("an output is not there")

    def _rounded(self, weights: Array, kind: int) -> Array:
        """float32 → what the kernels read: bf16, to the nearest and even, as uint16."""
        if kind != TYPES["bf16"]:
            return weights
        bits = weights.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)

    def _normalise(self, op: dict[str, Any], program: NativeProgram) -> None:
        scale, shift = (_array(program, op[name], (3,)) for name in ("scale", "shift"))
        pad = _array(program, op["pad"], (3,), np.uint8) if self._whole else None
        self._call("normalise", op["output"], _pointer(scale), _pointer(shift), _pointer(pad))

    def _conv(self, op: dict[str, Any], program: NativeProgram) -> None:
        if self._whole and program.buffers[op["input"]].get("signed"):
            raise ValueError("a convolution of bytes reads what has a sign")
        k = op["kernel"]
        shape = (op["outputs"], op["channels"] // op["groups"], k, k)
        shapes = {"weights": shape, "bias": shape[:1]}
        if op.get("second", -1) >= 0:
            shapes["weights2"] = (op["outputs"], op["second_channels"])
        kinds: dict[str, type] = {}
        if self._whole:
            kinds = {"bias": np.int32, "weights": np.int8, "weights2": np.int8}
            shapes |= {name: shape[:1] for name in op if name.startswith("scale_")}
        arrays = {
            name: _array(program, op[name], of, kinds.get(name, np.float32))
            for name, of in shapes.items()
        }
        pairs = not self._whole and by_pairs(op)
        if pairs:
            arrays["weights"] = np.ascontiguousarray(arrays["weights"] @ PLANES)
        for name in ("weights", "weights2"):
            if name in arrays:
                arrays[name] = self._rounded(arrays[name], self._type)
        absent = {"split": op["outputs"], "barrier": 1, "relu": 0, "rows": 0, "dilation": 1}
        given = absent | op | {"pairs": pairs}
        spec = ConvSpec()
        for name, kind_of, *_ in ConvSpec._fields_:
            if name in arrays:
                setattr(spec, name, _pointer(arrays[name]))
            elif kind_of is not ctypes.c_void_p:
                setattr(spec, name, given.get(name, -1 if name in ConvSpec.NONE else 0))
        self._call("conv", ctypes.byref(spec))

    def _pool(self, op: dict[str, Any], program: NativeProgram) -> None:  # noqa: ARG002
        given = {"barrier": 1} | op
        spec = PoolSpec(**{name: given.get(name, 0) for name, *_ in PoolSpec._fields_})
        self._call("pool", ctypes.byref(spec))

    def _mean(self, op: dict[str, Any], program: NativeProgram) -> None:
        steps = None
        if "steps" in op:
            steps = _array(program, op["steps"], (program.vectors[op["output"]],))
        self._call("mean", op["input"], op["output"], _pointer(steps))

    def _linear(self, op: dict[str, Any], program: NativeProgram) -> None:
        rows, columns = program.vectors[op["output"]], program.vectors[op["input"]]
        weights = self._rounded(_array(program, op["weights"], (rows, columns)), self._other)
        bias = _array(program, op["bias"], (rows,))
        activation = _ACTIVATIONS[op["activation"]]
        arrays = _pointer(weights), _pointer(bias)
        self._call("linear", op["input"], op["output"], activation, self._other, *arrays)

    def _gate(self, op: dict[str, Any], program: NativeProgram) -> None:
        size = (program.vectors[op["gates"]],)
        scales = [
            _array(program, op[name], size) if name in op else None
            for name in ("scale_residual", "scale_output")
        ]
        buffers = (op[name] for name in ("input", "gates", "residual", "output"))
        self._call("gate", *buffers, *map(_pointer, scales))


def _array(
    program: NativeProgram, name: str, shape: Sequence[int], kind: type = np.float32
) -> Array:
    """An array of the program, which must have this shape: the library reads so much."""
    found = program.tensors[name]
    if found.dtype != kind or found.shape != tuple(shape):
        wanted = f"{np.dtype(kind)} {tuple(shape)}"
        raise ValueError(f"{name} is {found.dtype} {found.shape}, not {wanted}")
    return np.ascontiguousarray(found)


def _pointer(array: Array | None) -> int | None:
    return None if array is None else array.ctypes.data
