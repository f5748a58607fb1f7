"""Export to ``model.r2n``, which our own engine runs (see ``res2net.native``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from res2net.deploy.engine import Floats, Pixels, Run
from res2net.deploy.native_walk import walk
from res2net.deploy.program import Program
from res2net.files import write_bytes
from res2net.native.network import NativeNetwork
from res2net.native.program import VERSION, NativeProgram


def convert(program: Program, size: int, batch: int | None) -> NativeProgram:  # noqa: ARG001
    """The program as a list of operations, for images of any size and number (see ``Engine``).

    Raises:
        UserError: a network of another family, or with parts that the engine does not have.
    """
    return walk(program, "bf16")


def opset(model: NativeProgram) -> str:  # noqa: ARG001  one set of operations a version
    """The version of the file."""
    return f"r2n {VERSION}"


def save(model: NativeProgram, path: Path) -> tuple[str, ...]:
    """Write one file."""
    write_bytes(path, model.to_bytes())
    return (path.name,)


def load(path: Path, precision: str) -> Run:  # noqa: ARG001  the file says it
    """What ``save`` wrote, on this CPU."""
    network = NativeNetwork(NativeProgram.read(path), torch.get_num_threads())

    def run(images: Pixels) -> Sequence[Floats]:
        return network(images)

    return run
