"""Which engine supports which precision: one entry each. No engine is imported here, no torch.

fp32 is the default everywhere: an artifact then reproduces the numbers of training on any machine.
bf16, fp16 and int8 trade numbers for speed, so they have to be requested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from res2net.errors import UserError, did_you_mean
from res2net.native.binding import unsupported_reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A target of an export: engine and precision."""

    engine: str
    precision: str
    file: str  # file of the model in the artifact folder
    needs: tuple[str, ...]  # packages that write and run it
    tolerance: float | None  # relative L2 of an output against eager fp32; None: gated by accuracy
    agreement: float | None = None  # least share of images with eager's top-1 class


_OPENVINO = ("model.xml", ("openvino",))
_ONNX = ("model.onnx", ("onnx", "onnxscript", "onnxruntime"))
_TORCH = ("model.pt2", ())
_COREML = ("model.mlpackage", ("coremltools",))
_NATIVE = ("model.r2n", ("openvino",))  # OpenVINO runs where our engine cannot
# engine, precision → (file, packages), tolerance, agreement (the contract, "Parity, in numbers");
# fp16's tolerance is our own: it rounds eight times as finely as bf16, whose gate is 2e-2
_ROWS: tuple[tuple[str, str, tuple[str, tuple[str, ...]], float | None, float | None], ...] = (
    ("openvino", "fp32", _OPENVINO, 1e-5, None),
    ("openvino", "bf16", _OPENVINO, 2e-2, 0.99),
    ("openvino", "int8", ("model.xml", ("openvino", "nncf")), None, 0.99),
    ("onnx", "fp32", _ONNX, 1e-5, None),
    ("onnx", "fp16", _ONNX, 5e-3, 0.99),
    ("onnx", "int8", ("model.onnx", ("onnx", "onnxscript", "onnxruntime", "nncf")), None, 0.99),
    ("torch-export", "fp32", _TORCH, 1e-5, None),
    ("torch-export", "bf16", _TORCH, 2e-2, 0.99),
    ("aoti", "fp32", _TORCH, 1e-5, None),
    ("aoti", "bf16", _TORCH, 2e-2, 0.99),
    ("aoti", "fp16", _TORCH, 5e-3, 0.99),
    ("native", "fp32", _NATIVE, 1e-5, None),
    ("native", "bf16", _NATIVE, 2e-2, 0.99),
    ("native", "int8", ("model.r2n", ("openvino", "nncf")), None, 0.99),
    ("coreml", "fp32", _COREML, 1e-5, None),  # it cannot be run: its structure is checked
    ("coreml", "fp16", _COREML, 5e-3, 0.99),
)
TARGETS: dict[tuple[str, str], Target] = {
    (engine, precision): Target(
        engine=engine,
        precision=precision,
        file=file,
        needs=needs,
        tolerance=tolerance,
        agreement=agreement,
    )
    for engine, precision, (file, needs), tolerance, agreement in _ROWS
}
ENGINES = tuple(dict.fromkeys(engine for engine, _ in TARGETS))
PRECISIONS = tuple(dict.fromkeys(precision for _, precision in TARGETS))


def find_target(engine: str, precision: str) -> Target:
    """The target of an engine and a precision.

    Raises:
        UserError: unsupported; the message lists the choices.
    """
    if engine not in ENGINES:
        raise UserError(
            f"--to {engine}: no such engine.{did_you_mean(engine, ENGINES)} "
            f"It can be {', '.join(ENGINES)}."
        )
    if (engine, precision) not in TARGETS:
        has = ", ".join(p for e, p in TARGETS if e == engine)
        others = [e for e, p in TARGETS if p == precision]
        also = f"; {precision} is for {', '.join(others)}" if others else ""
        raise UserError(f"--precision {precision}: --to {engine} supports {has}{also}")
    return TARGETS[engine, precision]


def check_offered(
    target: Target, offered: Sequence[tuple[str, str]], network: str, head: str
) -> None:
    """Refuse targets that a task's networks do not support.

    Raises:
        UserError: unsupported; the message lists the choices.
    """
    if (target.engine, target.precision) in offered:
        return
    choices = ", ".join(f"--to {engine} --precision {precision}" for engine, precision in offered)
    raise UserError(
        f"--to {target.engine} --precision {target.precision}: {network} is a {head}, whose number "
        f"of detections varies, which this target does not support; it can be {choices}"
    )


def check_installed(target: Target) -> None:
    """Refuse before any work if a package is missing, or if this machine cannot verify the result.

    Raises:
        UserError: names the missing package and its extra, or the other reason.
    """
    if target.engine == "native" and (reason := unsupported_reason(target.precision)) is not None:
        raise UserError(f"--to native: {reason}; use --to openvino")
    if (target.engine, target.precision) == ("aoti", "fp16"):
        import torch

        if not torch.cuda.is_available():
            raise UserError("--to aoti: precision fp16 needs a GPU; use bf16 or fp32 on a CPU")
    for package in target.needs:
        if find_spec(package) is None:
            extra = "coreml" if target.engine == "coreml" else "deploy"
            raise UserError(
                f"--to {target.engine} --precision {target.precision} needs {package}: "
                f"pip install 'res2net[{extra}]'"
            )
