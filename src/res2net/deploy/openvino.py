"""Export to OpenVINO's ``model.xml`` and ``model.bin``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import torch

from res2net.deploy.engine import Floats, Images, Pixels, Run, Size, traced
from res2net.deploy.program import INPUT, Program
from res2net.deploy.quantise import quantise
from res2net.deploy.quiet import quietly
from res2net.runtime.engines import openvino_core, openvino_hint

LAYERS = ("Convolution", "GroupConvolution", "MatMul")
# of a detector's operations, those outside its layers: int8 would round boxes
DECODING = r"(?!/net/(backbone|rpn/head|roi_heads/(box|mask)_(head|predictor))/)"
# precision of the artifact → precision that OpenVINO is set to compute in (for int8, of the rest);
# by default it uses bf16 on processors that have it, and numbers would depend on the machine


def convert(program: Program, size: Size, batch: int | None) -> ov.Model:
    """The program as an OpenVINO model; weights stay float32 (see ``Engine``)."""
    if program.rows_vary:  # which only the tracer of ONNX supports
        from res2net.deploy.onnx import convert as as_onnx

        return openvino_core().read_model(as_onnx(program, size, batch).SerializeToString())
    graph = traced(program, size, batch)
    with quietly():
        model = ov.convert_model(graph)
    model.reshape({model.input(0).any_name: [batch or -1, *size, program.channels]})
    model.input(0).get_tensor().set_names({INPUT})
    for port, name in zip(model.outputs, program.outputs, strict=True):
        port.get_tensor().set_names({name})
    return model


def opset(model: ov.Model) -> str:
    """The newest operation set that the model uses, such as "opset15"."""
    sets = {op.get_type_info().version_id for op in model.get_ops()}
    numbers = [s.removeprefix("opset") for s in sets if s.startswith("opset")]
    return f"opset{max(map(int, numbers))}"


def save(model: ov.Model, path: Path, about: Mapping[str, str]) -> tuple[str, ...]:
    """Write ``path`` and the ``.bin`` beside it."""
    for key, value in about.items():
        model.set_rt_info(value, ["model_info", key])
    ov.save_model(model, path, compress_to_fp16=False)
    return (path.name, path.with_suffix(".bin").name)


def load(path: Path, precision: str) -> Run:
    """The saved model, compiled for this CPU."""
    return run_of(compiled(openvino_core().read_model(path), precision))


def run_of(compiled: ov.CompiledModel) -> Run:
    """A compiled model as a function; a batch is split to the model's batch size."""
    free = compiled.input(0).partial_shape[0].is_dynamic

    def run(images: Pixels) -> Sequence[Floats]:
        parts = [images] if free else [image[None] for image in images]
        found = [list(compiled(part).to_tuple()) for part in parts]
        return [np.concatenate(column) for column in zip(*found, strict=True)]

    return run


def quantised(model: ov.Model, calibration: Images, *, overflow_safe: bool) -> ov.Model:
    """The model in int8, by NNCF; a detector selects and decodes its boxes in float."""
    detects = any(op.get_type_name() == "NonMaxSuppression" for op in model.get_ops())
    ignored = DECODING if detects else ""
    found: ov.Model = quantise(model, calibration, overflow_safe=overflow_safe, ignored=ignored)
    return found


def layers(model: ov.Model) -> list[str]:
    """Friendly names of the convolutions and matrix products; a detector's on its regions vary."""
    ops = [op for op in model.get_ordered_ops() if op.get_type_name() in LAYERS]
    if model.input(0).partial_shape.is_static:
        ops = [op for op in ops if op.output(0).partial_shape.is_static]
    return [op.get_friendly_name() for op in ops]


def run_layers(model: ov.Model, names: Sequence[str]) -> Run:
    """The model with these layers' outputs."""
    copy = model.clone()
    ops = {op.get_friendly_name(): op for op in copy.get_ordered_ops()}
    cut = ov.Model([ops[name].output(0) for name in names], copy.get_parameters())
    return run_of(compiled(cut, "fp32"))


def compiled(model: ov.Model, precision: str) -> ov.CompiledModel:
    """The model ready to run on this CPU, in the precision of the artifact."""
    config = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": openvino_hint(precision),
    }
    return openvino_core().compile_model(model, "CPU", config)
