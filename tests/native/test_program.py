"""The file: what is written is read; what is damaged is refused, by the reader or the library."""

from __future__ import annotations

import contextlib
import copy
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from res2net.deploy.native_walk import walk
from res2net.errors import UserError
from res2net.models.factory import create_model
from res2net.native.network import NativeNetwork
from res2net.native.program import NativeProgram, fastest

from .conftest import ENOUGH, random_images


@pytest.fixture
def program(folded) -> NativeProgram:
    torch.manual_seed(0)
    return walk(folded(create_model("res2net26_small", num_classes=3)))


def test_a_file_and_back(program, tmp_path):
    here = {"processor": "x", "level": "full", "threads": 2}
    program.milliseconds = {"bf16": {"native": 2.0, "openvino": 1.0}}
    program.exported_on = here
    path = tmp_path / "model.r2n"
    path.write_bytes(program.to_bytes())
    found = NativeProgram.read(path)
    assert found.ops == program.ops
    assert found.milliseconds == program.milliseconds
    for name, array in program.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], array)
    assert found.exported_on == here
    assert fastest(path, "bf16", here) == "openvino"
    assert fastest(path, "bf16", {**here, "threads": 3}) is None  # elsewhere
    assert fastest(path, "fp32", here) is None  # nothing was measured


@pytest.mark.parametrize("cut", [0, 5, 1000, -1])
def test_a_damaged_file(program, tmp_path, cut):
    path = tmp_path / "model.r2n"
    path.write_bytes(program.to_bytes()[:cut])
    with pytest.raises(UserError, match="damaged"):
        NativeProgram.read(path)


def test_a_plan_of_any_other_kind_is_told(program, tmp_path, spoilt):
    path = tmp_path / "model.r2n"
    plan = {name: getattr(program, name)[:2] for name in ("buffers", "vectors", "ops", "outputs")}
    plan["milliseconds"] = {"bf16": {"native": 2.0}}
    for values in spoilt(plan):
        metadata = {"r2n": "1", "program": json.dumps(values)}
        path.write_bytes(save({"x": np.zeros(1)}, metadata=metadata))
        for read in (NativeProgram.read, lambda path: fastest(path, "bf16", {})):
            with contextlib.suppress(UserError):
                read(path)


def test_a_plan_nested_too_deep_is_told(tmp_path):
    path = tmp_path / "model.r2n"
    path.write_bytes(save({"x": np.zeros(1)}, metadata={"r2n": "1", "program": "[" * 100_000}))
    for read in (NativeProgram.read, lambda path: fastest(path, "bf16", {})):
        with pytest.raises(UserError, match="damaged"):
            read(path)


def _first(program: NativeProgram, kind: str) -> dict:
    return next(op for op in reversed(program.ops) if op["op"] == kind)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("conv", {"input": 999}, "no such buffer"),
        ("conv", {"output": -3}, "no such buffer"),
        ("conv", {"output_channel": 1}, "writes channels"),
        ("conv", {"channels": 7}, "is float32"),
        ("conv", {"kernel": 3}, "is float32"),
        ("conv", {"stride": 0}, "out of range"),
        ("conv", {"residual": 0}, "changes the type|not there"),
        ("conv", {"weights": "nothing"}, "damaged"),
        ("conv", {"outputs": "many"}, "damaged|is float32"),
        ("pool", {"kernel": 100}, "out of range"),
        ("pool", {"channels": 4000}, "not there"),
        ("linear", {"output": 0}, "is float32"),
        ("mean", {"output": 1}, "another size"),
    ],
)
def test_operations_that_do_not_fit(program, kind, change, said):
    wrong = copy.copy(program)
    wrong.ops = copy.deepcopy(program.ops)
    _first(wrong, kind).update(change)
    with pytest.raises(ValueError, match=said):
        NativeNetwork(wrong, ENOUGH, 1)


@pytest.mark.usefixtures("engine")
def test_maps_that_do_not_fit_are_found_when_sizes_are_known(program):
    wrong = copy.copy(program)
    wrong.ops = copy.deepcopy(program.ops)
    next(op for op in wrong.ops if op.get("kernel") == 3 and op["op"] == "conv")["stride"] = 3
    network = NativeNetwork(wrong, ENOUGH, 1)
    with pytest.raises(ValueError, match="size"):
        network(random_images(1, 64, 64))
