"""What each engine's module offers, and the one place that picks it.

Legend: B batch · H, W of the images
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch

from res2net.deploy.program import INPUT, Program

Pixels = npt.NDArray[np.uint8]  # (B, H, W, channels)
Size = tuple[int, int]  # H, W in pixels
Floats = npt.NDArray[np.float32]
Run = Callable[[Pixels], Sequence[Floats]]  # images → outputs, in the program's order


class Images(Protocol):
    """What is calibrated and verified with."""

    @property
    def origin(self) -> str:
        """For the report."""

    @property
    def labelled(self) -> bool:
        """Whether the classes that come with the images mean something."""

    @property
    def steps(self) -> int:
        """Batches, at most."""

    def batches(self) -> Iterator[tuple[Pixels, npt.NDArray[np.int64]]]:
        """uint8 (B, H, W, 3) as the graph takes them, and classes (B,)."""


class Engine(Protocol):
    """A module of this room; the model is of the engine's own type."""

    def convert(self, program: Program, size: Size, batch: int | None) -> Any:
        """The program for images of ``size``: H, W; ``batch`` None takes any number."""

    def opset(self, model: Any) -> str:
        """The set of operations that the model is written in."""

    def save(self, model: Any, path: Path, about: Mapping[str, str]) -> tuple[str, ...]:
        """Write the model to ``path``, with metadata, and say which files that made."""

    def load(self, path: Path, precision: str) -> Run:
        """What ``save`` wrote, ready to run on this machine's CPU."""


class Quantisable(Engine, Protocol):
    """An engine that has int8."""

    def quantised(self, model: Any, calibration: Images, *, overflow_safe: bool) -> Any:
        """The model with 8 bits throughout, ranges taken from the calibration images.

        Args:
            overflow_safe: with weights of 7 bits, where the engine's sums could overflow.
        """

    def layers(self, model: Any) -> list[str]:
        """Names of its convolutions and matrix products; quantising keeps them."""

    def run_layers(self, model: Any, names: Sequence[str]) -> Run:
        """The model, giving the outputs of these layers instead of its own."""


class Mixable(Quantisable, Protocol):
    """An engine whose models NNCF quantises, and that may have layers in float beside int8."""

    def run_of(self, model: Any) -> Run:
        """The model as NNCF hands it to a validation function, ready to run."""


def find_engine(name: str) -> Engine:
    """The module behind ``--to``."""
    # modules fulfil protocols, but mypy compares their functions with unbound methods
    if name == "openvino":
        from res2net.deploy import openvino

        return cast(Engine, openvino)
    if name == "onnx":
        from res2net.deploy import onnx

        return cast(Engine, onnx)
    if name == "native":
        from res2net.deploy import native

        return cast(Engine, native)
    if name == "aoti":
        from res2net.deploy import aoti

        return cast(Engine, aoti)
    from res2net.deploy import torch_export

    return cast(Engine, torch_export)


def traced(program: Program, size: Size, batch: int | None) -> torch.export.ExportedProgram:
    """The program as a graph of torch operations for images (B, H, W, 3)."""
    device = next(program.parameters()).device
    shape = batch or 2, *size, program.channels
    example = torch.zeros(shape, dtype=torch.uint8, device=device)
    free = {INPUT: {0: torch.export.Dim("batch")}} if batch is None else None
    with torch.no_grad():
        return torch.export.export(program, (example,), dynamic_shapes=free)
