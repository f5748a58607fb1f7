"""``res2net export``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from res2net.cli.parser import Parser, read_options
from res2net.cli.progress import track
from res2net.cli.targets import check_targets
from res2net.deploy.targets import ENGINES, PRECISIONS, TARGETS, find_target
from res2net.errors import UserError

if TYPE_CHECKING:
    from res2net.deploy.export import Exported

EXAMPLES = (
    "res2net export runs/photos --to openvino --out photos-fast",
    "res2net export runs/photos --to openvino --precision int8 --out photos-int8",
    "res2net export runs/photos --to onnx --dynamic-batch --out photos-onnx",
    "res2net export res2net50_26w_4s --to openvino --features c2,c3,c4,c5 --out backbone",
)
_REMARKS = {
    "fp32": "; same numbers",
    "fp16": "; aoti on a GPU only",
    "int8": "; calibrates on images",
}


def make_parser() -> Parser:
    """All options of an export."""
    parser = Parser(
        "export RUN|CHECKPOINT|NAME --to ENGINE --out DIR [--option value ...]",
        "Export a trained network to a folder that runs fast and without PyTorch. The result is "
        "verified against the original on real images; if it differs too much, nothing is written. "
        "If unsure, use --to openvino, the fastest on CPUs; --precision int8 is about three times "
        "as fast as fp32, and its accuracy is checked.",
        EXAMPLES,
    )
    parser.add_argument(
        "target", type=str, help="run folder, checkpoint, or a network's name (structure only)"
    )
    parser.add_argument(
        "--to",
        type=str,
        help="openvino (CPUs), onnx (ONNX Runtime, nearly everywhere), coreml (Apple's devices; "
        "results are not verified), torch-export (PyTorch), aoti (machine code for this GPU or "
        "CPU, run by PyTorch), native (our own kernels for ResNet and Res2Net, with OpenVINO "
        "beside); required",
    )
    parser.add_argument(
        "--out",
        type=Path | None,
        help="folder to write, which must not exist yet; folders above it are made; required",
    )
    parser.add_argument(
        "--precision",
        type=str,
        default="fp32",
        help=", ".join(f"{each} ({_engines_of(each)})" for each in PRECISIONS),
    )
    parser.add_argument(
        "--size",
        type=str | None,
        help="input size in pixels; segmenters and detectors also HEIGHTxWIDTH; default: as in "
        "training",
    )
    parser.add_argument(
        "--dynamic-batch", action="store_true", help="accept any batch size; default: one image"
    )
    parser.add_argument(
        "--features",
        type=str | None,
        help="output the feature maps of these levels (c2,c3,c4,c5); default: classes",
    )
    parser.add_argument(
        "--images",
        type=Path | None,
        help="folder of images to verify with (all of them; for int8 every second one calibrates "
        "instead); int8 of a detector: annotated images, as FORMAT:PATH; default: the run's data",
    )
    parser.add_argument(
        "--max-drop",
        type=float | None,
        help="largest allowed drop with int8, in points, of a classifier's top-1 accuracy or a "
        "detector's AP; default: 0.5",
    )
    parser.add_argument(
        "--val-images",
        type=int | None,
        help="largest number of images to verify with; default: all of --images, else 1000 "
        "validation images for classifiers and 100 for other tasks",
    )
    parser.add_argument(
        "--overflow-safe",
        action="store_true",
        help="limit int8 weights to 7 bits, so that x86 processors without VNNI compute the same "
        "in OpenVINO and ONNX Runtime; default: if this processor lacks VNNI",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Export and print the verification."""
    options = read_options(make_parser(), argv)
    for name in ("to", "out"):
        if not options[name]:
            raise UserError(f"--{name} is missing; `res2net export --help` explains it")
    find_target(options.to, options.precision)
    check_targets(options.target)

    from res2net.deploy.export import export
    from res2net.machine import memory_mended_by

    with memory_mended_by("lower --size, or export on a machine with more memory"):
        done = export(
            options.target,
            options.out,
            engine=options.to,
            precision=options.precision,
            size=read_size(options.size),
            dynamic_batch=options.dynamic_batch,
            features=None if options.features is None else options.features.split(","),
            images=options.images,
            max_drop=options.max_drop,
            val_images=options.val_images,
            overflow_safe=options.overflow_safe or None,
            track=track,
        )
    print("\n".join(summary(done)))


def _engines_of(precision: str) -> str:
    engines = [engine for engine, own in TARGETS if own == precision]
    named = "all engines" if len(engines) == len(ENGINES) else ", ".join(engines)
    return f"{named}{_REMARKS.get(precision, '')}"


def read_size(text: str | None) -> tuple[int, int] | int | None:
    """What ``--size`` means: a side, or height and width.

    Raises:
        UserError: neither.
    """
    if text is None:
        return None
    sides = text.split("x")
    if len(sides) > 2 or not all(re.fullmatch("[0-9]{1,6}", side) for side in sides):
        raise UserError(f"--size: must be a whole number or HEIGHTxWIDTH, not {text!r}")
    return int(text) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def summary(done: Exported) -> list[str]:
    """What was written and how it compares with the original, in a few lines."""
    found = done.verification
    lines = [found.unrun or f"verified on {found.images} images: {found.origin}"]
    for name, each in found.outputs.items():
        lines.append(f"  {name}: relative L2 {each.overall:.1e} to PyTorch fp32")
    if found.blank and done.trained:
        lines.append(f"  {found.blank}")
    if not done.trained:
        lines.append("  structure only: the weights are random")
    elif found.agreement is not None:
        lines.append(f"  same {found.agreed_on}: {100 * found.agreement:.1f} %")
    if found.scores and done.trained:
        lines.append(f"  {found.scores}")
    return [*lines, *done.notes, f"written: {done.folder} (details in report.md)"]
