"""What counts as agreement."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from res2net.data.labelled import Split
from res2net.data.preprocess import default_preprocess
from res2net.deploy.pictures import Pictures
from res2net.deploy.targets import find_target
from res2net.deploy.verify import Difference, Verification, compare, faults, largest
from res2net.tasks.deployed import Compared, Comparison

WANTED = np.array([[3.0, 4.0], [0.0, 2.0], [6.0, 0.0]], np.float32)  # classes 1, 1, 0


def _pictures(count: int, labels: list[int] | None = None) -> Pictures:
    images = np.zeros((count, 40, 40, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(count)  # tells the stand-ins which image they see
    return Pictures(
        origin="made by hand",
        split=Split(images=images, labels=np.array(labels or [0] * count)),
        labelled=labels is not None,
        preprocess=default_preprocess(40, native_size=40),
    )


def _giving(values: np.ndarray):
    return lambda images: [values[images[:, 0, 0, 0]]]


def test_by_hand():
    found = WANTED + np.array([[0.0, 0.5], [0.0, 0.0], [0.0, 6.5]], np.float32)  # 1, 1, 1
    result = compare(_giving(WANTED), _giving(found), ["logits"], _pictures(3, [1, 0, 0]))
    logits = result.outputs["logits"]
    assert logits.overall == pytest.approx(math.sqrt((0.25 + 42.25) / (25 + 4 + 36)))
    assert logits.worst == pytest.approx(6.5 / 6)
    assert result.agreement == pytest.approx(2 / 3)
    assert result.eager_score == pytest.approx(200 / 3)
    assert result.exported_score == pytest.approx(100 / 3)
    assert result.drop == pytest.approx(100 / 3)
    assert result.images == 3


def test_batches_change_nothing():
    chance = np.random.default_rng(0)
    wanted = chance.normal(size=(19, 4)).astype(np.float32)
    found = wanted + chance.normal(size=(19, 4)).astype(np.float32) / 10
    result = compare(_giving(wanted), _giving(found), ["logits"], _pictures(19))
    ratio = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert result.outputs["logits"].overall == pytest.approx(ratio, rel=1e-6)
    assert result.agreement == (found.argmax(1) == wanted.argmax(1)).mean()
    assert result.eager_score is None  # nobody said which class is right


def _finds(things: list[int], shares: list[float]) -> Comparison:
    """A comparison with made-up results for the images in order."""

    def of(wanted, found):
        return Compared(wanted, found, np.array(shares), np.array(things))

    return Comparison(what="detections, found again", least=0.99, of=of)


def test_images_in_which_nothing_is_found_do_not_count():
    comparison = _finds([0, 4, 2], [0.0, 0.5, 1.0])
    result = compare(
        _giving(WANTED), _giving(WANTED), ["boxes"], _pictures(3), comparison=comparison
    )
    assert (result.agreement, result.found_in, result.images) == (0.75, 2, 3)
    assert result.blank == "Images without results, which do not count: 1."
    assert result.as_dict()["found_in"] == 2


def test_nothing_found_at_all_is_no_agreement():
    result = compare(
        *(_giving(WANTED), _giving(WANTED), ["boxes"], _pictures(3)),
        comparison=_finds([0, 0, 0], [1.0, 1.0, 1.0]),
    )
    assert result.agreement is None
    assert result.blank.startswith("None of them has results, so agreement (detections,")
    assert result.as_dict()["agreement"] is None
    assert result.as_dict()["agreed_on"] is None


def test_classes_are_found_in_every_image():
    result = compare(_giving(WANTED), _giving(WANTED), ["logits"], _pictures(3))
    assert (result.found_in, result.blank) == (3, "")


def test_maps_have_no_classes():
    result = compare(_giving(WANTED), _giving(WANTED), ["c2"], _pictures(3))
    assert result.agreement is None
    assert result.outputs == {"c2": Difference(overall=0, worst=0)}


def test_an_output_of_zeros_must_be_met_exactly():
    nothing, something = np.zeros((3, 2), np.float32), np.full((3, 2), 1e-9, np.float32)
    pictures = _pictures(3)
    assert compare(_giving(nothing), _giving(nothing), ["c2"], pictures).outputs["c2"].overall == 0
    met = compare(_giving(nothing), _giving(something), ["c2"], pictures).outputs["c2"]
    assert met.overall == math.inf


def _found(
    error: float, agreement: float | None = 1.0, drop: float | None = 0.0, score: str = "top1"
) -> Verification:
    return Verification(
        images=200,
        origin="",
        outputs={"logits": Difference(overall=error, worst=error)},
        agreement=agreement,
        eager_score=None if drop is None else 90.0,
        exported_score=None if drop is None else 90.0 - drop,
        score=score,
    )


@pytest.mark.parametrize(
    ("engine", "precision", "found", "trained", "words"),
    [
        ("openvino", "fp32", _found(9e-6), True, []),
        ("openvino", "fp32", _found(2e-5), True, ["2.0e-05", "the limit is 1e-05"]),
        ("openvino", "fp32", _found(math.nan), False, ["not finite"]),
        ("openvino", "bf16", _found(1.9e-2), True, []),
        ("openvino", "bf16", _found(1e-3, 0.985), True, ["98.5 % of 200 images", "99 %"]),
        ("openvino", "bf16", _found(1e-3, 0.1), False, []),  # one class for all: says nothing
        ("torch-export", "bf16", _found(3e-2, 0.1), False, ["the limit is 2e-02"]),
        ("onnx", "int8", _found(0.3, 0.99, 0.5), True, []),
        ("onnx", "int8", _found(0.3, 0.99, 0.6), True, ["0.60 points", "--max-drop allows 0.5"]),
        ("onnx", "int8", _found(0.3, 0.9, None), True, ["90.0 %"]),
        ("openvino", "int8", _found(0.3, 0.2, 0.4, "ap"), True, []),  # the AP is what counts
        ("openvino", "int8", _found(0.3, 1, 0.6, "ap"), True, ["AP of boxes falls by 0.60 points"]),
        ("openvino", "int8", _found(0.19, None, None), True, []),
        ("openvino", "int8", _found(0.21, None, None), True, ["the limit is 2e-01"]),  # maps
    ],
)
def test_gates(engine, precision, found, trained, words):
    wrong = faults(found, find_target(engine, precision), trained=trained, max_drop=0.5)
    assert bool(wrong) == bool(words)
    for word in words:
        assert word in "; ".join(wrong)


class _Between(nn.Module):
    """Large inside, small outside."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = images[:, 0, 0, :1].float()
        return ((x * -self.factor) + x).relu(), x


@pytest.mark.parametrize("factor", [100.0, float("nan"), float("inf")])
def test_the_largest_value_is_found_inside_of_a_network_and_in_any_image(factor):
    found = largest(_Between(factor), _pictures(6))  # whose first pixels are 0 to 5
    wanted = 5 * factor if math.isfinite(factor) else float("nan")  # 0 times infinity
    assert found == pytest.approx(wanted, nan_ok=True)
