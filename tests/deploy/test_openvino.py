"""What OpenVINO is given: the operations of a classifier, the objects of a detector."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import torch

from res2net import create_model
from res2net.data.preprocess import default_preprocess
from res2net.deploy import openvino
from res2net.deploy.program import Program
from res2net.deploy.quantise import sensitivity
from res2net.deploy.verify import eager
from res2net.heads.detector import make_detector
from res2net.rewrite import fold_batchnorm
from res2net.tasks.detect.graph import Detector, compare


def test_a_classifier_is_its_layers_and_the_normalisation_alone() -> None:
    network = fold_batchnorm(create_model("res2net26_small").eval())
    graph = openvino.convert(Program(network, default_preprocess(64)), (64, 64), 1)
    kinds = Counter(op.get_type_name() for op in graph.get_ops())
    layers = {"Convolution", "Relu", "Add", "VariadicSplit", "Concat", "AvgPool", "MaxPool"}
    ends = {"Parameter", "Result", "Constant", "ReduceMean", "MatMul"}
    assert {*kinds} - layers - ends == {"Convert", "Transpose", "Multiply"}  # bytes to the network
    assert [kinds[name] for name in ("Convert", "Transpose", "Multiply")] == [1, 1, 1]


class _Noise:
    """Two images for calibration."""

    origin, labelled, steps = "noise", False, 2

    def batches(self):
        chance = np.random.default_rng(1)
        for _ in range(2):
            yield chance.integers(0, 256, (1, 96, 96, 3), np.uint8), np.zeros(1, np.int64)


def test_int8_of_a_detector_rounds_its_layers_alone(tmp_path) -> None:
    """No box is rounded; layers on regions, whose number varies, are not ranked."""
    torch.manual_seed(0)
    model = make_detector("res2net18", 2, masks=True, channels=8, short_side=96, long_side=96)
    names = ("boxes", "scores", "labels", "masks")
    preprocess = default_preprocess(96)
    program = Program(Detector(model.eval()), preprocess, outputs=names, rows_vary=True)
    plain = openvino.convert(program, (96, 96), 1)
    found = openvino.quantised(plain, _Noise(), overflow_safe=False)
    takers = {
        port.get_node().get_friendly_name()
        for op in found.get_ops()
        if op.get_type_name() == "FakeQuantize"
        for port in op.output(0).get_target_inputs()
    }
    layers = {name for name in takers if not re.match(openvino.DECODING, name)}
    assert {name.split("/")[2] for name in layers} == {"backbone", "rpn", "roi_heads"}
    assert takers == layers
    layers = [each.layer for each in sensitivity(openvino, plain, found, _Noise())]
    assert len(layers) == len(openvino.layers(plain)) > 60
    assert not [name for name in layers if "roi_heads" in name]
    openvino.save(found, tmp_path / "model.xml", {})
    boxes, scores, labels, masks = openvino.load(tmp_path / "model.xml", "int8")(
        np.zeros((1, 96, 96, 3), np.uint8)
    )
    assert len(boxes) == len(scores) == len(labels) == len(masks) > 0


@pytest.mark.parametrize("least", [0.0, 2.0], ids=["many", "none"])
def test_a_detector_finds_what_eager_finds(tmp_path, least: float) -> None:
    torch.manual_seed(0)
    model = make_detector("res2net18", 2, masks=False, channels=8, short_side=96, long_side=96)
    model.roi_heads.score_thresh = least  # above 1: nothing is found
    preprocess = default_preprocess(96)
    names = ("boxes", "scores", "labels")
    graph = Detector(model.eval())
    program = Program(graph, preprocess, outputs=names, rows_vary=True)
    converted = openvino.convert(program, (96, 96), 1)
    openvino.save(converted, tmp_path / "model.xml", {})
    images = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3), np.uint8)
    found = openvino.load(tmp_path / "model.xml", "fp32")(images)
    result = compare(eager(graph, preprocess)(images), found)
    assert result.things.tolist() == ([0] if least > 1 else [200])
    assert least > 1 or result.shares.tolist() == [1]
    for one, other in zip(result.wanted, result.found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
