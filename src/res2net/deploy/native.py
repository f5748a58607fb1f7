"""Export to ``model.r2n``, which our own engine runs (see ``res2net.native``).

``model.xml`` and ``.bin`` lie beside it: OpenVINO runs them on processors that the native engine
has no kernels for, and wherever it was the faster of the two when both were timed at export.

Legend: B batch · H, W of the images
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import openvino as ov
import torch

from res2net.deploy import openvino
from res2net.deploy.engine import Floats, Pixels, Run, Size
from res2net.deploy.native_walk import walk
from res2net.deploy.program import Program
from res2net.files import write_bytes
from res2net.native.network import NativeNetwork
from res2net.native.program import VERSION, NativeProgram

PRECISIONS = ("bf16", "fp32")
ROUNDS = 7  # of both engines in turn


@dataclass(frozen=True)
class NativeModel:
    """The program, and the same network for OpenVINO."""

    program: NativeProgram
    fallback: ov.Model


def convert(program: Program, size: Size, batch: int | None) -> NativeModel:
    """The program as a list of operations (see ``Engine``), timed beside OpenVINO.

    Raises:
        UserError: a network of another family, or with parts that the engine does not have.
    """
    native = walk(program)
    fallback = openvino.convert(program, size, batch)
    images = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    for precision in PRECISIONS:
        network = NativeNetwork(native, precision, torch.get_num_threads())
        runs: dict[str, Callable[[Pixels], object]] = {
            "native": network,
            "openvino": openvino.run_of(openvino.compiled(fallback, precision)),
        }
        native.milliseconds[precision] = _timed(runs, images)
    return NativeModel(native, fallback)


def opset(model: NativeModel) -> str:
    """The version of the file, and what both engines took."""
    times = "; ".join(
        f"{precision}: " + ", ".join(f"{engine} {time:.1f} ms" for engine, time in found.items())
        for precision, found in model.program.milliseconds.items()
    )
    return f"r2n {VERSION} and {openvino.opset(model.fallback)} (an image took here: {times})"


def save(model: NativeModel, path: Path) -> tuple[str, ...]:
    """Write the program, and OpenVINO's two files beside it."""
    write_bytes(path, model.program.to_bytes())
    return (path.name, *openvino.save(model.fallback, path.with_suffix(".xml")))


def load(path: Path, precision: str) -> Run:
    """What ``save`` wrote, in our engine on this CPU."""
    network = NativeNetwork(NativeProgram.read(path), precision, torch.get_num_threads())

    def run(images: Pixels) -> Sequence[Floats]:
        return network(images)

    return run


def _timed(runs: dict[str, Callable[[Pixels], object]], images: Pixels) -> dict[str, float]:
    """Median milliseconds of each, taken in turns after one round that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(ROUNDS + 1):
        for name in sorted(runs, reverse=bool(turn % 2)):
            start = perf_counter()
            runs[name](images)
            if turn:
                found[name].append(1000 * (perf_counter() - start))
    return {name: median(times) for name, times in found.items()}
