"""Engines for an artifact's model: OpenVINO, ONNX Runtime or our own, imported when used.

Legend: B batch · S side of the square image
"""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from res2net import processor
from res2net.card import CARD_NAME
from res2net.errors import UserError
from res2net.files import cache_folder, write_text
from res2net.native.binding import unsupported_reason
from res2net.native.network import NativeNetwork
from res2net.native.program import NativeProgram, fastest
from res2net.runtime.artifact import Artifact

if TYPE_CHECKING:
    import openvino as ov

Pixels = npt.NDArray[np.uint8]  # (B, S, S, channels)
Outputs = list[npt.NDArray[np.float32]]
Key = TypeVar("Key")
AUTO = "auto"


class Engine(Protocol):
    """A loaded model."""

    def run(self, images: Pixels) -> Outputs:
        """One pass over one batch."""

    def stream(self, items: Iterable[tuple[Key, Pixels]]) -> Iterator[tuple[Key, Outputs]]:
        """Passes over many batches, in order, several in flight if the engine supports it."""


class OpenVino:
    """OpenVINO, on the CPU or another device of its own; the compiled model is kept in the cache
    folder for the next start.
    """

    def __init__(
        self, artifact: Artifact, *, threads: int | None, stream: bool, device: str
    ) -> None:
        try:
            import openvino  # noqa: F401
        except ModuleNotFoundError:
            raise UserError(_missing(artifact, "openvino", "runtime")) from None
        core, place = openvino_core(), "CPU" if device == AUTO else device.upper()
        if place not in core.available_devices:
            found = ", ".join(["auto", *map(str.lower, core.available_devices)])
            raise UserError(f"--device {device}: OpenVINO finds {found} here")
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT" if stream else "LATENCY"}
        if place == "CPU":
            settings["INFERENCE_NUM_THREADS"] = threads or processor.threads()
        kept = _writable(cache_folder() / "openvino")
        if kept is not None:
            settings["CACHE_DIR"] = str(kept)
        settings["INFERENCE_PRECISION_HINT"] = "f32"  # of int8 too: what is left in float
        if artifact.precision == "bf16":
            if place != "CPU" or openvino_has_bf16():
                settings["INFERENCE_PRECISION_HINT"] = "bf16"
            else:
                warnings.warn(
                    f"{artifact.folder}: this processor has no bfloat16 instructions; "
                    "running in float32",
                    stacklevel=2,
                )
        try:
            self._compiled = core.compile_model(_openvino_file(artifact), place, settings)
        except RuntimeError as error:
            raise UserError(_unloadable(artifact, error)) from error
        _check_graph(artifact, _shapes(self._compiled.inputs), _shapes(self._compiled.outputs))
        self._requests = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def run(self, images: Pixels) -> Outputs:
        found = self._compiled(images)
        return [np.array(found[port]) for port in self._compiled.outputs]

    def stream(self, items: Iterable[tuple[Key, Pixels]]) -> Iterator[tuple[Key, Outputs]]:
        free = deque(self._compiled.create_infer_request() for _ in range(self._requests))
        busy: deque[tuple[Key, Any]] = deque()  # oldest first

        def oldest() -> tuple[Key, Outputs]:
            key, request = busy.popleft()
            request.wait()
            outputs = [np.array(request.get_output_tensor(i).data) for i in self._places]
            free.append(request)
            return key, outputs

        for key, images in items:
            if not free:
                yield oldest()
            request = free.popleft()
            request.start_async([images])
            busy.append((key, request))
        while busy:
            yield oldest()

    @property
    def _places(self) -> range:
        return range(len(self._compiled.outputs))


class _InTurn(ABC):
    """A model that runs one pass at a time."""

    @abstractmethod
    def run(self, images: Pixels) -> Outputs:
        """See ``Engine``."""

    def stream(self, items: Iterable[tuple[Key, Pixels]]) -> Iterator[tuple[Key, Outputs]]:
        for key, images in items:
            yield key, self.run(images)


PROVIDERS = {  # of ONNX Runtime: device → what computes there
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class OnnxRuntime(_InTurn):
    """ONNX Runtime, on a GPU if its GPU build is installed, else on the CPU."""

    def __init__(
        self,
        artifact: Artifact,
        *,
        threads: int | None,
        stream: bool,  # noqa: ARG002
        device: str,
    ) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise UserError(_missing(artifact, "onnxruntime", "onnx")) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or processor.threads()
        options.log_severity_level = 3
        known = onnxruntime.get_available_providers()
        able = [name for name, provider in PROVIDERS.items() if provider in known]
        place = device
        if device == AUTO:
            place = "cuda" if "cuda" in able else "cpu"
        if place not in able:
            raise UserError(
                f"--device {device}: ONNX Runtime has {', '.join([AUTO, *able])} here; "
                "for GPUs install onnxruntime-gpu instead of onnxruntime"
            )
        providers = list(dict.fromkeys([PROVIDERS[place], PROVIDERS["cpu"]]))
        try:
            self._session = onnxruntime.InferenceSession(
                artifact.path, options, providers=providers
            )
        except Exception as error:  # its own hierarchy, down from RuntimeError or not
            raise UserError(_unloadable(artifact, error)) from error
        if self._session.get_providers()[0] != providers[0]:  # no driver, or another version
            if device != AUTO:
                raise UserError(f"--device {device}: ONNX Runtime cannot use it on this machine")
            warnings.warn(f"{artifact.folder}: no usable GPU; running on the CPU", stacklevel=2)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        _check_graph(artifact, [port.shape for port in inputs], [port.shape for port in outputs])
        self._input = inputs[0].name

    def run(self, images: Pixels) -> Outputs:
        return [np.asarray(y) for y in self._session.run(None, {self._input: images})]


class Native(_InTurn):
    """Our own engine (``res2net.native``)."""

    def __init__(
        self,
        artifact: Artifact,
        *,
        threads: int | None,
        stream: bool,  # noqa: ARG002
        device: str,
    ) -> None:
        if device not in (AUTO, "cpu"):
            raise UserError(f"--device {device}: the native engine runs on the CPU")
        if (reason := unsupported_reason(artifact.precision)) is not None:
            raise UserError(
                f"--engine native: {reason}; {artifact.folder} runs with --engine openvino too"
            )
        try:
            program = NativeProgram.read(artifact.path)
            threads = threads or processor.threads()
            self._network = NativeNetwork(program, artifact.precision, threads)
        except ValueError as error:
            raise UserError(_unloadable(artifact, error)) from error

    def run(self, images: Pixels) -> Outputs:
        return list(self._network(images))


class Package(_InTurn):
    """Machine code compiled by AOTInductor, run by PyTorch on its target device.

    Attributes:
        metadata: metadata of the file.

    Raises:
        RuntimeError: a damaged file, or code for another device.
    """

    def __init__(self, path: Path) -> None:
        from torch._inductor import aoti_load_package

        # it warns of an absent GPU, which code for a CPU does not need
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        self._network = aoti_load_package(str(path))
        self.metadata: dict[str, str] = self._network.loader.get_metadata()
        self._place = self.metadata.get("AOTI_DEVICE_KEY", "cpu")

    def run(self, images: Pixels) -> Outputs:
        import torch

        found = self._network(torch.from_numpy(images).to(self._place))
        outputs = found if isinstance(found, tuple | list) else [found]
        return [each.float().cpu().numpy() for each in outputs]


class Aoti(Package):
    """The ``Package`` of an artifact."""

    def __init__(
        self,
        artifact: Artifact,
        *,
        threads: int | None,
        stream: bool,  # noqa: ARG002
        device: str,
    ) -> None:
        if find_spec("torch") is None:
            raise UserError(_missing(artifact, "torch", "train"))
        if device != AUTO:
            raise UserError(f"--device {device}: {artifact.folder} is compiled for one device")
        import torch

        torch.set_num_threads(threads or processor.threads())
        try:
            super().__init__(artifact.path)
        except RuntimeError as error:
            raise UserError(_unloadable(artifact, error)) from error


# the artifact's engine → engines that can run it, the usual one first
ENGINES: dict[str, dict[str, type[OpenVino | OnnxRuntime | Native | Aoti]]] = {
    "openvino": {"openvino": OpenVino},
    "onnx": {"onnx": OnnxRuntime, "openvino": OpenVino},  # OpenVINO reads ONNX files too
    "native": {"native": Native, "openvino": OpenVino},  # both have their files
    "aoti": {"aoti": Aoti},
}


def open_engine(
    artifact: Artifact,
    name: str = AUTO,
    *,
    threads: int | None = None,
    stream: bool = False,
    device: str = AUTO,
) -> Engine:
    """Load the model.

    Args:
        name: an engine that can run it, or "auto".
        threads: CPU threads; None: all.
        stream: optimise for throughput instead of latency.
        device: for ONNX Runtime "cpu", "cuda" or "tensorrt", for OpenVINO any that it finds;
            "auto": CUDA in ONNX Runtime if available, else the CPU.

    Raises:
        UserError: an engine that cannot run it, is not installed, or refuses the file.
    """
    able = ENGINES.get(artifact.engine, {})
    if not able:
        apple = artifact.engine == "coreml"
        where = "on Apple's devices" if apple else "in PyTorch (torch.export.load)"
        raise UserError(
            f"{artifact.folder}: an artifact for {artifact.engine} runs {where}, not here; "
            "export it --to openvino or onnx"
        )
    if artifact.engine == "aoti" and name == AUTO:
        raise UserError(
            f"{artifact.folder}: contains machine code, which runs like any program; if you trust "
            "its source, add --engine aoti (res2net-run, res2net.runtime.load)"
        )
    if name != AUTO and name not in able:
        raise UserError(
            f"--engine {name}: {artifact.folder} is for {artifact.engine}; "
            f"it can be auto, {', '.join(able)}"
        )
    kind = able[_usual(artifact, able, threads, device) if name == AUTO else name]
    return kind(artifact, threads=threads, stream=stream, device=device)


def _usual(artifact: Artifact, able: Iterable[str], threads: int | None, device: str) -> str:
    """The engine that "auto" means: the artifact's own, unless another is better here."""
    first = next(iter(able))
    if first != "native":
        return first
    if device not in (AUTO, "cpu"):
        return "openvino"
    if (reason := unsupported_reason(artifact.precision)) is not None:
        warnings.warn(f"{artifact.folder}: {reason}; running in OpenVINO", stacklevel=3)
        return "openvino"
    if find_spec("openvino") is None:
        return first
    here = processor.described(threads)
    if (known := fastest(artifact.path, artifact.precision, here)) is not None:
        return known
    if processor.has_amx() and artifact.precision != "fp32":
        return "openvino"  # which uses it
    return _kept(artifact, here) or _tried(artifact, here)


def _answer(artifact: Artifact, here: Mapping[str, str | int]) -> Path:
    """Cache path of the faster engine for an artifact and a processor."""
    about = repr((sorted(artifact.files.items()), artifact.precision, sorted(here.items())))
    name = hashlib.sha256(about.encode()).hexdigest()[:16]
    return cache_folder() / "fastest" / f"{name}.txt"


def _kept(artifact: Artifact, here: Mapping[str, str | int]) -> str | None:
    try:
        found = _answer(artifact, here).read_text()
    except (OSError, ValueError, UserError):
        return None
    return found if found in ENGINES["native"] else None


def _tried(artifact: Artifact, here: Mapping[str, str | int]) -> str:
    """The engine with the lowest median time over five interleaved images, cached for later."""
    images = np.zeros((artifact.batch or 1, artifact.height, artifact.width, 3), np.uint8)
    threads = int(here["threads"])
    engines = {
        name: kind(artifact, threads=threads, stream=False, device="cpu")
        for name, kind in ENGINES["native"].items()
    }
    found: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(_TRIES + 1):  # the first one settles the threads
        for name, engine in engines.items():
            start = perf_counter()
            engine.run(images)
            found[name].append(perf_counter() - start)
    best = min(found, key=lambda name: median(found[name][1:]))
    with suppress(OSError, UserError):
        path = _answer(artifact, here)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, best)
    return best


_TRIES = 5


def _openvino_file(artifact: Artifact) -> Path:
    """The model file for OpenVINO; in a native artifact it is beside the program."""
    return artifact.path.with_suffix(".xml") if artifact.engine == "native" else artifact.path


@cache
def openvino_core() -> ov.Core:
    """The one entrance to OpenVINO of this process.

    OpenVINO's CPU plugin (2026.4) sets a stack for signals and puts back the one before it when it
    goes. Two that go in the order in which they came leave the process a stack that is freed, and
    the next signal that Python handles, Ctrl-C or the end of a child, kills it without a word. One
    core has one plugin, which stays.
    """
    import openvino as ov

    return ov.Core()


def openvino_has_bf16() -> bool:
    """Whether OpenVINO computes in bfloat16 here instead of falling back to float32."""
    able = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return processor.allows("full") and "BF16" in able


def openvino_hint(precision: str) -> str:
    """OpenVINO's inference precision on this CPU; of int8, that of what is left in float."""
    return "bf16" if precision == "bf16" and openvino_has_bf16() else "f32"


def _writable(folder: Path) -> Path | None:
    """The folder, created if necessary; None if it is not writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _shapes(ports: Iterable[Any]) -> list[list[object]]:
    """Lengths of each axis of OpenVINO's ports; None where it varies."""
    return [
        [axis.get_length() if axis.is_static else None for axis in p.partial_shape] for p in ports
    ]


def _check_graph(
    artifact: Artifact, inputs: Sequence[Sequence[object]], outputs: Sequence[Sequence[object]]
) -> None:
    """Refuse a graph with other sizes than in ``model.json``.

    Args:
        inputs, outputs: lengths of their axes; something else than a number where one varies.

    Raises:
        UserError: names what differs.
    """
    named: tuple[object, ...] = (
        artifact.batch,
        artifact.height,
        artifact.width,
        artifact.card.preprocess.channels,
    )
    taken = inputs[0] if len(inputs) == 1 else ()
    fits = (
        has == wanted or not isinstance(has, int) for has, wanted in zip(taken, named, strict=False)
    )
    if len(taken) != len(named) or not all(fits):
        raise UserError(
            f"{artifact.path}: takes {list(taken)}, but {CARD_NAME} names {list(named)}"
        )
    if len(outputs) != len(artifact.outputs):
        raise UserError(
            f"{artifact.path}: gives {len(outputs)} outputs, {CARD_NAME} names {artifact.outputs}"
        )
    count = outputs[0][-1] if outputs[0] else None
    classes = len(artifact.card.classes)
    if artifact.card.task == "classify" and isinstance(count, int) and count != classes:
        raise UserError(f"{artifact.path}: has {count} classes, {CARD_NAME} names {classes}")


def _missing(artifact: Artifact, package: str, extra: str) -> str:
    return f"{artifact.folder} needs {package}: pip install 'res2net[{extra}]'"


def _unloadable(artifact: Artifact, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"{artifact.path}: the engine cannot load it ({reason}); export it again"
