"""Export to ``model.pt2`` for ``torch.export.load``: PyTorch without our code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from res2net.deploy.engine import Floats, Pixels, Run, Size, traced
from res2net.deploy.program import Program
from res2net.deploy.quiet import quietly


def convert(program: Program, size: Size, batch: int | None) -> ExportedProgram:
    """The program as a graph, weights channels-last as the images are (see ``Engine``)."""
    return traced(program.to(memory_format=torch.channels_last), size, batch)


def opset(model: ExportedProgram) -> str:  # noqa: ARG001  one set of operators per version
    """The PyTorch version of the graph's operators, such as "torch 2.14"."""
    return f"torch {'.'.join(torch.__version__.split('.')[:2])}"


def save(model: ExportedProgram, path: Path, about: Mapping[str, str]) -> tuple[str, ...]:
    """Write one file; the metadata are its ``extra_files``."""
    with quietly():  # it warns about weights that are not contiguous
        torch.export.save(model, path, extra_files=dict(about))
    return (path.name,)


def load(path: Path, precision: str) -> Run:  # noqa: ARG001  fixed in the graph
    """The saved graph as a function; a batch is split to the graph's batch size."""
    graph = torch.export.load(path)
    free = bool(graph.range_constraints)
    module = graph.module()

    def run(images: Pixels) -> Sequence[Floats]:
        parts = [images] if free else [image[None] for image in images]
        with torch.inference_mode():
            found = [module(torch.from_numpy(part)) for part in parts]
        return [
            np.concatenate([each.numpy() for each in column]) for column in zip(*found, strict=True)
        ]

    return run
