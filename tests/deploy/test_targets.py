"""Engines and precisions."""

from __future__ import annotations

import pytest

from res2net.deploy import targets
from res2net.deploy.targets import TARGETS, check_installed, find_target
from res2net.errors import UserError


def test_the_choices_are_those_of_the_contract():
    has: dict[str, list[str]] = {}
    for engine, precision in TARGETS:
        has.setdefault(engine, []).append(precision)
    assert has == {
        "openvino": ["fp32", "bf16", "int8"],
        "onnx": ["fp32", "fp16", "int8"],
        "torch-export": ["fp32", "bf16"],
        "aoti": ["fp32", "bf16", "fp16"],
        "native": ["fp32", "bf16", "int8"],
        "coreml": ["fp32", "fp16"],
    }


@pytest.mark.parametrize(
    ("precision", "tolerance", "agreement"),
    [("fp32", 1e-5, None), ("bf16", 2e-2, 0.99), ("fp16", 5e-3, 0.99), ("int8", None, 0.99)],
)
def test_one_precision_has_the_same_gates_on_every_engine(precision, tolerance, agreement):
    gates = {(t.tolerance, t.agreement) for t in TARGETS.values() if t.precision == precision}
    assert gates == {(tolerance, agreement)}


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        ("openvin", "fp32", "--to openvin: no such engine. Did you mean 'openvino'? It can be"),
        ("onnx", "bf16", "--precision bf16: --to onnx supports fp32, fp16, int8; bf16 is for open"),
        ("torch-export", "int8", "--to torch-export supports fp32, bf16; int8 is for openvino"),
        ("onnx", "int4", "--precision int4: --to onnx supports fp32, fp16, int8"),
        ("openvino", "fp16", "--to openvino supports fp32, bf16, int8; fp16 is for onnx, aoti"),
        ("native", "fp16", "--to native supports fp32, bf16, int8; fp16 is for onnx, aoti"),
    ],
)
def test_others_are_refused_with_the_choices(engine, precision, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        find_target(engine, precision)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(targets, "find_spec", lambda name: None if name == "nncf" else object())
    check_installed(find_target("openvino", "fp32"))
    with pytest.raises(UserError, match=r"needs nncf: pip install 'res2net\[deploy\]'"):
        check_installed(find_target("openvino", "int8"))


@pytest.mark.parametrize("gpu", [True, False])
def test_machine_code_in_fp16_needs_a_gpu(monkeypatch, gpu):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    check_installed(find_target("aoti", "bf16"))
    if gpu:
        check_installed(find_target("aoti", "fp16"))
        return
    with pytest.raises(UserError, match="^--to aoti: precision fp16 needs a GPU; use bf16 or fp32"):
        check_installed(find_target("aoti", "fp16"))
