"""Export to ``model.pt2`` of AOTInductor: machine code for this machine's GPU or processor.

It starts and runs without Python between its kernels, and accepts any number of images.
It holds a library made by the compiler, so an artifact from elsewhere is a program from
elsewhere: it is never loaded by default (``--engine aoti`` requests it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from res2net.deploy.engine import Floats, Pixels, Run, Size, traced
from res2net.deploy.program import Program
from res2net.deploy.quiet import quietly
from res2net.machine import best_device
from res2net.runtime.engines import Package

FREE = "any_batch"  # in the file: whether it takes any batch size


def convert(program: Program, size: Size, batch: int | None) -> ExportedProgram:
    """The program as a graph on its target device."""
    return traced(program.to(best_device()).to(memory_format=torch.channels_last), size, batch)


def opset(model: ExportedProgram) -> str:  # noqa: ARG001  one set of operators per version
    """The PyTorch version and device type it is compiled for: "torch 2.14, cpu"."""
    return f"torch {'.'.join(torch.__version__.split('.')[:2])}, {best_device().type}"


def save(model: ExportedProgram, path: Path, about: Mapping[str, str]) -> tuple[str, ...]:
    """Compile into one file."""
    from torch._inductor import aoti_compile_and_package

    held = {**about, FREE: "1" if model.range_constraints else ""}
    configs = {"freezing": True, "aot_inductor.metadata": held}
    with quietly(), torch.no_grad():
        aoti_compile_and_package(model, package_path=str(path), inductor_configs=configs)
    return (path.name,)


def load(path: Path, precision: str) -> Run:  # noqa: ARG001  fixed in the code
    """The compiled network as a function; a batch is split to its batch size."""
    network = Package(path)

    def run(images: Pixels) -> Sequence[Floats]:
        parts = [images] if network.metadata.get(FREE) else [image[None] for image in images]
        found = [network.run(part) for part in parts]
        return [np.concatenate(column) for column in zip(*found, strict=True)]

    return run
