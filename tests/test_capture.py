"""A network rewritten for inference gives the numbers of the network as it was."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from unittest.mock import MagicMock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from res2net import create_backbone, create_model
from res2net.capture import (
    Captured,
    ConvReLU,
    capture,
    fold_batchnorm,
    pad_splits,
    record_cuda,
    with_epilogues,
)
from res2net.errors import UserError
from res2net.models.factory import norm_by_name
from res2net.nn.block import Res2NetBasicBlock, Res2NetBottleneck
from res2net.nn.fused import FusedUnit
from res2net.paper.variant import FirstBlock

# one row a family and form: name, options, batch norms that stay
FAMILIES = [
    ("resnet18", {}, 0),
    ("res2net18", {}, 0),
    ("res2net26_26w_4s", {}, 0),
    ("res2net50d", {"depth": 26}, 0),
    ("seres2net50_26w_4s", {"depth": 26}, 0),
    ("res2next50", {"depth": 26}, 0),
    ("dla60_res2net", {}, 0),
    ("blres2net50", {}, 0),
    ("res2next29_6c24w_4s", {"depth": 11, "width": 8}, 0),
    ("res2net29_small", {"depth": 11}, 0),
    ("wideresnet28_10", {"depth": 10, "width": 1}, 4),  # before each block's entry, and the last
    ("densenet_bc190_40", {"depth": 10, "width": 4}, 6),  # one a layer or transition, and the last
    ("densenet161", {}, 82),
    ("inception_v3", {}, 2),  # of the auxiliary classifier, which does not run
]


def _lively(net: nn.Module) -> nn.Module:
    """The network with statistics as training leaves them, in float64."""
    chance = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=chance)
            module.running_var.uniform_(0.5, 1.5, generator=chance)
            nn.init.uniform_(module.weight, 0.3, 0.9, generator=chance)
            nn.init.normal_(module.bias, 0, 0.1, generator=chance)
    return net.double().eval()


def _norms(net: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def _relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("name", "options", "left"), FAMILIES, ids=[row[0] for row in FAMILIES])
def test_every_family_keeps_its_numbers(name, options, left):
    net = _lively(create_model(name, num_classes=5, **options))
    side = 75 if name == "inception_v3" else 33
    images = torch.randn(2, 3, side, side, dtype=torch.float64)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.no_grad():
        wanted = net(images)
        folded = fold_batchnorm(net)
        assert _relative(folded(images), wanted) < 1e-10
        assert _norms(folded) == left
        assert type(folded) is type(net)
        pad_splits(folded)
        assert _relative(folded(images), wanted) < 1e-10
        fused = with_epilogues(folded)
        assert _relative(fused(images), wanted) < 1e-10
    assert sum(isinstance(module, ConvReLU) for module in fused.modules()) > 2
    for key, value in net.state_dict().items():  # the original is as it was
        assert torch.equal(value, before[key]), key


def test_a_frozen_norm_folds_too():
    backbone = create_backbone("res2net18", frozen_norm=True).double().eval()
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    folded = fold_batchnorm(backbone)
    assert not any("Norm" in type(module).__name__ for module in folded.modules())
    with torch.no_grad():
        wanted, found = backbone(images), folded(images)
    assert list(found) == ["c2", "c3", "c4", "c5"]
    for name, value in wanted.items():
        assert _relative(found[name], value) < 1e-10


def test_group_norm_stays():
    net = create_model(
        "res2net29_small", depth=11, num_classes=3, norm_layer=norm_by_name("group")
    ).eval()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(fold_batchnorm(net)(images), net(images))


class _Shared(nn.Module):
    """A convolution that is read before its norm too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.bn(y) + y


def test_a_convolution_with_two_readers_stays():
    net = _lively(_Shared())
    images = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    folded = fold_batchnorm(net)
    assert _norms(folded) == 1
    with torch.no_grad():
        assert torch.equal(folded(images), net(images))


@st.composite
def _bottlenecks(draw):
    """A bottleneck of any form, and the side of its images."""
    scale = draw(st.integers(2, 6))
    cardinality = draw(st.sampled_from([1, 1, 2, 3, 8]))
    width = cardinality * draw(st.integers(1, 11))
    first = draw(st.sampled_from([None, *FirstBlock]))
    stride = draw(st.sampled_from([1, 2])) if first else 1
    basic = draw(st.booleans())
    kind = Res2NetBasicBlock if basic else Res2NetBottleneck
    shortcut = nn.Conv2d(6, 10, 1, stride=stride)
    block = kind(
        *(6, 10, width, scale),
        cardinality=cardinality,
        stride=stride,
        first=first,
        shortcut=shortcut,
        se=draw(st.booleans()),
        act_layer=draw(st.sampled_from([nn.ReLU, nn.SiLU, nn.Sigmoid])),
    )
    return block, draw(st.integers(3, 8)), draw(st.sampled_from([2, 4, 8, 16]))


@given(_bottlenecks())
@settings(max_examples=30, deadline=None)
def test_splits_of_any_width_are_padded_without_a_change(drawn):
    block, side, multiple = drawn
    net = _lively(block)
    images = torch.randn(2, 6, side, side, dtype=torch.float64)
    with torch.no_grad():
        wanted, padded = net(images), fold_batchnorm(net)
        pad_splits(padded, multiple)
        assert padded.width % multiple == 0
        assert padded.width - net.width < multiple * padded.convs[0].groups
        assert {conv.out_channels % multiple for conv in padded.convs} == {0}
        torch.testing.assert_close(padded(images), wanted, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(
            with_epilogues(nn.Sequential(padded))(images), wanted, rtol=1e-10, atol=1e-10
        )


def test_splits_whose_norms_stay_are_not_padded():
    net = create_model("res2net26_26w_4s", num_classes=3, norm_layer=norm_by_name("group")).eval()
    widths = [module.width for module in net.modules() if isinstance(module, Res2NetBottleneck)]
    pad_splits(net)
    assert widths == [m.width for m in net.modules() if isinstance(m, Res2NetBottleneck)]


def test_what_the_epilogues_of_a_bottleneck_are():
    """Entry, three splits, exit with its addition; and of the whole network the stem."""
    net = create_model("res2net26_26w_4s", num_classes=3).eval()
    fused = with_epilogues(fold_batchnorm(net))
    assert sum(isinstance(module, ConvReLU) for module in fused.modules()) == 1 + 8 * 5
    assert not any(isinstance(module, nn.ReLU) for module in fused.modules())


@pytest.fixture
def small():
    return _lively(create_model("res2net29_small", depth=11, num_classes=3)).float()


def _images(batch, side=16):
    return torch.randn(batch, 3, side, side)


@torch.inference_mode()
def test_a_batch_size_is_recorded_when_it_comes_again(small, tape):
    net = Captured(small, recorder=tape)
    for batch, made, replayed in (
        (4, [], []),
        (4, [4], [4]),
        (3, [4], [4, 4]),  # filled up
        (2, [4], [4, 4, 4]),
        (1, [4], [4, 4, 4]),  # less than half: as it is
        (1, [4, 1], [4, 4, 4, 1]),
        (3, [4, 1, 3], [4, 4, 4, 1, 3]),
        (4, [4, 1, 3], [4, 4, 4, 1, 3, 4]),
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


def test_fused_units_are_calls_of_the_graph_in_its_precision(monkeypatch, tape):
    """The kernel's place is taken by the convolutions that it stands for."""
    net = _lively(create_model("res2net26_26w_4s", num_classes=3)).float()
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
    told: list[tuple[bool, bool]] = []

    def run(x: torch.Tensor) -> torch.Tensor:
        told.append((torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark))
        return x

    record_cuda(run, torch.zeros(1))
    assert told == [(True, True)] * 3 + [(True, False)]
