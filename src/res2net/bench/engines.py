"""Networks in inference engines: ours as exported by ``res2net export``, and other makers' models.

A case has a network, a maker, an engine and a precision. timm's and torchvision's models are
converted unchanged, as in the engine's manual, with float NCHW input. Ours take bytes, so their
time includes normalisation.

Legend: B batch · S side of the square image
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from res2net import machine
from res2net.bench.makers import builder
from res2net.capture import Captured
from res2net.data.preprocess import default_preprocess
from res2net.deploy.engine import find_engine
from res2net.deploy.native_int8 import in_int8
from res2net.deploy.native_walk import walk
from res2net.deploy.program import INPUT, Program
from res2net.deploy.quantise import quantise_on
from res2net.deploy.quiet import quietly
from res2net.errors import UserError
from res2net.native.binding import unsupported_reason
from res2net.native.network import NativeNetwork
from res2net.native.program import NativeProgram
from res2net.paper.networks import find_variant
from res2net.paper.variant import ResNetVariant
from res2net.processor import bytes_saturate
from res2net.rewrite import fold_batchnorm
from res2net.runtime.engines import openvino_core, openvino_has_bf16, openvino_hint

Call = Callable[[], object]
# engine → its precisions; torch itself, on the GPU if there is one, the same for every maker:
# eager-nchw (the network as it comes), eager (norms folded, channels-last), captured (as
# `res2net.load` runs it on a GPU), compiled (torch.compile)
ENGINES = {
    "eager": ("fp32", "bf16"),
    "eager-nchw": ("fp32",),
    "captured": ("fp32", "bf16"),
    "compiled": ("fp32", "bf16"),
    "onnxruntime": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8"),
    "native": ("fp32", "bf16", "int8"),  # our own kernels, of the ResNet family
}
CALIBRATION = 16  # images for int8 ranges; the speed does not depend on them


@dataclass(frozen=True, order=True)
class Case:
    """One case to time."""

    network: str
    maker: str
    engine: str
    precision: str
    batch: int

    def __str__(self) -> str:
        return f"{self.network} {self.maker} {self.engine} {self.precision} batch {self.batch}"


def prepare(case: Case, size: int) -> Call:
    """A function that classifies one fixed batch.

    Raises:
        UserError: the maker lacks the network, or is not installed.
    """
    net = _network(case)
    build: dict[str, Callable[[Case, nn.Module, int], Call]] = {
        "eager": _eager,
        "eager-nchw": _in_torch,
        "captured": _captured,
        "compiled": _compiled,
        "onnxruntime": _onnxruntime,
        "openvino": _openvino,
        "native": _native,
    }
    return build[case.engine](case, net, size)


def has(network: str, maker: str) -> bool:
    """Whether the maker offers a network of this name."""
    try:
        builder(network, maker)
    except UserError:
        return False
    return True


def runs_in(network: str, maker: str, engine: str, precision: str) -> bool:
    """Whether an engine takes a maker's network and computes in this precision, on this machine."""
    if engine == "captured":
        return torch.cuda.is_available()
    if engine == "openvino" and precision == "bf16":
        return openvino_has_bf16()  # else float32 would be timed
    if engine != "native":
        return True
    ours = maker == "ours" and isinstance(find_variant(network), ResNetVariant)
    return ours and unsupported_reason(precision) is None


def _network(case: Case) -> nn.Module:
    """A network with reproducible random weights."""
    torch.manual_seed(0)
    return builder(case.network, case.maker)().eval().requires_grad_(False)


def _images(case: Case, size: int) -> Tensor:
    """Float images (B, 3, S, S)."""
    return torch.rand(case.batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def _eager(case: Case, net: nn.Module, size: int) -> Call:
    """The network with folded norms, as in every export."""
    return _in_torch(case, fold_batchnorm(net), size)


def _captured(case: Case, net: nn.Module, size: int) -> Call:
    """The rewritten network, on a GPU with recorded launches."""
    return _in_torch(case, Captured(net), size)


def _compiled(case: Case, net: nn.Module, size: int) -> Call:
    """``torch.compile`` with weights frozen into the graph, which folds norms by itself."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    net.compile()
    return _in_torch(case, net, size)


def _in_torch(case: Case, net: nn.Module, size: int) -> Call:
    device = machine.best_device()
    images, net = _images(case, size).to(device), net.to(device)
    if case.engine != "eager-nchw":
        net = net.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    if case.precision == "bf16":
        net, images = net.bfloat16(), images.bfloat16()

    def call() -> Tensor:
        with torch.no_grad():
            logits = net(images)
        machine.wait()
        return logits

    return call


def _openvino(case: Case, net: nn.Module, size: int) -> Call:
    import openvino as ov

    with quietly():
        if case.maker == "ours":
            model = find_engine("openvino").convert(_program(net, size), (size, size), case.batch)
        else:
            model = ov.convert_model(net, example_input=_images(case, size))
            model.reshape([case.batch, 3, size, size])
        if case.precision == "int8":
            model = _quantised(model, case, size)
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": openvino_hint(case.precision),
    }
    compiled = openvino_core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(_given(case, size)))
    return request.infer


def _native(case: Case, net: nn.Module, size: int) -> Call:
    network = NativeNetwork(
        _native_program(case, net, size), case.precision, torch.get_num_threads()
    )
    images = _given(case, size)
    return lambda: network(images)


def native_program(case: Case, size: int) -> tuple[NativeProgram, npt.NDArray[np.uint8]]:
    """The network in the native engine, and images for it.

    Raises:
        UserError: a network of another family.
    """
    return _native_program(case, _network(case), size), _given(case, size)


def _native_program(case: Case, net: nn.Module, size: int) -> NativeProgram:
    program = walk(_program(net, size))
    return in_int8(program, _noise(case, size)) if case.precision == "int8" else program


def _onnxruntime(case: Case, net: nn.Module, size: int) -> Call:
    import onnxruntime

    with quietly():
        if case.maker == "ours":
            model = find_engine("onnx").convert(_program(net, size), (size, size), case.batch)
        else:
            images = (_images(case, size),)
            exported = torch.onnx.export(
                net, images, dynamo=True, input_names=[INPUT], external_data=False, verbose=False
            )
            assert exported is not None
            model = exported.model_proto
        if case.precision == "int8":
            model = _quantised(model, case, size)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = {INPUT: _given(case, size)}
    return lambda: session.run(None, given)


def _program(net: nn.Module, size: int) -> Program:
    return Program(fold_batchnorm(net), default_preprocess(size))


def _given(case: Case, size: int) -> Any:
    """Input of the engine: bytes (B, S, S, 3) for ours, else floats (B, 3, S, S)."""
    images = _images(case, size).numpy()
    if case.maker != "ours":
        return images
    return np.ascontiguousarray((255 * images).astype(np.uint8).transpose(0, 2, 3, 1))


def _noise(case: Case, size: int) -> Iterator[Any]:
    """Calibration data for int8: batches of engine inputs."""
    chance = np.random.default_rng(0)
    shape = _given(case, size).shape
    for _ in range(max(1, CALIBRATION // case.batch)):
        noise = chance.random(shape, dtype=np.float32)
        yield (255 * noise).astype(np.uint8) if case.maker == "ours" else noise


def _quantised(model: Any, case: Case, size: int) -> Any:
    """The int8 model as ``export`` makes it on this processor, for ours and others."""
    batches: list[Any] = list(_noise(case, size))
    if case.maker == "ours" or case.engine == "onnxruntime":
        batches = [{INPUT: noise} for noise in batches]
    return quantise_on(model, batches, overflow_safe=bytes_saturate())
