"""A captured network gives the numbers of the network as it was, whatever is recorded."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from unittest.mock import MagicMock

import pytest
import torch
from torch import nn

from res2net import create_model
from res2net.capture import Captured, Recording, capture, record_cuda
from res2net.errors import UserError
from res2net.nn.fused import FusedUnit


def _relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.fixture
def small(lively):
    return lively(create_model("res2net29_small", depth=11, num_classes=3)).float()


def _images(batch, side=16):
    return torch.randn(batch, 3, side, side)


@torch.inference_mode()
def test_a_batch_size_is_recorded_when_it_comes_again(small, tape):
    net = Captured(small, recorder=tape)
    for batch, made, replayed in (
        (4, [], []),
        (4, [4], [4, 4]),  # once to check the recording
        (3, [4], [4, 4, 4]),  # filled up
        (2, [4], [4, 4, 4, 4]),
        (1, [4], [4, 4, 4, 4]),  # less than half: as it is
        (1, [4, 1], [4, 4, 4, 4, 1, 1]),
        (3, [4, 1, 3], [4, 4, 4, 4, 1, 1, 3, 3]),
        (4, [4, 1, 3], [4, 4, 4, 4, 1, 1, 3, 3, 4]),
    ):
        images = _images(batch)
        torch.testing.assert_close(net(images), small(images), rtol=1e-4, atol=1e-4)
        assert (tape.made, tape.replayed) == (made, replayed)


@torch.inference_mode()
def test_results_are_not_written_over(small, tape):
    net = Captured(small, recorder=tape)
    one, two = _images(2), _images(2)
    net(one)
    kept = net(one)
    before = kept.clone()
    assert not torch.equal(net(two), before)
    assert torch.equal(kept, before)


@torch.inference_mode()
def test_results_of_a_compiled_network_are_not_written_over(small, monkeypatch):
    """The modes of ``torch.compile`` that record launches keep one memory for the results."""
    memory = torch.zeros(2, 3)
    monkeypatch.setattr(torch, "compile", lambda net, mode: lambda x: memory.copy_(net(x)))
    net = Captured(small, compiled="reduce-overhead")
    kept = net(_images(2))
    before = kept.clone()
    assert not torch.equal(net(_images(2)), before)
    assert torch.equal(kept, before)


@torch.inference_mode()
def test_so_many_sizes_are_recorded_and_no_more(small, tape):
    net = Captured(small, recorder=tape)
    net.SIZES = 3
    for side in (16, 24, 32, 40):
        for _ in range(3):
            images = _images(1, side)
            torch.testing.assert_close(net(images), small(images), rtol=1e-4, atol=1e-4)
    assert len(tape.made) == 3


@torch.inference_mode()
def test_what_cannot_be_recorded_runs_as_it_is(small):
    def refuse(*_):
        raise RuntimeError("CUDA error: operation not permitted\nwhen stream is capturing")

    net = Captured(small, recorder=refuse)
    images = _images(2)
    net(images)
    with pytest.warns(UserWarning, match="no further batch sizes are recorded: CUDA error"):
        found = net(images)
    torch.testing.assert_close(found, small(images), rtol=1e-4, atol=1e-4)
    net(images)  # told once


@torch.inference_mode()
@pytest.mark.parametrize("value", [0.0, torch.nan])
def test_a_recording_with_other_results_is_not_used(small, value):
    def spoilt(run, images):
        found = run(images)
        return Recording(images, found, lambda: found.fill_(value))

    net = Captured(small, recorder=spoilt)
    images = _images(2)
    net(images)
    with pytest.warns(UserWarning, match="recorded: the results of a recording differ"):
        net(images)
    for _ in range(3):
        torch.testing.assert_close(net(images), small(images), rtol=1e-4, atol=1e-4)


def test_changed_weights_are_captured_anew(small, tape):
    net = Captured(small, recorder=tape)
    images = _images(2)
    with torch.inference_mode():
        before = [net(images) for _ in range(3)][-1]
    with torch.no_grad():
        small.fc.bias.add_(1.0)
    with torch.inference_mode():
        torch.testing.assert_close(net(images), before + 1, rtol=1e-4, atol=1e-4)


def test_training_and_gradients_reach_the_network_itself(small, tape):
    net = Captured(small, recorder=tape)
    net(_images(2)).sum().backward()
    assert small.fc.weight.grad is not None
    assert net.training is False


@torch.inference_mode()
def test_the_precision_is_that_of_autocast(small, tape):
    net = Captured(small, recorder=tape)
    images = _images(2)
    with torch.autocast("cpu", torch.bfloat16):
        found = net(images)
    assert found.dtype == torch.bfloat16
    assert net(images).dtype == torch.float32
    assert _relative(found.double(), small(images).double()) < 0.05


class _Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.title = "unlike others"

    def forward(self, x):
        return self.conv(x) if x.mean() > 0 else self.conv(-x)


@torch.inference_mode()
def test_a_network_that_cannot_be_traced_runs_as_it_is(tape):
    net = Captured(_Untraceable().eval(), recorder=tape)
    images = _images(1)
    with pytest.warns(UserWarning, match="_Untraceable runs unchanged: it cannot be rewritten"):
        found = net(images)
    assert torch.equal(net(images), found)
    assert torch.equal(found, net.net(images))
    assert net.title == "unlike others"
    with pytest.raises(AttributeError, match="unknown"):
        _ = net.unknown


@torch.inference_mode()
def test_a_part_is_captured_and_the_network_left_as_it_was(small, tape):
    whole = nn.ModuleDict({"backbone": small, "head": nn.Linear(3, 2)})
    used = capture(whole, "backbone", recorder=tape)
    assert type(used["backbone"]) is Captured
    assert whole["backbone"] is small
    assert used["head"] is whole["head"]


def test_a_processor_runs_networks_as_they_are(small, tape):
    assert capture(small) is small
    assert capture(small, how="off", recorder=tape) is small
    for values, line in (
        ({"how": "on"}, "--capture on needs a GPU and there is none; leave it out"),
        ({"how": "yes"}, "--capture is 'yes'; choose from auto, on, off, triton"),
        ({"compiled": "fast"}, "--compile is 'fast'; choose from default, reduce-overhead, max-"),
        ({"how": "off", "compiled": "default"}, "--capture off leaves the network as it is; leave"),
        ({"how": "triton", "compiled": "default"}, "--capture triton has kernels of its own; lea"),
    ):
        with pytest.raises(UserError, match=line):
            capture(small, **values)


def test_without_a_gpu_the_fused_unit_is_left_out_and_told(small, tape):
    with pytest.warns(UserWarning, match="--capture triton runs as --capture auto: "):
        assert capture(small, how="triton") is small
    with pytest.warns(UserWarning, match="--capture triton runs as --capture auto: "):
        captured = capture(small, how="triton", recorder=tape)
    with torch.inference_mode():
        images = _images(2)
        torch.testing.assert_close(captured(images), small(images), rtol=1e-4, atol=1e-4)


def test_fused_units_are_calls_of_the_graph_in_its_precision(lively, monkeypatch, tape):
    """The kernel's place is taken by the convolutions that it stands for."""
    net = lively(create_model("res2net26_26w_4s", num_classes=3)).float()
    widths = [width for width in (104, 208, 416, 832) for _ in range(2)]
    called = []

    def eager(unit, x):
        called.append((x.dtype, unit.w.dtype, unit.b.dtype, x.shape[1]))
        how = unit.how
        taps = unit.w.unflatten(0, (how["CONVS"], 3, 3)).permute(0, 4, 3, 1, 2)
        splits, ys, y = x.split(how["CHANNELS"], 1), [], 0
        last = splits[-1]
        if how["POOLED"]:
            last = nn.functional.avg_pool2d(
                last, 3, how["STRIDE"], 1, count_include_pad=how["COUNTS_PAD"]
            )
        for i in range(how["CONVS"]):
            z = splits[i] + y if how["CHAINED"] else splits[i]
            y = nn.functional.conv2d(z, taps[i], unit.b[i], how["STRIDE"], 1).relu()
            ys.append(y)
        return torch.cat([*ys, last], 1)

    monkeypatch.setattr(FusedUnit, "forward", eager)
    images = _images(2, 33)
    captured = Captured(net, recorder=tape, fused=True)
    with torch.inference_mode():
        torch.testing.assert_close(captured(images), net(images), rtol=1e-4, atol=1e-4)
        assert called == [(torch.float32,) * 3 + (width,) for width in widths]
        called.clear()
        with torch.autocast("cpu", torch.bfloat16):
            found = captured(images)
        wanted = net(images)
    padded = [(torch.bfloat16,) * 3 + (-(-width // 32) * 32,) for width in widths]
    assert called == padded
    assert _relative(found.double(), wanted.double()) < 0.05


@pytest.mark.slow
@torch.inference_mode()
def test_a_compiled_network(small):
    images = _images(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler
        found = capture(small, compiled="default")(images)
    torch.testing.assert_close(found, small(images), rtol=1e-4, atol=1e-4)


def test_cudnn_is_on_while_a_graph_is_prepared_and_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("Stream", "current_stream", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, MagicMock())
    for name in ("stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    flags: list[tuple[bool, bool]] = []

    def run(x: torch.Tensor) -> torch.Tensor:
        flags.append((torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark))
        return x

    record_cuda(run, torch.zeros(1))
    assert flags == [(True, True)] * 3 + [(True, False)]
