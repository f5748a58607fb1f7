"""What OpenVINO is given: the operations of a classifier, the objects of a detector."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from res2net import create_model
from res2net.capture import fold_batchnorm
from res2net.data.preprocess import default_preprocess
from res2net.deploy import openvino
from res2net.deploy.program import Program
from res2net.deploy.verify import eager
from res2net.heads.detector import make_detector
from res2net.tasks.detect.graph import Detector, compare


def test_a_classifier_is_its_layers_and_the_normalisation_alone() -> None:
    network = fold_batchnorm(create_model("res2net26_small").eval())
    graph = openvino.convert(Program(network, default_preprocess(64)), (64, 64), 1)
    kinds = Counter(op.get_type_name() for op in graph.get_ops())
    layers = {"Convolution", "Relu", "Add", "VariadicSplit", "Concat", "AvgPool", "MaxPool"}
    ends = {"Parameter", "Result", "Constant", "ReduceMean", "MatMul"}
    assert {*kinds} - layers - ends == {"Convert", "Transpose", "Multiply"}  # bytes to the network
    assert [kinds[name] for name in ("Convert", "Transpose", "Multiply")] == [1, 1, 1]


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
