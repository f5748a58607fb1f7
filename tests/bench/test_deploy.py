"""Every engine, precision and maker is timed as what it says it is."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from res2net.bench import deploy, engines
from res2net.bench.deploy import as_row, cases, draw_speeds, measure
from res2net.bench.engines import ENGINES, Case, has, prepare, runs_in
from res2net.capture import Captured
from res2net.drawing import canvas
from res2net.errors import UserError
from res2net.native.binding import unsupported_reason
from res2net.runtime.engines import openvino_has_bf16

REPEATED = ("onnxruntime", "int8")  # quantised as for OpenVINO; tests/deploy has both


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("engine", "precision", "maker"),
    [
        pytest.param(
            *(engine, precision, maker),
            marks=pytest.mark.slow
            if (maker == "timm" and precision != "fp32") or (engine, precision) == REPEATED
            else (),
        )
        for engine, precisions in ENGINES.items()
        for precision in precisions
        for maker in ("ours", "timm")
        if engine != "compiled"
    ],
)
def test_every_case_runs(engine: str, precision: str, maker: str) -> None:
    if engine == "native" and maker != "ours":
        assert not runs_in("resnet18", maker, engine, precision)
        return
    if engine == "native" and (reason := unsupported_reason(precision)) is not None:
        pytest.skip(f"no native engine: {reason}")
    prepare(Case("resnet18", maker, engine, precision, 2), 32)()


def test_what_a_maker_lacks_is_left_out() -> None:
    assert has("blres2net50", "ours")
    assert not has("blres2net50", "timm")
    assert not has("res2net50_26w_4s", "torchvision")
    assert not runs_in("dla60", "ours", "native", "fp32")
    assert not runs_in("resnet50", "timm", "native", "fp32")
    found = cases(["blres2net50"], makers=["ours", "timm"], engines=["openvino"])
    assert {(case.maker, case.precision) for case in found} == {
        ("ours", "fp32"),
        ("ours", "int8"),
        *([("ours", "bf16")] if openvino_has_bf16() else []),
    }


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"makers": ["mmdet"]}, "--makers mmdet: it can be ours"),
        ({"engines": ["tvm"]}, "--engines tvm: it can be eager"),
        ({"precisions": ["fp8"]}, "--precisions fp8: it can be fp32"),
        ({"makers": ["torchvision"]}, "torchvision has no res2net18"),
    ],
)
def test_unknown_names_are_refused(option: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cases(["res2net18"], **option)


def test_a_network_that_nobody_has_is_refused_beside_others() -> None:
    with pytest.raises(UserError, match="unknown model 'reznet18'.*resnet18"):
        cases(["resnet50", "reznet18"])
    assert {case.network for case in cases(["resnet50", "res2net18"])} == {"resnet50", "res2net18"}


@pytest.mark.parametrize("maker", ["ours", "timm"])
def test_norms_are_folded_for_every_maker_or_for_none(
    maker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[torch.nn.Module] = []
    monkeypatch.setattr(engines, "_in_torch", lambda _case, net, _size: made.append(net))
    for engine in ("eager", "captured"):
        prepare(Case("resnet18", maker, engine, "fp32", 1), 32)
    folded, captured = made
    assert not any(isinstance(each, torch.nn.BatchNorm2d) for each in folded.modules())
    assert isinstance(captured, Captured)
    plain = engines._network(Case("resnet18", maker, "eager-nchw", "fp32", 1))
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(folded(images), plain(images), atol=1e-4)


def test_captured_networks_need_a_gpu(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = cli("bench", "deploy", "--engines", "eager,captured", "--rounds", "1")
    assert (done.code, done.line) == (
        2,
        "--engines captured: needs a GPU, whose launches it records",
    )
    assert not runs_in("resnet18", "ours", "captured", "fp32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runs_in("resnet18", "timm", "captured", "bf16")


def test_ratios_are_to_what_their_names_say(tmp_path: Path) -> None:
    wanted = cases(["resnet50", "res2net18"], engines=["eager-nchw"], precisions=["fp32"])
    speeds = measure(wanted, size=32, rounds=3, lives=1)
    found = {(speed.case.network, speed.case.maker): speed for speed in speeds}
    assert {len(speed.timing.seconds) for speed in speeds} == {3}
    assert set(found["resnet50", "ours"].ratios) == {"over_timm", "over_timm_eager"}
    small = found["res2net18", "ours"].ratios
    assert set(small) == {"to_resnet50", "to_best_resnet50"}  # timm has no such network
    assert small["to_resnet50"].median < 1  # a third of the work
    assert small["to_best_resnet50"] == small["to_resnet50"]  # of one engine
    assert "over_timm" in found["resnet50", "torchvision"].ratios
    row = as_row(found["res2net18", "ours"])
    assert float(str(row["to_resnet50_q1"])) <= float(str(row["to_resnet50_q3"]))
    assert (row["over_timm"], row["over_timm_q1"]) == ("", "")
    assert row["timm"] == version("timm")
    draw_speeds([as_row(speed) for speed in speeds], tmp_path / "speed.png")
    assert (tmp_path / "speed.png").stat().st_size > 1000


@pytest.mark.parametrize("saturates", [True, False])
@pytest.mark.parametrize("maker", ["ours", "timm"])
def test_int8_has_the_form_that_export_gives_it_on_this_processor(monkeypatch, saturates, maker):
    given = []

    def quantise_on(model, items, *, overflow_safe):
        given.append((model, len(items), overflow_safe))
        return "in int8"

    monkeypatch.setattr(engines, "quantise_on", quantise_on)
    monkeypatch.setattr(engines, "bytes_saturate", lambda: saturates)
    case = Case("resnet18", maker, "openvino", "int8", 8)
    assert engines._quantised("in float", case, 32) == "in int8"
    assert given == [("in float", 2, saturates)]


def test_the_chart_ranks_engines_on_one_axis_with_the_makers_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(
        deploy, "add_axes", lambda *given: drawn.append(canvas.add_axes(*given)) or drawn[-1]
    )
    how = {"network": "res2net50_26w_4s", "precision": "fp32", "batch": 1, "size": 224, "n": 3}
    rows = [
        {**how, "maker": "ours", "engine": "eager", "median_ms": "90"},
        {**how, "maker": "timm", "engine": "eager", "median_ms": "95"},
        {**how, "maker": "ours", "engine": "native", "median_ms": "40"},
        {**how, "maker": "ours", "engine": "openvino", "median_ms": "50"},
        {**how, "maker": "timm", "engine": "openvino", "median_ms": "51"},
    ]
    rows += [{**how, "network": "res2net18", "maker": "ours", "engine": "eager", "median_ms": "99"}]
    draw_speeds(rows, tmp_path / "speed.png")
    assert len(drawn.pop().get_yticklabels()) == 4  # also the last, which has one bar of two
    draw_speeds(rows[:-1], tmp_path / "speed.png")
    (axes,) = drawn
    named = [label.get_text() for label in axes.get_yticklabels()]
    assert named == ["native fp32", "openvino fp32", "eager fp32"]
    assert [bar.get_width() for bar in axes.patches] == [40, 50, 90, 51, 51, 95]
    assert [each.get_text() for each in axes.texts][3:] == ["51.0 in openvino", "51.0", "95.0"]
    assert axes.get_xlim()[0] == 0
