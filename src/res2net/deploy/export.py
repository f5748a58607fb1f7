"""From a network to an artifact folder: convert, quantise, verify, then put in place."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import torch

from res2net.card import CARD_NAME
from res2net.deploy import views
from res2net.deploy.engine import Engine, Images, Mixable, Quantisable, Run, Runnable, find_engine
from res2net.deploy.pictures import of_folder, of_run, of_samples
from res2net.deploy.program import INPUT, Program
from res2net.deploy.quantise import MIXING, Sensitivity, quantise_with_control, sensitivity
from res2net.deploy.report import as_csv, report
from res2net.deploy.subject import Subject, open_subject
from res2net.deploy.targets import TARGETS, Target, check_installed, find_target
from res2net.deploy.verify import SCORES, Track, Verification, compare, eager, faults, largest
from res2net.errors import UserError, printable_lines
from res2net.files import check_new, new_folder, write_error, write_text
from res2net.machine import hardware_bf16
from res2net.native.binding import unsupported_reason
from res2net.paper.tasks import CLASSIFY
from res2net.processor import bytes_saturate
from res2net.rewrite import fold_batchnorm
from res2net.runtime.engines import openvino_has_bf16
from res2net.tasks.network import Size

MAX_DROP = 0.5  # largest drop of top-1 accuracy or AP with int8, in points
_HIDES = {  # engine → why float16's range is measured apart
    "onnx": "ONNX Runtime computes float16 in float32 on most processors",
    "coreml": "Core ML was not run",
}
FLOAT16_MOST = torch.finfo(torch.float16).max
VAL_IMAGES, VAL_IMAGES_ANNOTATED = 1000, 100  # largest numbers of images to verify with
PACKAGES = ("res2net", "torch", "openvino", "nncf", "onnx", "onnxruntime", "coremltools")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An artifact that passed verification."""

    folder: Path
    target: Target
    verification: Verification
    trained: bool
    notes: tuple[str, ...]  # remarks on the export, in sentences


def export(
    name: str,
    out: Path,
    *,
    engine: str,
    precision: str = "fp32",
    size: Size | int | None = None,
    dynamic_batch: bool = False,
    features: Sequence[str] | None = None,
    images: Path | None = None,
    max_drop: float | None = None,
    val_images: int | None = None,
    overflow_safe: bool | None = None,
    track: Track | None = None,
) -> Exported:
    """Write the artifact folder ``out``, or nothing.

    Args:
        name: run folder, checkpoint, or the name of a model (structure only).
        engine, precision: an entry of ``res2net.deploy.targets``.
        size: side of the square input, or height and width (segmenters, detectors); None: the
            network's own.
        dynamic_batch: accept any batch size; else one image.
        features: levels to output as maps, instead of logits.
        images: folder of images to verify with, instead of the run's data: all of them; for int8
            every second one calibrates instead. int8 of a detector takes annotated images, as
            FORMAT:PATH.
        max_drop: largest drop with int8, in points, of a classifier's top-1 accuracy or a
            detector's AP; None: 0.5.
        val_images: largest number of images to verify with; None: all of ``images``, or 1,000 of a
            run's (100 annotated ones).
        overflow_safe: limit int8 weights to 7 bits, also correct on processors without VNNI;
            None: if this processor lacks it.

    Raises:
        UserError: a target that cannot be exported this way, images that cannot be read, or an
            artifact that does not agree with eager; nothing is written then.
    """
    target = find_target(engine, precision)
    check_installed(target)
    check_new(out, "--out")
    if val_images is not None and val_images < 1:
        raise UserError(f"--val-images is {val_images}; it must be at least 1")
    if max_drop is not None and not max_drop >= 0:
        raise UserError(f"--max-drop is {max_drop:g}; it is in points and must be at least 0")
    subject = open_subject(name, target, size=size, features=features)
    scored = _rows_vary(subject) or (subject.annotated is None and features is None)
    if max_drop is not None and not (scored and precision == "int8"):
        raise UserError(
            "--max-drop does not apply; it needs --precision int8 and a classifier or detector"
        )
    if overflow_safe is not None and precision != "int8":
        raise UserError("--overflow-safe does not apply here; it needs --precision int8")
    overflow_safe = bytes_saturate() if overflow_safe is None else overflow_safe
    if val_images is not None and not subject.trained and images is None:
        raise UserError("--val-images does not apply here; it needs a trained network, or --images")
    max_drop = MAX_DROP if max_drop is None else max_drop
    if dynamic_batch and _rows_vary(subject):
        raise UserError(
            "--dynamic-batch: a detector is exported for one image at a time, since the number of "
            "its boxes differs from image to image"
        )
    calibration, checked = _pictures(subject, target, images, val_images)
    reference = eager(subject.net, subject.card.preprocess)
    with new_folder(out, "--out") as folder:
        work = _Work(subject, target, folder, reference, checked, track)
        model = work.convert(None if dynamic_batch else 1)
        layers: list[Sensitivity] = []
        notes = _notes_on_bf16(target)
        if calibration is None:
            found = work.save_and_compare(model)
            work.refuse(work.faults(found, max_drop))
            if target.engine in _HIDES and precision == "fp16":
                notes.append(work.check_range())
        else:
            plain = model
            model, found, notes = work.quantise(model, calibration, max_drop, overflow_safe)
            notes += _notes_on_overflow(target, overflow_safe)
            layers = sensitivity(work.quantisable, plain, model, calibration)
            write_text(folder / "sensitivity.csv", as_csv(layers))
        _describe(work, model, found, layers, notes, batch=None if dynamic_batch else 1)
    return Exported(
        folder=out, target=target, verification=found, trained=subject.trained, notes=tuple(notes)
    )


class _Work:
    """The state of an export, for all its steps."""

    def __init__(
        self,
        subject: Subject,
        target: Target,
        folder: Path,
        reference: Run,
        checked: Images,
        track: Track | None,
    ) -> None:
        self.subject, self.target, self.folder = subject, target, folder
        self.reference, self.checked, self.track = reference, checked, track
        self.engine: Engine = find_engine(target.engine)
        dtype = torch.float32
        if target.precision == "fp16":
            dtype = torch.float16
        if target.engine in ("torch-export", "aoti") and target.precision == "bf16":
            dtype = torch.bfloat16  # the others set it when they load
        self.program = self.folded(dtype)
        self.files: tuple[str, ...] = ()
        self.scored: views.Views | None = None  # images that a score gates
        self.eager_score = 0.0

    def folded(self, dtype: torch.dtype) -> Program:
        """The exported network, computing in ``dtype``."""
        subject = self.subject
        return Program(
            fold_batchnorm(subject.net, subject.task.deployment.folded if subject.task else ""),
            subject.card.preprocess,
            outputs=[each["name"] for each in subject.outputs],
            rows_vary=_rows_vary(subject),
            dtype=dtype,
        )

    @property
    def quantisable(self) -> Quantisable:
        assert self.target.precision == "int8"
        return cast(Quantisable, self.engine)

    def convert(self, batch: int | None) -> Any:
        return self.engine.convert(self.program, self.subject.size, batch)

    def save_and_compare(self, model: Any) -> Verification:
        """Write the model and compare it with the original, an int8 detector also by its AP."""
        path = self.folder / self.target.file
        try:
            self.files = self.engine.save(model, path, about(self.subject))
        except OSError as error:
            raise write_error(error, path) from error
        if self.target.engine == "coreml":
            return self.unrun(path)
        run = cast(Runnable, self.engine).load(path, self.target.precision)
        found = compare(
            self.reference,
            run,
            self.program.outputs,
            self.checked,
            comparison=self.subject.comparison if self.subject.task else None,
            track=self.track,
        )
        if self.scored is None:
            return found
        score, value = self.scored.score(run)
        return replace(found, score=score, exported_score=value, eager_score=self.eager_score)

    def unrun(self, path: Path) -> Verification:
        """Check the structure of a model that this machine cannot run."""
        from res2net.deploy.coreml import structure

        said, wrong = structure(
            *(path, self.program, self.subject.size, self.target.precision, about(self.subject))
        )
        self.refuse(wrong)
        return Verification(
            images=0,
            origin="",
            outputs={},
            agreement=None,
            eager_score=None,
            exported_score=None,
            unrun=said,
        )

    def quantise(
        self, model: Any, calibration: Images, max_drop: float, overflow_safe: bool
    ) -> tuple[Any, Verification, list[str]]:
        """int8, with layers left in float if accuracy requires it."""
        if _rows_vary(self.subject):
            self.scored = cast(views.Views, self.checked)
            name, self.eager_score = self.scored.score(self.reference)
            if not self.eager_score:
                raise UserError(
                    f"{self.subject.target}: {SCORES[name]} is 0 on {self.checked.origin}, so int8 "
                    "cannot be checked; train it longer, or give other --images"
                )
        whole = self.quantisable.quantised(model, calibration, overflow_safe=overflow_safe)
        found = self.save_and_compare(whole)
        wrong = self.faults(found, max_drop)
        if not wrong:
            return whole, found, []
        # accuracy control needs classes of images
        by_class = found.agreement is not None and not self.subject.annotated
        if not by_class or self.target.engine not in MIXING:
            self.refuse(wrong)
        assert self.target.agreement is not None
        warnings.warn(
            f"with every layer in int8, {wrong[0]}; selecting layers to leave in float, which "
            "takes many passes over the images",
            stacklevel=2,
        )
        mixed = quantise_with_control(
            cast(Mixable, self.engine),
            model,
            calibration,
            self.checked,
            self.reference,
            agreement=self.target.agreement,
            max_drop=max_drop / 100,
            overflow_safe=overflow_safe,
        )
        found = self.save_and_compare(mixed)
        self.refuse(self.faults(found, max_drop))
        note = (
            f"With every layer in int8, {wrong[0]}; the worst layers are left in float. "
            "They were chosen on the verification images, so figures on new images may be lower."
        )
        return mixed, found, [note]

    def faults(self, found: Verification, max_drop: float) -> list[str]:
        return faults(
            found,
            self.target,
            trained=self.subject.trained,
            max_drop=max_drop,
            comparison=self.subject.comparison,
        )

    def check_range(self) -> str:
        """A sentence on the largest value; one beyond float16 stays hidden if that is not computed.

        Raises:
            UserError: it is beyond float16.
        """
        found = largest(self.folded(torch.float32), self.checked, track=self.track)
        if not found <= FLOAT16_MOST:
            self.refuse(
                [f"it computes values of {found:.3g}, and float16 ends at {FLOAT16_MOST:,.0f}"]
            )
        return (
            f"{_HIDES[self.target.engine]}, so the range was "
            f"measured apart: the largest value is {found:,.0f}, float16 ends at "
            f"{FLOAT16_MOST:,.0f}"
        )

    def refuse(self, wrong: Sequence[str]) -> None:
        """Raise an error for the faults found."""
        if not wrong:
            return
        also = " or bf16" if self.target.precision == "int8" and self.has_bf16() else ""
        advice = {
            "int8": f"use --precision fp32{also}, more calibration images, or a larger --max-drop",
            "bf16": "use --precision fp32",
            "fp16": "use --precision fp32",
            "fp32": "use another --to, and report this",
        }[self.target.precision]
        raise UserError(f"{self.subject.target} is not exported: {'; '.join(wrong)}; {advice}")

    def has_bf16(self) -> bool:
        """Whether an engine of int8 has bf16 too, for this network and in this processor."""
        engine, task = self.target.engine, self.subject.task
        offered = TARGETS if task is None else task.deployment.targets or TARGETS
        if (engine, "bf16") not in offered:
            return False
        return unsupported_reason("bf16") is None if engine == "native" else openvino_has_bf16()


def _pictures(
    subject: Subject, target: Target, images: Path | None, most: int | None
) -> tuple[Images | None, Images]:
    """(calibration images if int8, images to verify with)."""
    card, preprocess = subject.card, subject.card.preprocess
    calibration: Images | None
    checked: Images
    annotated, size, int8 = subject.annotated, subject.size, target.precision == "int8"
    if images is not None and annotated is not None and int8 and _rows_vary(subject):
        calibration, checked = views.of_annotated(str(images), annotated, card, size, most=most)
    elif images is not None and annotated is not None:
        calibration, checked = views.of_folder(
            images, annotated, card, size, most=most, calibrate=int8
        )
    elif images is not None:
        calibration, checked = of_folder(images, preprocess, most=most, calibrate=int8)
    elif subject.run is not None and annotated is not None:
        most = most or VAL_IMAGES_ANNOTATED
        calibration, checked = views.of_run(subject.run, annotated, card, size, most=most)
    elif subject.run is not None:
        most = most or VAL_IMAGES
        calibration, checked = of_run(subject.run, card.classes, preprocess, most=most)
    elif subject.trained:
        raise UserError(
            f"{subject.target}: no run folder around it states the images it was trained on; "
            "give images to verify with: --images DIR"
        )
    else:
        calibration, checked = None, of_samples(preprocess)
    if not int8:
        return None, checked
    if calibration is None:
        raise UserError(
            "--precision int8 needs calibration images, and a network's bare name has none; "
            "give a few hundred: --images DIR"
        )
    return calibration, checked


def about(subject: Subject) -> dict[str, str]:
    """The metadata in the model file, under the names that OpenVINO's Model API reads.

    It takes RGB images and must not have a mean or scale there: the graph normalises.
    """
    card = subject.card
    held = {
        "task": card.task,
        "network": card.network,
        "preprocess": json.dumps(card.preprocess.as_dict()),
    }
    if subject.task is not None:
        held["classes"] = json.dumps(card.classes)
        held["labels"] = " ".join(map(_word, card.classes))
    if subject.task is not None and card.task == CLASSIFY:
        held |= {"model_type": "Classification", "resize_type": "crop"}
    return held


def _word(name: str) -> str:
    """A class as Model API lists it: between spaces."""
    return "".join("_" if c.isspace() or not c.isprintable() else c for c in name) or "_"


def _rows_vary(subject: Subject) -> bool:
    return subject.task is not None and subject.task.deployment.rows_vary


def _describe(
    work: _Work,
    model: Any,
    found: Verification,
    layers: Sequence[Sensitivity],
    notes: Sequence[str],
    *,
    batch: int | None,
) -> None:
    """Write ``model.json`` and ``report.md``."""
    subject, target = work.subject, work.target
    card = subject.card
    record: dict[str, Any] = {
        "engine": target.engine,
        "precision": target.precision,
        "file": target.file,
        "files": {name: _sha256(work.folder / name) for name in work.files},
        "input": {
            "name": INPUT,
            "layout": "image" if target.engine == "coreml" else "NHWC",
            "dtype": "uint8",
            "batch": batch,
            "height": subject.size[0],
            "width": subject.size[1],
        },
        "outputs": list(subject.outputs),
        "opset": work.engine.opset(model),
        "versions": _versions(),
        "source": {"target": subject.target, "sha256": subject.sha256},
        "structure_only": not subject.trained,
        "verification": found.as_dict(),
    }
    content = {**card.as_dict(), "artifact": record}
    write_text(work.folder / CARD_NAME, json.dumps(content, indent=2) + "\n")
    write_text(
        work.folder / "report.md",
        printable_lines(report(card, record, subject.comparison, target, found, layers, notes)),
    )


def _notes_on_bf16(target: Target) -> list[str]:
    """Notes on bf16 artifacts where this processor computes in another way."""
    if target.precision != "bf16":
        return []
    lacks = "this processor has no bfloat16 instructions"
    if target.engine == "openvino" and not openvino_has_bf16():
        return [f"{lacks}: OpenVINO runs it in float32 here, and it was verified so"]
    if target.engine in ("torch-export", "aoti") and not hardware_bf16():
        return [f"{lacks}: PyTorch computes the same numbers, but slower than in float32"]
    return []


def _notes_on_overflow(target: Target, safe: bool) -> list[str]:
    """Notes on int8 artifacts for processors without VNNI."""
    others = "" if target.engine != "native" else " of OpenVINO's files"
    if safe:
        return [f"int8 weights{others} have 7 bits: processors without VNNI compute the same"]
    if bytes_saturate():
        return [
            f"this processor has no VNNI: large sums{others} saturate, also in the figures here"
        ]
    return []


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
