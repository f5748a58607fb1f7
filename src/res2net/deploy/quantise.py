"""int8 by NNCF's post-training quantisation, and the error that it causes in each layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from res2net.deploy.engine import Images, Mixable, Pixels, Quantisable, Run
from res2net.deploy.program import INPUT
from res2net.deploy.quiet import quietly
from res2net.runtime.engines import openvino_core

MIXING = ("openvino", "onnx")  # engines that can mix float and int8 layers
SENSITIVITY_IMAGES = 8  # for the figures of single layers
Item = tuple[dict[str, Pixels], int]  # one image by the input's name, and its class
Checked = tuple[dict[str, Pixels], int, int]  # one image, eager's class, its own class


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensitivity:
    """How much a layer's output changes when the network is quantised."""

    layer: str
    error: float  # relative L2 to the same layer in fp32, errors of earlier layers included


def quantise(
    model: Any, calibration: Images, *, overflow_safe: bool = False, ignored: str = ""
) -> Any:
    """Weights and activations of 8 bits, with ranges from the calibration images.

    Args:
        overflow_safe: keep weights within 7 bits, so that two products fit into 16.
        ignored: operations whose names begin with this pattern stay in float.
    """
    items = [item for item, _ in _items(calibration)]
    return quantise_on(model, items, overflow_safe=overflow_safe, ignored=ignored)


def quantise_on(model: Any, items: Sequence[Any], *, overflow_safe: bool, ignored: str = "") -> Any:
    """As ``quantise``, with ranges from the model's own inputs."""
    with quietly(), _one_core():
        import nncf

        return nncf.quantize(
            model,
            nncf.Dataset(items),
            subset_size=len(items),
            ignored_scope=nncf.IgnoredScope(patterns=[ignored]) if ignored else None,
            advanced_parameters=_advanced(overflow_safe),
        )


def _advanced(overflow_safe: bool) -> Any:
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    return AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if overflow_safe else None
    )


def quantise_with_control(
    engine: Mixable,
    model: Any,
    calibration: Images,
    checked: Images,
    reference: Run,
    *,
    agreement: float,
    max_drop: float,
    overflow_safe: bool = False,
) -> Any:
    """As ``quantise``, then layers are returned to float, the worst first, until both gates hold.

    Args:
        checked: images of the gates.
        reference: eager, whose top-1 class is the reference.
        agreement: least share of images with eager's top-1 class, 0..1.
        max_drop: largest drop of top-1 accuracy, 0..1; ignored without labels.

    Returns:
        The model; or its best attempt, if NNCF found none that passes.
    """
    items = [
        ({INPUT: image[None]}, int(expected), int(label))
        for images, labels in checked.batches()
        for image, expected, label in zip(
            images, reference(images)[0].argmax(1), labels, strict=True
        )
    ]

    def validate(candidate: Any, data: Iterable[Checked]) -> tuple[float, list[float]]:
        run = engine.run_of(candidate)
        kept, lost = [], 0
        for item, expected, label in data:
            found = int(run(item[INPUT])[0].argmax())
            kept.append(float(found == expected))
            lost += checked.labelled * ((expected == label) - (found == label))
        changed = 1 - sum(kept) / len(kept)
        used = max(changed / (1 - agreement), lost / len(kept) / max(max_drop, 1e-9))
        return 1 - max(0.0, used - 1), kept  # 1: both gates hold, by any margin

    with quietly(), _one_core():
        import nncf

        inputs = [item for item, _ in _items(calibration)]
        return nncf.quantize_with_accuracy_control(
            model,
            nncf.Dataset(inputs),
            nncf.Dataset(items, lambda item: item[0]),
            validate,
            max_drop=1e-6,
            subset_size=len(inputs),
            advanced_quantization_parameters=_advanced(overflow_safe),
        )


def sensitivity(
    engine: Quantisable, model: Any, quantised: Any, pictures: Images
) -> list[Sensitivity]:
    """Every convolution and matrix product, by decreasing error."""
    kept = set(engine.layers(quantised))
    names = [name for name in engine.layers(model) if name in kept]
    plain, rounded = engine.run_layers(model, names), engine.run_layers(quantised, names)
    errors, norms = np.zeros(len(names)), np.zeros(len(names))
    images = [item[INPUT] for item, _ in _items(pictures, SENSITIVITY_IMAGES)]
    for image in images:
        for i, (a, b) in enumerate(zip(plain(image), rounded(image), strict=True)):
            wanted = a.astype(np.float64)
            errors[i] += np.square(b - wanted).sum()
            norms[i] += np.square(wanted).sum()
    ratios = np.sqrt(errors / np.maximum(norms, np.finfo(np.float64).tiny))
    order = np.argsort(-ratios, kind="stable")
    return [Sensitivity(layer=names[i], error=float(ratios[i])) for i in order]


@contextmanager
def _one_core() -> Iterator[None]:
    """NNCF opens OpenVINO for every model; ``openvino_core`` explains why one must be shared."""
    if find_spec("openvino") is None:
        yield
        return
    import openvino

    ours = openvino_core()
    theirs = openvino.Core, openvino.compile_model
    openvino.Core, openvino.compile_model = lambda: ours, ours.compile_model
    try:
        yield
    finally:
        openvino.Core, openvino.compile_model = theirs


def _items(pictures: Images, most: int | None = None) -> Sequence[Item]:
    """Single images (1, S, S, 3) with their classes."""
    found: list[Item] = []
    for images, labels in pictures.batches():
        found += [({INPUT: x[None]}, int(y)) for x, y in zip(images, labels, strict=True)]
        if most is not None and len(found) >= most:
            break
    return found[:most]
