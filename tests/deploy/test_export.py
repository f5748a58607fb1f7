"""Artifact folders, really written, read back and compared, by every engine."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import pytest
import torch

from res2net.card import ModelCard
from res2net.data.preprocess import Preprocess, default_preprocess
from res2net.deploy.engine import find_engine
from res2net.deploy.export import _Work, about, export
from res2net.deploy.pictures import of_samples
from res2net.deploy.subject import open_subject
from res2net.deploy.targets import TARGETS
from res2net.errors import UserError
from res2net.native.binding import unsupported_reason
from res2net.paper.networks import NETWORKS
from res2net.paper.variant import ResNetVariant
from res2net.runtime.engines import openvino_core, openvino_has_bf16
from res2net.runtime.session import load
from res2net.tasks.table import find_task

FILES = {
    "openvino": {"model.xml", "model.bin"},
    "onnx": {"model.onnx"},
    "torch-export": {"model.pt2"},
    "aoti": {"model.pt2"},
    "native": {"model.r2n", "model.xml", "model.bin"},
}


@pytest.fixture(autouse=True)
def _few_images(monkeypatch):
    """NNCF's statistics of 300 images take longer than all else."""
    monkeypatch.setattr("res2net.deploy.pictures.CALIBRATION", 150)


@pytest.fixture(autouse=True)
def _offered(request):
    """The native engine runs on some processors, and for one family."""
    given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if given.get("engine") != "native":
        return
    if (reason := unsupported_reason(given.get("precision", "fp32"))) is not None:
        pytest.skip(f"no native engine: {reason}")


def _record(out):
    return json.loads((out / "model.json").read_text())["artifact"]


def _slow_to_compile(engine):
    return (pytest.mark.slow,) if engine == "aoti" else ()


@pytest.mark.parametrize(
    ("engine", "precision"),
    [pytest.param(*row, marks=_slow_to_compile(row[0])) for row in TARGETS if row[0] != "coreml"],
)
def test_a_trained_run(trained_run, tmp_path, monkeypatch, engine, precision):
    target = TARGETS[engine, precision]
    if (engine, precision) == ("aoti", "fp16") and not torch.cuda.is_available():
        pytest.skip("fp16 machine code needs a GPU")
    if precision == "int8":  # tests/deploy/test_quantise.py holds what a stricter one takes
        monkeypatch.setitem(TARGETS, (engine, precision), replace(target, agreement=0.9))
    out = tmp_path / "out"
    drop = 5 if precision == "int8" else None
    done = export(
        *(str(trained_run), out), engine=engine, precision=precision, max_drop=drop, val_images=120
    )
    assert {p.name for p in out.iterdir()} == {
        *FILES[engine],
        *("model.json", "report.md"),
        *(("sensitivity.csv",) if precision == "int8" else ()),
    }
    assert [p.name for p in tmp_path.iterdir()] == ["out"]  # nothing is left beside it
    record = _record(out)
    assert (record["engine"], record["precision"]) == (engine, precision)
    assert record["file"] in FILES[engine]
    assert record["files"] == {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in FILES[engine]
    }
    shape = {"batch": 1, "height": 32, "width": 32}
    assert record["input"] == {"name": "images", "layout": "NHWC", "dtype": "uint8", **shape}
    assert record["outputs"] == [{"name": "logits"}]
    assert record["structure_only"] is False
    weights = (trained_run / "model.safetensors").read_bytes()
    assert record["source"]["sha256"] == hashlib.sha256(weights).hexdigest()
    content = json.loads((out / "model.json").read_text())
    del content["artifact"]
    assert ModelCard.from_dict(content, "") == ModelCard.read(trained_run / "model.json")

    found = done.verification
    assert found.images == 120
    assert found.agreement is not None
    assert found.eager_score is not None
    assert found.eager_score > 70  # a network that has learnt something
    most = {"fp32": 1e-5, "bf16": 2e-2, "fp16": 5e-3, "int8": 0.3}[precision]
    least = {"fp32": 0, "bf16": 1e-4, "fp16": 1e-5, "int8": 1e-3}[precision]  # it did change
    if (engine, precision) == ("openvino", "bf16") and not openvino_has_bf16():
        least = 0
        assert "OpenVINO runs it in float32 here" in "".join(done.notes)
    assert least <= found.outputs["logits"].overall < most
    assert record["verification"] == found.as_dict()
    if engine != "torch-export":  # what users run gives what was verified
        runtime = load(out, threads=1, engine=engine)
        assert runtime.classes == ModelCard.read(trained_run / "model.json").classes
        images = next(of_samples(runtime.preprocess).batches())[0]
        verified = find_engine(engine).load(out / record["file"], precision)(images)[0]
        np.testing.assert_allclose(runtime(images), verified, rtol=1e-4, atol=1e-4)
    report = (out / "report.md").read_text()
    assert f"{100 * found.agreement:.2f} %" in report
    assert ("most affected by int8" in report) == (precision == "int8")


@pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=_slow_to_compile(name)) for name in FILES]
)
def test_maps_of_a_backbone_at_an_odd_size(tmp_path, engine):
    """Any number of images at once, whose maps do not depend on the others."""
    out = tmp_path / "out"
    done = export(
        "res2net18", out, engine=engine, size=33, dynamic_batch=True, features=("c3", "c1")
    )
    assert list(done.verification.outputs) == ["c3", "c1"]
    assert done.verification.agreement is None
    record = _record(out)
    assert record["structure_only"] is True
    assert "Structure only" in (out / "report.md").read_text()
    assert record["input"]["batch"] is None
    assert record["outputs"] == [
        {"name": "c3", "channels": 128, "stride": 8},
        {"name": "c1", "channels": 64, "stride": 2},
    ]
    run = find_engine(engine).load(out / done.target.file, "fp32")
    images = next(of_samples(default_preprocess(33)).batches())[0]
    together, one = run(images), run(images[3:4])
    assert [y.shape for y in together] == [(8, 128, 5, 5), (8, 64, 17, 17)]
    for many, single in zip(together, one, strict=True):
        np.testing.assert_allclose(many[3:4], single, rtol=1e-4, atol=1e-4)
    if engine == "openvino":
        model = openvino_core().read_model(out / "model.xml")
        assert model.input("images").element_type == ov.Type.u8
        assert [port.any_name for port in model.outputs] == ["c3", "c1"]
    if engine == "onnx":
        session = onnxruntime.InferenceSession(out / "model.onnx")
        assert [(i.name, i.type) for i in session.get_inputs()] == [("images", "tensor(uint8)")]
        assert [o.name for o in session.get_outputs()] == ["c3", "c1"]
        assert b"/res2net/" not in (out / "model.onnx").read_bytes()  # paths of source files


def test_images_of_ones_own(trained_run, photos, tmp_path):
    """Without labels the classes of eager are what counts."""
    out = tmp_path / "out"
    done = export(str(trained_run), out, engine="onnx", images=photos)
    assert done.verification.images == 27  # all
    assert done.verification.eager_score is None
    assert done.verification.agreement == 1


def _held(engine, out):
    """The metadata in the file, as another program reads them."""
    if engine == "openvino":
        return openvino_core().read_model(out / "model.xml").get_rt_info("model_info").value
    props = {each.key: each.value for each in onnx.load(out / "model.onnx").metadata_props}
    assert all(key.startswith("model_info ") for key in props)
    return {key.removeprefix("model_info "): value for key, value in props.items()}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_the_file_itself_names_classes_and_preprocessing(
    trained_run, tmp_path, monkeypatch, engine, precision
):
    target = TARGETS[engine, precision]
    monkeypatch.setitem(TARGETS, (engine, precision), replace(target, agreement=0.5))
    monkeypatch.setattr("res2net.deploy.pictures.CALIBRATION", 20)
    out, drop = tmp_path / "out", 90 if precision == "int8" else None
    export(
        *(str(trained_run), out), engine=engine, precision=precision, max_drop=drop, val_images=20
    )
    held = _held(engine, out)
    card = ModelCard.read(trained_run / "model.json")
    assert tuple(json.loads(held["classes"])) == card.classes
    assert held["labels"].split() == list(card.classes)
    assert Preprocess.from_dict(json.loads(held["preprocess"])) == card.preprocess
    assert (held["model_type"], held["task"]) == ("Classification", "classify")
    others = {"mean_values", "scale_values", "reverse_input_channels"}
    assert not others & held.keys()  # the graph normalises RGB


def test_maps_of_a_backbone_are_no_classes(tmp_path):
    export("res2net18", tmp_path / "out", engine="openvino", size=33, features=("c2",))
    held = _held("openvino", tmp_path / "out")
    assert held["task"] == "features"
    assert not {"classes", "labels", "model_type"} & held.keys()


@pytest.mark.parametrize(
    ("name", "word"),
    [("red fox", "red_fox"), ("ein\N{NO-BREAK SPACE}Bär", "ein_Bär"), ("a\x01\n<&", "a__<&")],
)
def test_a_class_is_one_word_of_the_labels(tmp_path, name, word):
    subject = open_subject("res2net29_small", size=33)
    card = replace(subject.card, classes=("ant", name))
    held = about(replace(subject, card=card))
    assert json.loads(held["classes"]) == ["ant", name]
    assert held["labels"].split() == ["ant", word]
    port = ov.opset13.parameter([1], np.float32)
    model = ov.Model([ov.opset13.relu(port)], [port])
    find_engine("openvino").save(model, tmp_path / "model.xml", held)
    assert _held("openvino", tmp_path) == held


def test_a_checkpoint_is_a_target_and_an_artifact_is_none(trained_run, tmp_path):
    done = export(
        str(trained_run / "checkpoints/last.ckpt"), tmp_path / "o", engine="onnx", val_images=20
    )
    assert done.verification.agreement == 1
    with pytest.raises(UserError, match="o is already exported; export the"):
        export(str(tmp_path / "o"), tmp_path / "two", engine="onnx")


def test_fp16_of_onnx_is_in_the_file_between_uint8_and_float32(tmp_path):
    out = tmp_path / "out"
    done = export("res2net29_small", out, engine="onnx", precision="fp16", size=33)
    graph = onnx.load(out / "model.onnx").graph
    kind = onnx.TensorProto.DataType.Name
    held = [kind(each.data_type) for each in graph.initializer]
    assert set(held) == {"FLOAT16", "FLOAT", "INT64"}  # weights, normalisation, shapes
    assert held.count("FLOAT") == 2  # its scale and shift
    ports = [*graph.input, *graph.output]
    assert [kind(port.type.tensor_type.elem_type) for port in ports] == ["UINT8", "FLOAT"]
    (note,) = done.notes
    assert re.fullmatch(
        r"ONNX Runtime .*: the largest value is [\d,]+, float16 ends at 65,504", note
    )
    assert f"- {note}" in (out / "report.md").read_text()
    images = next(of_samples(default_preprocess(33)).batches())[0]
    first, second = (load(out, threads=1, engine=name)(images) for name in ("onnx", "openvino"))
    assert first.dtype == second.dtype == np.float32
    assert 0 < np.linalg.norm(second - first) < 5e-3 * np.linalg.norm(first)


def test_values_beyond_float16_are_refused(tmp_path, monkeypatch):
    """ONNX Runtime computes in float32 here, so what it gives would not show them."""
    monkeypatch.setattr("res2net.deploy.export.FLOAT16_MOST", 2.0)
    line = r"res2net29_small is not exported: it computes values of [\d.]+, and float16 ends at 2; "
    with pytest.raises(UserError, match=line + "use --precision fp32"):
        export("res2net29_small", tmp_path / "out", engine="onnx", precision="fp16", size=33)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("engine", "task", "here", "advice"),
    [
        ("openvino", "classify", True, "fp32 or bf16"),
        ("openvino", "classify", False, "fp32"),
        ("openvino", "detect", True, "fp32"),  # which are not exported in bf16
        ("native", "classify", True, "fp32 or bf16"),
        ("native", "classify", False, "fp32"),
        ("onnx", "classify", True, "fp32"),
    ],
)
def test_bf16_is_advised_where_it_is_offered_and_computed(engine, task, here, advice, monkeypatch):
    monkeypatch.setattr("res2net.deploy.export.openvino_has_bf16", lambda: here)
    reason = None if here else "no"
    monkeypatch.setattr("res2net.deploy.export.unsupported_reason", lambda _: reason)
    work = object.__new__(_Work)
    work.target = TARGETS[engine, "int8"]
    work.subject = SimpleNamespace(target="runs/a", task=find_task(task))
    with pytest.raises(UserError, match=f"; use --precision {advice}, more calibration images"):
        work.refuse(["too far"])


def test_a_failing_artifact_is_deleted(trained_run, tmp_path, monkeypatch):
    strict = replace(TARGETS["openvino", "fp32"], tolerance=1e-12)
    monkeypatch.setitem(TARGETS, ("openvino", "fp32"), strict)
    with pytest.raises(UserError, match=r"not exported: logits differs .* the limit is 1e-12"):
        export(str(trained_run), tmp_path / "out", engine="openvino", val_images=20)
    assert list(tmp_path.iterdir()) == []


def test_a_stop_leaves_nothing(trained_run, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(str(trained_run), tmp_path / "out", engine="onnx", val_images=20, track=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_its_data(trained_run, photos, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("data: digits", "data: folder:gone"))
    with pytest.raises(UserError, match="run's data cannot be read .*gone.*--images DIR"):
        export(str(run), tmp_path / "out", engine="onnx")
    (run / "config.yaml").unlink()
    with pytest.raises(UserError, match="no run folder around it .*--images DIR"):
        export(str(run), tmp_path / "out", engine="onnx")
    assert export(str(run), tmp_path / "out", engine="onnx", images=photos).trained


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "engine"),
    [
        (name, engine)
        for name, row in NETWORKS.items()
        for engine in FILES
        if engine != "aoti"  # minutes each
        if engine != "native" or isinstance(row, ResNetVariant)
    ],
)
def test_every_row(tmp_path, name, engine):
    size = {"inception_v3": 75}.get(name, 64 if NETWORKS[name].size > 32 else 32)
    done = export(name, tmp_path / "out", engine=engine, size=size)
    assert done.verification.outputs["logits"].overall <= 1e-5
    features = export(
        name, tmp_path / "maps", engine=engine, size=size, features=("c2", "c3"), dynamic_batch=True
    )
    assert list(features.verification.outputs) == ["c2", "c3"]
