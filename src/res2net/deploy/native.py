"""Export to ``model.r2n``, which our own engine runs (see ``res2net.native``).

``model.xml`` and ``.bin`` are written beside it: OpenVINO runs them on processors for which the
native engine has no kernels, and wherever it was the faster of the two at export. In
int8 each of the two has its own ranges, from the same images.

Legend: B batch · H, W of the images
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import openvino as ov
import torch
from torch import Tensor

from res2net import processor
from res2net.deploy import openvino
from res2net.deploy.engine import Floats, Images, Pixels, Run, Size
from res2net.deploy.native_int8 import in_int8
from res2net.deploy.native_plain import PlainNetwork
from res2net.deploy.native_walk import walk
from res2net.deploy.program import Program
from res2net.errors import UserError
from res2net.files import write_bytes
from res2net.native.binding import unsupported_reason
from res2net.native.network import NativeNetwork
from res2net.native.program import VERSION, NativeProgram

PRECISIONS = ("bf16", "fp32")  # of one program; int8 has its own
ROUNDS, FEWEST = 31, 9  # of both engines in turn; fewer for a large network
PATIENCE = 4.0  # seconds for the rounds of one precision


@dataclass(frozen=True)
class NativeModel:
    """The program, and the same network for OpenVINO."""

    program: NativeProgram
    fallback: ov.Model


def convert(program: Program, size: Size, batch: int | None) -> NativeModel:
    """The program as a list of operations (see ``Engine``), timed beside OpenVINO.

    Raises:
        UserError: a network of another family, or with parts that the engine lacks.
    """
    if program.channels != 3:
        raise UserError(
            f"--to native: the network has {program.channels} input channels, the native engine "
            "supports 3; use --to openvino or onnx"
        )
    native = walk(program)
    fallback = openvino.convert(program, size, batch)
    here = [precision for precision in PRECISIONS if unsupported_reason(precision) is None]
    return _timed(NativeModel(native, fallback), size, here)


def quantised(model: NativeModel, calibration: Images, *, overflow_safe: bool) -> NativeModel:
    """Both in int8, timed against each other again. Our own sums do not overflow."""
    batches = [images for images, _ in calibration.batches()]
    program = in_int8(model.program, batches)
    fallback = openvino.quantised(model.fallback, calibration, overflow_safe=overflow_safe)
    return _timed(NativeModel(program, fallback), batches[0].shape[1:3], ("int8",))


def layers(model: NativeModel) -> list[str]:
    """Names of the convolutions, which int8 concerns."""
    return [op["name"] for op in model.program.ops if op["op"] == "conv"]


def run_layers(model: NativeModel, names: Sequence[str]) -> Run:
    """The program in plain torch, with the outputs of these convolutions."""
    program = model.program
    found: dict[str, list[Tensor]] = {}

    def watch(i: int, what: str, values: Tensor) -> None:
        if what != "add":
            found.setdefault(program.ops[i]["name"], []).append(values.clone())

    network = PlainNetwork(program, watch)
    steps = {op["name"]: op["steps"] for op in program.ops if op["op"] == "conv" and "steps" in op}

    def run(images: Pixels) -> list[Floats]:
        found.clear()
        network(images)
        outputs = {name: torch.cat(found[name], 1).float().numpy() for name in names}
        return [
            y * program.tensors[steps[name]][:, None, None] if name in steps else y
            for name, y in outputs.items()
        ]

    return run


def opset(model: NativeModel) -> str:
    """The version of the file, and the times of both engines."""
    times = "; ".join(
        f"{precision}: " + ", ".join(f"{engine} {time:.1f} ms" for engine, time in found.items())
        for precision, found in model.program.milliseconds.items()
    )
    return f"r2n {VERSION} and {openvino.opset(model.fallback)} (one image here: {times})"


def save(model: NativeModel, path: Path, about: Mapping[str, str]) -> tuple[str, ...]:
    """Write the program, and OpenVINO's two files beside it."""
    write_bytes(path, model.program.to_bytes())
    return (path.name, *openvino.save(model.fallback, path.with_suffix(".xml"), about))


def load(path: Path, precision: str) -> Run:
    """A saved model in our engine on this CPU."""
    network = NativeNetwork(NativeProgram.read(path), precision, torch.get_num_threads())

    def run(images: Pixels) -> Sequence[Floats]:
        return network(images)

    return run


def _timed(model: NativeModel, size: Size, precisions: Sequence[str]) -> NativeModel:
    """The model, with the median milliseconds of both engines for one image.

    They alternate. The first quarter of the rounds is not counted: until the threads have settled
    on their cores, both engines can take 1.5 times as long.
    """
    images = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    for precision in precisions:
        runs: dict[str, Callable[[Pixels], object]] = {
            "native": NativeNetwork(model.program, precision, torch.get_num_threads()),
            "openvino": openvino.run_of(openvino.compiled(model.fallback, precision)),
        }
        found: dict[str, list[float]] = {name: [] for name in runs}
        end = perf_counter() + PATIENCE
        for turn in range(ROUNDS):
            for name in sorted(runs, reverse=bool(turn % 2)):
                start = perf_counter()
                runs[name](images)
                found[name].append(1000 * (perf_counter() - start))
            if turn + 1 >= FEWEST and perf_counter() > end:
                break
        model.program.exported_on = processor.described(torch.get_num_threads())
        model.program.milliseconds[precision] = {
            name: median(times[len(times) // 4 :]) for name, times in found.items()
        }
    return model
