"""The interface of the engines' modules, and the one place that selects one.

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
    """Images for calibration and verification."""

    @property
    def origin(self) -> str:
        """Their origin, for the report."""

    @property
    def labelled(self) -> bool:
        """Whether the images have meaningful classes."""

    @property
    def steps(self) -> int:
        """Largest number of batches."""

    def batches(self) -> Iterator[tuple[Pixels, npt.NDArray[np.int64]]]:
        """uint8 (B, H, W, 3) as the graph's input, and classes (B,)."""


class Engine(Protocol):
    """A module of this package; the model is of the engine's own type."""

    def convert(self, program: Program, size: Size, batch: int | None) -> Any:
        """The program for images of ``size``: H, W; ``batch`` None: any number."""

    def opset(self, model: Any) -> str:
        """The set of operations that the model uses."""

    def save(self, model: Any, path: Path, about: Mapping[str, str]) -> tuple[str, ...]:
        """Write the model to ``path``, with metadata, and return the written files."""


class Runnable(Engine, Protocol):
    """An engine that runs on this machine: all but Core ML."""

    def load(self, path: Path, precision: str) -> Run:
        """A saved model, ready to run on this machine's CPU."""


class Quantisable(Runnable, Protocol):
    """An engine that supports int8."""

    def quantised(self, model: Any, calibration: Images, *, overflow_safe: bool) -> Any:
        """The model with 8 bits throughout, with ranges from the calibration images.

        Args:
            overflow_safe: use 7-bit weights where the engine's sums could overflow.
        """

    def layers(self, model: Any) -> list[str]:
        """Names of its convolutions and matrix products; quantisation keeps them."""

    def run_layers(self, model: Any, names: Sequence[str]) -> Run:
        """The model with the outputs of these layers instead of its own."""


class Mixable(Quantisable, Protocol):
    """An engine whose models NNCF quantises, and that may mix float layers with int8."""

    def run_of(self, model: Any) -> Run:
        """The model, as NNCF passes it to a validation function, ready to run."""


def find_engine(name: str) -> Engine:
    """The module for ``--to``."""
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
    if name == "coreml":
        from res2net.deploy import coreml

        return cast(Engine, coreml)
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
