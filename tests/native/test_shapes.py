"""Single operations and whole units against torch, over widths, scales, groups, strides, sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from res2net.deploy.native_walk import walk
from res2net.models.factory import create_model
from res2net.native import network
from res2net.native.binding import unsupported_reason
from res2net.native.network import NativeNetwork
from res2net.native.program import NativeProgram

from .conftest import RUNS, TOLERANCE, eager, random_images, relative

pytestmark = pytest.mark.usefixtures("engine")
FIXTURES_ARE_FINE = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
sides = st.integers(1, 20)


def started(channels: int, border: int) -> tuple[NativeProgram, torch.Tensor]:
    """A program whose buffer 1 holds a 1×1 of the images, 3 → channels, and the 1×1's weights."""
    # positive, so that a ReLU leaves every channel something
    weights = torch.rand(channels, 3, generator=torch.Generator().manual_seed(0))
    program = NativeProgram()
    program.buffers = [
        {"channels": 3, "border": 0, "packed": True},
        {"channels": channels, "border": border, "packed": False},
    ]
    program.tensors = {
        "one": np.ones(3, np.float32) / 255,
        "none": np.zeros(3, np.float32),
        "in": weights[:, :, None, None].numpy(),
        "in.bias": np.zeros(channels, np.float32),
    }
    program.ops = [
        {"op": "normalise", "output": 0, "scale": "one", "shift": "none"},
        {
            "op": "conv",
            "input": 0,
            "channels": 3,
            "outputs": channels,
            "groups": 1,
            "kernel": 1,
            "stride": 1,
            "rows": 1,
            "relu": 1,
            "output": 1,
            "weights": "in",
            "bias": "in.bias",
        },
    ]
    return program, weights


def _start(images: np.ndarray, weights: torch.Tensor) -> torch.Tensor:
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    return F.conv2d(x, weights[:, :, None, None]).relu()


CONVOLUTIONS = {
    "kernel": st.sampled_from((1, 3, 5, 7)),
    "stride": st.integers(1, 3),
    "groups": st.sampled_from((1, 1, 2, 3, 8, 32)),
    "in_group": st.integers(1, 9),
    "out_group": st.integers(1, 9),
    "shape": st.tuples(st.integers(1, 3), sides, sides),
    "threads": st.integers(1, 3),
}


def convolution(kernel, stride, groups, in_group, out_group, **more):
    """A program that ends in one convolution; its first weights, the convolution's, its bias."""
    channels, outputs = groups * in_group, groups * out_group
    program, first = started(channels, kernel // 2)
    chance = torch.Generator().manual_seed(1)
    weights = torch.randn(outputs, in_group, kernel, kernel, generator=chance)
    bias = torch.randn(outputs, generator=chance)
    program.buffers.append({"channels": outputs, "border": 1, "packed": False})
    program.tensors |= {"w": weights.numpy(), "b": bias.numpy()}
    sizes = {"channels": channels, "outputs": outputs, "groups": groups, "kernel": kernel}
    names = {"input": 1, "output": 2, "weights": "w", "bias": "b"}
    program.ops.append({"op": "conv", "stride": stride, **sizes, **names, **more})
    program.outputs = [{"map": 2}]
    return program, first, weights, bias


def off(found, images, first, weights, bias, stride=1, groups=1) -> float:
    """How far from torch, over the size that sums of such products have if none cancel.

    One output alone may be all but zero by cancellation, which no rounding can follow.
    """
    x, pad = _start(images, first), weights.shape[-1] // 2
    wanted = F.conv2d(x, weights, bias, stride, pad, groups=groups).numpy()
    size = F.conv2d(x**2, weights**2, bias**2, stride, pad, groups=groups).sum().sqrt().item()
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted)) / size


@FIXTURES_ARE_FINE
@given(**CONVOLUTIONS, precision=st.sampled_from(RUNS or ("fp32",)))
def test_a_convolution(kernel, stride, groups, in_group, out_group, shape, precision, threads):
    assume(unsupported_reason(precision) is None)
    program, first, weights, bias = convolution(kernel, stride, groups, in_group, out_group)
    images = random_images(*shape)
    found = NativeNetwork(program, precision, threads)(images)[0]
    assert off(found, images, first, weights, bias, stride, groups) < TOLERANCE[precision]


# 3×3 of stride 1: a few columns, rows kept or all, the last pair half, the last column half
@settings(FIXTURES_ARE_FINE, max_examples=40)
@given(
    pairs=st.sampled_from((True, True, True, False)),
    groups=st.sampled_from((1, 1, 1, 2, 5)),
    in_group=st.one_of(st.integers(1, 70), st.sampled_from((104, 208))),
    out_group=st.one_of(st.integers(1, 70), st.sampled_from((104, 208))),
    shape=st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 33)),
    threads=st.integers(1, 3),
    precision=st.sampled_from(RUNS or ("fp32",)),
)
def test_two_pixels_at_once_or_one(pairs, groups, in_group, out_group, shape, threads, precision):
    assume(unsupported_reason(precision) is None)
    program, first, weights, bias = convolution(3, 1, groups, in_group, out_group)
    images = random_images(*shape)
    with pytest.MonkeyPatch.context() as patch:
        if not pairs:
            patch.setattr(network, "by_pairs", lambda op: False)
        engine = NativeNetwork(program, precision, threads)
    found = engine(images)[0]
    assert off(found, images, first, weights, bias, groups=groups) < TOLERANCE[precision]


@FIXTURES_ARE_FINE
@given(
    average=st.booleans(),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padded=st.booleans(),
    ceil=st.booleans(),
    count_pad=st.booleans(),
    channels=st.integers(1, 70),
    shape=st.tuples(st.integers(1, 3), sides, sides),
)
def test_a_pool(average, kernel, stride, padded, ceil, count_pad, channels, shape):
    pad = kernel // 2 if padded else 0
    assume(min(shape[1:]) + 2 * pad >= kernel)
    program, first = started(channels, 0)
    program.buffers.append({"channels": channels, "border": 0, "packed": False})
    options = {"kernel": kernel, "stride": stride, "pad": pad}
    switches = {"average": average, "ceil": ceil, "count_pad": count_pad}
    program.ops.append(
        {"op": "pool", "input": 1, "channels": channels, "output": 2, **options, **switches}
    )
    program.outputs = [{"map": 2}]
    images = random_images(*shape)
    x = _start(images, first)
    if average:
        wanted = F.avg_pool2d(x, kernel, stride, pad, ceil, count_pad)
    else:
        wanted = F.max_pool2d(x, kernel, stride, pad, ceil_mode=ceil)
    found = NativeNetwork(program, "fp32", 2)(images)[0]
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)


@settings(FIXTURES_ARE_FINE, max_examples=5)
@given(
    width=st.integers(2, 33),
    scale=st.integers(1, 8),
    cardinality=st.integers(1, 4),
    se=st.booleans(),
    shape=st.tuples(st.integers(1, 2), st.integers(32, 70), st.integers(32, 70)),
    precision=st.sampled_from(RUNS or ("fp32",)),
)
def test_units_of_any_width_and_scale(folded, width, scale, cardinality, se, shape, precision):
    assume(unsupported_reason(precision) is None)
    torch.manual_seed(0)
    options = {"width": width, "scale": scale, "cardinality": cardinality, "se": se}
    program = folded(create_model("res2net26_small", num_classes=5, **options))
    images = random_images(*shape)
    found = NativeNetwork(walk(program), precision, 2)(images)[0]
    assert relative(found, eager(program, images)[0]) < TOLERANCE[precision]
