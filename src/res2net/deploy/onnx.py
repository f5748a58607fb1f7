"""Export to ``model.onnx``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto, helper
from torch import Tensor
from torchvision.ops import boxes

from res2net.deploy.engine import Floats, Images, Pixels, Run, Size, traced
from res2net.deploy.program import INPUT, Program
from res2net.deploy.quantise import quantise
from res2net.deploy.quiet import quietly
from res2net.files import write_bytes

OPSET = 18  # supported by ONNX Runtime since 1.14 (2023)
LAYERS = ("Conv", "Gemm", "MatMul")


def convert(program: Program, size: Size, batch: int | None) -> ModelProto:
    """The program as an ONNX model, its weights inside (see ``Engine``)."""
    if program.rows_vary:
        return _trimmed(_recorded(program, size))
    graph = traced(program, size, batch)
    with quietly():
        exported = torch.onnx.export(
            graph,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(program.outputs),
            external_data=False,
            verbose=False,
        )
        assert exported is not None
        model = exported.model_proto
    return _trimmed(model)


def _recorded(program: Program, size: Size) -> ModelProto:
    """A program with a variable number of output rows, exported by tracing one run.

    ``torch.export`` refuses data-dependent loops (torch 2.14); the older tracer does not.
    """
    file = BytesIO()
    plain = mock.patch.object(boxes, "batched_nms", _suppressed)
    example = torch.zeros(1, *size, program.channels, dtype=torch.uint8)
    with quietly(), torch.no_grad(), plain:
        torch.onnx.export(
            program,
            (example,),
            file,  # type: ignore[arg-type]  # the tracer writes to a file in memory too
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(program.outputs),
            verbose=False,
        )
    return onnx.load_from_string(file.getvalue())


def _suppressed(places: Tensor, scores: Tensor, classes: Tensor, iou: float) -> Tensor:
    """torchvision's ``batched_nms`` without its branch for no boxes: OpenVINO
    (2026.4) makes a box from uninitialised memory out of that one.
    """
    apart = torch.cat([places.flatten(), places.new_zeros(1)]).max() + 1
    return boxes.nms(places + (classes.to(places) * apart)[:, None], scores, iou)


def opset(model: ModelProto) -> str:
    """The version of the standard operators, such as "18"."""
    return str(next(each.version for each in model.opset_import if not each.domain))


def save(model: ModelProto, path: Path, about: Mapping[str, str]) -> tuple[str, ...]:
    """Write one file; Model API reads the metadata under keys that begin with ``model_info``."""
    helper.set_model_props(model, {f"model_info {key}": value for key, value in about.items()})
    write_bytes(path, model.SerializeToString())
    return (path.name,)


def load(path: Path, precision: str) -> Run:  # noqa: ARG001  stored in the file
    """The saved model in ONNX Runtime on this CPU."""
    return run_of(onnx.load(path))


def run_of(model: ModelProto) -> Run:
    """The model in a session of ONNX Runtime; a batch is split to the model's batch size."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    free = not isinstance(session.get_inputs()[0].shape[0], int)

    def run(images: Pixels) -> Sequence[Floats]:
        parts = [images] if free else [image[None] for image in images]
        found = [session.run(None, {INPUT: part}) for part in parts]
        return [np.concatenate(column) for column in zip(*found, strict=True)]

    return run


def quantised(model: ModelProto, calibration: Images, *, overflow_safe: bool) -> ModelProto:
    """The model in int8, by NNCF."""
    found: ModelProto = quantise(model, calibration, overflow_safe=overflow_safe)
    return found


def layers(model: ModelProto) -> list[str]:
    """Names of the convolutions and matrix products."""
    return [node.name for node in model.graph.node if node.op_type in LAYERS]


def run_layers(model: ModelProto, names: Sequence[str]) -> Run:
    """The model with these layers' outputs."""
    copy = ModelProto()
    copy.CopyFrom(model)
    produced = {node.name: node.output[0] for node in copy.graph.node}
    del copy.graph.output[:]
    copy.graph.output.extend(
        helper.make_tensor_value_info(produced[name], onnx.TensorProto.FLOAT, None)
        for name in names
    )
    return run_of(copy)


def _trimmed(model: ModelProto) -> ModelProto:
    """The model without the exporter's notes: traces of source files on this machine."""
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    model.ClearField("metadata_props")
    return model
