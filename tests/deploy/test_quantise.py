"""int8: the ranking of layers, and the way back to float where accuracy asks for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest
import torch

from res2net import create_model
from res2net.data.labelled import Split
from res2net.data.preprocess import default_preprocess
from res2net.data.readers import read
from res2net.data.source import parse_source
from res2net.deploy import export as export_module
from res2net.deploy import openvino
from res2net.deploy import quantise as quantise_module
from res2net.deploy.engine import find_engine
from res2net.deploy.pictures import of_run, of_samples
from res2net.deploy.program import INPUT, Program
from res2net.deploy.quantise import quantise, quantise_with_control, sensitivity
from res2net.deploy.subject import open_subject
from res2net.deploy.verify import eager
from res2net.processor import bytes_saturate
from res2net.rewrite import fold_batchnorm
from res2net.runtime.engines import openvino_core


@pytest.fixture(scope="module")
def samples():
    return of_samples(default_preprocess(32))


@pytest.fixture(scope="module", params=["openvino", "onnx"])
def both(request, samples):
    """(engine, model, the same in int8) of a small network."""
    torch.manual_seed(0)
    net = create_model("res2net29_small", depth=11, num_classes=5).eval()
    engine = find_engine(request.param)
    model = engine.convert(Program(fold_batchnorm(net), samples.preprocess), (32, 32), 1)
    return engine, model, quantise(model, samples)


def test_every_layer_is_ranked(both, samples):
    engine, model, quantised = both
    layers = sensitivity(engine, model, quantised, samples)
    assert len(layers) == 1 + 3 * 4 + 1  # stem, blocks with their shortcuts, classifier
    assert {each.layer for each in layers} == set(engine.layers(model))
    errors = [each.error for each in layers]
    assert errors == sorted(errors, reverse=True)
    assert 0 < errors[-1] < errors[0] < 0.3


def test_a_model_beside_itself_has_no_error(both, samples):
    engine, model, _ = both
    assert {each.error for each in sensitivity(engine, model, model, samples)} == {0.0}


def test_layers_give_what_the_whole_model_gives(both, samples):
    """Two images' classifier outputs differ as their logits do: its bias cancels."""
    engine, model, _ = both
    images = next(samples.batches())[0]
    (logits,) = engine.run_of(_runnable(engine, model))(images)
    (products,) = engine.run_layers(model, engine.layers(model)[-1:])(images)
    np.testing.assert_allclose(logits - logits[0], products - products[0], atol=1e-5)
    assert np.abs(logits - logits[0]).max() > 1e-3


def _runnable(engine, model):
    """What ``run_of`` takes: OpenVINO's compiled, ONNX's as it is."""
    if engine is openvino:
        config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        return openvino_core().compile_model(model, "CPU", config)
    return model


def test_layers_go_back_to_float(samples):
    """Of a network whose logits lie so close together that int8 changes classes."""
    torch.manual_seed(0)
    net = create_model("res2net29_small", depth=11, width=4, num_classes=5).eval()
    digits = read(parse_source("digits")).val
    split = Split(images=digits.images[:120], labels=digits.labels[:120])
    images = np.concatenate([each for each, _ in replace(samples, split=split).batches()])
    reference = eager(net, samples.preprocess)
    with torch.no_grad():
        net.fc.bias -= torch.from_numpy(reference(images)[0].mean(0))
    model = openvino.convert(Program(fold_batchnorm(net), samples.preprocess), (32, 32), 1)
    whole = quantise(model, samples)

    def right(candidate, images):
        run = openvino.run_of(_runnable(openvino, candidate))
        found = np.concatenate([run(image[None])[0] for image in images])
        return found.argmax(1) == reference(images)[0].argmax(1)

    changed = ~right(whole, images)
    assert changed.any(), "full int8 changes no class"
    few = np.concatenate([np.flatnonzero(changed)[:1], np.flatnonzero(~changed)[:7]])
    split = Split(images=split.images[few], labels=split.labels[few])
    checked = replace(samples, split=split)
    mixed = quantise_with_control(
        openvino, model, samples, checked, reference, agreement=0.99, max_drop=1
    )
    assert right(mixed, images[few]).all()
    rounded = [
        sum(node.get_type_name() == "FakeQuantize" for node in each.get_ops())
        for each in (mixed, whole)
    ]
    assert 0 < rounded[0] < rounded[1]


@pytest.mark.slow
def test_layers_go_back_to_float_until_the_gates_hold(trained_run, tmp_path, monkeypatch):
    """Verified on the digits whose class full int8 changes, and on some others."""
    subject = open_subject(str(trained_run))
    calibration, checked = of_run(
        subject.run, subject.card.classes, subject.card.preprocess, most=359
    )
    program = Program(fold_batchnorm(subject.net), checked.preprocess)
    whole = openvino.run_of(
        _runnable(openvino, quantise(openvino.convert(program, (32, 32), 1), calibration))
    )
    reference = eager(subject.net, checked.preprocess)
    digits = read(parse_source("digits"))
    everything = Split(
        images=np.concatenate([digits.train.images, digits.val.images]),
        labels=np.concatenate([digits.train.labels, digits.val.labels]),
    )
    changed = [
        whole(images)[0].argmax(1) != reference(images)[0].argmax(1)
        for images, _ in replace(checked, split=everything).batches()
    ]
    hard = np.flatnonzero(np.concatenate(changed))[:2]
    assert len(hard), "full int8 changes no class: give it a smaller network"
    chosen = np.concatenate([hard, np.arange(38)])
    split = Split(images=everything.images[chosen], labels=everything.labels[chosen])
    monkeypatch.setattr(
        export_module, "of_run", lambda *_, **__: (calibration, replace(checked, split=split))
    )
    out = tmp_path / "out"
    with pytest.warns(UserWarning, match="with every layer in int8, 9.* keep their top-1 class"):
        done = export_module.export(str(trained_run), out, engine="openvino", precision="int8")
    assert done.verification.agreement == 1
    assert "left in float" in done.notes[0]
    assert done.notes[0] in (out / "report.md").read_text()


def test_nncf_uses_the_one_core_of_the_process() -> None:
    core = ov.Core
    with quantise_module._one_core():
        assert ov.Core() is openvino_core()
        assert ov.compile_model.__self__ is openvino_core()  # type: ignore[attr-defined]
    assert ov.Core is core


def test_weights_of_7_bits_sum_right_on_any_processor(samples):
    """White images and equal weights: every sum is the largest that there is."""
    taken = ov.opset13.parameter([1, 32, 32, 3], np.uint8, name=INPUT)
    floats = ov.opset13.convert(taken, np.float32)
    y = ov.opset13.transpose(floats, np.array([0, 3, 1, 2]))
    for channels in (3, 64):
        weights = np.full((64, channels, 1, 1), 1 / channels, np.float32)
        y = ov.opset13.convolution(y, weights, [1, 1], [0, 0], [0, 0], [1, 1])
        y = ov.opset13.relu(y)
    model = ov.Model([y], [taken])
    white = np.full((4, 32, 32, 3), 255, np.uint8)
    split = Split(images=white, labels=np.zeros(4, np.int64))
    found = {}
    for safe in (False, True):
        rounded = quantise(model, replace(samples, split=split), overflow_safe=safe)
        found[safe] = openvino.run_of(_runnable(openvino, rounded))(white[:1])[0]
    np.testing.assert_allclose(found[True], 255, rtol=0.02)
    if bytes_saturate():
        assert found[False].max() < 0.9 * 255
