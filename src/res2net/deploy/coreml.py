"""Export to Core ML's ``model.mlpackage``, an ML program for Apple's devices.

Core ML runs on Apple's systems alone, so an export checks the written structure, not results.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from res2net.deploy.engine import Size
from res2net.deploy.program import INPUT, Program
from res2net.deploy.quiet import quietly
from res2net.errors import UserError

UNRUN = "Core ML runs on Apple's systems alone: results were not compared with PyTorch"
LOST = 0.01  # share of the weights' bytes that may be missing: small ones are in the graph


class _OfImage(nn.Module):
    """Core ML's image (1, C, H, W) of 0..255 → the outputs of a program."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.program(image.permute(0, 2, 3, 1))


def convert(program: Program, size: Size, batch: int | None) -> Any:
    """The program as a model of one image; float16 if the program is.

    Raises:
        UserError: any number of images, or channels that no image of Core ML has.
    """
    if batch is None:
        raise UserError("--dynamic-batch: Core ML takes one image at a time; leave it out")
    if program.channels not in (1, 3):
        raise UserError(f"--to coreml: its images have 1 or 3 channels, not {program.channels}")
    half = program.dtype == torch.float16
    program.net.float()
    program.dtype = torch.float32  # Core ML rounds by itself
    shape = (1, program.channels, *size)
    with quietly(), torch.no_grad():
        import coremltools as ct

        layout = ct.colorlayout.RGB if program.channels == 3 else ct.colorlayout.GRAYSCALE
        return ct.convert(
            torch.jit.trace(_OfImage(program).eval(), torch.zeros(shape)),
            inputs=[ct.ImageType(name=INPUT, shape=shape, color_layout=layout)],
            outputs=[ct.TensorType(name=name) for name in program.outputs],
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            minimum_deployment_target=ct.target.iOS16,
            skip_model_load=True,
        )


def opset(model: Any) -> str:
    """The version of the specification, such as "Core ML 7"."""
    return f"Core ML {model.get_spec().specificationVersion}"


def save(model: Any, path: Path, about: Mapping[str, str]) -> tuple[str, ...]:
    """Write the package, a folder."""
    model.user_defined_metadata.update(about)
    model.save(str(path))
    files = (each for each in path.rglob("*") if each.is_file())
    return tuple(sorted(each.relative_to(path.parent).as_posix() for each in files))


def structure(
    path: Path, program: Program, size: Size, precision: str, about: Mapping[str, str]
) -> tuple[str, list[str]]:
    """What a written package has, as a sentence, and its differences from the program."""
    with quietly():
        import coremltools as ct

        spec = ct.utils.load_spec(str(path))
    held = spec.description
    blocks = [
        block
        for function in spec.mlProgram.functions.values()
        for block in function.block_specializations.values()
    ]
    count = Counter(operation.type for block in blocks for operation in block.operations)
    layers = sum(isinstance(module, nn.Conv2d) for module in program.modules())
    images = [(each.name, each.type.imageType) for each in held.input]
    numbers = sum(weight.numel() for weight in program.parameters())
    weights = sum(file.stat().st_size for file in path.rglob("weight.bin"))
    least = numbers * (2 if precision == "fp16" else 4) * (1 - LOST)
    classes = held.metadata.userDefined.get("classes", "")
    compared = {
        "inputs": ([(name, (i.height, i.width)) for name, i in images], [(INPUT, size)]),
        "outputs": ([each.name for each in held.output], list(program.outputs)),
        "classes": (classes, about.get("classes", "")),
        "convolutions": (count["conv"], layers),
        "bytes of weights": (min(weights, least), least),
    }
    wrong = [f"its {name} are {a}, not {b}" for name, (a, b) in compared.items() if a != b]
    said = (
        f"{UNRUN}. Checked: {len(json.loads(classes or '[]'))} classes, input `{INPUT}` of "
        f"{size[0]}×{size[1]} pixels, outputs {', '.join(program.outputs)}, {count['conv']} "
        f"convolutions of {sum(count.values())} operations, {weights:,} bytes of weights."
    )
    return said, wrong
